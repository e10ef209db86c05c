"""Probes of the engine, which listens on loopback only: programs in the engine's own image (it has Python), or the guard.

The start-up gate is one real completion, because /health can be 200 on an engine that dies at its first request.
After that readiness is health and not draining: with a full queue completions time out on every pod at once.
"""

from __future__ import annotations

import json

from lowbit.api.paths import ENGINE_PORT, GUARD_PORT, METRICS_PORT
from lowbit.desired.common import Manifest
from lowbit.desired.guard_config import ADMIN_PORT

ENDPOINTS_MOVE_SECONDS = 10
"""How long clients and proxies may take to learn that a pod no longer wants requests."""
START_SECONDS = 900
"""Start-up budget of an engine with a model of no size: imports, kernels, graphs."""
BYTES_PER_SECOND = 50_000_000
"""What the slowest store is expected to read."""
STARTUP_PERIOD = 5

OPENER = "import json, time, urllib.request as u\nopen_ = u.build_opener(u.ProxyHandler({})).open\n"
"""No proxy of the engine's environment stands between a pod and itself."""


def startup_seconds(size_bytes: int) -> int:
    """How long an engine may take until its first completion, for a model of so many bytes."""
    return START_SECONDS + size_bytes // BYTES_PER_SECOND


def startup_probe(served_name: str, size_bytes: int) -> Manifest:
    """One real completion of one token."""
    body = json.dumps({"model": served_name, "prompt": "Hello", "max_tokens": 1})
    program = OPENER + (
        f"open_('http://127.0.0.1:{ENGINE_PORT}/health', timeout=5)\n"
        f"body = {body!r}.encode()\n"
        f"request = u.Request('http://127.0.0.1:{ENGINE_PORT}/v1/completions', body, "
        "{'Content-Type': 'application/json'})\n"
        "answer = json.load(open_(request, timeout=110))\n"
        "assert answer['choices']\n"
    )
    return {
        "exec": {"command": ["python3", "-c", program]},
        "periodSeconds": STARTUP_PERIOD,
        "timeoutSeconds": 120,
        "failureThreshold": startup_seconds(size_bytes) // STARTUP_PERIOD,
    }


def readiness_probe() -> Manifest:
    """Health through the guard, which says 503 while it drains."""
    return {
        "httpGet": {"path": "/health", "port": GUARD_PORT, "scheme": "HTTP"},
        "periodSeconds": 5,
        "timeoutSeconds": 10,
        "failureThreshold": 3,
    }


def liveness_probe() -> Manifest:
    """The engine's own health, with five minutes of patience: a restart costs more than a slow answer."""
    return {
        "httpGet": {"path": "/engine/health", "port": METRICS_PORT, "scheme": "HTTP"},
        "periodSeconds": 30,
        "timeoutSeconds": 30,
        "failureThreshold": 10,
    }


def drain_hook(drain_seconds: int) -> Manifest:
    """preStop: say so (503 on /health, Connection: close), wait for the endpoints to move, then for the last answers.

    Where the guard cannot be reached, the engine's own --shutdown-timeout is what is left.
    """
    admin = f"http://127.0.0.1:{ADMIN_PORT}"
    active = f"{admin}/stats?filter=%5Ehttp%5C.serving%5C.downstream_rq_active%24"
    program = OPENER + (
        "try:\n"
        f"    open_(u.Request('{admin}/healthcheck/fail', method='POST'), timeout=5)\n"
        "finally:\n"
        f"    time.sleep({ENDPOINTS_MOVE_SECONDS})\n"
        f"end = time.monotonic() + {drain_seconds}\n"
        "while time.monotonic() < end:\n"
        f"    if open_('{active}', timeout=5).read().split()[-1:] == [b'0']:\n"
        "        break\n"
        "    time.sleep(0.2)\n"
    )
    return {"preStop": {"exec": {"command": ["python3", "-c", program]}}}


def grace_seconds(drain_seconds: int) -> int:
    """terminationGracePeriodSeconds: all of the above, and ten seconds to end."""
    return ENDPOINTS_MOVE_SECONDS + drain_seconds + 10
