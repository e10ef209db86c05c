"""Fills operator/lowbit/architecture/support.json: `make matrix`, or `make matrix TYPES="llama phi3"` for some types.

Each type takes about a minute. What people wrote into a row (`note`, `needs`, `cpuOnly`) stays.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hack.cluster.progress import step
from hack.matrix import table
from hack.matrix.containers import container, run_inside
from hack.matrix.types import PER_TYPE

RECIPES = ("gptq", "awq")
CPU_ONLY = {
    "No WNA16 MoE backend supports": "it has no kernel for quantized experts; that of GPUs is another (Marlin).",
    "failed to be inspected": "its image lacks torchvision, which vLLM's own image has.",
}
"""What an error says of the CPU engine alone."""


def attempt(worker: str, engine: str, model_type: str, folder: Path) -> dict[str, Any]:
    """What became of one type: in the quantizer by recipe, and of source and artifacts in the engine."""
    cores = {"GPTQMODEL_CPU_WORKERS": str(len(os.sched_getaffinity(0)))}
    row: dict[str, Any] = {"architecture": PER_TYPE[model_type][0]}
    made = run_inside(worker, "quantize_inside", model_type, "/work", folder=folder, environment=cores)
    if not made["source"]["ok"]:
        return row | {"original": {"made": False, "why": made["source"]["why"]}}
    names = ["source", *(recipe for recipe in RECIPES if made[recipe]["ok"])]
    loaded = run_inside(engine, "load_inside", "/work", *names, folder=folder)
    recipes = {
        recipe: ended(made[recipe], "quantizes") | (ended(loaded[recipe], "loads") if recipe in loaded else {})
        for recipe in RECIPES
    }
    return row | {"original": ended(loaded["source"], "loads"), "recipes": recipes}


def cpu_only(row: dict[str, Any]) -> dict[str, str]:
    """The member cpuOnly, if a row's errors are known to be the CPU engine's own."""
    said = [why for words, why in CPU_ONLY.items() if words in str(row)]
    return {"cpuOnly": said[0]} if said else {}


def ended(result: dict[str, Any], word: str) -> dict[str, Any]:
    """A result under the word that the table has for it. Random weights that overflow say nothing of trained ones."""
    if "values that are not numbers" in result.get("why", ""):
        return {"why": result["why"]}
    return {word: result["ok"]} | ({} if result["ok"] else {"why": result["why"]})


def main() -> None:
    """Try the types, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", default=sorted(PER_TYPE))
    parser.add_argument("--known", action="store_true", help="only what the libraries list, and no type")
    parser.add_argument("--logs", type=Path, help="keep what the programs printed in this folder")
    asked = parser.parse_args()
    with container("worker") as worker, container("engine") as engine, tempfile.TemporaryDirectory() as scratch:
        found = table.read()
        for key, made in (("quantizer", worker), ("engine", engine)):
            found[key] = run_inside(made, "known_inside", key, folder=Path(scratch))
        table.write(found)
        types = [] if asked.known else asked.types
        for number, model_type in enumerate(types):
            folder = Path(scratch) / model_type
            folder.mkdir()
            with step(f"{number + 1} of {len(types)}: {model_type}"):
                row = attempt(worker, engine, model_type, folder)
            before = found["tried"].get(model_type, {})
            kept = {name: before[name] for name in ("note", "needs", "cpuOnly") if name in before}
            found["tried"][model_type] = kept | row | cpu_only(row)
            table.write(found)
            if asked.logs:
                asked.logs.mkdir(parents=True, exist_ok=True)
                for log in folder.glob("*.log"):
                    shutil.copyfile(log, asked.logs / f"{model_type}-{log.name}")
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
