"""Joins layers that the quantizer took apart: the engine looks for the names that the original has.

gptqmodel splits a fused gate_up_proj (Phi-3, Phi-4, GLM-4) into gate_proj and up_proj, quantizes each, and writes both.
vLLM maps gate_up_proj. Both halves have the same inputs, so their outputs are laid side by side and nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowbit.worker.model.choose import INDEX, WEIGHTS
from lowbit.worker.model.inspect_model import read_header, read_tensors
from lowbit.worker.refuse import RefusalError

FUSED, HALVES = "gate_up_proj", ("gate_proj", "up_proj")
BY_OUTPUT = ("qweight", "qzeros", "scales", "bias")
"""Tensors of a layer whose last dimension is its outputs."""
BY_INPUT = ("g_idx", "perm")
"""Tensors of a layer that belong to its inputs: equal in both halves."""


def fuse_layers(folder: Path, source: Path) -> int:
    """Join the halves of each layer that is one in the source. Returns how many layers were joined.

    Raises RefusalError if two halves order their inputs differently.
    """
    wanted = [
        tensor.name.removesuffix(".weight")
        for tensor in read_tensors(source, "the source")
        if tensor.name.endswith(f".{FUSED}.weight") and len(tensor.shape) == 2
    ]
    if not wanted:
        return 0
    files = _files(folder)
    layers = [name for name in wanted if f"{_half(name, 0)}.qweight" in files]
    for path in sorted({files[f"{_half(name, 0)}.qweight"] for name in layers}):
        _rewrite(path, [name for name in layers if files[f"{_half(name, 0)}.qweight"] == path], files)
    _correct_index(folder)
    return len(layers)


def _half(name: str, number: int) -> str:
    """model.layers.0.mlp.gate_up_proj -> model.layers.0.mlp.gate_proj."""
    return name.removesuffix(FUSED) + HALVES[number]


def _rewrite(path: Path, layers: list[str], files: Mapping[str, Path]) -> None:
    """Write one file again with the layers whose first half it holds; the second may lie in another file."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    for name in layers:
        kinds = {key.rpartition(".")[2] for key in tensors if key.rpartition(".")[0] == _half(name, 0)}
        for kind in kinds:
            first = tensors.pop(f"{_half(name, 0)}.{kind}")
            second = _take(f"{_half(name, 1)}.{kind}", path, tensors, files)
            tensors[f"{name}.{kind}"] = _joined(name, kind, first, second)
    save_file(tensors, path, metadata)


def _take(name: str, path: Path, tensors: dict[str, Any], files: Mapping[str, Path]) -> Any:
    """The tensor of that name, taken out of the file that holds it."""
    from safetensors.torch import load_file, save_file

    if files[name] == path:
        return tensors.pop(name)
    others = load_file(files[name])
    taken = others.pop(name)
    save_file(others, files[name], {"format": "pt"})
    return taken


def _joined(layer: str, kind: str, first: Any, second: Any) -> Any:
    """Both halves' tensors of one kind as one."""
    import torch

    if kind in BY_INPUT and torch.equal(first, second):
        return first
    if kind in BY_OUTPUT:
        return torch.cat([first, second], dim=-1).contiguous()
    raise RefusalError(
        "BadArtifact",
        f"the quantizer ordered the inputs of {layer} in two ways ({kind}), and the engine loads it as one layer",
        "leave gptq.descAct out",
    )


def _correct_index(folder: Path) -> None:
    """Name in the index, if there is one, the file of every tensor."""
    path = folder / INDEX
    if not path.is_file():
        return
    index = json.loads(path.read_text())
    names = {name: file.name for name, file in _files(folder).items()}
    path.write_text(json.dumps(index | {"weight_map": names}, indent=2, sort_keys=True) + "\n")


def _files(folder: Path) -> dict[str, Path]:
    """The file of each of the artifact's tensors."""
    paths = sorted(folder.glob(f"*{WEIGHTS}"))
    return {tensor.name: path for path in paths for tensor in read_header(path, "the artifact")}
