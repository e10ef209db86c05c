"""decide: a snapshot and the time in, a plan out. It reads like the specification:

1. an object that is going away is left alone;
2. the present spec is brought one step nearer to something that may be served;
3. what may be served is served, and the old revision serves until then;
4. beside it what serves is evaluated again where it runs otherwise than it was judged, and the other candidates are
   compared, where that is asked for;
5. what nobody needs any more is given up;
6. a fact is written first; otherwise the status, if it differs and the step is one that takes time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.showcase import ServedShowcase
from lowbit.api.status import Failure, RunningEngines
from lowbit.decide.cleanup import clean, needed_again
from lowbit.decide.comparison import compares_all
from lowbit.decide.engines import unread
from lowbit.decide.jobs.heldup import HELD_UP
from lowbit.decide.nodes import waits
from lowbit.decide.others import Taken, own, without_taken
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.serving.groups import follow
from lowbit.decide.serving.letgo import Held, due, looks_again
from lowbit.decide.serving.letgo import told as why_let_go
from lowbit.decide.serving.pods import Look, events_to_read, held_up, look_of, may_be_stuck, not_ready, trouble
from lowbit.decide.serving.pods import setback as serving_setback
from lowbit.decide.serving.rollout import rollout_of
from lowbit.decide.serving.runtime import running, starts_to_read
from lowbit.decide.serving.serve import deployed, judged_again, progress, serve, stop_serving
from lowbit.decide.serving.stale import Stale, stale
from lowbit.decide.serving.target import Target
from lowbit.decide.sizes import wants_nodes
from lowbit.decide.stages.again import judge_again
from lowbit.decide.stages.ask import ask_served
from lowbit.decide.stages.compare import compare_the_rest, compared_beside, make_room
from lowbit.decide.stages.pipeline import Result, advance, usable_store
from lowbit.decide.status import Situation, events, quantized_model_status, told, write
from lowbit.decide.stuck import LOOK_SECONDS, Stuck
from lowbit.decide.token import make_token
from lowbit.desired.topology import workload_kinds
from lowbit.state.plan import Action, Create, Plan, ReadEvents, ReadLog, ReadStart, WriteStatus
from lowbit.state.snapshot import Snapshot


def decide(snapshot: Snapshot, now: datetime) -> Plan:
    """One step for one QuantizedModel. Pure: the same snapshot and time give the same plan."""
    clock = Clock(now)
    if snapshot.model.meta.deleting:
        return Plan()
    if snapshot.invalid is not None:
        return _invalid(snapshot, clock, snapshot.invalid)
    snapshot, taken = own(snapshot)
    store = usable_store(snapshot)
    result = Result(waiting=store) if isinstance(store, StageResult) else advance(snapshot, clock, store)
    usable = None if isinstance(store, StageResult) else store
    serving = _serving(snapshot, clock, usable, result)
    waiting = result.waiting
    runs = _runs(snapshot, serving.now)
    beside = _beside(snapshot, clock, usable, result, serving, runs.stale).unblocked(snapshot, taken, clock)
    wanted: tuple[Action, ...] = (
        *make_token(snapshot), *(waiting.actions if waiting else ()), *serving.actions, *beside.actions,
        *clean(snapshot),
    )  # fmt: skip
    actions, blocked = without_taken(snapshot, wanted, taken, clock)
    if waiting is not None and waiting.fact is not None:
        return Plan(actions=actions, status=waiting.fact)
    if waiting is not None and waiting.intermediate and blocked is None:
        return Plan(actions=actions)
    waiting, pods = blocked or waiting, serving.pods
    failure, setback = _failures(waiting, pods, result)
    situation = Situation(
        result.target, serving.now, waiting, failure, setback, serving.rolled_out, pods.stuck, pods.let_go,
        runs.how, runs.stale, beside.comparing, beside.judging, beside.asking, beside.answers,
    )  # fmt: skip
    status = quantized_model_status(snapshot, situation, clock)
    if beside.goes_on and told(snapshot, status):
        return Plan(actions=actions, status=beside.fact)
    change = write(snapshot, status)
    steps = [step for step in (waiting, *beside.steps) if step is not None]
    return Plan(
        actions=actions,
        status=change,
        events=events(snapshot.model.body.status, status) if change is not None else (),
        requeue_after=_soonest(*(step.requeue_after for step in steps), pods.requeue_after, beside.requeue_after),
        watch_progress=tuple(job for step in steps for job in step.watch_progress),
        read_logs=(
            *(each for step in steps for each in step.read_logs),
            *pods.read_logs,
            *runs.to_read,
        ),
        read_events=(*(each for step in steps for each in step.read_events), *pods.read_events),
        read_nodes=pods.read_nodes
        or any(step.read_nodes for step in steps)
        or (waiting is not None and wants_nodes(snapshot)),
    )


class _Runs(NamedTuple):
    """How the engines run that serve, and what is to be read about them."""

    how: RunningEngines | None = None
    stale: Stale | None = None
    to_read: tuple[ReadStart, ...] = ()


def _runs(snapshot: Snapshot, served: Target | None) -> _Runs:
    if served is None or snapshot.model.body.spec.serving is None:
        return _Runs()
    how = running(snapshot, served)
    return _Runs(how if how.engines else None, stale(snapshot, served, how), starts_to_read(snapshot, served))


class _Beside(NamedTuple):
    """What goes on beside what serves: its answers to the showcase, one more verdict on it, and the comparison of the
    other candidates.
    """

    asking: StageResult | None = None
    judging: StageResult | None = None
    comparing: StageResult | None = None
    room: tuple[Action, ...] = ()
    """What gives up Jobs, so that a pod that is to serve finds a GPU."""
    answers: ServedShowcase | None = None

    def unblocked(self, snapshot: Snapshot, taken: Taken, clock: Clock) -> _Beside:
        """Without what would be made under a name that is taken: its step says so, and nothing of it stalls."""

        def free(step: StageResult | None) -> StageResult | None:
            left, said = without_taken(snapshot, step.actions, taken, clock) if step is not None else ((), None)
            return step if said is None else replace(said, actions=left)

        return self._replace(asking=free(self.asking), judging=free(self.judging), comparing=free(self.comparing))

    @property
    def steps(self) -> tuple[StageResult, ...]:
        """All that goes on."""
        return tuple(step for step in (self.asking, self.judging, self.comparing) if step is not None)

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is to be done."""
        found = (action for step in self.steps for action in step.actions)
        return (*self.room, *(replace(each, beside=True) if isinstance(each, Create) else each for each in found))

    @property
    def fact(self) -> WriteStatus | None:
        """The fact that is to be written first."""
        return next((step.fact for step in (self.judging, self.comparing) if step is not None and step.fact), None)

    @property
    def goes_on(self) -> bool:
        """A fact is to be written, or what was made is seen at once: the status may wait, where nothing else is new."""
        made = any(step is not None and step.intermediate for step in (self.judging, self.comparing))
        return self.fact is not None or made

    @property
    def requeue_after(self) -> float | None:
        """Its fact is written after a status that said something else."""
        return 1.0 if self.goes_on else None


