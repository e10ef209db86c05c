"""Answers of the API server, and of what may stand before it, become typed errors."""

from __future__ import annotations

import json

import pytest

from lowbit.kube import errors
from lowbit.kube.resources import RESOURCES


def status(reason: str, message: str = "no", **details: object) -> bytes:
    return json.dumps({"kind": "Status", "reason": reason, "message": message, "details": details}).encode()


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (404, status("NotFound"), errors.NotFound),
        (409, status("AlreadyExists"), errors.AlreadyExists),
        (409, status("Conflict"), errors.Conflict),
        (410, status("Expired"), errors.Gone),
        (403, status("Forbidden"), errors.Forbidden),
        (422, status("Invalid"), errors.Invalid),
        (500, status("InternalError"), errors.Unavailable),
        (500, status("", "failed to create typed patch object (a/b): .x: expected map, got &{none}"), errors.Invalid),
        (503, b"<html>no backend</html>", errors.Unavailable),
        (418, b"[]", errors.KubeError),
    ],
)
def test_an_answer_becomes_a_typed_error(code: int, body: bytes, kind: type[errors.KubeError]) -> None:
    error = errors.error_of(code, body, None, "create Job team/x")
    assert type(error) is kind
    assert error.message.startswith("create Job team/x: ")


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("7", status("TooManyRequests"), 7.0),
        (None, status("TooManyRequests", retryAfterSeconds=3), 3.0),
        ("soon", b"", 1.0),
    ],
)
def test_too_many_requests_says_how_long_to_wait(header: str | None, body: bytes, seconds: float) -> None:
    error = errors.error_of(429, body, header, "list")
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after == seconds


def test_paths_are_the_api_servers() -> None:
    assert RESOURCES["Pod"].path("team", "p", "log") == "/api/v1/namespaces/team/pods/p/log"
    assert RESOURCES["Job"].path(None) == "/apis/batch/v1/jobs"
    assert RESOURCES["ModelStore"].path("team", "a/b") == "/apis/lowbit.dev/v1alpha1/namespaces/team/modelstores/a%2Fb"
