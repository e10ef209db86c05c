"""Results that do not fit into a termination message: the worker writes them as the last lines of its log.

The termination message holds the number of lines and the digest of the result. Lines stay below the 16 KiB at which
container runtimes split them.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Literal

from pydantic import Field, ValidationError

from lowbit.api.base import Tolerant

PART = 8192
"""Characters of data in one line."""
LOGGED_LIMIT = 1024 * 1024
"""Bytes of the result's JSON. 16 suites of 200 classes fit. It goes into a status, and etcd takes 1.5 MiB."""
MOST_PARTS = 200
"""Lines of a result; LOGGED_LIMIT bytes that do not compress take 171. A pod must not fill the operator's memory."""
LINE_LIMIT = PART + 200
"""Bytes of one line."""


class LoggedResult(Tolerant):
    """Identifies a result in the worker's log."""

    digest: str
    """SHA-256 (hex) of its JSON."""
    parts: int = Field(ge=1, le=MOST_PARTS)
    """Number of lines that hold it."""


class ResultPart(Tolerant):
    """One line of the log, with a part of a result."""

    lowbit: Literal["result"] = "result"
    digest: str
    part: int
    data: str


def split(text: str) -> tuple[LoggedResult, list[str]]:
    """The lines to print for a result's JSON, deflated and in base64."""
    data = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    pieces = [data[start : start + PART] for start in range(0, len(data), PART)]
    digest = hashlib.sha256(text.encode()).hexdigest()
    lines = [ResultPart(digest=digest, part=n, data=piece).model_dump_json() for n, piece in enumerate(pieces)]
    return LoggedResult(digest=digest, parts=len(pieces)), lines


def join(log: str, logged: LoggedResult) -> str:
    """The result's JSON from the end of a log. Raises ValueError if it is incomplete or damaged."""
    found: dict[int, str] = {}
    for line in log.splitlines():
        if line.startswith("{"):
            try:
                part = ResultPart.model_validate_json(line)
            except ValidationError:
                continue
            if part.digest == logged.digest:
                found[part.part] = part.data
    if set(found) != set(range(logged.parts)):
        raise ValueError(f"the log holds {len(found)} of the result's {logged.parts} lines")
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(
            base64.b64decode("".join(found[n] for n in sorted(found)), validate=True), LOGGED_LIMIT + 1
        )
    except zlib.error as error:
        raise ValueError(f"the result in the log is damaged: {error}") from error
    if len(data) > LOGGED_LIMIT or hashlib.sha256(data).hexdigest() != logged.digest:
        raise ValueError("the result in the log is not the one that the worker wrote")
    return data.decode()
