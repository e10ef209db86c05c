"""Calls gptqmodel, and refuses what it would silently skip. GPTQ and AWQ share this code."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lowbit.worker.backends.base import Advance, Backend, Work
from lowbit.worker.backends.losses import ModuleLoss
from lowbit.worker.backends.tools import release
from lowbit.worker.refuse import RefusalError

SMOKE_PROMPT = "The capital of France is"
SMOKE_TOKENS = 8
"""Each costs a CPU a pass through the whole unpacked model: eight say as much as sixteen."""


class GPTQModelBackend(Backend):
    """Base of gptqmodel's methods. A method adds its settings, and how its rows are judged."""

    packages = ("gptqmodel", "torch", "transformers")
    config_class: ClassVar[str]
    """gptqmodel's type of the settings."""
    torch_kernel: ClassVar[str]
    """gptqmodel's kernel in plain torch, which packs on any device: without it AWQ asks for CUDA."""

    @abstractmethod
    def settings(self, recipe: Any) -> dict[str, Any]:
        """The method's settings for gptqmodel."""

    def calibration(self, samples: Sequence[list[int]]) -> list[list[int]]:
        """Token ids for gptqmodel, one batch each: the samples, unless the method needs other batches."""
        return list(samples)

    def tolerated(self, recipe: Any) -> float:
        """Share of the experts (0 to 1) that may be rounded to nearest."""
        return 0.0

    @abstractmethod
    def judge(self, rows: Sequence[Mapping[str, Any]], layers: int, tolerated: float = 0.0) -> list[ModuleLoss]:
        """Every row as a ModuleLoss. Raises RefusalError if a module was not quantized, or not as requested.

        tolerated: share of the experts that may be rounded to nearest.
        """

    def quantize(self, work: Work, advance: Advance) -> list[ModuleLoss]:
        """Quantize layer by layer, and judge the rows that gptqmodel returns."""
        import torch
        from gptqmodel import BACKEND, GPTQModel

        raise_in_caller()
        torch.manual_seed(0)
        # A model that is read as 32-bit would be written with 32-bit embeddings.
        dtype = torch.float16 if work.facts.dtype == "float16" else torch.bfloat16
        own = self.settings(work.recipe) | (every_expert() if work.facts.experts else {})
        config = make_config(self.config_class, asked(own, work.device, work.scratch / "offload"))
        model = GPTQModel.load(str(work.source), config, dtype=dtype, trust_remote_code=False)
        layers = work.facts.layers

        def on_subset(**event: Any) -> None:
            done = event["subset_index"] + (1 if event["stage"] == "quant_complete" else 0)
            share = (event["layer_idx"] + done / max(event["subset_total"], 1)) / layers
            advance(share, f"quantizing layer {event['layer_idx'] + 1} of {layers}")

        model.subset_callback = on_subset
        rows = model.quantize(
            [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in self.calibration(work.samples)],
            batch_size=1,
            calibration_data_min_length=0,
            backend=getattr(BACKEND, self.torch_kernel),
        )
        advance(1.0, "writing the artifact")
        model.save(str(work.target))
        del model
        release()
        flat = [row for group in rows.values() for row in group]
        return self.judge(flat, layers, self.tolerated(work.recipe))

    def smoke_test(self, folder: Path, device: str) -> str:
        """Run the test in gptqmodel's kernel in plain torch."""
        import torch
        from gptqmodel import BACKEND, GPTQModel

        # Compiling would take longer than the test itself.
        with torch.compiler.set_stance("force_eager"), torch.inference_mode():
            kernel = getattr(BACKEND, self.torch_kernel)
            model = GPTQModel.load(str(folder), device=device, backend=kernel, trust_remote_code=False)
            inputs = model.tokenizer(SMOKE_PROMPT, return_tensors="pt").to(device)
            finite = bool(torch.isfinite(model.model(**inputs).logits).all())
            tokens = model.generate(**inputs, max_new_tokens=SMOKE_TOKENS, min_new_tokens=SMOKE_TOKENS, do_sample=False)
            text = str(model.tokenizer.decode(tokens[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True))
        del model, inputs, tokens
        release()
        if not finite:
            raise RefusalError(
                "SmokeTestFailed",
                "the artifact computes values that are not numbers",
                "give more and more varied calibration texts, a smaller groupSize or 8 bits",
            )
        return text


def raise_in_caller() -> None:
    """Let an error in one of gptqmodel's threads reach its caller: gptqmodel ends the process, without a word."""
    from gptqmodel.utils import threadx

    threadx._DeviceWorker._abort_process = lambda _self, _error: None


def every_expert() -> dict[str, Any]:
    """Show every expert all calibration texts: of those that its router sends it, a rare one would see none."""
    from gptqmodel.quantization.config import ExpertsRoutingBypass, MoEConfig

    return {"moe": MoEConfig(routing=ExpertsRoutingBypass())}


def asked(own: dict[str, Any], device: str, offload: Path) -> dict[str, Any]:
    """A method's settings, with those that all methods share."""
    shared: dict[str, Any] = {
        "true_sequential": True, "lm_head": False, "offload_to_disk": device != "cpu", "device": device,
    }  # fmt: skip
    return own | shared | ({} if device == "cpu" else {"offload_to_disk_path": str(offload)})


def make_config(config_class: str, arguments: dict[str, Any]) -> Any:
    """gptqmodel's settings object. It silently drops unknown arguments, so each is looked up, and read back."""
    from gptqmodel.quantization import config as gptqmodel_config

    kind = getattr(gptqmodel_config, config_class)
    unknown = sorted(set(arguments) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise RuntimeError(f"this gptqmodel does not know {', '.join(unknown)}: the image does not fit this Lowbit")
    made = kind(**arguments)
    ignored = [name for name, value in arguments.items() if name != "device" and getattr(made, name) != value]
    if ignored:
        raise RuntimeError(f"gptqmodel took other values than it was given for {', '.join(ignored)}")
    return made
