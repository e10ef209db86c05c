"""Follow the QuantizedModel live: a table of the stages, and above it every stage, failure and setback as it comes."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from hack.cluster.progress import StepError
from hack.demo.cluster import MODEL, NAMESPACE, DemoCluster, why
from hack.demo.narrator import Narrator, condition, present, stage_of

POLL_SECONDS = 2.0
GIVE_UP_SECONDS = 3600
STAGES = ("Preparing", "Quantizing", "EvaluatingBaseline", "Evaluating", "Gating", "RollingOut", "Serving")


def follow(cluster: DemoCluster) -> dict[str, Any]:
    """Until it is Ready or Stalled. Returns the object.

    Raises StepError when nothing comes of it in an hour, or when it cannot be read for a minute.
    """
    console = Console()
    narrator, table = Narrator(log=not console.is_terminal), Table()
    deadline = time.monotonic() + GIVE_UP_SECONDS
    with Live(console=console, refresh_per_second=4) as live:
        while time.monotonic() < deadline:
            try:
                model = cluster.get("quantizedmodel", MODEL)
            except StepError as error:
                _say(console, narrator.unreadable(why(error), time.monotonic()))
            else:
                status = model.get("status") or {}
                _say(console, narrator.lines(status, time.monotonic()))
                live.update(table.draw(status))
                if finished(model):
                    return model
            time.sleep(POLL_SECONDS)
    raise StepError(
        "follow", f"{MODEL} is neither ready nor stalled after an hour: kubectl -n {NAMESPACE} describe qm {MODEL}"
    )


def finished(model: dict[str, Any]) -> bool:
    """Ready, or Stalled, for the present generation."""
    return condition(model, "Ready", "Stalled") is not None


class Table:
    """The live table: a bar for each stage, and the present line below."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:20}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
        )
        self._tasks: dict[str, TaskID] = {
            stage: self._progress.add_task(stage, total=100, start=False, note="") for stage in STAGES
        }

    def draw(self, status: dict[str, Any]) -> Group:
        """The table for this status."""
        stage = stage_of(status)
        if stage in self._tasks:
            self._go_to(stage, (status.get("progress") or {}).get("percent") or (100 if stage == "Serving" else 0))
        return Group(self._progress, Text(present(status)))

    def _go_to(self, stage: str, percent: int) -> None:
        for name in STAGES[: STAGES.index(stage)]:
            self._progress.update(self._tasks[name], completed=100, note="done")
            self._progress.stop_task(self._tasks[name])
        self._progress.start_task(self._tasks[stage])
        self._progress.update(self._tasks[stage], completed=percent, note=f"{percent} %")


def _say(console: Console, lines: list[str]) -> None:
    """Above the live table; as it is, for messages may hold brackets and are longer than a terminal is wide."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