def _beside(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec | None, result: Result, serving: _Serving,
    otherwise: Stale | None,
) -> _Beside:  # fmt: skip
    """Only what serves goes before it: while that is rolled out, no new Job asks for its GPUs.

    otherwise: why the verdict does not hold for what serves.
    """
    target, spec = result.target, snapshot.model.body.spec.serving
    if target is None or result.waiting is not None or store is None:
        return _Beside()
    if spec is not None and not serving.rolled_out:
        compared = compared_beside(snapshot, target) if compares_all(snapshot) else frozenset[str]()
        return _Beside(room=make_room(snapshot, target, compared | needed_again(snapshot)))
    asked = ask_served(snapshot, clock, store, target)
    asking = asked if isinstance(asked, StageResult) else None
    judging = judge_again(snapshot, clock, store, target, otherwise)
    pinned = spec is not None and spec.revision is not None
    compares = compares_all(snapshot) and not pinned and not _uses_gpus(judging)
    comparing = compare_the_rest(snapshot, clock, store, target) if compares else None
    return _Beside(asking, judging, comparing, answers=None if isinstance(asked, StageResult) else asked)


def _uses_gpus(step: StageResult | None) -> bool:
    """Whether it goes on: what has failed, or waits for a pod, holds the comparison up no more."""
    return step is not None and step.failure is None and step.reason not in HELD_UP


def _soonest(*times: float | None) -> float | None:
    return min((each for each in times if each is not None), default=None)


