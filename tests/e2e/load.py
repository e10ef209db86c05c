"""Clients that constantly query a served model: one keeps its connection, as SDKs do, the other opens new ones."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.4
TIMEOUT_SECONDS = 300
MOST_REQUESTS = 10_000
"""Of one client: a block that never ends does not ask for ever."""


@dataclass
class Answers:
    """What the clients got."""

    good: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def clients(url: str, model: str, headers: dict[str, str]) -> Iterator[Answers]:
    """Ask until the block ends; every request is waited for."""
    answers, stop, lock = Answers(), threading.Event(), threading.Lock()
    threads = [
        threading.Thread(target=_ask, args=(url, model, headers, keep, answers, stop, lock)) for keep in (True, False)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=TIMEOUT_SECONDS)


def _ask(
    url: str,
    model: str,
    headers: dict[str, str],
    keep: bool,
    answers: Answers,
    stop: threading.Event,
    lock: threading.Lock,
) -> None:
    body = json.dumps({"model": model, "prompt": "The night train", "max_tokens": 4, "temperature": 0})
    where = urlsplit(url)
    connection: http.client.HTTPConnection | None = None
    for _ in range(MOST_REQUESTS):
        if stop.is_set():
            break
        try:
            connection = connection or http.client.HTTPConnection(where.hostname or "", where.port, TIMEOUT_SECONDS)
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"} | headers)
            response = connection.getresponse()
            said = response.read()
            failure = None if response.status == 200 else f"{response.status} {said[:200]!r}"
            if not keep or response.will_close:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException) as error:
            failure, connection = f"{'kept' if keep else 'new'} connection: {error!r}", None
        with lock:
            answers.good += failure is None
            answers.failures += [failure] if failure else []
        stop.wait(PAUSE_SECONDS)
