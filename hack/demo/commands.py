"""The two commands of the demo."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.demo import cpu, goes_on
from hack.demo.cluster import DemoCluster
from hack.demo.follow import follow
from hack.demo.narrator import condition, not_served
from hack.demo.question import ask
from hack.demo.steps import apply_example, install, prepare_machine, remove
from hack.demo.words import closing, evaluation_table

CPUINFO = Path("/proc/cpuinfo")


def up() -> int:
    """Everything from nothing; a second run re-uses what is built."""
    cluster = DemoCluster.choose()
    look_at_cpu(cluster)
    references = prepare_machine(cluster)
    install(cluster, references)
    apply_example(cluster, references)
    model = follow(cluster)
    evaluation_table(model)
    verdict = model["status"].get("verdict") or {}
    print(f"Verdict: {verdict.get('verdict', 'none')} {verdict.get('message', '')}", flush=True)
    if condition(model, "Ready") is None:
        print(f"\n{not_served(model)}", file=sys.stderr)
        return 1
    ask(cluster)
    closing(cluster, model)
    return 0


def down() -> int:
    """Leaves nothing running, and nothing behind but the cache."""
    remove(DemoCluster.choose())
    return 0


def look_at_cpu(cluster: DemoCluster) -> None:
    """Say which kernels the CPU runs. Raises StepError before anything is built where vLLM runs none."""
    if not cluster.ours:
        print(cpu.ELSEWHERE, flush=True)
        return
    found = cpu.parse(CPUINFO.read_text() if CPUINFO.exists() else "")
    cpu.require(found)
    print("\n".join(cpu.sentences(found)), flush=True)


def what_goes_on(command: str) -> list[str]:
    """The words after Ctrl-C."""
    cluster = DemoCluster.choose()
    return goes_on.sentences(command, cluster, goes_on.look(cluster))


COMMANDS = {"up": up, "down": down}
