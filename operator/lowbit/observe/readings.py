"""What was read of the logs of pods: it lies beside the objects, and goes with them."""

from __future__ import annotations

from collections.abc import Iterable

from lowbit.api.documents import ProgressLine
from lowbit.state.snapshot import EngineLog, ResultRead

Progress = tuple[ProgressLine | None, float]
"""The last line, and when it was read (seconds since the epoch)."""
NamespacedName = tuple[str, str]
"""Namespace and name."""


class Readings:
    """Of Jobs their progress; of pods the logs of engines that have ended, and results that are in a worker's log."""

    def __init__(self) -> None:
        self.progress: dict[NamespacedName, Progress] = {}
        self.engines: dict[NamespacedName, EngineLog] = {}
        self.results: dict[NamespacedName, ResultRead] = {}

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """The object is gone."""
        if kind == "Job":
            self.progress.pop((namespace, name), None)
        if kind == "Pod":
            self.engines.pop((namespace, name), None)
            self.results.pop((namespace, name), None)

    def put_progress(self, job: NamespacedName, line: ProgressLine | None, read_at: float) -> bool:
        """Take a Job's last line (None: there was none). Whether it says something new."""
        before = self.progress.get(job, (None, 0.0))[0]
        self.progress[job] = (line or before, read_at)
        return line is not None and line != before

    def engines_of(self, namespace: str, pods: Iterable[str]) -> dict[str, EngineLog]:
        """By pod."""
        return {pod: self.engines[namespace, pod] for pod in pods if (namespace, pod) in self.engines}

    def results_of(self, namespace: str, pods: Iterable[str]) -> dict[str, ResultRead]:
        """By pod."""
        return {pod: self.results[namespace, pod] for pod in pods if (namespace, pod) in self.results}
