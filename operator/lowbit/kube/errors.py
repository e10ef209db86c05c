"""Errors of the API server, typed."""

from __future__ import annotations

import json
from typing import Any


class KubeError(Exception):
    """A failed call. status is the HTTP status, 0 if there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class NotFound(KubeError):  # noqa: N818 - named as the API server's own reasons are
    """The object (or its kind, or its namespace) is not there."""


class AlreadyExists(KubeError):  # noqa: N818
    """A create found an object of that name."""


class Conflict(KubeError):  # noqa: N818
    """A precondition (uid, resourceVersion) failed: the cached object is stale."""


class Gone(KubeError):  # noqa: N818
    """The resourceVersion that was asked for is too old."""


class Invalid(KubeError):  # noqa: N818
    """The schema or an admission plugin refused the object."""


class Forbidden(KubeError):  # noqa: N818
    """RBAC or admission does not allow it."""


class TooManyRequests(KubeError):  # noqa: N818
    """The API server asks to retry later. retry_after is in seconds."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float) -> None:
        super().__init__(status, reason, message)
        self.retry_after = retry_after


class Unavailable(KubeError):  # noqa: N818
    """No answer, or one of 5xx: the write may or may not have happened."""


_BY_STATUS: dict[int, type[KubeError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}


UNTYPED = "failed to create typed patch object"
"""How server-side apply reports a field of the wrong type: with a 500, although no retry helps."""


def error_of(status: int, body: bytes, retry_after: str | None, what: str) -> KubeError:
    """The typed error of an answer of 400 or above; what says which call it was: "create Job default/x"."""
    reason, message, details = _read_status(body)
    text = f"{what}: {message or f'HTTP {status}'}"
    if status == 429:
        seconds = retry_after or details.get("retryAfterSeconds") or 1
        return TooManyRequests(status, reason, text, _seconds(seconds))
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists(status, reason, text)
    if status == 500 and UNTYPED in message:
        return Invalid(status, reason or "Invalid", text)
    if status >= 500:
        return Unavailable(status, reason, text)
    return _BY_STATUS.get(status, KubeError)(status, reason, text)


def _read_status(body: bytes) -> tuple[str, str, dict[str, Any]]:
    """Reason, message and details of a metav1.Status; a proxy in between may answer something else."""
    try:
        status = json.loads(body)
        return str(status.get("reason", "")), str(status.get("message", "")), dict(status.get("details") or {})
    except (ValueError, AttributeError, TypeError):
        return "", body[:200].decode(errors="replace"), {}


def _seconds(value: Any) -> float:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return 1.0
