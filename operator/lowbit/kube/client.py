"""The one door to the API server: plain dicts in, plain dicts out, typed errors, every call counted."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from lowbit.api.base import FIELD_MANAGER
from lowbit.kube.errors import Invalid, KubeError, NotFound, Unavailable, error_of
from lowbit.kube.listing import CHUNK, STREAMED, Object, Take, take_page, take_stream
from lowbit.kube.resources import RESOURCES, Resource

logger = logging.getLogger(__name__)

OnCall = Callable[[str, str, int, float], None]
"""Called after each request: verb, resource (plural, with /subresource), HTTP status (0: no answer), seconds."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
NO_VERSION = "1"
"""The resourceVersion of no object: etcd's revision before the first write. An apply with it creates a missing object,
and conflicts with any existing one."""
EVENTS = 100
"""Events of one object that are read. Repeated ones are one event with a count."""
STREAM_LONGEST = 300.0
"""Seconds that a streamed LIST may take while data keeps coming."""


METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}
"""HTTP methods by verb."""
MANAGED = {"fieldManager": FIELD_MANAGER}


class ResourcePath(NamedTuple):
    """One object in the API: its resource, namespace and name."""

    resource: Resource
    namespace: str
    name: str


@dataclass(frozen=True)
class Call:
    """One request. resource is what it is counted as (plural, with /subresource), `what` names it in errors."""

    verb: str
    path: str
    resource: str
    what: str
    body: Mapping[str, Any] | None = None
    content: str = JSON


def _ignore(_verb: str, _resource: str, _status: int, _seconds: float) -> None:
    """Count nothing."""


