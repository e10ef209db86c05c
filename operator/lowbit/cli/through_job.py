"""A file of the store through a short-lived Job: its log carries the file. The Job is deleted in every case."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import gzip
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from lowbit.cli.locate import NoReportError
from lowbit.desired.jobs.read_file import CONTAINER, DEADLINE_SECONDS
from lowbit.kube.errors import KubeError, NotFound

LOG_BYTES = 64 * 1024 * 1024
LOG_LINES = 10_000_000
FILE_BYTES = 256 * 1024 * 1024
"""A file that unpacks to more is none that Lowbit has written."""
PAUSE_SECONDS = 1.0


class Cluster(Protocol):
    """The part of the Kubernetes client that is needed here."""

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """One object. Raises NotFound."""

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """POST."""

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> dict[str, Any]:
        """Delete. Raises NotFound."""

    async def pods_of_job(self, namespace: str, job: str) -> list[dict[str, Any]]:
        """Pods of one Job."""

    async def pod_log(self, namespace: str, pod: str, container: str, lines: int, limit_bytes: int) -> str:
        """The end of a container's log."""


async def fetch(
    kube: Cluster,
    manifest: Mapping[str, Any],
    say: Callable[[str], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> bytes:
    """The file that the Job prints. Raises NoReportError, KubeError. The Job is deleted, also on cancellation."""
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    # Shielded: who is interrupted while it is being made must know it to delete it.
    creating = asyncio.ensure_future(kube.create(manifest))
    try:
        await asyncio.shield(creating)
        pod = await _ended(kube, namespace, name, say, pause)
        return unpack(await kube.pod_log(namespace, pod, CONTAINER, LOG_LINES, LOG_BYTES))
    finally:
        # Whoever has deleted it first, or an API server that is away: the Job expires by itself.
        with contextlib.suppress(KubeError):
            await kube.delete("Job", namespace, name, (await creating)["metadata"]["uid"])


async def _ended(
    kube: Cluster, namespace: str, name: str, say: Callable[[str], None], pause: Callable[[float], Awaitable[None]]
) -> str:
    """The name of the Job's pod, once the Job is complete. Raises NoReportError if it is not in time."""
    waiting = "it has no pod yet"
    for _ in range(round((DEADLINE_SECONDS + 30) / PAUSE_SECONDS)):
        try:
            job = await kube.get("Job", namespace, name)
        except NotFound:
            raise NoReportError(f"somebody has deleted the Job {namespace}/{name} meanwhile: try again") from None
        pods = await kube.pods_of_job(namespace, name)
        ended = {each["type"] for each in job.get("status", {}).get("conditions", ()) if each["status"] == "True"}
        if "Complete" in ended and pods:
            return str(pods[0]["metadata"]["name"])
        now = doing(pods)
        if "Failed" in ended:
            raise NoReportError(f"the Job {namespace}/{name}, which reads the store, failed: {now}")
        if now != waiting:
            say(f"Job {name}: {now}")
            waiting = now
        await pause(PAUSE_SECONDS)
    raise NoReportError(f"the Job {namespace}/{name}, which reads the store, did not end in time: {waiting}")


def doing(pods: Sequence[Mapping[str, Any]]) -> str:
    """What a Job's pod is at, as its own status says it."""
    if not pods:
        return "it has no pod (a quota, or an admission webhook: kubectl describe job)"
    status = pods[0].get("status", {})
    for container in status.get("containerStatuses", ()):
        state = container.get("state", {})
        for how in ("terminated", "waiting"):
            if found := state.get(how):
                words = (found.get("reason"), found.get("message"))
                return ": ".join(str(word).strip() for word in words if word) or how
    unmet = [each for each in status.get("conditions", ()) if each["status"] != "True" and each.get("message")]
    return str(unmet[0]["message"]) if unmet else f"its pod is {status.get('phase', 'Pending')}"


def unpack(log: str) -> bytes:
    """The file in a log: gzip in base64. Raises NoReportError."""
    try:
        packed = base64.b64decode("".join(log.split()), validate=True)
        with gzip.open(io.BytesIO(packed)) as file:
            data = file.read(FILE_BYTES + 1)
    except (binascii.Error, OSError, EOFError) as error:
        end = " ".join(log.split()[-30:])[-300:]
        raise NoReportError(f"the Job's log holds no whole file ({error}); it ends with: {end or 'nothing'}") from error
    if len(data) > FILE_BYTES:
        raise NoReportError(f"the file has more than {FILE_BYTES} bytes: Lowbit writes no such report")
    return data
