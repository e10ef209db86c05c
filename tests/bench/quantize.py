"""Lowbit's quantize stage beside gptqmodel alone: the same model, settings, calibration tokens, image and machine.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.quantize [--model smollm2-2layers] [--runs 5]

Both run in the worker image's root file system, each time in a process of its own, in turn. Lowbit's is the worker with
a quantize Job's document: it reads and draws the calibration texts, quantizes, judges every module's loss, checks and
tidies the artifact, tries it out, hashes it and commits it to a store. The bare one is given the token ids, and loads,
quantizes and saves. Seconds are from the process's start to its end; memory is the largest resident set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from lowbit.api.recipes import recipe_of
from lowbit.api.recipes.gptq import ResolvedGPTQ
from lowbit.worker.backends.gptq import GPTQBackend
from lowbit.worker.backends.gptqmodel import asked
from tests.bench.beside import beside, in_turn
from tests.bench.containers import Container, Usage, container
from tests.bench.record import surroundings, write
from tests.bench.workbench import ENVIRONMENT, Workbench

SHARED = ("imports", "load, quantize, save")
"""Parts that both have."""


def bare_document(bench: Workbench) -> None:
    """What the bare process is given: the very settings that Lowbit uses."""
    _, recipe = recipe_of(bench.revision.recipe)
    assert isinstance(recipe, ResolvedGPTQ)
    config = asked(GPTQBackend().settings(recipe), "cpu", Path())
    job = {
        "source": bench.source,
        "config": config,
        "samples": "/lowbit/in/samples.json",
        "target": "/lowbit/scratch/bare",
    }
    (bench.documents / "bare.json").write_text(json.dumps(job))


def run_lowbit(bench: Workbench, worker: Container) -> Usage:
    bench.forget("artifacts", "manifests/artifacts", "index/artifacts", "partial")
    environment = {**ENVIRONMENT, "BENCH_SAMPLES": "/lowbit/in/samples.json"}
    return worker.script(bench.scratch, environment, "lowbit_quantize")


def run_bare(bench: Workbench, worker: Container) -> Usage:
    shutil.rmtree(bench.scratch / "bare", ignore_errors=True)
    return worker.script(bench.scratch, ENVIRONMENT, "bare_quantize")


def same_weights(bench: Workbench) -> bool:
    """Whether both have written the same bytes."""
    (artifact,) = (bench.store.root / "artifacts").iterdir()
    ours, bare = (folder / "model.safetensors" for folder in (artifact, bench.scratch / "bare"))
    return ours.read_bytes() == bare.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-2layers")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="pairs before them that do not count")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lowbit-bench-") as folder:
        bench = Workbench(Path(folder), arguments.model)
        bench.quantize_document()
        bare_document(bench)
        with container("worker", bench.volumes) as worker, surroundings() as seen:
            # The bare one is given the token ids of the first.
            runs = in_turn(
                arguments.runs, lambda: run_lowbit(bench, worker), lambda: run_bare(bench, worker), arguments.warm_up
            )
        made = json.loads((bench.scratch / "termination.json").read_text())["quantize"]
        write(
            f"quantize-{arguments.model}",
            beside(runs, SHARED, arguments.model),
            seen,
            about=(__doc__ or "").strip(),
            setting={"model": arguments.model, "image": worker.reference, "same weights": same_weights(bench)},
            versions=made["versions"],
        )


if __name__ == "__main__":
    main()