class Kube:
    """An async client. One per process; close it at the end.

    It uses kubernetes.aio's REST client directly, because its models and dynamic client cost 1 ms a call.
    """

    def __init__(self, configuration: Any, on_call: OnCall = _ignore, timeout: float = 30.0) -> None:
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._on_call = on_call
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._streams = True
        """Whether to request LISTs as streams."""
        self._in_pages: set[str] = set()
        """Paths whose last stream failed: the next read uses pages."""

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        """One object. Raises NotFound."""
        return await self._json("get", ResourcePath(RESOURCES[kind], namespace, name))

    async def read(self, kind: str, namespace: str | None, selector: str | None, take: Take) -> str:
        """LIST all objects of a kind in a namespace (None: in all), as fresh as etcd.

        They are delivered to `take` in batches of at most CHUNK, to bound memory. An object may come twice; the later
        one counts. Returns the resourceVersion of the whole. Raises KubeError; the caller starts over then. After a
        failed stream the next read of the path uses pages.
        """
        resource = RESOURCES[kind]
        query = {"labelSelector": selector} if selector else {}
        path, what = resource.path(namespace), f"list {resource.kind} {namespace or 'in all namespaces'}"

        def call(more: Mapping[str, str]) -> Call:
            return Call("list", f"{path}?{urlencode({**query, **more})}", resource.plural, what)

        if self._streams and path not in self._in_pages:
            try:
                return await self._read_stream(call(STREAMED), take)
            except Invalid as error:
                self._streams = False
                logger.info("LISTs are read in pages: this API server does not stream them (%s)", error.message)
            except KubeError:
                self._in_pages.add(path)
                raise
        version = await self._read_pages(call, resource, take)
        self._in_pages.discard(path)
        return version

    async def _read_stream(self, call: Call, take: Take) -> str:
        limits = aiohttp.ClientTimeout(
            total=STREAM_LONGEST, sock_connect=self._timeout.total, sock_read=self._timeout.total
        )
        async with self._answer(call, limits) as response:
            return await take_stream(response.content.iter_any(), call.what, take)

    async def _read_pages(self, call: Callable[[Mapping[str, str]], Call], resource: Resource, take: Take) -> str:
        query = {"limit": str(CHUNK)}
        while True:
            version, token = take_page(await self._call(call(query)), resource, take)
            if not token:
                return version
            query["continue"] = token

    async def serves(self, kind: str) -> bool:
        """Whether the cluster knows the kind. Uses discovery, which needs no rights."""
        try:
            answer = await self._call(Call("get", RESOURCES[kind].group_path, "discovery", f"look for {kind}"))
        except NotFound:
            return False
        return any(each.get("kind") == kind for each in json.loads(answer).get("resources", ()))

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """POST. Raises AlreadyExists."""
        return await self._json("create", _path_of(manifest), body=manifest, query=MANAGED)

    async def apply(
        self, manifest: Mapping[str, Any], *, only_new: bool = False, over: Mapping[str, Any] | None = None
    ) -> Object:
        """Server-side apply, forced, as the field manager lowbit.

        Raises Conflict if the object exists (only_new), or if its uid or resourceVersion is not that of `over`.

        It creates objects too: fields set by a POST would belong to the operation Update, and no later apply removes
        those.
        """
        target = _path_of(manifest)
        if only_new:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": NO_VERSION}}
        if over is not None:
            precondition = {field: over["metadata"][field] for field in ("uid", "resourceVersion")}
            manifest = {**manifest, "metadata": {**manifest["metadata"], **precondition}}
        query = MANAGED | {"force": "true"}
        return await self._json("patch", target, body=manifest, query=query, content=APPLY_PATCH)

    async def merge_patch(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        """JSON merge patch. metadata.uid and metadata.resourceVersion in it are preconditions."""
        target = ResourcePath(RESOURCES[kind], namespace, name)
        return await self._json(
            "patch", target, body=patch, query=MANAGED, content=MERGE_PATCH, subresource=subresource
        )

    async def replace(self, manifest: Mapping[str, Any], subresource: str | None = None) -> Object:
        """PUT, under the preconditions of the uid and resourceVersion in the manifest. Raises Conflict, NotFound."""
        return await self._json("update", _path_of(manifest), body=manifest, query=MANAGED, subresource=subresource)

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, resource_version: str | None = None
    ) -> Object:
        """Delete with background propagation and preconditions on uid and resourceVersion. Raises NotFound, Conflict.

        Returns a Status if the object is gone, and the object itself if a finalizer holds it.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Background",
        }
        return await self._json("delete", ResourcePath(RESOURCES[kind], namespace, name), body=options)

    async def pod_log(
        self, namespace: str, pod: str, container: str, lines: int | None, limit_bytes: int, *, previous: bool = False
    ) -> str:
        """The last lines (None: the beginning) of a container's log, or (previous) of its previous run's.

        Raises KubeError.
        """
        asked: dict[str, str | int] = {"container": container, "limitBytes": limit_bytes}
        asked |= {"tailLines": lines} if lines is not None else {}
        query = urlencode(asked | ({"previous": "true"} if previous else {}))
        path = f"{RESOURCES['Pod'].path(namespace, pod, 'log')}?{query}"
        body = await self._call(Call("get", path, "pods/log", f"read the log of {namespace}/{pod}"))
        return body.decode(errors="replace")

    async def node_labels(self, name: str) -> dict[str, str]:
        """Labels of a node. Raises KubeError; Forbidden where the chart grants no reading of nodes."""
        body = await self._call(Call("get", f"/api/v1/nodes/{quote(name, safe='')}", "nodes", f"read node {name}"))
        labels: dict[str, str] = json.loads(body).get("metadata", {}).get("labels") or {}
        return labels

    async def nodes(self) -> list[Object]:
        """All nodes with metadata, taints and what they have; in pages. Raises KubeError; Forbidden as above."""
        found: list[Object] = []
        token = ""
        while True:
            query = urlencode({"limit": CHUNK} | ({"continue": token} if token else {}))
            page = json.loads(await self._call(Call("list", f"/api/v1/nodes?{query}", "nodes", "list the nodes")))
            for item in page.get("items") or ():
                # Images and conditions are most of a node: they are dropped page by page.
                spec, status = item.get("spec") or {}, item.get("status") or {}
                kept = {"spec": {"taints": spec.get("taints")}, "status": {"allocatable": status.get("allocatable")}}
                found.append({"metadata": item["metadata"], **kept})
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return found

    async def pods_of_job(self, namespace: str, job: str) -> list[Object]:
        """Pods of one Job: one LIST, of at most EVENTS. Raises KubeError."""
        query = urlencode({"labelSelector": f"batch.kubernetes.io/job-name={job}", "limit": EVENTS})
        path = f"{RESOURCES['Pod'].path(namespace)}?{query}"
        answer = await self._call(Call("list", path, "pods", f"list the pods of Job {namespace}/{job}"))
        return list(json.loads(answer).get("items") or ())

    async def warnings(self, namespace: str, uid: str) -> list[Object]:
        """Warning events about one object, by its uid: one LIST, of at most EVENTS. Raises KubeError."""
        query = urlencode({"fieldSelector": f"regarding.uid={uid},type=Warning", "limit": EVENTS})
        path = f"{RESOURCES['Event'].path(namespace)}?{query}"
        answer = await self._call(Call("list", path, "events", f"list the events of an object in {namespace}"))
        return list(json.loads(answer).get("items") or ())

    async def _json(
        self,
        verb: str,
        target: ResourcePath,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content: str = JSON,
        subresource: str | None = None,
    ) -> Object:
        resource, namespace, name = target
        path = resource.path(namespace, None if verb == "create" else name, subresource)
        counted = resource.plural + (f"/{subresource}" if subresource else "")
        what = f"{verb} {resource.kind} {namespace}/{name}"
        asked = f"{path}?{urlencode(query)}" if query else path
        value: Object = json.loads(await self._call(Call(verb, asked, counted, what, body, content)))
        return value

    async def _call(self, call: Call) -> bytes:
        """The body of the response to one request. Raises KubeError."""
        async with self._answer(call, self._timeout) as response:
            return await response.read()

    @asynccontextmanager
    async def _answer(self, call: Call, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to one request; the caller reads the body. Counted after that. Raises KubeError."""
        headers = {"Accept": "application/json, */*", "Content-Type": call.content, "User-Agent": "lowbit"}
        started = time.monotonic()
        status = 0
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if token:
                headers["authorization"] = token
            url = self._configuration.host + call.path
            answer = await self._rest.request(
                METHODS[call.verb], url, headers=headers, body=call.body, _request_timeout=limits
            )
            async with answer.response as response:
                if response.status >= 400:
                    said = await response.read()
                    status = response.status
                    raise error_of(status, said, response.headers.get("Retry-After"), call.what)
                yield response
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(0, "NoAnswer", f"{call.what}: {type(error).__name__}: {error}") from error
        finally:
            self._on_call(call.verb, call.resource, status, time.monotonic() - started)


def _path_of(manifest: Mapping[str, Any]) -> ResourcePath:
    metadata = manifest["metadata"]
    return ResourcePath(RESOURCES[manifest["kind"]], metadata["namespace"], metadata["name"])
