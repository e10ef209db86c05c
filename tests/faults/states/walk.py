"""From a start that no run would make to a state of rest, with the rules held in every state on the way."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from lowbit.decide.reconcile import decide
from tests.faults.states import actor, damage, ends, rules
from tests.faults.states.cluster import Cluster
from tests.faults.states.specs import states_of
from tests.unit.world import Stale

RECONCILES = 20
"""Of one QuantizedModel, until it rests: between two acts of others."""
ACTS = 60
"""Rounds of Jobs and rollouts, until there is nothing more to do."""


class NoRest(AssertionError):  # noqa: N818
    """The operator goes on and on."""


@dataclass(frozen=True)
class Start:
    """An arbitrary state, as data: a moment of a life, what is done to it, and what comes after."""

    life: int = 0
    seed: int = 0
    moment: int = 0
    damages: list[tuple[str, int, int]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    years: int = 0
    held: bool = False

    def text(self) -> str:
        """As --example takes it."""
        return json.dumps(asdict(self))

    def cluster(self) -> Cluster:
        """The state."""
        states = states_of(self.life, self.seed)
        cluster = states[self.moment % len(states)].fork()
        cluster.outcomes, cluster.held = list(self.outcomes), self.held
        for name, first, second in self.damages:
            damage.BY_NAME[name](cluster, first, second)
        cluster.now += timedelta(days=365 * self.years)
        return cluster


@dataclass
class Walk:
    """One cluster, and how many decide steps were taken."""

    cluster: Cluster
    steps: int = 0
    longest: int = 0
    """Reconciles of one QuantizedModel between two acts."""
    settled: list[int] = field(default_factory=list)
    """Nanoseconds of processor time of each decide of a settled object."""

    def names(self) -> list[str]:
        return sorted(self.cluster.names("QuantizedModel"))

    def reconcile(self, name: str) -> bool:
        """One step; whether anything was written."""
        snapshot = self.cluster.snapshot(name)
        if snapshot is None:
            return False
        plan = decide(snapshot, self.cluster.now)
        self.steps += 1
        rules.check_plan(self.cluster, snapshot, plan)
        with contextlib.suppress(Stale):  # one action changed what a later one is about: the executor decides anew
            self.cluster.execute(plan)
        rules.check_cluster(self.cluster)
        return bool(plan.actions) or plan.status is not None

    def reconcile_all(self) -> bool:
        """All QuantizedModels, in turns, until none of them writes."""
        moved = False
        counts = dict.fromkeys(self.names(), 0)
        again = list(counts)
        while again:
            again = [name for name in again if self.reconcile(name)]
            for name in again:
                counts[name] += 1
            moved = moved or bool(again)
            self.longest = max([self.longest, *counts.values()])
            if self.longest > RECONCILES:
                raise NoRest(f"{again} still write after {RECONCILES} reconciles")
            again = list(counts) if again else []
        return moved

    def settle(self) -> None:
        """Reconcile and act until nothing changes."""
        for _ in range(ACTS):
            moved = self.reconcile_all()
            acted = actor.act(self.cluster)
            rules.check_cluster(self.cluster)
            self.cluster.now += timedelta(seconds=1)
            if not moved and not acted:
                return
        raise NoRest(f"no rest after {ACTS} rounds")

    def rest(self) -> None:
        """Settle, let time pass, and settle: then nothing is written any more, however late it is."""
        self.settle()
        tries = sum(failing for _, failing in self.cluster.stuck.values())
        for _ in range(2 + len(self.cluster.outcomes) + 2 * tries):
            # Longer than the longest pause after what may pass.
            self.cluster.now += timedelta(hours=2)
            self.settle()
            ends.check_gpus(self.cluster)
        self.cluster.now += timedelta(hours=1)
        self.at_rest("an hour later")

    def at_rest(self, when: str) -> None:
        """Nothing is written."""
        for name in self.names():
            snapshot = self.cluster.snapshot(name)
            began = time.thread_time_ns()
            plan = decide(snapshot, self.cluster.now)
            self.settled.append(time.thread_time_ns() - began)
            self.steps += 1
            if plan.actions or plan.status is not None:
                raise NoRest(f"{name} writes at rest, {when}: {plan.actions or plan.status}")


def mend(cluster: Cluster) -> None:
    """What a person does where a Job has failed for good: deletes it."""
    cluster.outcomes.clear()
    for (kind, name), each in list(cluster.objects.items()):
        failed = any(one["type"] == "Failed" for one in each["status"].get("conditions") or ())
        if kind == "Job" and failed and each["metadata"]["uid"] not in cluster.foreign:
            cluster.delete(kind, name)


def collect(cluster: Cluster) -> None:
    """Finished Jobs that expire are gone."""
    for (kind, name), each in list(cluster.objects.items()):
        expires = kind == "Job" and "ttlSecondsAfterFinished" in (each.get("spec") or {})
        if expires and actor.finished(each) and each["metadata"]["uid"] not in cluster.foreign:
            cluster.delete(kind, name)


OWNERS_EDITED = frozenset({"orphan", "edit_child", "reborn", "foreign", "unreadable", "garble", "claim"})
"""Damages after which nobody can say any more what is whose."""
DELETED = frozenset({"hold", "delete", "drop"})
"""Damages after which an evaluation may be a new one, made for one of those that had used it."""


def walk(start: Start) -> Walk:
    """The whole way from a start. Raises an AssertionError where a rule does not hold."""
    walked = Walk(start.cluster())
    done = {name for name, _, _ in start.damages}
    owned, used = not done & OWNERS_EDITED, not done & (OWNERS_EDITED | DELETED)
    for happens in (lambda _: None, collect, mend):
        happens(walked.cluster)
        walked.rest()
        ends.check_end(walked.cluster, owned, used)
    return walked
