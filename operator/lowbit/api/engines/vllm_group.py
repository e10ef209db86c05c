"""How vLLM runs in a group of pods: by its own processes on several nodes, or held together by Ray.

Each pod holds one pipeline stage, and shares that stage's layers among its GPUs (tensor parallel).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from lowbit.api.engines.base import Programs

Executor = Literal["Process", "Ray"]

MASTER_PORT: Final = 8102
"""Where the ranks of the processes find each other."""
RAY_PORT: Final = 6379
RAY_STORE_BYTES: Final = 256 * 2**20
"""Of Ray's object store, in shared memory. vLLM puts hardly anything into it."""
RAY_MEMORY: Final = "512Mi"
"""The least shared memory of a pod with such a store."""
INTERFACES: Final = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
TOKEN_MODE: Final = {"RAY_AUTH_MODE": "token"}
QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}


def processes(engine: Sequence[str], stages: int) -> Programs:
    """vLLM's own processes, told by arguments where the others are. engine: the command of one pod."""
    shared = [
        *engine, "--pipeline-parallel-size", str(stages), "--distributed-executor-backend", "mp",
        "--nnodes", str(stages), "--node-rank", "@RANK@", "--master-addr", "@LEADER@",
        "--master-port", str(MASTER_PORT),
    ]  # fmt: skip
    return Programs(lead=[shared], follow=[[*shared, "--headless"]])


def ray(engine: Sequence[str], stages: int, gpus: int) -> Programs:
    """A Ray cluster of the group alone; vLLM asks it for a bundle of one GPU for each rank. gpus: of each pod."""
    node = [
        "--node-ip-address", "@ADDRESS@", "--num-gpus", str(gpus), "--object-store-memory", str(RAY_STORE_BYTES),
        "--disable-usage-stats",
    ]  # fmt: skip
    head = ["ray", "start", "--head", "--port", str(RAY_PORT), "--include-dashboard", "false", *node]
    worker = ["ray", "start", "--address", f"@LEADER@:{RAY_PORT}", *node, "--block"]
    served = [
        "env", f"RAY_ADDRESS=@LEADER@:{RAY_PORT}",
        *engine, "--pipeline-parallel-size", str(stages), "--distributed-executor-backend", "ray",
    ]  # fmt: skip
    return Programs(lead=[head, served], follow=[worker], token=True)


def environment(executor: Executor, interface: str | None) -> Mapping[str, str]:
    """Of every pod of a group. interface: by which the ranks reach each other; None: they choose."""
    found = dict.fromkeys(INTERFACES, interface) if interface is not None else {}
    return {**found, **(TOKEN_MODE | QUIET if executor == "Ray" else {})}
