"""Two QuantizedModels that share all they can, in any order of events: what is promised holds in every state.

Safety: nothing is served that is not good enough, and nothing is made twice. Liveness: once nothing happens any more,
each has what it asks for or says why not, and the operator is at rest. Deleting one leaves the other whole.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowbit.api.documents import EXIT_LATER, EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.reconcile import decide
from lowbit.desired.jobs.job import EXIT_KILLED
from lowbit.naming.names import DOCUMENT_ANNOTATION, FETCH_ANNOTATION, second_attempt
from lowbit.state.plan import Apply, Delete, Plan, SetOwners
from lowbit.state.snapshot import JobView, Snapshot
from tests.unit.world import Stale, World, spec

NAMES = ("one", "two")
MORE_MEMORY = {"quantize": {"resources": {"limits": {"memory": "8Gi"}}, "maxMemory": "16Gi"}}
SPECS: list[dict[str, Any]] = [
    spec(),
    spec(candidates=[{"gptq": {"bits": 8}}, {"gptq": {"bits": 4}}], jobs=MORE_MEMORY),
    spec(candidates=[{"gptq": {"bits": 4}}], serving={"replicas": 1, "fallback": "Source"}),
    spec(candidates=[{"artifact": {"pvc": {"claimName": "made", "path": "x"}}}, {"gptq": {"bits": 4}}], serving=None),
    spec(candidates=[{"gptq": {"bits": 4, "groupSize": 32}}, {"gptq": {"bits": 4}}], jobs=MORE_MEMORY),
]
KINDS = ("QuantizedModel", "ModelRevision", "ModelEvaluation")
DIVERGENCE = {"Passed": 0.01, "Failed": 0.9, "Inconclusive": 0.15}
SMALL = st.integers(0, 5)
STEP = st.tuples(st.just("reconcile"), SMALL, SMALL)
EVENT = st.tuples(
    st.sampled_from(
        ["reconcile", "finish", "finish", "kill", "exhaust", "refuse", "busy", "lose_pod", "delete_job", "roll_out",
         "wipe", "delete_model", "apply_model", "store_fails", "store_returns", "wait", "crash", "overtake"]
    ), SMALL, SMALL,
)  # fmt: skip


def document(manifest: dict[str, Any], annotation: str = DOCUMENT_ANNOTATION) -> dict[str, Any]:
    """A document in a pod template."""
    found: dict[str, Any] = json.loads(manifest["spec"]["template"]["metadata"]["annotations"][annotation])
    return found


@dataclass
class Disorder:
    """A world, and everything that can happen to it. Each event takes two small numbers to choose by."""

    seed: int
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.world.kl = lambda evaluation: DIVERGENCE[self.quality(self.measured_digest(evaluation))]
        self.world.add_store()
        for name in NAMES:
            self.world.apply_model(name, SPECS[0])

    def quality(self, digest: str) -> str:
        """The verdict that an artifact deserves."""
        number = hashlib.sha256(f"{self.seed} {digest}".encode()).digest()[0]
        return ("Passed", "Passed", "Failed", "Inconclusive")[number % 4]

    def measured_digest(self, job: str) -> str:
        digest: str = document(self.world.objects["Job", job])["model"]["digest"]
        return digest

    def jobs(self, *, finished: bool = False) -> list[str]:
        return sorted(n for n in self.world.names("Job") if bool(self.world.objects["Job", n]["status"]) == finished)

    def pick(self, names: list[str], number: int) -> str | None:
        return names[number % len(names)] if names else None

    # What the operator does.

    def decide(self, name: str) -> tuple[Snapshot, Plan] | None:
        snapshot = self.world.snapshot(name)
        return None if snapshot is None else (snapshot, decide(snapshot, self.world.now))

    def execute(self, snapshot: Snapshot, plan: Plan) -> None:
        for action in plan.actions:
            if isinstance(action, Apply) and action.manifest["kind"] == "Deployment":
                self.may_be_served(snapshot, document(dict(action.manifest), FETCH_ANNOTATION)["model"])
            if isinstance(action, (SetOwners, Delete)):
                self.takes_nothing_from_others(snapshot, action)
        self.world.execute(plan)

    def takes_nothing_from_others(self, snapshot: Snapshot, action: SetOwners | Delete) -> None:
        """What another one uses stays, and stays its own. (A finished Job with a lost result is made again for all.)"""
        shared: Any = {"Job": snapshot.jobs, "ModelEvaluation": snapshot.evaluations}.get(action.kind)
        if shared is None:
            return
        seen = shared[action.name]
        before = {owner.uid for owner in seen.meta.owners}
        after = {owner.uid for owner in action.owners} if isinstance(action, SetOwners) else set()
        mine = snapshot.model.meta.uid
        assert before ^ after >= {mine}, "it takes or gives up its own reference"
        lost = isinstance(seen, JobView) and seen.state == "Succeeded"
        assert before - after <= {mine} or (isinstance(action, Delete) and lost)

    def may_be_served(self, snapshot: Snapshot, model: dict[str, Any]) -> None:
        serving = snapshot.model.body.spec.serving
        assert serving is not None
        if model["kind"] == "Source":
            assert serving.fallback == "Source"
        else:
            assert self.quality(model["digest"]) == "Passed"

    def reconcile(self, first: int, _: int) -> None:
        if decided := self.decide(NAMES[first % 2]):
            self.execute(*decided)

    def crash(self, first: int, second: int) -> None:
        """The operator dies between two writes; nothing but the cluster remembers."""
        if decided := self.decide(NAMES[first % 2]):
            snapshot, plan = decided
            self.execute(snapshot, replace(plan, actions=plan.actions[:second], status=None))

    def overtake(self, first: int, second: int) -> None:
        """Something happens between a look and the writes that follow from it."""
        if decided := self.decide(NAMES[first % 2]):
            between = (self.reconcile, self.finish, self.kill, self.delete_job, self.delete_model, self.wipe)[second]
            between(first + 1, first)
            try:
                self.execute(*decided)
            except Stale:
                return  # decided anew

    # What Jobs, nodes and people do.

    def finish(self, first: int, _: int) -> None:
        if job := self.pick(self.jobs(), first):
            self.world.finish_job(job)

    def kill(self, first: int, _: int) -> None:
        if job := self.pick(self.jobs(), first):
            self.world.finish_job(job, TerminationMessage(), code=EXIT_KILLED)

    def exhaust(self, first: int, _: int) -> None:
        if job := self.pick(self.jobs(), first):
            self.world.finish_job(job, TerminationMessage(), code=EXIT_KILLED, reason="OOMKilled")

    def refuse(self, first: int, _: int) -> None:
        if job := self.pick(self.jobs(), first):
            refusal = Refusal(reason="BadData", message="it is bad.", action="Mend it.")
            self.world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)

    def busy(self, first: int, second: int) -> None:
        if job := self.pick(self.jobs(), first):
            refusal = Refusal(reason="Throttled", message="it is busy.", action="Wait.", retry_after=60 * second)
            self.world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_LATER)

    def lose_pod(self, first: int, _: int) -> None:
        if job := self.pick(self.jobs(finished=True), first):
            self.world.delete("Pod", job)

    def delete_job(self, first: int, second: int) -> None:
        if job := self.pick(self.jobs(finished=bool(second % 2)), first):
            self.world.delete("Job", job)

    def roll_out(self, first: int, _: int) -> None:
        if ("Deployment", NAMES[first % 2]) in self.world.objects:
            self.world.roll_out(NAMES[first % 2])

    def wipe(self, first: int, second: int) -> None:
        kind = KINDS[first % 3]
        if name := self.pick(sorted(self.world.names(kind)), second):
            self.world.put(self.world.objects[kind, name] | {"status": {"conditions": []}})

    def delete_model(self, first: int, _: int) -> None:
        self.world.delete("QuantizedModel", NAMES[first % 2])

    def apply_model(self, first: int, second: int) -> None:
        self.world.apply_model(NAMES[first % 2], SPECS[second % len(SPECS)])

    def store_fails(self, _: int, __: int) -> None:
        self.world.objects.pop(("ModelStore", "default"), None)

    def store_returns(self, _: int, __: int) -> None:
        if ("ModelStore", "default") not in self.world.objects:
            self.world.add_store()

    def wait(self, first: int, _: int) -> None:
        self.world.now += timedelta(seconds=20 * first)

    # What holds in every state.

    def happen(self, event: tuple[str, int, int]) -> None:
        kind, first, second = event
        act: Callable[[int, int], None] = getattr(self, kind)
        act(first, second)
        self.world.collect()
        self.nothing_is_made_twice()

    def nothing_is_made_twice(self) -> None:
        """One Job for one work: the second attempt only after the first has failed."""
        work: dict[str, set[str]] = defaultdict(set)
        for name in self.world.names("Job"):
            asked = document(self.world.objects["Job", name])
            asked.pop("platform", None)
            work[json.dumps(asked, sort_keys=True)].add(name)
        for names in work.values():
            first = min(names)
            assert names <= {first, second_attempt(first)}, names
            assert len(names & set(self.jobs())) <= 1, "both attempts are under way"

    def progress(self, rounds: int) -> None:
        """So far nothing goes wrong."""
        for _ in range(rounds):
            for number in range(len(NAMES)):
                self.happen(("reconcile", number, 0))
                self.happen(("finish", number, 0))
                self.happen(("roll_out", number, 0))

    # When nothing happens any more.

    def settle(self) -> list[str]:
        """Let everything succeed from now on, then remove the Jobs that failed for good. Returns the models."""
        self.store_returns(0, 0)
        self.rest()
        for job in self.jobs(finished=True):
            if self.world.objects["Job", job]["status"]["failed"]:
                self.world.delete("Job", job)
        return self.rest()

    def exit_code(self, job: str) -> int | None:
        """Of the worker of a Job's pod, if it is still there."""
        pod = self.world.objects.get(("Pod", job))
        return pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] if pod is not None else None

    def rest(self) -> list[str]:
        """Go on until nothing changes; then nothing is written any more, however late it is."""
        names = sorted(self.world.names("QuantizedModel"))
        # What may pass is tried again after an hour at the latest, stage by stage.
        for _ in range(1 + len([job for job in self.jobs(finished=True) if self.exit_code(job) == EXIT_LATER])):
            self.world.settle_waiting(*names, after=self.nothing_is_made_twice)
            self.world.now += timedelta(hours=1.5)
        for name in names:
            decided = self.decide(name)
            assert decided is not None
            assert (decided[1].actions, decided[1].status) == ((), None), "at rest"
        return names

    def has_what_it_asks_for(self, name: str) -> None:
        model = self.world.model(name)
        conditions = {each["type"]: each for each in model["status"]["conditions"]}
        snapshot = self.world.snapshot(name)
        assert snapshot is not None
        mine = sorted(
            (each for each in snapshot.revisions if each.meta.name.startswith(f"{name}-")),
            key=lambda each: each.body.spec.candidate,
        )
        judged = [each for each in mine if each.body.status.verdict]
        for revision in judged:
            verdict, artifact = revision.body.status.verdict, revision.body.status.artifact
            assert verdict is not None and artifact is not None
            assert verdict.verdict == self.quality(artifact.digest)
        served = self.world.objects.get(("Deployment", name))
        if served is not None:
            self.may_be_served(snapshot, document(served, FETCH_ANNOTATION)["model"])
        if conditions["Ready"]["status"] == "True":
            current = model["status"]["current"]
            assert self.quality(current["artifact"]["digest"]) == "Passed"
            assert "Stalled" not in conditions
        else:
            assert conditions["Stalled"]["reason"] in ("GateFailed", "GateInconclusive")
        assert "Reconciling" not in conditions


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 15), st.integers(0, 15), st.lists(STEP | EVENT, min_size=5, max_size=50))
def test_in_any_order_of_events_nothing_bad_is_served_nothing_is_made_twice_and_all_comes_to_rest(
    seed: int, rounds: int, events: list[tuple[str, int, int]]
) -> None:
    disorder = Disorder(seed)
    disorder.progress(rounds)
    for event in events:
        disorder.happen(event)
    names = disorder.settle()
    for name in names:
        disorder.has_what_it_asks_for(name)
    if names:
        leaves_the_other_whole(disorder, names)


def leaves_the_other_whole(disorder: Disorder, names: list[str]) -> None:
    """The first is deleted: the second keeps every object that it uses, and makes nothing anew."""
    world = disorder.world
    gone, *left = names
    uid = world.model(gone)["metadata"]["uid"]
    before = {name: world.model(name)["status"] for name in left}
    used = {
        each["status"].get(role)
        for (kind, name), each in world.objects.items()
        for role in ("baseline", "evaluation")
        if kind == "ModelRevision" and each["spec"]["quantizedModel"] in left
    } - {None}
    world.created.clear()
    world.delete("QuantizedModel", gone)
    assert disorder.settle() == left
    assert world.created == []
    assert used <= world.names("ModelEvaluation")
    assert {name: world.model(name)["status"] for name in left} == before
    for each in world.objects.values():
        owners = each["metadata"].get("ownerReferences") or []
        assert not owners or any(owner["uid"] != uid for owner in owners)
    if not left:
        assert {kind for kind, _ in world.objects} <= {"ModelStore"}