class _Pods(NamedTuple):
    """What the pods that serve, or are to, show; and what else is to be read about them."""

    failure: Failure | None = None
    setback: Failure | None = None
    stuck: Stuck | None = None
    let_go: Failure | None = None
    """Why there are no pods: they could not start, and are tried again later."""
    read_logs: tuple[ReadLog, ...] = ()
    read_events: tuple[ReadEvents, ...] = ()
    read_nodes: bool = False
    requeue_after: float | None = None


def _look_at_pods(snapshot: Snapshot, clock: Clock, target: Target, held: Held | None) -> _Pods:
    label = target.label
    if held is not None and held.resting and held.record.room:
        return _Pods(requeue_after=held.left)
    if held is not None and held.resting:
        let_go = why_let_go(snapshot, held)
        return _Pods(failure=let_go, let_go=let_go, requeue_after=held.left)
    failure = trouble(snapshot, clock, target)
    if failure is not None and held is not None and not held.record.room:
        failure = failure.model_copy(update={"attempts": held.record.attempts + 1})
    soon = LOOK_SECONDS if may_be_stuck(snapshot, label) else None
    return _Pods(
        failure=failure,
        setback=serving_setback(snapshot, clock, label),
        stuck=held_up(snapshot, clock, target),
        read_logs=unread(not_ready(snapshot, label)),
        read_events=events_to_read(snapshot, clock, label),
        read_nodes=waits(not_ready(snapshot, label)),
        requeue_after=_soonest(soon, looks_again(snapshot, look_of(snapshot, clock, target))),
    )


def _failures(waiting: StageResult | None, pods: _Pods, result: Result) -> tuple[Failure | None, Failure | None]:
    """The failure, and the setback, that the status has. Pods are no failure of a generation that is not served yet."""
    if waiting is not None and waiting.failure is not None:
        return waiting.failure, waiting.setback
    failure, setback = (pods.failure, pods.setback) if result.target is not None else (None, pods.let_go)
    return failure, (waiting.setback if waiting else None) or setback


class _Serving(NamedTuple):
    """What is served now, and the actions that keep it or move it on."""

    now: Target | None = None
    actions: tuple[Action, ...] = ()
    rolled_out: bool = False
    pods: _Pods = _Pods()


def _serving(snapshot: Snapshot, clock: Clock, store: ModelStoreSpec | None, result: Result) -> _Serving:
    spec = snapshot.model.body.spec.serving
    if spec is None:
        return _Serving(actions=stop_serving(snapshot))
    now_served = deployed(snapshot, spec)
    target = result.target or now_served
    if target is None and (revision := judged_again(snapshot)) is not None:
        return _unjudged(snapshot, look_of(snapshot, clock, Target(revision)))
    if target is None:
        # Something that never passed (a label edited by hand, a fallback that was withdrawn) must not go on serving.
        return _Serving(actions=stop_serving(snapshot) if snapshot.deployment is not None else ())
    if store is None:
        return _Serving(now_served, pods=_look_at_pods(snapshot, clock, target, None))
    step = rollout_of(spec).next_step(now_served, target, progress(snapshot), None)
    stuck = due(snapshot, look_of(snapshot, clock, step.serve))
    actions, held = serve(snapshot, clock, store, step.serve, stuck)
    actions = (*actions, *follow(snapshot, store, step.serve))
    return _Serving(now_served, actions, step.done, _look_at_pods(snapshot, clock, target, held))


def _unjudged(snapshot: Snapshot, look: Look) -> _Serving:
    """What lost its verdict may not be applied, and is left as it is. Pods that cannot start go all the same."""
    stuck = due(snapshot, look)
    gone = stuck is not None and not stuck.beside
    workloads = tuple(each for each in stop_serving(snapshot) if each.kind in workload_kinds()) if gone else ()
    return _Serving(actions=workloads, pods=_Pods(requeue_after=looks_again(snapshot, look)))


def _invalid(snapshot: Snapshot, clock: Clock, why: str) -> Plan:
    failure = Failure(
        stage="Prepare", reason="InvalidSpec", message=f"the spec cannot be read: {why}",
        action="Write it as the CRD's schema says (kubectl explain qm.spec).", time=clock.text,
    )  # fmt: skip
    waiting = StageResult.failed(failure)
    status = quantized_model_status(snapshot, Situation(None, None, waiting, failure), clock)
    change = write(snapshot, status)
    return Plan(status=change, events=events(snapshot.model.body.status, status) if change is not None else ())
