"""Follow the QuantizedModel live: stage, percent, ETA, and the events as they come."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from hack.demo.cluster import MODEL, NAMESPACE, DemoCluster
from tests.cluster.progress import StepError

POLL_SECONDS = 2.0
GIVE_UP_SECONDS = 3600
STAGES = ("Preparing", "Quantizing", "EvaluatingBaseline", "Evaluating", "Gating", "RollingOut", "Serving")


def follow(cluster: DemoCluster) -> dict[str, Any]:
    """Until it is Ready or Stalled. Returns the object; raises StepError when nothing comes of it in an hour."""
    console = Console()
    progress = Progress(
        TextColumn("{task.description:20}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
    )
    tasks = {stage: progress.add_task(stage, total=100, start=False, note="") for stage in STAGES}
    deadline = time.monotonic() + GIVE_UP_SECONDS
    said = ""
    with Live(console=console, refresh_per_second=4) as live:
        while time.monotonic() < deadline:
            model = cluster.get("quantizedmodel", MODEL)
            status = model.get("status") or {}
            line = _line(status)
            _draw(progress, tasks, status)
            live.update(Group(progress, Text(line)))
            if line != said and not console.is_terminal:
                console.print(line)
                said = line
            if finished(model):
                return model
            time.sleep(POLL_SECONDS)
    raise StepError(
        "follow", f"{MODEL} is neither ready nor stalled after an hour: kubectl -n {NAMESPACE} describe qm {MODEL}"
    )


def finished(model: dict[str, Any]) -> bool:
    """Ready, or Stalled, for the present generation."""
    status = model.get("status") or {}
    if status.get("observedGeneration") != model["metadata"]["generation"]:
        return False
    return any(c["type"] in ("Ready", "Stalled") and c["status"] == "True" for c in status.get("conditions", []))


def _line(status: dict[str, Any]) -> str:
    progress = status.get("progress") or {}
    parts = [status.get("stage", "Pending"), progress.get("message") or status.get("message") or ""]
    if progress.get("percent") is not None:
        parts.insert(1, f"{progress['percent']} %")
    if progress.get("etaSeconds") is not None:
        parts.insert(2, f"about {progress['etaSeconds']} s left")
    return " · ".join(part for part in parts if part)


def _draw(progress: Progress, tasks: dict[str, Any], status: dict[str, Any]) -> None:
    stage = status.get("stage", "Pending")
    if stage not in tasks:
        return
    for name in STAGES[: STAGES.index(stage)]:
        progress.update(tasks[name], completed=100, note="done")
        progress.stop_task(tasks[name])
    progress.start_task(tasks[stage])
    percent = (status.get("progress") or {}).get("percent") or (100 if stage == "Serving" else 0)
    progress.update(tasks[stage], completed=percent, note=f"{percent} %")
