"""What was read of the logs of pods: it lies beside the objects, and goes with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lowbit.api.documents import ProgressLine
from lowbit.observe.views import pod_view
from lowbit.state.snapshot import EngineLog, EngineStart, EventsRead, PodView, ResultRead

Progress = tuple[ProgressLine | None, float]
"""The last line, and when it was read (seconds since the epoch)."""
NamespacedName = tuple[str, str]
"""Namespace and name."""


class Readings:
    """Of Jobs their progress; of pods how engines run, the logs of those that have ended, and results that are in a
    worker's log; of both their events, where they are stuck."""

    def __init__(self) -> None:
        self.progress: dict[NamespacedName, Progress] = {}
        self.engines: dict[NamespacedName, EngineLog] = {}
        self.starts: dict[NamespacedName, EngineStart] = {}
        self.results: dict[NamespacedName, ResultRead] = {}
        self.events: dict[tuple[str, str, str], EventsRead] = {}
        """By kind, namespace and name: Jobs without a pod, and pods that do not start."""

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """The object is gone."""
        self.events.pop((kind, namespace, name), None)
        if kind == "Job":
            self.progress.pop((namespace, name), None)
        if kind == "Pod":
            self.engines.pop((namespace, name), None)
            self.starts.pop((namespace, name), None)
            self.results.pop((namespace, name), None)

    def put_progress(self, job: NamespacedName, line: ProgressLine | None, read_at: float) -> bool:
        """Take a Job's last line (None: there was none). Whether it says something new."""
        before = self.progress.get(job, (None, 0.0))[0]
        self.progress[job] = (line or before, read_at)
        return line is not None and line != before

    def put_events(self, about: tuple[str, str, str], read: EventsRead) -> bool:
        """Take the events of an object, by kind, namespace and name. Whether they say something new."""
        before = self.events.get(about)
        self.events[about] = read
        if before is None or before.uid != read.uid:
            return True
        return (before.warnings, before.unread) != (read.warnings, read.unread)

    def pod(self, manifest: Mapping[str, Any]) -> PodView:
        """The view of a pod, with what was read about it."""
        metadata = manifest["metadata"]
        pod = (metadata.get("namespace", ""), metadata["name"])
        return pod_view(manifest, self.engines.get(pod), self.events.get(("Pod", *pod)), self.starts.get(pod))

    def results_of(self, namespace: str, pods: Iterable[str]) -> dict[str, ResultRead]:
        """By pod."""
        return {pod: self.results[namespace, pod] for pod in pods if (namespace, pod) in self.results}
