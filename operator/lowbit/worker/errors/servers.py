"""Answers of the hub, of a bucket, or of a proxy before them, that may be others in a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from lowbit.worker.refuse import LaterError

THROTTLED = 429
BUCKET_FULL = 507
NOT_MEANT_TO_PASS = (501, 505, 511)
"""Answers from 500 on that say what the server cannot do, not how it is."""
TRANSIENT = (408, 425)
WORDS = 300
"""Characters of a server's own words that are told."""
STAYS = "if it stays so, look at the server and at the proxy before it"
FEWER = "if it stays so, ask its owner for a higher limit, or let fewer models begin at a time"


@dataclass(frozen=True)
class Answer:
    """What a server has answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    """Its own words: an error code or a message."""
    throttled: bool = False
    """Whether it said in other ways than by its status that there were too many requests."""


def passing(who: str, answer: Answer, now: float) -> LaterError | None:
    """The error of an answer that may be another one in a while; None for any other.

    who: names the server and what it was asked for. now: seconds since the epoch, for a Retry-After that is a date.
    """
    wait = retry_after(answer.headers, now)
    asked = f"; it asks to wait {wait:.0f} s" if wait is not None else ""
    told = f"{who}: it answered {said(answer)}{asked}"
    if answer.status == THROTTLED or answer.throttled:
        return LaterError("Throttled", told, FEWER, wait)
    if answer.status == BUCKET_FULL:
        return LaterError("NoSpace", told, "make room there, or raise the bucket's quota", wait)
    if answer.status in TRANSIENT or (answer.status >= 500 and answer.status not in NOT_MEANT_TO_PASS):
        return LaterError("ServerFailed", told, STAYS, wait)
    return None


def said(answer: Answer) -> str:
    """The answer in one line: 503 Service Unavailable (SlowDown)."""
    try:
        title = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        title = str(answer.status)
    words = " ".join(answer.words.split())[:WORDS]
    return f"{title} ({words})" if words else title


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, by Retry-After (seconds or a date) or by RateLimit; None if it does not."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    wait = _retry_after(lower.get("retry-after", ""), now)
    return wait if wait is not None else _reset(lower.get("ratelimit", ""))


def _retry_after(value: str, now: float) -> float | None:
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _reset(value: str) -> float | None:
    """The t of a RateLimit header whose r (requests that are left) is 0: "api";r=0;t=55."""
    parts = dict(part.strip().partition("=")[::2] for part in value.split(";"))
    seconds = parts.get("t", "")
    return float(seconds) if parts.get("r") == "0" and seconds.isascii() and seconds.isdigit() else None
