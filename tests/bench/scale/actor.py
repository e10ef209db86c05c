"""Plays Jobs, pods and Deployments for thousands of QuantizedModels, as fast as the API server takes it.

As tests.faults.actor, in bulk: a Job's pod ends at once with its stage's result. Nothing is garbage-collected.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from hack.cluster.apiserver import ApiServer
from lowbit.api.documents import PrepareResult
from lowbit.api.termination import TerminationMessage
from lowbit.kube.resources import RESOURCES
from lowbit.naming.names import MANAGED_SELECTOR
from tests.api.calls import CallError
from tests.faults.client import Admin
from tests.unit.world import World

AT_ONCE = 48
"""Requests that are on their way at the same time."""
Object = dict[str, Any]


class BulkActor:
    """Watches Jobs and Deployments, and does what a cluster would do with each."""

    def __init__(self, admin: Admin, *, runs: bool) -> None:
        """runs: a Job's pod is seen to run before it ends, as a real one is; two writes more."""
        self._admin, self._runs = admin, runs
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self.failed = asyncio.Event()
        self.error: BaseException | None = None

    async def follow(self, kind: str, act: Callable[[Object], None]) -> None:
        """Watch a kind for ever."""
        path = f"{RESOURCES[kind].path(None)}?labelSelector={MANAGED_SELECTOR.replace('=', '%3D')}"
        listing = await self._admin.call("GET", path)
        for item in listing["items"]:
            act(item)
        version = listing["metadata"]["resourceVersion"]
        while True:
            async for event in self._admin.watch(kind, version):
                if event["type"] == "ERROR":
                    raise RuntimeError(f"the watch of {kind} has ended: {event['object']}")
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] in ("ADDED", "MODIFIED"):
                    act(event["object"])

    def on_job(self, job: Object) -> None:
        uid = job["metadata"]["uid"]
        if uid not in self._seen and not job.get("status", {}).get("conditions"):
            self._seen.add(uid)
            self._do(self._end(job))

    def on_deployment(self, deployment: Object) -> None:
        observed = deployment.get("status", {}).get("observedGeneration")
        if observed != deployment["metadata"]["generation"]:
            self._do(self._roll_out(deployment))

    def _do(self, work: Awaitable[None]) -> None:
        task = asyncio.create_task(self._in_turn(work))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = error
            self.failed.set()

    async def _in_turn(self, work: Awaitable[None]) -> None:
        async with self._slots:
            try:
                await work
            except CallError as error:
                if error.status not in (404, 409):
                    raise

    async def _end(self, job: Object) -> None:
        """The Job's pod runs on a node, and ends."""
        meta, template = job["metadata"], job["spec"]["template"]
        space, name = meta["namespace"], meta["name"]
        labels = template["metadata"]["labels"] | {"batch.kubernetes.io/job-name": name}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": meta["uid"], "controller": True}
        annotations = template["metadata"].get("annotations")
        pod = await self._pod(space, f"{name}-0", labels, annotations, owner, template["spec"])
        if pod is None:
            return
        begun = now()
        if self._runs:
            running = {"phase": "Running", "containerStatuses": _containers({"running": {"startedAt": begun}})}
            await self._status("Pod", pod, running)
            await self._status("Job", job, {"startTime": begun, "active": 1, "ready": 1})
        text = result(meta["labels"]["lowbit.dev/stage"], name)
        ended = {"terminated": {"exitCode": 0, "message": text, "startedAt": begun, "finishedAt": now()}}
        await self._status("Pod", pod, {"phase": "Succeeded", "containerStatuses": _containers(ended)})
        conditions = [
            {"type": each, "status": "True", "lastTransitionTime": now()} for each in ("SuccessCriteriaMet", "Complete")
        ]
        counts = {"active": 0, "ready": 0, "succeeded": 1}
        times = {"startTime": begun, "completionTime": now()}
        await self._status("Job", job, {"conditions": conditions, **counts, **times})

    async def _roll_out(self, deployment: Object) -> None:
        """Every pod of the Deployment is new and ready. Pods of an old template stay: nobody looks at them."""
        meta, spec = deployment["metadata"], deployment["spec"]
        space, count = meta["namespace"], spec["replicas"]
        template = spec["template"]
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{meta['name']}-0", "uid": meta["uid"]}
        owner |= {"controller": True}
        for number in range(count):
            name = f"{meta['name']}-{number}"
            annotations = template["metadata"].get("annotations")
            labels = template["metadata"]["labels"]
            if pod := await self._pod(space, name, labels, annotations, owner, template["spec"]):
                ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
                await self._status("Pod", pod, ready)
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
        await self._status("Deployment", deployment, counts | {"observedGeneration": meta["generation"]})

    async def _pod(
        self, space: str, name: str, labels: Object, annotations: Any, owner: Object, spec: Object
    ) -> Object | None:
        """The pod that was made; None where there is one."""
        metadata = {"name": name, "namespace": space, "labels": labels, "ownerReferences": [owner]}
        metadata["annotations"] = annotations
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec | {"nodeName": "node"}}
        try:
            made: Object = await self._admin.call("POST", RESOURCES["Pod"].path(space), pod)
        except CallError as error:
            if error.status != 409:
                raise
            return None
        return made

    async def _status(self, kind: str, seen: Object, status: Object) -> None:
        """A PUT, whatever else has changed: of all writes it costs the API server least."""
        resource, metadata = RESOURCES[kind], dict(seen["metadata"])
        metadata.pop("resourceVersion")
        metadata.pop("managedFields", None)
        whole = seen | {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, "status": status}
        await self._admin.call("PUT", resource.path(metadata["namespace"], metadata["name"], "status"), whole)


def result(stage: str, name: str) -> str:
    """The result of a Job's worker. Each prepare finds another source, so that no two models share anything."""
    found = World().result(stage, name)
    if (prepared := found.result(PrepareResult)) is not None:
        source = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        found = TerminationMessage.of(prepared.model_copy(update={"source": source}))
    return found.model_dump_json(by_alias=True, exclude_none=True)


def _containers(state: Object) -> list[Object]:
    common = {"image": "image", "ready": False, "restartCount": 0, "state": state}
    return [common | {"name": each, "imageID": f"{each}@sha256:1"} for each in ("worker", "engine")]


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def act(server: ApiServer, token: str, runs: bool) -> None:
    """Act until something goes wrong."""
    admin = Admin(server, token)
    actor = BulkActor(admin, runs=runs)
    parts = [
        asyncio.create_task(actor.follow("Job", actor.on_job)),
        asyncio.create_task(actor.follow("Deployment", actor.on_deployment)),
        asyncio.create_task(actor.failed.wait()),
    ]
    done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for part in done:
        part.result()
    raise actor.error or RuntimeError("a watch has ended")


def start(server: ApiServer, *, runs: bool = False) -> multiprocessing.process.BaseProcess:
    """The actor's process, with an account's token as the controllers that it stands for. Terminate it in the end."""
    words = (server, account(server, "actor"), runs)
    process = multiprocessing.get_context("fork").Process(target=_main, args=words, daemon=True)
    process.start()
    return process


def account(server: ApiServer, name: str) -> str:
    """Token of a new account that may do everything: a certificate check at each request costs the API server more."""
    server.kubectl("create", "serviceaccount", name, "--namespace=kube-system")
    server.kubectl(
        "create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--serviceaccount=kube-system:{name}"
    )
    return server.kubectl("create", "token", name, "--namespace=kube-system", "--duration=24h").strip()


def _main(server: ApiServer, token: str, runs: bool) -> None:
    try:
        asyncio.run(act(server, token, runs))
    finally:
        os._exit(1)
