"""The same requests to the same engine by threads and the standard library; every answer is read and parsed as JSON."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.inside import marks

HOST, PORT = "127.0.0.1", 8001


def ask(body: dict[str, Any]) -> None:
    connection = http.client.HTTPConnection(HOST, PORT, timeout=600)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.read()[:500]!r}")
    if body.get("stream"):
        for line in answer:
            text = line.decode().strip().removeprefix("data:").strip()
            if text and text != "[DONE]":
                json.loads(text)
    else:
        json.loads(answer.read())
    connection.close()


for phase in json.loads(Path("/lowbit/in/requests.json").read_text()):
    with marks.part(phase["name"]), ThreadPoolExecutor(phase["concurrency"]) as pool:
        list(pool.map(ask, phase["requests"]))
marks.write()
