"""What the demo says at its end."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from hack.cluster.cluster import Cluster
from hack.demo.cluster import MODEL, NAMESPACE, DemoCluster, typed


def evaluation_table(model: dict[str, Any]) -> None:
    """Every check of the gate, then speed and size."""
    status = model.get("status") or {}
    table = Table(title=f"{MODEL}: the candidate against the original, in the engine that serves it")
    for column in ("suite", "metric", "value", "confidence bounds", "threshold", "verdict"):
        table.add_column(column)
    for check in (status.get("verdict") or {}).get("checks", []):
        sign = "<=" if check["bound"] == "Maximum" else ">="
        bounds = f"{check['lower']} .. {check['upper']}"
        row = (
            check["suite"],
            check["metric"],
            check["value"],
            bounds,
            f"{sign} {check['threshold']}",
            check["verdict"],
        )
        table.add_row(*row)
    Console().print(table)
    for speed in (status.get("evaluation") or {}).get("speed", []):
        rate, first = speed["tokensPerSecond"], speed["timeToFirstTokenSeconds"]
        print(f"Speed at {speed['concurrency']:>3} at once: {rate} tokens/s, first token after {first} s (median)")
    artifact = ((status.get("current") or status.get("candidate")) or {}).get("artifact")
    if artifact:
        megabytes, source = artifact["bytes"] / 1e6, artifact["sourceBytes"] / 1e6
        print(f"Size: {source:.1f} MB -> {megabytes:.1f} MB ({artifact['ratio']}x), {artifact['digest']}")


def closing(cluster: DemoCluster, model: dict[str, Any]) -> None:
    """How to look around, where the report is, and how to take it down."""
    report = ((model.get("status") or {}).get("evaluation") or {}).get("reportPath")
    where, down = f"{Cluster().paths.volumes / f'{NAMESPACE}-models'}/{report}", "make demo-down"
    if not cluster.ours:
        where = f"{report}, in the claim models of the namespace {NAMESPACE}"
        down = f"KUBECONFIG={cluster.kubeconfig} {down}"
    kubectl = f"{typed('kubectl')} -n {NAMESPACE}"
    print(f"""
Look around:  export KUBECONFIG={cluster.kubeconfig}
              {kubectl} get qm,mrev,meval
              {kubectl} describe qm {MODEL}
Report:       {where}
Take it down: {down}""")
