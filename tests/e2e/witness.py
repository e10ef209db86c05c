"""Somebody who looks at a namespace all the time, and remembers what was there."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.lab import Lab, condition

LOOK_SECONDS = 1.0


@dataclass
class Seen:
    """What was there at any time."""

    jobs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Names of Jobs and the uids under each: more than one uid is the same work done twice."""
    stages: list[str] = field(default_factory=list)
    """Stages of each QuantizedModel in the order in which they were seen: "chat Preparing"."""
    served: list[tuple[str, str]] = field(default_factory=list)
    """QuantizedModel and revision of each Deployment, in the order in which they were seen."""
    served_unpassed: list[str] = field(default_factory=list)
    """Revisions that a Deployment was of, while their verdict was not Passed."""
    unavailable: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How often a QuantizedModel that had been Available was not."""

    def twice(self) -> dict[str, set[str]]:
        """Jobs that were made more than once."""
        return {name: uids for name, uids in self.jobs.items() if len(uids) > 1}


@contextmanager
def witness(lab: Lab) -> Iterator[Seen]:
    """Look until the block ends. A look that fails (the API server is busy) is taken again."""
    seen, stop = Seen(), threading.Event()
    thread = threading.Thread(target=_watch, args=(lab, seen, stop), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(timeout=60)


def _watch(lab: Lab, seen: Seen, stop: threading.Event) -> None:
    available: set[str] = set()
    while not stop.is_set():
        began = time.monotonic()
        try:
            # Deployments are read before the verdicts, so that a verdict between the two reads is no false alarm.
            deployments, others = lab.objects("deployments"), lab.objects("jobs,quantizedmodels,modelrevisions")
        except Exception as error:
            print(f"witness: {error}")
        else:
            _note(seen, deployments, others, available)
        stop.wait(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))


def _note(seen: Seen, deployments: list[Any], others: list[Any], available: set[str]) -> None:
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for each in others:
        by_kind[each["kind"]].append(each)
    for job in by_kind["Job"]:
        seen.jobs[job["metadata"]["name"]].add(job["metadata"]["uid"])
    for model in by_kind["QuantizedModel"]:
        name = model["metadata"]["name"]
        line = f"{name} {(model.get('status') or {}).get('stage')}"
        if line not in seen.stages[-1:]:
            seen.stages.append(line)
        if any(
            c["type"] == "Available" and c["status"] == "True"
            for c in (model.get("status") or {}).get("conditions", [])
        ):
            available.add(name)
        elif name in available:
            seen.unavailable[name] += 1
    verdicts = {r["metadata"]["name"]: (r.get("status") or {}).get("verdict") for r in by_kind["ModelRevision"]}
    for deployment in deployments:
        revision = deployment["spec"]["template"]["metadata"]["labels"]["lowbit.dev/revision"]
        if (served := (deployment["metadata"]["name"], revision)) not in seen.served[-1:]:
            seen.served.append(served)
        if (verdicts.get(revision) or {}).get("verdict") != "Passed":
            seen.served_unpassed.append(revision)


def stage(lab: Lab, name: str) -> str:
    """Stage of a QuantizedModel; empty when there is none yet."""
    return str(lab.status(name).get("stage", ""))


def done(lab: Lab, name: str) -> bool:
    """Ready or Stalled for the present generation."""
    model = lab.get("quantizedmodel", name)
    return condition(model, "Ready") or condition(model, "Stalled")
