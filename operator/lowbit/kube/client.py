"""The one door to the API server: plain dicts in, plain dicts out, typed errors, every call counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from lowbit.api.base import FIELD_MANAGER
from lowbit.kube.errors import NotFound, Unavailable, error_of
from lowbit.kube.resources import RESOURCES, Resource
from lowbit.kube.uncollected import uncollected

Object = dict[str, Any]
OnCall = Callable[[str, str, int, float], None]
"""Told of each call: verb, resource (plural, with /subresource), HTTP status (0: no answer), seconds."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
NO_VERSION = "1"
"""The resourceVersion of no object: etcd's revision before the first write. An apply that carries it makes an object where
there is none, and conflicts with every one that there is."""
CHUNK = 250
"""Objects in one page of a LIST. Nothing else goes on while a page is read: this takes some 20 ms."""


@dataclass(frozen=True)
class Listing:
    """All objects of a kind, or a page of them, and the resourceVersion at which that was so."""

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

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        """One object. Raises NotFound."""
        return await self._json("get", "GET", RESOURCES[kind], namespace, name)

    async def list(self, kind: str, namespace: str | None = None, selector: str | None = None) -> Listing:
        """All objects of a kind in a namespace (None: in all), as consistent as the first page was."""
        items: list[Object] = []
        version = await self.read_pages(kind, namespace, selector, lambda page: items.extend(page.items))
        return Listing(items, version)

    async def read_pages(
        self, kind: str, namespace: str | None, selector: str | None, take: Callable[[Listing], None]
    ) -> str:
        """As list, some hundred objects at a time, at least one page: of thousands, few are in memory whole.

        Each page is handed to `take`. Returns the last one's resourceVersion.
        """
        resource = RESOURCES[kind]
        query: dict[str, str] = {"limit": str(CHUNK)}
        if selector:
            query["labelSelector"] = selector
        what = f"list {resource.kind} {namespace or 'in all namespaces'}"
        while True:
            path = f"{resource.path(namespace)}?{urlencode(query)}"
            answer = await self._call("list", "GET", path, resource.plural, what)
            version, token = _take_page(answer, resource, take)
            if not token:
                return version
            query["continue"] = token

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
        headers = {"Accept": "application/json, */*", "Content-Type": content, "User-Agent": "lowbit"}
        started = time.monotonic()
        status = 0
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if token:
                headers["authorization"] = token
            response = await self._rest.request(
                method, self._configuration.host + path, headers=headers, body=body, _request_timeout=self._timeout
            )
            answer: bytes = await response.read()
            status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(0, "NoAnswer", f"{what}: {type(error).__name__}: {error}") from error
        finally:
            self._on_call(verb, label, status, time.monotonic() - started)
        if status >= 400:
            raise error_of(status, answer, response.headers.get("Retry-After"), what)
        return answer


def _take_page(answer: bytes, resource: Resource, take: Callable[[Listing], None]) -> tuple[str, str]:
    """Hand a page on. Its resourceVersion, and the token of the next one."""
    with uncollected():
        page = json.loads(answer)
        version, items = page["metadata"].get("resourceVersion", ""), page.get("items") or []
        for item in items:  # objects of a built-in list carry neither
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        take(Listing(items, version))
        token = page["metadata"].get("continue") or ""
        del page, items  # gone before the collector looks again
        return version, token


def _place(manifest: Mapping[str, Any]) -> tuple[Resource, str, str]:
    metadata = manifest["metadata"]
    return RESOURCES[manifest["kind"]], metadata["namespace"], metadata["name"]
