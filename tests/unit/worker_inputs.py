"""A model's folder of a few kilobytes, documents about it, and a process that dies where it is told to."""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lowbit.api.documents import PrepareDocument, PVCStoreAccess, StoreAccess
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.progress import Progress

KILLED = 99
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.", "http.client.send")
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 256,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 64,
    "max_position_embeddings": 512, "dtype": "bfloat16", "tie_word_embeddings": True,
}  # fmt: skip


def safetensors(tensors: dict[str, tuple[str, list[int], int]]) -> bytes:
    """A safetensors file of zeros: name -> (dtype, shape, bytes)."""
    header, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def write_model(folder: Path, *, config: dict[str, Any] | None = None, **files: bytes) -> Path:
    """A small model; config is merged over CONFIG, files (name with __ for a dot) are added."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    weights = {"model.embed_tokens.weight": ("BF16", [64, 128], 2 * 64 * 128)}
    (folder / "model.safetensors").write_bytes(safetensors(weights))
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def write_lines(path: Path, lines: list[Any]) -> Path:
    """A JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def texts(start: int, count: int) -> list[Any]:
    """Different texts, long enough to count."""
    return [
        {"text": f"This is the text with the number {n}, and it is long enough."} for n in range(start, start + count)
    ]


def write_places(folder: Path) -> Mounts:
    """A prepare Job's mounts: the model, and both datasets that spec() names."""
    write_model(folder / "volumes" / "models" / "small")
    write_lines(folder / "maps" / "texts" / "calibration.jsonl", texts(0, 10))
    write_lines(folder / "maps" / "texts" / "holdout.jsonl", texts(100, 260))
    return Mounts(folder / "volumes", folder / "maps", folder / "secrets", folder / "scratch")


def silence(stage: str = "prepare") -> Progress:
    """Progress that nobody sees."""
    return Progress(stage, write=lambda _: None, clock=lambda: 0.0)


def spec(**changes: Any) -> QuantizedModelSpec:
    """A QuantizedModel on the claim models, with the ConfigMap texts (calibration.jsonl, holdout.jsonl)."""
    base: dict[str, Any] = {
        "source": {"pvc": {"claimName": "models", "path": "small"}},
        "candidates": [{"gptq": {"bits": 4}}],
        "calibration": {
            "samples": 8,
            "datasets": [{"name": "talk", "configMap": {"name": "texts", "key": "calibration.jsonl"}}],
        },
        "evaluation": {"suites": [{
            "name": "fidelity",
            "fidelity": {"dataset": {"configMap": {"name": "texts", "key": "holdout.jsonl"}}, "maxTokens": 64},
            "gate": {"maximum": [{"metric": "KLDivergence", "value": "0.2"}]},
        }]},
        "engine": {"vllm": {"device": "CPU"}},
    }  # fmt: skip
    return QuantizedModelSpec.model_validate(base | changes)


def prepare_document(spec_: QuantizedModelSpec) -> PrepareDocument:
    """The document of a prepare Job with a pvc store."""
    access = StoreAccess(pvc=PVCStoreAccess(path="store"))
    return PrepareDocument(name="small", namespace="test", store=access, spec=spec_, platform=Platform())


def run_and_die(work: Callable[[Callable[[], None]], None], at: int) -> bool:
    """Run work in a forked process that dies, without any clean-up, at its at-th step; True where it came so far.

    Steps are the file system's and the network's calls, and each call of the function that work is given.
    """
    child = os.fork()
    if child == 0:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1
            if steps >= at:
                os._exit(KILLED)

        def hook(event: str, _: tuple[Any, ...]) -> None:
            if event.startswith(EVENTS):
                step()

        try:
            sys.addaudithook(hook)
            work(step)
        except BaseException:
            traceback.print_exc()
            # Nothing of pytest's may run in the child.
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"the work failed with {code}"
    return code == KILLED
