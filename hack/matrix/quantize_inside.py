"""Runs in the worker's image: makes a tiny random model of one type, and quantizes it as the quantize Job does.

    python -m hack.matrix.quantize_inside TYPE FOLDER

Leaves FOLDER/source, FOLDER/gptq and FOLDER/awq, and prints how each ended (each.py).
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hack.matrix.each import each
from hack.matrix.types import settings
from lowbit.api.recipes.awq import ResolvedAWQ
from lowbit.api.recipes.gptq import ResolvedGPTQ
from lowbit.worker.backends import BACKENDS, Work
from lowbit.worker.model.inspect_model import inspect
from lowbit.worker.progress import Progress
from lowbit.worker.quantize import make

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


def attempt(source: Path, recipe: str) -> None:
    """Read, quantize, judge, tidy up, try out."""
    facts = inspect(source, "the model")
    folder = source.parent
    work = Work(source, folder / recipe, RECIPES[recipe], facts, samples(), "cpu", folder / "scratch")
    work.target.mkdir()
    make(BACKENDS[recipe], work, Progress("quantize", write=lambda _line: None))


def main(model_type: str, folder: Path) -> None:
    """The source, then what each recipe makes of it."""
    each(["source"], lambda name: write_source(model_type, folder / name))
    if (folder / "source" / "config.json").exists():
        each(list(RECIPES), lambda recipe: attempt(folder / "source", recipe))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
