"""Calls to a test's API server: those that a test makes itself, and the record of everybody else's."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hack.cluster.apiserver import ApiServer

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "Panic"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}
"""Every call of every ServiceAccount, and nobody else's."""


class CallError(AssertionError):
    """The API server did not do what a test asked it. status is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """The admin, by HTTP: a kubectl takes longer to start than most tests take."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    @cached_property
    def _context(self) -> ssl.SSLContext:
        authority = self._server.control_plane.authority
        context = ssl.create_default_context(cafile=str(authority.pair.certificate))
        pair = authority.sign("admin", user="admin", groups=("system:masters",))
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    def __call__(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """The answer's object. Raises CallError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server.url + path, data, {"Content-Type": content}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise CallError(error.code, f"{method} {path}: {error.code} {error.read().decode()}") from error


@dataclass(frozen=True)
class Call:
    """One line of the audit log."""

    user: str
    verb: str
    group: str
    resource: str
    """Plural, with /subresource."""
    namespace: str
    name: str
    code: int
    path: str

    @property
    def write(self) -> bool:
        return self.verb not in ("get", "list", "watch")

    @property
    def lists(self) -> bool:
        """Whether it is a LIST, in pages or as a stream; a stream is a watch to the API server."""
        return self.verb == "list" or (self.verb == "watch" and "sendInitialEvents=true" in self.path)

    @property
    def told(self) -> str:
        """For a failing test."""
        return f"{self.verb} {self.resource or self.path} {self.namespace}/{self.name}: {self.code}"


class AuditLog:
    """What kube-apiserver writes down."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "audit.log"
        self._policy = folder / "audit-policy.json"
        self._policy.parent.mkdir(parents=True, exist_ok=True)
        self._policy.write_text(json.dumps(POLICY))

    @property
    def arguments(self) -> tuple[str, ...]:
        """For kube-apiserver."""
        return f"--audit-policy-file={self._policy}", f"--audit-log-path={self._file}"

    def mark(self) -> int:
        """The log's end at this moment."""
        return self._file.stat().st_size if self._file.exists() else 0

    def calls(self, user: str | None = None, since: int = 0) -> list[Call]:
        """The calls of a user (else of all) since a mark. A watch counts from when it is answered."""
        return [call for call in self._read(since) if user is None or call.user == user]

    def writes(self, user: str, since: int = 0) -> list[Call]:
        """The same, without reads and without the Lease's."""
        return [call for call in self.calls(user, since) if call.write and call.resource != "leases"]

    def refused(self, user: str | None = None, since: int = 0) -> list[str]:
        """Calls that the roles do not allow. A freshly started API server may briefly refuse allowed ones too."""
        calls = self.calls(user, since)
        allowed = {(call.user, call.verb, call.resource) for call in calls if call.code < 400}
        return [
            call.told for call in calls if call.code == 403 and (call.user, call.verb, call.resource) not in allowed
        ]

    def _read(self, since: int) -> Iterator[Call]:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(since)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                event = json.loads(line)
                if event["stage"] == "ResponseComplete" and event["verb"] == "watch":
                    continue
                yield _call(event)


def _call(event: dict[str, Any]) -> Call:
    reference = event.get("objectRef") or {}
    return Call(
        user=event["user"]["username"],
        verb=event["verb"],
        group=reference.get("apiGroup", ""),
        resource="/".join(filter(None, (reference.get("resource"), reference.get("subresource")))),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        path=event["requestURI"],
    )
