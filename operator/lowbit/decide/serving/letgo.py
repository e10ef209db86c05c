"""Serving pods that have a node and cannot start let their GPUs go, and are tried again after pauses that grow.

Nothing is remembered but what an annotation of the Deployment holds: a LetGo. It is written in the apply that scales to
0, kept while it is tried again, and removed when every replica answers. Where old pods serve on beside new ones that
cannot start, the Deployment is paused instead, and the ReplicaSet of the new ones scaled to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from lowbit.api.letgo import LetGo
from lowbit.api.status import Failure
from lowbit.decide.jobs.later import FORGOTTEN_SECONDS, pause
from lowbit.decide.outcome import Clock
from lowbit.decide.serving.pods import Look, Trouble, held_up_by_members, trouble_of
from lowbit.decide.stuck import LOOK_SECONDS
from lowbit.naming.names import LET_GO_ANNOTATION
from lowbit.state.plan import ScaleDown
from lowbit.state.snapshot import DeploymentView, Owner, PodView, Snapshot

LET_GO_SECONDS = 600.0
"""Pods that could not start for this long let their GPUs go."""
AGAIN_SECONDS = 120.0
"""As long, where it was tried before: the cause is still there."""
PASSING_SECONDS = 3600.0
"""As long, by a cause that may pass by itself."""
ROOM_SECONDS = 30.0
"""Pods of a former template may take this long to go, before new ones are tried."""
ENDED = ("Succeeded", "Failed")
"""Phases of a pod that holds nothing."""


@dataclass(frozen=True)
class Held:
    """A Deployment whose pods were let go, or that is tried again after they were."""

    record: LetGo
    next_try: str
    left: float
    """Seconds until the next try; none are left while it is tried."""

    @property
    def resting(self) -> bool:
        """Whether it is to have no pods now, or no new ones."""
        return self.left > 0


def recorded(snapshot: Snapshot) -> LetGo | None:
    """What the Deployment remembers; None if nothing, or nothing that can be read."""
    deployment = snapshot.deployment
    try:
        text = deployment.meta.annotations[LET_GO_ANNOTATION] if deployment is not None else ""
        return LetGo.model_validate_json(text)
    except (KeyError, ValidationError):
        return None


def held(snapshot: Snapshot, clock: Clock, record: LetGo | None) -> Held | None:
    """What follows from a record at this time."""
    if record is None:
        return None
    name, reason = snapshot.model.meta.name, record.failure.reason
    seconds = ROOM_SECONDS if record.room else pause(name, record.attempts, reason, None, mended=True)
    left = max(0.0, seconds - clock.seconds_since(record.at))
    return Held(record, clock.after(record.at, seconds), left)


def record_of(snapshot: Snapshot, clock: Clock, of: str, why: Due) -> LetGo:
    """The record of one more failure. of: hash of the Deployment."""
    before = held(snapshot, clock, recorded(snapshot))
    attempts = 1
    if before is not None and before.record.of == of and not before.record.room:
        recent = before.resting or clock.seconds_since(before.next_try) < FORGOTTEN_SECONDS
        attempts = before.record.attempts + 1 if recent else 1
    return LetGo(of=of, attempts=attempts, at=clock.text, failure=why.failure, beside=why.beside, room=why.room)


class Due(NamedTuple):
    """Pods that are to go now."""

    failure: Failure
    beside: bool
    """Old ones serve on."""
    room: bool = False
    """They are of a former template, and hold what new ones wait for."""


def due(snapshot: Snapshot, look: Look) -> Due | None:
    """Why pods are to go now: none of their kind answers or may come to, and one could not start for long."""
    deployment = snapshot.deployment
    if deployment is None or deployment.observed_generation < deployment.meta.generation:
        return None
    beside = any(pod.ready for pod in _present(snapshot))
    if not beside and deployment.ready > 0:
        return None  # pods come by another watch than their counts
    pods = [pod for pod in (_new(snapshot) if beside else _present(snapshot)) if pod.scheduled]
    found = [(pod, trouble_of(pod, look) or held_up_by_members(snapshot, pod, look)) for pod in pods]
    if any(trouble is None for _, trouble in found):
        return None
    if not beside and found and _in_the_way(snapshot, deployment, len(found)):
        return next(
            (Due(_to_keep(each), False, room=True) for _, each in found if each is not None and each.waits), None
        )
    tried = (record := recorded(snapshot)) is not None and not record.room
    lasted = (trouble for pod, trouble in found if trouble is not None and _for_long(pod, trouble, look.clock, tried))
    return next((Due(_to_keep(each), beside) for each in lasted), None)


def _in_the_way(snapshot: Snapshot, deployment: DeploymentView, holding: int) -> bool:
    """Whether the pods that hold GPUs are all of a former template, and a new one fits on no node."""
    former = deployment.replicas - deployment.updated
    return former == holding and any(pod.unschedulable for pod in _present(snapshot))


def removals(snapshot: Snapshot, held_: Held) -> tuple[ScaleDown, ...]:
    """What takes the new pods away, once the Deployment's controller knows that it is paused."""
    deployment = snapshot.deployment
    if deployment is None or not deployment.paused or deployment.observed_generation < deployment.meta.generation:
        return ()
    if not (held_.resting and held_.record.beside):
        return ()
    sets = {owner.uid: owner for pod in _new(snapshot) if (owner := _replica_set(pod)) is not None}
    return tuple(ScaleDown(sets[uid].name, uid) for uid in sorted(sets))


