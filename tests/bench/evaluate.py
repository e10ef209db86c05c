"""Lowbit's evaluate stage beside the bare requests: the same texts, requests and concurrency, to the same running vLLM.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.evaluate [--model smollm2-2layers] [--runs 5]

vLLM runs in the engine image's root file system with the arguments of the evaluate Job. Lowbit's is the worker with the
Job's document: it reads or tokenizes the texts, asks the engine, works out the values, writes samples and report into
the store. The bare one sends the very requests of the first run by threads and the standard library, as many at once,
reads every answer and parses its JSON. Both run in the worker image's root file system, each time in a process of its
own, in turn. The original is measured first; the figures are those of the quantized candidate, compared with it (with
--original those of the original).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.paths import ENGINE_PORT, MODEL_PATH
from lowbit.naming.names import evaluation_name
from tests.bench.beside import beside, in_turn
from tests.bench.containers import Container, Usage, container, engine
from tests.bench.record import figure, surroundings, write
from tests.bench.workbench import ENVIRONMENT, Workbench

SHARED = ("start", "read the texts", "generate", "speed")
"""Parts that both have: what is asked of the engine."""
URL = f"http://127.0.0.1:{ENGINE_PORT}"


def run_lowbit(bench: Workbench, worker: Container, spec: ModelEvaluationSpec, **environment: str) -> Usage:
    bench.forget(f"evaluations/{evaluation_name(spec)}", "partial")
    return worker.script(bench.scratch, {**ENVIRONMENT, **environment}, "lowbit_evaluate")


def run_bare(bench: Workbench, worker: Container) -> Usage:
    return worker.script(bench.scratch, ENVIRONMENT, "bare_evaluate")


def sidecar(job: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The engine's command line and environment in the Job."""
    (found,) = (each for each in job["spec"]["template"]["spec"]["initContainers"] if each["name"] == "engine")
    return [*found["command"], *found["args"]], {each["name"]: each["value"] for each in found["env"]}


def model_folder(bench: Workbench, spec: ModelEvaluationSpec) -> Path:
    """On the host."""
    kind = "sources" if spec.model.kind == "Source" else "artifacts"
    return bench.store.root / kind / spec.model.digest.removeprefix("sha256:")


def run(
    bench: Workbench, worker: Container, spec: ModelEvaluationSpec, runs: int, warm_up: int
) -> tuple[Any, float, str]:
    """One engine and the runs against it (none: the stage once). The runs, the engine's start in seconds, its image."""
    words, environment = sidecar(bench.evaluate_job(spec))
    volumes = {MODEL_PATH: model_folder(bench, spec), "/lowbit/scratch": bench.scratch}
    with (
        container("engine", volumes) as made,
        engine(made, bench.scratch, words, {**environment, "PYTHONUNBUFFERED": "1"}, URL) as started,
    ):
        run_lowbit(bench, worker, spec, BENCH_REQUESTS="/lowbit/in/requests.json")
        taken = None
        if runs:
            taken = in_turn(runs, lambda: run_lowbit(bench, worker, spec), lambda: run_bare(bench, worker), warm_up)
        return taken, started, made.reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-2layers")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="pairs before them that do not count")
    parser.add_argument("--original", action="store_true", help="measure the original alone: nothing is quantized")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lowbit-bench-") as folder:
        bench = Workbench(Path(folder), arguments.model)
        with container("worker", bench.volumes) as worker, surroundings() as seen:
            starts = []
            spec = bench.original()
            if not arguments.original:
                bench.quantize_document()
                worker.script(bench.scratch, ENVIRONMENT, "lowbit_quantize")
                starts.append(run(bench, worker, spec, 0, 0)[1])
                spec = bench.candidate()
            taken, start, image = run(bench, worker, spec, arguments.runs, arguments.warm_up)
        found = beside(taken, SHARED, arguments.model)
        found.append(figure(f"{arguments.model}: vLLM's start until /health is 200", "s", [*starts, start]))
        write(
            f"evaluate-{arguments.model}",
            found,
            seen,
            about=(__doc__ or "").strip(),
            setting={"model": arguments.model, "worker": worker.reference, "engine": image},
        )


if __name__ == "__main__":
    main()
