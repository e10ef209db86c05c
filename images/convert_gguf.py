"""Turn a GGUF file into a Hugging Face folder in bf16, whole and cut to its first layers.

It runs inside the worker image, which has torch and transformers; the host needs neither.

    python convert_gguf.py GGUF OUT NAME=LAYERS [NAME=LAYERS ...]

Each NAME becomes the folder OUT/NAME with the first LAYERS decoder layers; LAYERS 0 keeps all of them.
A folder appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

WEIGHTS = "model.safetensors"


def main(arguments: list[str]) -> None:
    """Convert once, then save every version that was asked for, the longest first."""
    gguf, out = Path(arguments[0]), Path(arguments[1])
    versions = {name: int(layers) for name, _, layers in (item.partition("=") for item in arguments[2:])}
    model = _load(gguf)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    if not tokenizer.chat_template:
        raise SystemExit(f"{gguf.name} carries no chat template: an instruct model without one cannot be asked.")
    tokenizer.model_max_length = model.config.max_position_embeddings
    total = model.config.num_hidden_layers
    for name, layers in sorted(versions.items(), key=lambda item: -(item[1] or total)):
        _cut(model, layers or total)
        _save(model, tokenizer, out / name)
        print(f"{name}: {model.config.num_hidden_layers} layers, {model.num_parameters():,} parameters", flush=True)


def _load(gguf: Path) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model = model.to(torch.bfloat16)
    # The saved folder is a plain bf16 model: a leftover entry would make every loader look for GGUF.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _cut(model: torch.nn.Module, layers: int) -> None:
    model.model.layers = model.model.layers[:layers]
    model.config.num_hidden_layers = layers
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[:layers]


def _save(model: torch.nn.Module, tokenizer: AutoTokenizer, folder: Path) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(partial, max_shard_size="50GB")
    tokenizer.save_pretrained(partial)
    # What only says where this copy was made has no place in a model.
    _drop(partial / "config.json", "_model_name_or_path")
    _drop(partial / "tokenizer_config.json", "is_local", "local_files_only")
    _check(partial)
    # Pods read the folder as another user; torch and safetensors may have written 0600.
    partial.chmod(0o755)
    for path in partial.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _drop(path: Path, *keys: str) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in keys}, indent=2) + "\n")


def _check(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config, "the folder still says that it is quantized"
    assert config.get("dtype", config.get("torch_dtype")) == "bfloat16", "the folder is not bf16"
    assert (folder / WEIGHTS).is_file() and not list(folder.glob("*.bin")), "only safetensors are allowed"
    assert AutoTokenizer.from_pretrained(folder).chat_template, "the chat template was lost on the way"


if __name__ == "__main__":
    main(sys.argv[1:])