def _new(snapshot: Snapshot) -> list[PodView]:
    """The pods beside a ReplicaSet that serves in full number; none where no one such can be told.

    With maxUnavailable 0 an old ReplicaSet stays in full number until a new pod answers.
    """
    serving, present = snapshot.model.body.spec.serving, _present(snapshot)
    answering = {owner.uid for pod in present if pod.ready and (owner := _replica_set(pod)) is not None}
    if len(answering) != 1 or serving is None:
        return []
    others = [pod for pod in present if (owner := _replica_set(pod)) is not None and owner.uid not in answering]
    return others if len(present) - len(others) >= serving.replicas else []


def _replica_set(pod: PodView) -> Owner | None:
    return next((owner for owner in pod.meta.owners if owner.controller and owner.kind == "ReplicaSet"), None)


def looks_again(snapshot: Snapshot, look: Look) -> float | None:
    """Seconds until the next look at pods that hold a GPU and cannot start: nobody tells that time has passed."""
    held_up = any(pod.scheduled and not pod.ready and trouble_of(pod, look) is not None for pod in _present(snapshot))
    return LOOK_SECONDS if held_up else None


def told(snapshot: Snapshot, held_: Held) -> Failure:
    """The failure of a Deployment whose pods were let go, with when it is tried again."""
    meta, failure, attempts = snapshot.model.meta, held_.record.failure, held_.record.attempts
    action = (
        f"{failure.action.removesuffix('.')}. It could not start {attempts} time(s) so far, and is tried again at "
        f"{held_.next_try}; at once when the manifest changes, or by: {try_now(snapshot)}"
    )
    what = f"Nothing answered, so Deployment {meta.name} was scaled to 0: its GPUs are free."
    if held_.record.beside:
        what = (
            f"The old pods serve on. Deployment {meta.name} was paused and its new pods removed: their GPUs are free."
        )
    message = f"{failure.message.removesuffix('.')}. {what}"
    return failure.model_copy(
        update={"message": message, "action": action, "attempts": attempts, "next_try": held_.next_try}
    )


def try_now(snapshot: Snapshot) -> str:
    """The command that has it tried at once."""
    meta = snapshot.model.meta
    return f"kubectl -n {meta.namespace} annotate deployment {meta.name} {LET_GO_ANNOTATION}-"


def _present(snapshot: Snapshot) -> list[PodView]:
    """Its pods that are not going away, and have not ended."""
    return [pod for pod in snapshot.pods if not pod.meta.deleting and pod.phase not in ENDED]


def _for_long(pod: PodView, trouble: Trouble, clock: Clock, tried: bool) -> bool:
    limit = PASSING_SECONDS if not trouble.lasting else AGAIN_SECONDS if tried else LET_GO_SECONDS
    # An infinite time is one that cannot be told, because clocks differ: nothing ends for it.
    return trouble.waits and limit <= clock.seconds_since(pod.silent_since) < math.inf


def _to_keep(trouble: Trouble) -> Failure:
    """The failure as it is kept once the pod is gone."""
    return trouble.failure.model_copy(update={"action": trouble.mend})
