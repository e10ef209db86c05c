"""Runs in the worker's image: makes a tiny random model of one type, and quantizes it as the quantize Job does.

    python -m hack.matrix.quantize_inside TYPE RECIPE FOLDER

Leaves FOLDER/source and FOLDER/RECIPE, and prints one line of JSON: {"ok": true}, or {"ok": false, "why": "..."}.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hack.matrix.types import settings
from lowbit.api.recipes.awq import ResolvedAWQ
from lowbit.api.recipes.gptq import ResolvedGPTQ
from lowbit.worker.backends import BACKENDS, Work
from lowbit.worker.model.inspect_model import inspect
from lowbit.worker.progress import Progress
from lowbit.worker.quantize import make
from lowbit.worker.refuse import RefusalError

GROUP = 32
SAMPLES, LENGTH = 48, 64
RECIPES: dict[str, Any] = {
    "gptq": ResolvedGPTQ(bits=4, group_size=GROUP, desc_act=False, sym=True, damp_percent="0.05"),
    "awq": ResolvedAWQ(group_size=GROUP),
}


def write_source(model_type: str, folder: Path) -> None:
    """A random model of the type, and a tokenizer of single bytes."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[model_type].from_dict(settings(model_type))
    model = getattr(transformers, config.architectures[0])(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", "<pad>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def samples() -> list[list[int]]:
    """Token ids without any order: every expert sees some."""
    chance = random.Random(0)
    return [[chance.randrange(3, 259) for _ in range(LENGTH)] for _ in range(SAMPLES)]


def attempt(model_type: str, recipe: str, folder: Path) -> dict[str, Any]:
    """Make, read, quantize, judge, tidy up, try out."""
    source = folder / "source"
    if not source.exists():
        write_source(model_type, source)
    facts = inspect(source, f"a tiny {model_type}")
    work = Work(source, folder / recipe, RECIPES[recipe], facts, samples(), "cpu", folder / "scratch")
    work.target.mkdir()
    make(BACKENDS[recipe], work, Progress("quantize", write=lambda _line: None))
    return {"ok": True}


def main(model_type: str, recipe: str, folder: Path) -> None:
    """Attempt it, and say how it ended."""
    try:
        ended = attempt(model_type, recipe, folder)
    except RefusalError as error:
        ended = {"ok": False, "why": f"{error.refusal.reason}: {error.refusal.message}"}
    except Exception as error:  # whatever it is that breaks, the table says so
        traceback.print_exc()
        ended = {"ok": False, "why": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    print(json.dumps(ended))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
