"""Prepares an artifact's files for the store: copies the source's where they must be equal, removes local paths."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lowbit.api.facts import Coverage, ModelFacts
from lowbit.architecture.coverage import coverage
from lowbit.worker.model.choose import INDEX, WEIGHTS
from lowbit.worker.model.inspect_model import Tensor, read_tensors
from lowbit.worker.model.tokenizer_files import tokenizer_files
from lowbit.worker.refuse import RefusalError

GENERATION_FILES = ("generation_config.json", "preprocessor_config.json", "processor_config.json")
OWN_FILES = ("config.json", "quantize_config.json")
WIDE = ("F32", "F64")
PATH_FIELDS = ("offload_to_disk_path", "_name_or_path", "name_or_path")


def finish(folder: Path, source: Path, facts: ModelFacts) -> Coverage:
    """Prepare a freshly saved artifact for the store. Returns which layers are quantized.

    Raises RefusalError if its weights are wrong.
    """
    keep_source_files(folder, source)
    for name in OWN_FILES:
        clean_config(folder / name, source / name)
    remove_others(folder)
    tensors = read_tensors(folder, "the artifact")
    check_tensors(tensors, facts, wide_in(source))
    return coverage(tensors, facts.layers)


def keep_source_files(folder: Path, source: Path) -> None:
    """Copy tokenizer, chat template and generation config byte for byte; remove those that the source lacks."""
    for name in kept_files(folder):
        (folder / name).unlink()
    for name in kept_files(source):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)


def kept_files(folder: Path) -> list[str]:
    """Files that an artifact has byte for byte from its source, as far as a folder has them."""
    return [*tokenizer_files(folder), *(name for name in GENERATION_FILES if (folder / name).is_file())]


def clean_config(path: Path, original: Path) -> None:
    """Remove the pod's paths from a JSON file, and restore the original _name_or_path."""
    if not path.is_file():
        return
    config = json.loads(path.read_text())
    before = json.loads(original.read_text()) if original.is_file() else {}
    _clean(config)
    if "_name_or_path" in before:
        config["_name_or_path"] = before["_name_or_path"]
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def remove_others(folder: Path) -> None:
    """Remove logs and other files that the quantizer leaves beside the model."""
    known = {*kept_files(folder), *OWN_FILES, INDEX}
    folders = {name.partition("/")[0] for name in known if "/" in name}
    for path in folder.iterdir():
        if path.is_dir() and path.name not in folders:
            shutil.rmtree(path)
        elif path.is_file() and path.name not in known and path.suffix != WEIGHTS:
            path.unlink()


def wide_in(folder: Path) -> frozenset[str]:
    """Names of the tensors of 32-bit floats: routers' corrections and decay rates are often kept so."""
    return frozenset(tensor.name for tensor in read_tensors(folder, "the source") if tensor.dtype in WIDE)


def check_tensors(tensors: list[Tensor], facts: ModelFacts, wide_before: frozenset[str] = frozenset()) -> None:
    """Refuse tied embeddings that were saved twice, matrices of 32-bit floats, and no quantized weights.

    wide_before: tensors that are 32-bit floats in the source.
    """
    names = {tensor.name for tensor in tensors}
    wide = [
        tensor.name
        for tensor in tensors
        # A vector may be kept wide by its type (a router's correction); a matrix would double the artifact.
        if tensor.dtype in WIDE and tensor.name not in wide_before and len(tensor.shape) > 1
    ]
    problem = None
    if facts.tied_embeddings and "lm_head.weight" in names:
        problem = "the tied embeddings were saved twice"
    elif wide:
        problem = f"{wide[0]} was saved as 32-bit floats"
    elif not (found := coverage(tensors, facts.layers)).quantized:
        problem = f"0 of {found.linear} layers are quantized"
    if problem:
        raise RefusalError(
            "BadArtifact", f"the quantizer wrote an artifact that is not right: {problem}",
            "report this to Lowbit's maintainers with the model's config.json; "
            "an artifact candidate can be used meanwhile",
        )  # fmt: skip


def _clean(value: Any) -> None:
    if isinstance(value, dict):
        for field in PATH_FIELDS:
            if field in value:
                value.pop(field)
        for item in value.values():
            _clean(item)
    elif isinstance(value, list):
        for item in value:
            _clean(item)
