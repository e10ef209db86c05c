"""The one door to the API server: plain dicts in, plain dicts out, typed errors, every call counted."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from lowbit.api.base import FIELD_MANAGER
from lowbit.kube.errors import Invalid, KubeError, NotFound, Unavailable, error_of
from lowbit.kube.listing import CHUNK, STREAMED, Object, Part, Take, take_page, take_stream
from lowbit.kube.resources import RESOURCES, Resource

logger = logging.getLogger(__name__)

OnCall = Callable[[str, str, int, float], None]
"""Told of each call: verb, resource (plural, with /subresource), HTTP status (0: no answer), seconds."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
NO_VERSION = "1"
"""The resourceVersion of no object: etcd's revision before the first write. An apply that carries it makes an object where
there is none, and conflicts with every one that there is."""
STREAM_LONGEST = 300.0
"""Seconds that a LIST as a stream may take, as long as something comes."""


@dataclass(frozen=True)
class Listing:
    """All objects of a kind, and the resourceVersion at which that was so."""

    items: Sequence[Object]
    resource_version: str


def _ignore(_verb: str, _resource: str, _status: int, _seconds: float) -> None:
    """Nobody counts."""


class Kube:
    """An async client. One per process; close it in the end.

    It speaks through kubernetes.aio's REST client, below its models and its dynamic client: those cost 1 ms a call.
    """

    def __init__(self, configuration: Any, on_call: OnCall = _ignore, timeout: float = 30.0) -> None:
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._on_call = on_call
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._streams = True
        """Whether LISTs are asked for as streams."""
        self._in_pages: set[str] = set()
        """Paths of which the last stream failed."""

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        """One object. Raises NotFound."""
        return await self._json("get", "GET", RESOURCES[kind], namespace, name)

    async def list(self, kind: str, namespace: str | None = None, selector: str | None = None) -> Listing:
        """All objects of a kind in a namespace (None: in all), as fresh as etcd. Not for thousands: see read."""
        found: dict[tuple[str, str], Object] = {}

        def take(part: Part) -> None:
            found.update((_name(each), each) for each in part.items)
            for each in part.gone:
                found.pop(_name(each), None)

        version = await self.read(kind, namespace, selector, take)
        return Listing(list(found.values()), version)

    async def read(self, kind: str, namespace: str | None, selector: str | None, take: Take) -> str:
        """As list, some hundred objects at a time: of thousands, few are in memory whole. Each part is handed to `take`.

        The resourceVersion at which all parts together are what there is. An object may come twice: the later one holds. Raises
        KubeError: begin anew then. What fails as a stream is read in pages next time.
        """
        resource = RESOURCES[kind]
        query = {"labelSelector": selector} if selector else {}
        what = f"list {resource.kind} {namespace or 'in all namespaces'}"
        path = resource.path(namespace)
        if self._streams and path not in self._in_pages:
            try:
                return await self._read_stream(f"{path}?{urlencode(query | STREAMED)}", resource, what, take)
            except Invalid as error:
                self._streams = False
                logger.info("LISTs are read in pages: this API server does not stream them (%s)", error.message)
            except KubeError:
                self._in_pages.add(path)
                raise
        version = await self._read_pages(path, query, resource, what, take)
        self._in_pages.discard(path)
        return version

    async def _read_stream(self, path: str, resource: Resource, what: str, take: Take) -> str:
        limits = aiohttp.ClientTimeout(
            total=STREAM_LONGEST, sock_connect=self._timeout.total, sock_read=self._timeout.total
        )
        async with self._answer("list", "GET", path, resource.plural, what, limits=limits) as response:
            return await take_stream(response.content.iter_any(), what, take)

    async def _read_pages(self, path: str, query: Mapping[str, str], resource: Resource, what: str, take: Take) -> str:
        token = ""
        while True:
            asked = {**query, "limit": str(CHUNK)} | ({"continue": token} if token else {})
            answer = await self._call("list", "GET", f"{path}?{urlencode(asked)}", resource.plural, what)
            version, token = take_page(answer, resource, take)
            if not token:
                return version

    async def serves(self, kind: str) -> bool:
        """Whether the cluster knows the kind (asked by discovery, which everyone may)."""
        resource = RESOURCES[kind]
        try:
            answer = json.loads(await self._call("get", "GET", resource.group_path, "discovery", f"look for {kind}"))
        except NotFound:
            return False
        return any(each.get("kind") == kind for each in answer.get("resources", ()))

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """POST. Raises AlreadyExists."""
        resource, namespace, name = _place(manifest)
        return await self._json(
            "create", "POST", resource, namespace, None, body=manifest, query={"fieldManager": FIELD_MANAGER}, told=name
        )

    async def apply(
        self, manifest: Mapping[str, Any], *, only_new: bool = False, over: Mapping[str, Any] | None = None
    ) -> Object:
        """Server-side apply, forced, as the field manager lowbit. Raises Conflict where there is one already (only_new), or
        where it is not the one that was seen any more, uid and resourceVersion (over).

        A POST would leave fields behind that belong to the operation Update, and that no later apply takes away.
        """
        resource, namespace, name = _place(manifest)
        if only_new:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": NO_VERSION}}
        if over is not None:
            precondition = {field: over["metadata"][field] for field in ("uid", "resourceVersion")}
            manifest = {**manifest, "metadata": {**manifest["metadata"], **precondition}}
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._json(
            "patch", "PATCH", resource, namespace, name, body=manifest, query=query, content=APPLY_PATCH
        )

    async def merge_patch(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """JSON merge patch. Put metadata.uid and metadata.resourceVersion into it: they are preconditions."""
        return await self._json(
            "patch",
            "PATCH",
            RESOURCES[kind],
            namespace,
            name,
            body=patch,
            query={"fieldManager": FIELD_MANAGER},
            content=MERGE_PATCH,
        )

    async def replace(self, manifest: Mapping[str, Any], subresource: str | None = None) -> Object:
        """PUT, under the preconditions of the uid and resourceVersion in the manifest. Raises Conflict, NotFound."""
        resource, namespace, name = _place(manifest)
        return await self._json(
            "update",
            "PUT",
            resource,
            namespace,
            name,
            body=manifest,
            query={"fieldManager": FIELD_MANAGER},
            subresource=subresource,
        )

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, resource_version: str | None = None
    ) -> Object:
        """Delete in the background, under the preconditions of uid and resourceVersion. Raises NotFound, Conflict.

        Returns a Status when it is gone, the object itself while a finalizer holds it.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Background",
        }
        return await self._json("delete", "DELETE", RESOURCES[kind], namespace, name, body=options)

    async def pod_log(self, namespace: str, pod: str, container: str, lines: int, limit_bytes: int) -> str:
        """The last lines of a container's log."""
        query = urlencode({"container": container, "tailLines": lines, "limitBytes": limit_bytes})
        path = RESOURCES["Pod"].path(namespace, pod, "log")
        body = await self._call("get", "GET", f"{path}?{query}", "pods/log", f"read the log of {namespace}/{pod}")
        return body.decode(errors="replace")

    async def _json(
        self,
        verb: str,
        method: str,
        resource: Resource,
        namespace: str | None,
        name: str | None,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content: str = JSON,
        subresource: str | None = None,
        told: str | None = None,
    ) -> Object:
        path = resource.path(namespace, name, subresource) + (f"?{urlencode(query)}" if query else "")
        label = resource.plural + (f"/{subresource}" if subresource else "")
        where = "/".join(part for part in (namespace, name or told) if part)
        answer = await self._call(
            verb, method, path, label, f"{verb} {resource.kind} {where}", body=body, content=content
        )
        value: Object = json.loads(answer)
        return value

    async def _call(
        self,
        verb: str,
        method: str,
        path: str,
        label: str,
        what: str,
        *,
        body: Mapping[str, Any] | None = None,
        content: str = JSON,
    ) -> bytes:
        """One request; `what` names it in errors. Raises KubeError."""
        async with self._answer(verb, method, path, label, what, body=body, content=content) as response:
            return await response.read()

    @asynccontextmanager
    async def _answer(
        self,
        verb: str,
        method: str,
        path: str,
        label: str,
        what: str,
        *,
        body: Mapping[str, Any] | None = None,
        content: str = JSON,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request, of which the body is still to be read. Counted when that is done. Raises KubeError."""
        headers = {"Accept": "application/json, */*", "Content-Type": content, "User-Agent": "lowbit"}
        started = time.monotonic()
        status = 0
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if token:
                headers["authorization"] = token
            answer = await self._rest.request(
                method,
                self._configuration.host + path,
                headers=headers,
                body=body,
                _request_timeout=limits or self._timeout,
            )
            async with answer.response as response:
                if response.status >= 400:
                    said = await response.read()
                    status = response.status
                    raise error_of(status, said, response.headers.get("Retry-After"), what)
                yield response
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(0, "NoAnswer", f"{what}: {type(error).__name__}: {error}") from error
        finally:
            self._on_call(verb, label, status, time.monotonic() - started)


def _name(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def _place(manifest: Mapping[str, Any]) -> tuple[Resource, str, str]:
    metadata = manifest["metadata"]
    return RESOURCES[manifest["kind"]], metadata["namespace"], metadata["name"]
