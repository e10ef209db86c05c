"""Carries out a plan: the actions in order, then the events, then the status.

An event announces a change of the status. If it were sent after the status, a crash in between would lose it for good.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from lowbit.api.base import API_VERSION
from lowbit.effects.parts import Sees, Sends
from lowbit.effects.words import about, described
from lowbit.kube.client import Kube
from lowbit.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, KubeError, NotFound
from lowbit.kube.resources import RESOURCES
from lowbit.naming.names import GIVEN_UP_ANNOTATION, GPU_SLOT_ANNOTATION, WORKER_END_ANNOTATION
from lowbit.observe.keys import Key
from lowbit.state.plan import (
    Action,
    Apply,
    Conclude,
    Create,
    Delete,
    End,
    Keep,
    MakeToken,
    Plan,
    ScaleDown,
    SetOwners,
    Start,
    WriteStatus,
)
from lowbit.state.snapshot import Owner

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a plan ended. It is complete if it is neither stale, halted nor refused."""

    writes: int
    """Number of writes, without events."""
    stale: str | None = None
    """Which precondition failed: decide again, from a fresher snapshot."""
    halted: bool = False
    """The Lease expired: the rest of the plan was not started."""
    refused: KubeError | None = None
    """Why the API server has refused what nothing that serves needs. The rest of the plan was carried out."""


class _NotPermitted(Exception):  # noqa: N818
    """No more writes may be started."""


class _Unseen(Exception):  # noqa: N818
    """The cluster differs from the snapshot: decide again."""


