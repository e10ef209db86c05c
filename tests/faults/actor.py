"""Plays what a cluster has beside the operator: Jobs and their pods, Deployments, and the garbage collector."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from lowbit.kube.resources import RESOURCES
from tests.api.calls import CallError
from tests.faults.client import Admin
from tests.faults.mirror import Happened, Object, Space
from tests.unit.world import World

FAILING, PASSING = 0.5, 0.05
"""KL divergence of a candidate that fails the gate, and of one that passes."""

ENDS_AGAIN = {"restartCount": 3, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}
"""Of an engine that has been started for the fourth time."""


class Actor:
    """Ends Jobs with the results of workers and rolls Deployments out, as soon as they are seen, in one namespace."""

    def __init__(self, admin: Admin, space: Space) -> None:
        self._admin, self._space = admin, space
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._kl = PASSING
        self.world = World(kl=lambda _: self._kl)
        self.error: BaseException | None = None
        """What went wrong here: nothing that the run shows is true then."""
        self.bad: set[int] = set()
        """Candidates that fail the gate, by their index."""
        self.held: Callable[[str], bool] = lambda job: False
        """Jobs that run on."""
        self.dying: Callable[[str], bool] = lambda job: False
        """Jobs whose engine does not stay up."""
        space.listeners.append(self._on)

    async def stop(self) -> None:
        """Do nothing any more."""
        self._space.listeners.remove(self._on)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def busy(self) -> bool:
        """Whether something is still being done."""
        return bool(self._tasks)

    def let_go(self) -> None:
        """End the Jobs that were held; none is held any more."""
        self.held = lambda job: False
        for job in self._space.of("Job"):
            if job["metadata"]["uid"] in self._seen and not _ended(job):
                self._do(self._finish, job)

    def look_again(self) -> None:
        """Nothing that was seen counts any more: go on from what is there."""
        self._seen.clear()
        for (kind, name), manifest in list(self._space.objects.items()):
            version = int(manifest["metadata"]["resourceVersion"])
            self._on(Happened("ADDED", kind, name, version, manifest))

    def _on(self, event: Happened) -> None:
        manifest, uid = event.manifest, event.manifest["metadata"]["uid"]
        if event.type == "DELETED":
            self._do(self._collect, uid)
            return
        if event.type == "ADDED" and manifest["metadata"].get("ownerReferences"):
            self._do(self._collect_orphan, event.kind, manifest)
        if event.kind == "Job" and uid not in self._seen:
            self._seen.add(uid)
            if not _ended(manifest):
                self._do(self._run, manifest)
        if event.kind == "Job" and manifest["spec"].get("activeDeadlineSeconds") == 1 and not _ended(manifest):
            self._do(self._end, manifest)
        if event.kind == "Deployment" and _is_new(manifest):
            self._do(self._roll_out, manifest)

    def _do(self, work: Callable[..., Awaitable[None]], *words: Any) -> None:
        task = asyncio.create_task(self._unless_gone(work, *words))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = error

    async def _unless_gone(self, work: Callable[..., Awaitable[None]], *words: Any) -> None:
        """The operator, or the collector, may delete what is being acted on."""
        try:
            await work(*words)
        except CallError as error:
            if error.status not in (404, 409):
                raise

    async def _run(self, job: Object) -> None:
        """The Job's pod runs on a node; and ends at once, unless it is held."""
        meta, template = job["metadata"], job["spec"]["template"]
        space, name = meta["namespace"], meta["name"]
        if job["spec"].get("suspend"):  # it is in a queue, which admits it at once
            await self._admin.patch("Job", space, name, _same(job) | {"spec": {"suspend": False}})
        labels = template["metadata"]["labels"] | {"batch.kubernetes.io/job-name": name}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": meta["uid"], "controller": True}
        metadata = {"name": f"{name}-0", "namespace": space, "labels": labels, "ownerReferences": [owner]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] | {"nodeName": "node"}}
        with suppress_conflict():
            await self._admin.call("POST", RESOURCES["Pod"].path(space), pod)
        await self._pod_status(space, name, "Running", {"running": {"startedAt": now()}})
        begun = job.get("status", {}).get("startTime") or now()
        status = {"startTime": begun, "active": 1, "ready": 1}
        await self._admin.patch("Job", space, name, _same(job) | {"status": status}, "status")
        if self.dying(name):
            await self._pod_status(space, name, "Running", {"running": {"startedAt": now()}}, engine=ENDS_AGAIN)
        elif not self.held(name):
            await self._finish(job)

    async def _end(self, job: Object) -> None:
        """The Job's time is over: its pod is deleted, and it has failed."""
        space, name = job["metadata"]["namespace"], job["metadata"]["name"]
        known = await self._admin.get("Job", space, name)
        if known is None or _ended(known):
            return
        await self._admin.delete("Pod", space, f"{name}-0")
        why = {"status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": now()}
        status = {
            "conditions": [{"type": each, **why} for each in ("FailureTarget", "Failed")],
            "active": 0,
            "ready": 0,
        }
        await self._admin.patch("Job", space, name, _same(job) | {"status": status}, "status")

    async def _finish(self, job: Object) -> None:
        """The Job's pod ends with the result that its stage would have."""
        space, name = job["metadata"]["namespace"], job["metadata"]["name"]
        stage = job["metadata"]["labels"]["lowbit.dev/stage"]
        bad = stage == "evaluate" and await self._fails(space, name)
        self._kl = FAILING if bad else PASSING
        text = self.world.result(stage, name, job).model_dump_json(by_alias=True, exclude_none=True)
        ended = {"exitCode": 0, "message": text, "startedAt": now(), "finishedAt": now()}
        await self._pod_status(space, name, "Succeeded", {"terminated": ended})
        conditions = [
            {"type": each, "status": "True", "lastTransitionTime": now()} for each in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"conditions": conditions, "active": 0, "ready": 0, "succeeded": 1, "completionTime": now()}
        await self._admin.patch("Job", space, name, _same(job) | {"status": status}, "status")

    async def _fails(self, space: str, name: str) -> bool:
        """Whether an evaluation is of a candidate that is to fail."""
        if not self.bad:
            return False
        evaluation = await self._admin.get("ModelEvaluation", space, name) or {}
        digest = evaluation.get("spec", {}).get("model", {}).get("digest")
        listing = await self._admin.call("GET", RESOURCES["ModelRevision"].path(space))
        return any(
            each["spec"]["candidate"] in self.bad
            for each in listing["items"]
            if each.get("status", {}).get("artifact", {}).get("digest") == digest
        )

    async def _roll_out(self, deployment: Object) -> None:
        """Every pod of the Deployment is new and ready."""
        meta, count = deployment["metadata"], deployment["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
        status = counts | {"observedGeneration": meta["generation"]}
        await self._admin.patch("Deployment", meta["namespace"], meta["name"], {"status": status}, "status")

    async def _pod_status(
        self, space: str, job: str, phase: str, state: dict[str, Any], engine: dict[str, Any] | None = None
    ) -> None:
        common = {"image": "image", "ready": False, "restartCount": 0, "state": state}
        containers = [common | {"name": each, "imageID": f"{each}@sha256:1"} for each in ("worker", "engine")]
        containers[1] |= engine or {}
        status = {"phase": phase, "containerStatuses": containers}
        await self._admin.patch("Pod", space, f"{job}-0", {"status": status}, "status")

    async def _collect(self, uid: str) -> None:
        """The collector's work when an owner is gone."""
        for (kind, _), manifest in list(self._space.objects.items()):
            if any(each["uid"] == uid for each in manifest["metadata"].get("ownerReferences") or ()):
                await self._unless_gone(self._collect_orphan, kind, manifest)

    async def _collect_orphan(self, kind: str, manifest: Object) -> None:
        """Delete what has only owners that are gone; strip those references where others are left."""
        space, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        known = await self._admin.get(kind, space, name)
        if known is None or known["metadata"]["uid"] != manifest["metadata"]["uid"]:
            return
        owners = known["metadata"].get("ownerReferences") or []
        left = [each for each in owners if await self._lives(space, each)]
        if owners and not left:
            await self._admin.delete(kind, space, name, known["metadata"]["uid"])
        elif len(left) < len(owners):
            seen = {"resourceVersion": known["metadata"]["resourceVersion"], "ownerReferences": left}
            try:
                await self._admin.patch(kind, space, name, {"metadata": seen})
            except CallError as error:
                if error.status != 409:
                    raise
                await self._collect_orphan(kind, manifest)

    async def _lives(self, space: str, owner: dict[str, Any]) -> bool:
        known = await self._admin.get(owner["kind"], space, owner["name"])
        return known is not None and bool(known["metadata"]["uid"] == owner["uid"])


@contextmanager
def suppress_conflict() -> Iterator[None]:
    """What is to be made is there already."""
    try:
        yield
    except CallError as error:
        if error.status != 409:
            raise


def _ended(job: Object) -> bool:
    return bool(job.get("status", {}).get("conditions"))


def _is_new(deployment: Object) -> bool:
    observed = deployment.get("status", {}).get("observedGeneration")
    return bool(observed != deployment["metadata"]["generation"])


def _same(job: Object) -> dict[str, Any]:
    """A precondition: this Job, and not another of its name."""
    return {"metadata": {"uid": job["metadata"]["uid"]}}


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
