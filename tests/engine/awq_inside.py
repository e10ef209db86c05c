"""Runs in the worker's image: AWQ as Lowbit makes it, beside rounding to nearest, on a real model.

    python -m tests.engine.awq_inside MODEL     MODEL: a Hugging Face folder in bf16

Prints one line of JSON: by method, the mean over tokens of KL(original || quantized), in nats, on texts that were not
calibrated on.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from gptqmodel import BACKEND, GPTQModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from lowbit.api.recipes.awq import BITS, ResolvedAWQ
from lowbit.worker.backends import Work
from lowbit.worker.backends.awq import AWQBackend
from lowbit.worker.model.inspect_model import inspect
from tests.e2e.texts import calibration, holdout

GROUP = 64
SHORTEST, LONGEST = 20, 60
"""Tokens of a sample: they differ in length, as people's texts do."""


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """A weight [outputs, inputs] rounded to nearest by groups, with a zero point, and unpacked again."""
    groups = weight.reshape(len(weight), -1, GROUP)
    largest, smallest = groups.amax(-1, keepdim=True), groups.amin(-1, keepdim=True)
    scale = (largest - smallest) / (2**BITS - 1)
    zero = (-smallest / scale).round()
    return (((groups / scale).round() + zero).clamp(0, 2**BITS - 1) - zero).mul(scale).reshape(weight.shape)


def answers(model: Any, texts: list[list[int]]) -> torch.Tensor:
    """Logprobs of every token of the texts: [tokens, vocabulary]."""
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([ids])).logits[0].float().log_softmax(-1) for ids in texts])


def awq(source: Path, samples: list[list[int]], scratch: Path) -> Any:
    """The artifact as the worker makes it, loaded."""
    backend = AWQBackend()
    facts = inspect(source, "the source")
    work = Work(source, scratch / "artifact", ResolvedAWQ(group_size=GROUP), facts, samples, "cpu", scratch)
    backend.quantize(work, lambda _share, _what: None)
    kernel = getattr(BACKEND, backend.torch_kernel)
    return GPTQModel.load(str(work.target), device="cpu", backend=kernel, trust_remote_code=False).model


def main(source: Path) -> None:
    """Measure both."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    spread = LONGEST - SHORTEST + 1
    samples = [
        tokenizer(text)["input_ids"][: SHORTEST + 7 * place % spread] for place, text in enumerate(calibration())
    ]
    texts = [tokenizer(text)["input_ids"] for text in holdout()][:24]
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    original = answers(model, texts)

    def distance(quantized: Any) -> float:
        return float((original.exp() * (original - answers(quantized, texts))).sum(-1).mean())

    with tempfile.TemporaryDirectory() as scratch, torch.compiler.set_stance("force_eager"):
        found = {"awq": distance(awq(source, samples, Path(scratch)))}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.weight.data = rounded(module.weight.data)
    print(json.dumps(found | {"rounded": distance(model)}))


main(Path(sys.argv[1]))