@dataclass
class _Executor:
    key: Key
    kube: Kube
    cache: Sees
    permit: Callable[[], bool]
    seen: Mapping[tuple[str, str], Mapping[str, Any]]
    """Objects that the plan applies to, as they were when it was made."""
    writes: int = 0
    doubtful: tuple[str, str] | None = None
    refused: KubeError | None = None

    async def try_to(self, action: Action) -> None:
        """Act; note a refusal of what goes on beside what serves."""
        try:
            await self.act(action)
        except (Forbidden, Invalid) as error:
            if not (isinstance(action, Create) and action.beside):
                raise
            self.refused = error

    async def act(self, action: Action) -> None:
        if self.cache.is_bereft(self.key) and self._makes(action):
            await self._ask_for_owner()
        match action:
            case Create():
                await self._create(action.manifest)
            case Apply():
                await self._apply(action.manifest)
            case SetOwners():
                owners = [owner_reference(owner) for owner in action.owners]
                await self._patch(action.kind, action, {"ownerReferences": owners}, {})
            case Keep():
                await self._patch("Job", action, {}, {"spec": {"ttlSecondsAfterFinished": None}})
            case End():
                # An expired deadline is the only way to end a Job without removing it.
                ended = {"spec": {"activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": None}}
                await self._patch("Job", action, {"annotations": {GIVEN_UP_ANNOTATION: action.why}}, ended)
            case Conclude():
                ended = {"spec": {"activeDeadlineSeconds": 1}}
                await self._patch("Job", action, {"annotations": {WORKER_END_ANNOTATION: action.end}}, ended)
            case Start():
                # Without the annotation: who suspends it from now on is not us, and we do not start it again.
                started = {"spec": {"suspend": False}}
                await self._patch("Job", action, {"annotations": {GPU_SLOT_ANNOTATION: None}}, started)
            case ScaleDown():
                await self._scale_down(action)
            case MakeToken():
                await self._make_token(action)
            case Delete():
                await self._delete(action)
        logger.info("%s", described(action), extra=about(self.key))

    def _makes(self, action: Action) -> bool:
        """Whether an action creates an object."""
        match action:
            case Create():
                return True
            case Apply():
                return (action.manifest["kind"], action.manifest["metadata"]["name"]) not in self.seen
        return False

    async def _ask_for_owner(self) -> None:
        """Re-read the owner before recreating a deleted child.

        Kubernetes deletes an owner's children with it, and the watches of their kinds report that in any order. Without
        this read the operator would recreate the children of a deleted owner, as often as they are collected.
        """
        decided = self._known()
        self.doubtful = (self.key.kind, self.key.name)
        await self.look_again()
        self.doubtful = None
        known = self._known()
        if known is None:
            raise _Unseen(f"{self.key.kind} {self.key.name} is gone, and no watch has told of it")
        self.cache.found(self.key)
        if known != decided:
            raise _Unseen(f"{self.key.kind} {self.key.name} has changed, and no watch has told of it")

    def _known(self) -> str | None:
        """The resourceVersion of the plan's object, as last seen."""
        seen = self.cache.get(self.key.kind, self.key.namespace, self.key.name)
        return None if seen is None else str(seen["metadata"]["resourceVersion"])

    async def _create(self, manifest: Mapping[str, Any]) -> None:
        self._start()
        try:
            self.cache.put(await self.kube.create(manifest))
        except AlreadyExists:
            # The snapshot was stale: read the object, so that the next one has it.
            metadata = manifest["metadata"]
            self.cache.put(await self.kube.get(manifest["kind"], metadata["namespace"], metadata["name"]))

    async def _apply(self, manifest: Mapping[str, Any]) -> None:
        """Apply a manifest, without overwriting anything unseen.

        If the object was not seen, apply only creates it, so that no foreign object is overwritten. If it was seen, it
        must be unchanged since, so that a late apply undoes nothing.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self._start()
        if (seen := self.seen.get((kind, name))) is not None:
            with self._fresh(kind, name):
                self.cache.put(await self.kube.apply(manifest, over=seen))
            return
        try:
            self.cache.put(await self.kube.apply(manifest, only_new=True))
        except Conflict:
            self.writes -= 1
            self.doubtful = (kind, name)
            await self.look_again()
            raise _Unseen(f"{kind} {name} is there already, and had not been seen") from None

    async def _patch(
        self,
        kind: str,
        action: SetOwners | Keep | End | Conclude | Start,
        metadata: Mapping[str, Any],
        more: Mapping[str, Any],
    ) -> None:
        self._start()
        seen = {"uid": action.uid, "resourceVersion": action.resource_version}
        patch = {"metadata": {**seen, **metadata}, **more}
        with self._fresh(kind, action.name):
            self.cache.put(await self.kube.merge_patch(kind, self.key.namespace, action.name, patch))

    async def _scale_down(self, action: ScaleDown) -> None:
        """Scale a ReplicaSet to 0. ReplicaSets are not watched: one that is gone, or another one, has no such pods."""
        self._start()
        patch = {"metadata": {"uid": action.uid}, "spec": {"replicas": 0}}
        try:
            await self.kube.merge_patch("ReplicaSet", self.key.namespace, action.name, patch, "scale")
        except (Conflict, NotFound) as error:
            logger.info("ReplicaSet %s: %s", action.name, error.message, extra=about(self.key))

    async def _make_token(self, action: MakeToken) -> None:
        """Nothing of the Secret is kept: neither what was sent, nor what was answered."""
        self._start()
        with suppress(AlreadyExists):
            await self.kube.create({**action.manifest, "stringData": {"token": secrets.token_urlsafe(32)}})

    async def _delete(self, action: Delete) -> None:
        self._start()
        known = self.cache.get(action.kind, self.key.namespace, action.name)
        try:
            with self._fresh(action.kind, action.name):
                answer = await self.kube.delete(
                    action.kind, self.key.namespace, action.name, action.uid, action.resource_version
                )
        except NotFound:
            answer, self.doubtful = {"kind": "Status"}, None
        if answer["kind"] == action.kind:
            self.cache.put(answer)  # a finalizer holds it still
        elif known is not None and known["metadata"]["uid"] == action.uid:
            self.cache.remove(known)

    async def write_status(self, write: WriteStatus) -> None:
        """Replace the whole status with one PUT: fields that it lacks are removed."""
        self._start()
        manifest = {
            "apiVersion": API_VERSION,
            "kind": write.kind,
            "metadata": {
                "name": write.name,
                "namespace": self.key.namespace,
                "uid": write.uid,
                "resourceVersion": write.resource_version,
            },
            "status": write.status,
        }
        with self._fresh(write.kind, write.name):
            self.cache.put(await self.kube.replace(manifest, subresource="status"))

    async def look_again(self) -> None:
        """Re-read the stale object, so that the next snapshot is fresh without waiting for a watch."""
        if self.doubtful is None:
            return
        kind, name = self.doubtful
        try:
            self.cache.put(await self.kube.get(kind, self.key.namespace, name))
        except NotFound:
            if (known := self.cache.get(kind, self.key.namespace, name)) is not None:
                self.cache.remove(known)

    @contextmanager
    def _fresh(self, kind: str, name: str) -> Iterator[None]:
        """Around a write to an object that was seen: remembers it as stale if the write fails."""
        self.doubtful = (kind, name)
        yield
        self.doubtful = None

    def _start(self) -> None:
        if not self.permit():
            raise _NotPermitted
        self.writes += 1


async def execute(
    plan: Plan, key: Key, kube: Kube, *, cache: Sees, events: Sends, permit: Callable[[], bool]
) -> Outcome:
    """Carry out a plan for one object.

    No write is started once `permit` returns False. A failed precondition ends the plan (Outcome.stale). What
    the API server refuses of what goes on beside ends nothing (Outcome.refused). Any other error of the API server is
    raised as KubeError; the caller retries with a new plan.
    """
    executor = _Executor(key, kube, cache, permit, _seen(plan, key, cache))
    try:
        for action in plan.actions:
            await executor.try_to(action)
        if plan.status is not None:
            await _announce(plan, key, cache, events, permit)
            await executor.write_status(plan.status)
            events.written(plan.status.uid)
    except _NotPermitted:
        return Outcome(executor.writes, halted=True)
    except _Unseen as error:
        return Outcome(executor.writes, stale=str(error))
    except (Conflict, NotFound) as error:
        if executor.doubtful is None:
            raise
        await executor.look_again()
        return Outcome(executor.writes, stale=error.message)
    return Outcome(executor.writes, refused=executor.refused)


def _seen(plan: Plan, key: Key, cache: Sees) -> dict[tuple[str, str], Mapping[str, Any]]:
    names = [
        (each.manifest["kind"], each.manifest["metadata"]["name"]) for each in plan.actions if isinstance(each, Apply)
    ]
    found = {(kind, name): cache.get(kind, key.namespace, name) for kind, name in names}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


async def _announce(plan: Plan, key: Key, cache: Sees, events: Sends, permit: Callable[[], bool]) -> None:
    """Send the plan's events. An event that cannot be sent is only logged: it neither stops nor repeats anything."""
    regarding = cache.get(key.kind, key.namespace, key.name)
    if regarding is None:
        return
    for event in plan.events:
        if not permit():
            return
        level = logging.INFO if event.type == "Normal" else logging.WARNING
        logger.log(level, "%s: %s", event.reason, event.message, extra=about(key))
        try:
            await events.announce(event, key.kind, key.namespace, key.name, regarding["metadata"]["uid"])
        except KubeError as error:
            logger.warning("the event %s was not sent: %s", event.reason, error.message, extra=about(key))


def owner_reference(owner: Owner) -> dict[str, Any]:
    """An entry of metadata.ownerReferences. None of ours blocks the owner's deletion."""
    resource = RESOURCES[owner.kind]
    reference: dict[str, Any] = {
        "apiVersion": resource.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
    return reference | {"controller": True} if owner.controller else reference
