"""gptqmodel, called so that nothing is lost in silence. The only module that imports torch."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from lowbit.api.modelrevision import ModelFacts
from lowbit.api.recipe import ResolvedGPTQ
from lowbit.worker.refuse import RefusalError

PACKAGES = ("gptqmodel", "torch", "transformers")
SMOKE_PROMPT = "The capital of France is"
SMOKE_TOKENS = 8
"""Each costs a CPU a pass through the whole unpacked model: eight say as much as sixteen."""
LOG_TAIL = 4000
"""Characters of the quantizer's own output that are shown when it fails."""


def settings(recipe: ResolvedGPTQ, device: str, offload: Path) -> dict[str, Any]:
    """What gptqmodel is asked for. It orders activations by group only where there are groups, and no order of its own."""
    asked: dict[str, Any] = {
        "bits": recipe.bits,
        "group_size": recipe.group_size,
        "desc_act": recipe.desc_act,
        "sym": recipe.sym,
        "damp_percent": float(recipe.damp_percent),
        "act_group_aware": not recipe.desc_act and recipe.group_size > 0,
        "true_sequential": True,
        "lm_head": False,
        "offload_to_disk": device != "cpu",
        "device": device,
    }
    return asked if device == "cpu" else asked | {"offload_to_disk_path": str(offload)}


def make_config(recipe: ResolvedGPTQ, device: str, offload: Path) -> Any:
    """gptqmodel's QuantizeConfig. It drops arguments that it does not know: each is looked up, and read back."""
    from gptqmodel import QuantizeConfig
    from gptqmodel.quantization.config import GPTQConfig

    arguments = settings(recipe, device, offload)
    unknown = sorted(set(arguments) - {field.name for field in dataclasses.fields(GPTQConfig)})
    if unknown:
        raise RuntimeError(f"this gptqmodel does not know {', '.join(unknown)}: the image does not fit this Lowbit")
    config = QuantizeConfig(**arguments)
    ignored = [name for name, value in arguments.items() if name != "device" and getattr(config, name) != value]
    if ignored:
        raise RuntimeError(f"gptqmodel took other values than it was given for {', '.join(ignored)}")
    return config


def quantize_model(
    source: Path,
    target: Path,
    recipe: ResolvedGPTQ,
    facts: ModelFacts,
    samples: Sequence[list[int]],
    device: str,
    scratch: Path,
    advance: Callable[[float, str], None],
) -> list[Mapping[str, Any]]:
    """Quantize the model in source and write it to target. Returns a row per module; advance is told the share done."""
    import torch
    from gptqmodel import GPTQModel

    torch.manual_seed(0)
    # 32-bit embeddings would be written where the model was read as 32-bit.
    dtype = torch.float16 if facts.dtype == "float16" else torch.bfloat16
    model = GPTQModel.load(
        str(source), make_config(recipe, device, scratch / "offload"), dtype=dtype, trust_remote_code=False
    )

    def on_subset(**event: Any) -> None:
        done = event["subset_index"] + (1 if event["stage"] == "quant_complete" else 0)
        share = (event["layer_idx"] + done / max(event["subset_total"], 1)) / facts.layers
        advance(share, f"quantizing layer {event['layer_idx'] + 1} of {facts.layers}")

    model.subset_callback = on_subset
    rows = model.quantize(
        [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in samples],
        batch_size=1,
        calibration_data_min_length=0,
    )
    advance(1.0, "writing the artifact")
    model.save(str(target))
    del model
    release()
    return [row for group in rows.values() for row in group]


def smoke_test(folder: Path, device: str) -> str:
    """Load the artifact as it was written, and generate a few tokens. Returns their text, which may be empty.

    Raises RefusalError where it computes what is not a number. Whether the text is any good is for the gate to say.
    """
    import torch
    from gptqmodel import BACKEND, GPTQModel

    # Compiling would take longer than all that is computed here.
    with torch.compiler.set_stance("force_eager"), torch.inference_mode():
        model = GPTQModel.load(str(folder), device=device, backend=BACKEND.TORCH, trust_remote_code=False)
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


def pick_device(wanted: str) -> tuple[str, str]:
    """torch's name of the device, and its name for people. Raises RefusalError where a GPU is asked for and there is none."""
    import torch

    if wanted == "CPU":
        return "cpu", "CPU"
    if not torch.cuda.is_available():
        raise RefusalError(
            "NoGPU",
            "the quantize Job asks for a GPU, and torch finds none in its pod",
            "check the node's driver and the GPU's resource name, or set spec.jobs.quantize.device to CPU",
        )
    return "cuda", str(torch.cuda.get_device_name(0))


def peak_bytes(device: str) -> int:
    """The largest memory so far: of the GPU where one is used, else of this process."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict[str, str]:
    """What made the artifact."""
    return {name: metadata.version(name) for name in PACKAGES}


def release() -> None:
    """Give back what a model that is gone held."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[Callable[[str], None]]:
    """Send what the libraries print (bars, banners) to a file; yields a function that writes a line to the real stdout.

    Where the body raises, the file's end goes to stderr. Out of GPU memory is raised as MemoryError.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    failure: BaseException | None = None
    try:
        yield lambda line: _write_all(out, f"{line}\n".encode())
    except BaseException as error:
        failure = error
        raise (MemoryError(str(error)) if type(error).__name__ == "OutOfMemoryError" else error) from error
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(out, 1)
        os.dup2(err, 2)
        if failure is not None and not isinstance(failure, RefusalError):
            tail = log.read_text(errors="replace").replace("\r", "\n")[-LOG_TAIL:]
            print(f"--- the end of the quantizer's output\n{tail}\n---", file=sys.stderr)
        for descriptor in (out, err, file):
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
