"""Reads a model's facts from config.json and the safetensors headers, without running any of the model's code.

Code of the model's own is never run, nor are weights loaded in formats that can run code: choose.py leaves both behind.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from lowbit.api.facts import ModelFacts
from lowbit.api.problem import Refused, some
from lowbit.architecture.config import ModelConfig, read_config
from lowbit.architecture.coverage import coverage
from lowbit.architecture.facts import config_facts, dtype_of, quantization_of, shape_facts, tied_by_config
from lowbit.architecture.headers import has_output_layer, linear_layers
from lowbit.architecture.remote_code import CONFIG_FILES, needs_code
from lowbit.worker.model.choose import INDEX, WEIGHTS, Chosen, choose
from lowbit.worker.model.json_file import read_json
from lowbit.worker.model.tokenizer_files import VOCABULARIES, has_chat_template, is_vocabulary, tokenizer_hash
from lowbit.worker.refuse import RefusalError

HEADER_LIMIT = 100_000_000
"""Bytes; the format's own limit for a header."""
BYTES_BY_DTYPE = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2, "U16": 2, "I8": 1,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
DTYPE_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


Read = TypeVar("Read")


@dataclass(frozen=True)
class Tensor:
    """One tensor as a safetensors header names it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of values."""
        return prod(self.shape)


def choose_files(names: Iterable[str], what: str) -> Chosen:
    """The files of a model, by their names, before any is downloaded. Raises RefusalError if they are no model."""
    chosen = choose(names, what)
    check_names(chosen.kept, what)
    return chosen


def check_names(names: Sequence[str], what: str) -> None:
    """Refuse a model without a config or a tokenizer. what names the model in messages."""
    if "config.json" not in names:
        raise RefusalError("NoConfig", f"{what} has no config.json", "give the folder that holds config.json")
    if not any(map(is_vocabulary, names)):
        raise RefusalError(
            "NoTokenizer",
            f"{what} has no tokenizer (none of {', '.join(VOCABULARIES)})",
            "save the tokenizer beside the weights: "
            "transformers' AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
        )


def inspect(folder: Path, what: str) -> ModelFacts:
    """The facts of the model in a folder. Raises RefusalError with what is wrong with it."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    chosen = choose_files(names, what)
    content = read_json(folder / "config.json", what)
    config = _or_refuse(lambda: read_config(content, what))
    for name in CONFIG_FILES:
        if (folder / name).is_file() and needs_code(name, read_json(folder / name, what), config.whole.model_type):
            raise RefusalError(
                "RemoteCode",
                f"{what}: {name} has auto_map, which loads code from the model's repository",
                "use a model whose architecture the engine knows; a file without auto_map",
            )
    weights = [name for name in chosen.kept if name.endswith(WEIGHTS)]
    _check_index(folder, weights, what)
    tensors = [tensor for name in weights for tensor in read_header(folder / name, what)]
    facts = _facts(config, tensors) | {
        "weight_bytes": sum((folder / name).stat().st_size for name in weights),
        "tokenizer": tokenizer_hash(folder),
        "chat_template": has_chat_template(folder),
        "quantized": quantization_of(content) or modelopt_of(folder, what),
    }
    return ModelFacts(**facts)


def draft_facts(folder: Path, weight_bytes: int, what: str) -> ModelFacts:
    """What config.json alone says of a model whose weights are not there yet. Raises RefusalError."""
    content = read_json(folder / "config.json", what)
    facts = _or_refuse(lambda: config_facts(content, what))
    quantized = facts.quantized or modelopt_of(folder, what)
    return facts.model_copy(update={"weight_bytes": weight_bytes, "quantized": quantized})


def _or_refuse(read: Callable[[], Read]) -> Read:
    """What `read` returns. Raises RefusalError with the problem that it raises."""
    try:
        return read()
    except Refused as refused:
        problem = refused.problems[0]
        raise RefusalError(problem.reason, problem.message, problem.action) from refused


def read_tensors(folder: Path, what: str) -> list[Tensor]:
    """Every tensor of every safetensors file below the folder; the files' sizes are checked against their headers."""
    found = []
    for path in sorted(folder.rglob("*.safetensors")):
        found += read_header(path, what)
    return found


def read_header(path: Path, what: str) -> list[Tensor]:
    """The tensors of one safetensors file. Raises RefusalError if it is damaged."""
    size = path.stat().st_size
    bad = RefusalError(
        "BadWeights",
        f"{what}: {path.name} is damaged or cut off",
        "copy or download the file again, and compare its size",
    )
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_LIMIT + 1
        if length > min(HEADER_LIMIT, size - 8):
            raise bad
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            tensors = [Tensor(name, str(t["dtype"]), tuple(map(int, t["shape"]))) for name, t in header.items()]
            end = max((int(t["data_offsets"][1]) for t in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise bad from None
    if 8 + length + end != size:
        raise bad
    return tensors


def _check_index(folder: Path, weights: Sequence[str], what: str) -> None:
    index = folder / INDEX
    if not index.is_file():
        return
    files = read_json(index, what).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
        raise RefusalError(
            "BadConfig", f"{what}: {INDEX} has no map of weights to files", f"repair {INDEX}, or download it again"
        )
    missing = sorted(set(files.values()) - set(weights))
    if missing:
        raise RefusalError(
            "MissingWeights", f"{what}: {some(missing)} named in {INDEX} are missing", "add the missing files"
        )


def _facts(config: ModelConfig, tensors: list[Tensor]) -> dict[str, Any]:
    """What follows from configuration and tensors. A quantized model's tensors do not show its layers' sizes."""
    shape = shape_facts(config)
    hidden, layers = shape["hidden_size"], shape["layers"]
    own_output = has_output_layer(tensors, shape["vocab_size"], hidden)
    covered = coverage(tensors, layers)
    says = config.get("quantization_config") is not None
    return shape | {
        "coverage": covered if covered.quantized or says else None,
        "linear": linear_layers(tensors, config.model_type, hidden, layers),
        "dtype": dtype_of(config) or _dtype(tensors),
        "tied_embeddings": tied_by_config(config) or not own_output,
        "parameters": sum(tensor.elements for tensor in tensors),
    }


def modelopt_of(folder: Path, what: str) -> str | None:
    """The method that NVIDIA's ModelOpt writes into a file of its own."""
    path = folder / "hf_quant_config.json"
    if not path.is_file():
        return None
    settings = read_json(path, what).get("quantization")
    method = settings.get("quant_algo") if isinstance(settings, Mapping) else None
    return str(method or "modelopt").lower()


def _dtype(tensors: list[Tensor]) -> str:
    """The type of most of the weights."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.elements
    return DTYPE_NAMES.get(max(counts, key=lambda dtype: counts[dtype], default="BF16"), "bfloat16")
