"""Which files of a repository are the model. Repositories carry much besides: other formats, training state, code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lowbit.api.problem import some
from lowbit.worker.refuse import RefusalError

CODE_SUFFIXES = frozenset({".py", ".pyc", ".so"})
WEIGHT_SUFFIXES = frozenset(
    {
        ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".onnx", ".onnx_data", ".gguf", ".npz",
        ".tflite", ".mlmodel", ".ot",
    }
)  # fmt: skip
"""Formats that can run code, or that the engine does not load."""
WEIGHTS = ".safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
CONSOLIDATED = re.compile(r"consolidated.*\.safetensors")
"""Mistral's own layout of the same weights."""


@dataclass(frozen=True)
class Chosen:
    """The files of a model, and what lies beside them."""

    kept: list[str]
    left_behind: list[str]


def choose(names: Iterable[str], what: str) -> Chosen:
    """The files that are the model: everything but other formats, code, and a second set of the same weights.

    Raises RefusalError if there are no whole safetensors. what names the model in messages.
    """
    names = sorted(names)
    top = [name for name in names if name.endswith(WEIGHTS) and "/" not in name]
    weights = one_set(top)
    if not weights:
        raise no_safetensors(names, what)
    check_shards(weights, what)
    spare = {name for name in names if is_spare(name) or (name.endswith(WEIGHTS) and name not in weights)}
    return Chosen([name for name in names if name not in spare], sorted(spare))


def is_spare(name: str) -> bool:
    """Whether a file is of another format, or code, which is never run."""
    return PurePosixPath(name).suffix in CODE_SUFFIXES | WEIGHT_SUFFIXES


def one_set(weights: Sequence[str]) -> list[str]:
    """One set of the weights: shards before a single file before Mistral's own layout. Adapters are no weights."""
    usual = [name for name in weights if not CONSOLIDATED.fullmatch(name) and not name.startswith("adapter_")]
    sharded = [name for name in usual if SHARD.fullmatch(name)]
    return sharded or usual or [name for name in weights if CONSOLIDATED.fullmatch(name)]


def check_shards(weights: Sequence[str], what: str) -> None:
    """Refuse if a shard is missing, as their names count them."""
    shards = [match for name in weights if (match := SHARD.fullmatch(name))]
    wanted = {
        f"{match['stem']}-{number:05}-of-{match['count']}.safetensors"
        for match in shards
        for number in range(1, int(match["count"]) + 1)
    }
    missing = sorted(wanted - set(weights))
    if missing:
        raise RefusalError(
            "MissingWeights",
            f"{what} has {len(shards)} of {len(wanted)} shards; {some(missing)} is missing",
            "add the missing files: the download or the copy was cut off",
        )


def no_safetensors(names: Sequence[str], what: str) -> RefusalError:
    """The refusal of a model without weights that can be loaded."""
    other = [name for name in names if PurePosixPath(name).suffix in WEIGHT_SUFFIXES]
    if other:
        return RefusalError(
            "NotSafetensors",
            f"{what} has weights in a format that can run code or that is not loaded ({some(other)}), and none in "
            ".safetensors",
            "use a revision or folder with .safetensors weights; convert with transformers' save_pretrained",
        )
    nested = sorted({str(PurePosixPath(name).parent) for name in names if name.endswith(WEIGHTS)})
    action = f"give the folder {nested[0]}" if nested else "give the folder that holds config.json and the weights"
    return RefusalError("NoSafetensors", f"{what} has no .safetensors file", action)
