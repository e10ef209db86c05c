"""The admin of the rig's API server, by asyncio."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from hack.cluster.apiserver import ApiServer
from lowbit.kube.resources import RESOURCES
from tests.api.calls import APPLY, MERGE, CallError

JSON = "application/json"
LATER = 429


class Admin:
    """A client with all rights, by a certificate or by the token of an account that may do all. Close it at the end."""

    def __init__(self, server: ApiServer, token: str | None = None) -> None:
        authority = server.control_plane.authority
        context = ssl.create_default_context(cafile=str(authority.pair.certificate))
        if token is None:
            pair = authority.sign("admin", user="admin", groups=("system:masters",))
            context.load_cert_chain(pair.certificate, pair.key)
        self.url = server.url
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=60),
            skip_auto_headers=("Accept-Encoding",),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
        )

    async def close(self) -> None:
        await self.session.close()

    async def call(self, method: str, path: str, body: Any = None, content: str = JSON) -> Any:
        """The answer's object; retries while the API server says "later", as every client does. Raises CallError."""
        data = None if body is None else json.dumps(body).encode()
        while True:
            async with self.session.request(
                method, self.url + path, data=data, headers={"Content-Type": content}
            ) as answer:
                text = await answer.read()
                if answer.status < 400:
                    return json.loads(text)
                if answer.status != LATER:
                    raise CallError(answer.status, f"{method} {path}: {answer.status} {text.decode()}")
                wait = float(answer.headers.get("Retry-After", "1"))
            await asyncio.sleep(wait)  # a kind that has just been installed, or too many requests

    async def apply(self, manifest: Mapping[str, Any]) -> Any:
        """Server-side apply, as a person. The object as it is then."""
        meta = manifest["metadata"]
        path = RESOURCES[manifest["kind"]].path(meta["namespace"], meta["name"])
        return await self.call("PATCH", f"{path}?fieldManager=people&force=true", manifest, APPLY)

    async def patch(self, kind: str, space: str, name: str, patch: Mapping[str, Any], sub: str | None = None) -> Any:
        """Merge patch."""
        return await self.call("PATCH", RESOURCES[kind].path(space, name, sub), patch, MERGE)

    async def get(self, kind: str, space: str, name: str) -> dict[str, Any] | None:
        """One object; None where there is none."""
        try:
            found: dict[str, Any] = await self.call("GET", RESOURCES[kind].path(space, name))
        except CallError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def delete(self, kind: str, space: str, name: str, uid: str | None = None) -> None:
        """Delete in the background; one that is gone is fine."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        more: dict[str, Any] = {"preconditions": {"uid": uid}} if uid else {}
        if kind == "Pod":
            more["gracePeriodSeconds"] = 0  # there is no kubelet that would say that it has ended
        try:
            await self.call("DELETE", RESOURCES[kind].path(space, name), options | more)
        except CallError as error:
            if error.status not in (404, 409):
                raise

    async def watch(self, kind: str, version: str) -> AsyncIterator[dict[str, Any]]:
        """Events of a kind in all namespaces, until the API server ends the stream or says "later"."""
        path = f"{RESOURCES[kind].path(None)}?watch=true&resourceVersion={version}&timeoutSeconds=3600"
        async with self.session.get(self.url + path, read_bufsize=2**22) as answer:
            if answer.status == LATER:
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
                return
            if answer.status >= 400:
                raise CallError(answer.status, await answer.text())
            async for line in answer.content:
                yield json.loads(line)
