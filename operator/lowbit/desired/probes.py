"""Probes of the engine, which listens on loopback only: through the guard, or by programs in the engine's container.

Nothing is assumed about the engine's image: fetch puts a busybox beside the model, whose shell runs the programs.

The start-up probe is one real completion, because /health can be 200 on an engine that dies at its first request.
Later, ready means healthy and not draining: with a full queue, completions would time out on every pod at once.
"""

from __future__ import annotations

import shlex

from lowbit.api.engines import ResolvedEngine, resolved_engine
from lowbit.api.paths import BUSYBOX_PATH, ENGINE_PORT, GUARD_PORT, METRICS_PORT
from lowbit.desired.common import Manifest
from lowbit.desired.guard.config import ADMIN_PORT

ENDPOINTS_MOVE_SECONDS = 10
"""Time that clients and proxies may take to learn that a pod no longer accepts requests."""
START_SECONDS = 900
"""Start-up time of an engine before it reads the model: imports, kernels, graphs."""
BYTES_PER_SECOND = 50_000_000
"""Read rate of the slowest store that is expected."""
STARTUP_PERIOD = 5


def wget(seconds: int) -> str:
    """Command of a request with a timeout. -Y off: no proxy, even if the engine's environment names one.

    The timeout is not wget's own -T, which crashes Debian's busybox.
    """
    return f"{BUSYBOX_PATH} timeout {seconds} {BUSYBOX_PATH} wget -Y off -q"


def startup_seconds(size_bytes: int) -> int:
    """Seconds that an engine may take until its first completion, for a model of that size."""
    return START_SECONDS + size_bytes // BYTES_PER_SECOND


def startup_probe(engine: ResolvedEngine, served_name: str, size_bytes: int) -> Manifest:
    """One real completion of one token."""
    base = f"http://127.0.0.1:{ENGINE_PORT}"
    request = resolved_engine(engine)[0].first_request(served_name)
    program = (
        f"{wget(5)} -O /dev/null {base}/health &&\n"
        f"{wget(110)} -O - --header 'Content-Type: application/json' --post-data {shlex.quote(request.body)} "
        f"{base}{request.path} | {BUSYBOX_PATH} grep -q -F {shlex.quote(request.expected)}\n"
    )
    return {
        "exec": shell(program),
        "periodSeconds": STARTUP_PERIOD,
        "timeoutSeconds": 120,
        "failureThreshold": startup_seconds(size_bytes) // STARTUP_PERIOD,
    }


def shell(program: str) -> Manifest:
    """An exec action that runs a shell program in a container of any image."""
    return {"command": [BUSYBOX_PATH, "sh", "-c", program]}


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
    """preStop: announce it (503 on /health, Connection: close), wait until endpoints have moved, then for last answers.

    If the guard cannot be reached, only the engine's own --shutdown-timeout is left.
    """
    admin = f"http://127.0.0.1:{ADMIN_PORT}"
    active = f"{admin}/stats?filter=%5Ehttp%5C.serving%5C.downstream_rq_active%24"
    program = (
        f"{wget(5)} -O /dev/null --post-data '' '{admin}/healthcheck/fail'; reached=$?\n"
        f"{BUSYBOX_PATH} sleep {ENDPOINTS_MOVE_SECONDS}\n"
        "[ $reached = 0 ] || exit 0\n"
        f"end=$(($({BUSYBOX_PATH} date +%s) + {drain_seconds}))\n"
        f"while [ $({BUSYBOX_PATH} date +%s) -lt $end ]; do\n"
        f"  active=$({wget(5)} -O - '{active}') || break\n"
        '  case "$active" in *": 0") break ;; esac\n'
        f"  {BUSYBOX_PATH} sleep 0.2\n"
        "done\n"
    )
    return {"preStop": {"exec": shell(program)}}


def grace_seconds(drain_seconds: int) -> int:
    """terminationGracePeriodSeconds: endpoints, drain, and ten seconds to exit."""
    return ENDPOINTS_MOVE_SECONDS + drain_seconds + 10
