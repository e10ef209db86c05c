"""After Ctrl-C: look at what goes on running, and say how to go on with it and how to take it down."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass

from hack.cluster.cluster import Cluster
from hack.cluster.paths import cache
from hack.cluster.progress import StepError
from hack.demo.cluster import MODEL, NAMESPACE, SYSTEM, DemoCluster, typed, why

LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class Found:
    """What was found of the demo."""

    running: tuple[str, ...] = ()
    """Programs of the cluster made here."""
    missing: tuple[str, ...] = ()
    """Those that do not run. Of somebody's cluster neither is known."""
    operator: bool = False
    stage: str | None = None
    """The model's; None where there is no model."""
    unknown: str | None = None
    """Why the cluster could not be asked."""


def look(cluster: DemoCluster) -> Found:
    """What is there now, in at most 20 seconds. Raises nothing."""
    programs = Cluster().processes() if cluster.ours else []
    running = tuple(process.name for process in programs if process.alive())
    missing = tuple(process.name for process in programs if process.name not in running)
    if cluster.ours and (missing or not cluster.kubeconfig.exists()):
        return Found(running, missing)
    try:
        operator = bool(_find(cluster, SYSTEM, "deployment", "lowbit"))
        model = _find(cluster, NAMESPACE, "quantizedmodel", MODEL) if operator else None
    except (StepError, OSError, ValueError) as error:
        return Found(running, missing, unknown=why(error))
    stage = (model.get("status") or {}).get("stage", "Pending") if model else None
    return Found(running, missing, operator, stage)


def _find(cluster: DemoCluster, namespace: str, kind: str, name: str) -> dict[str, dict[str, str]] | None:
    words = ("kubectl", "-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
    said = cluster.run(*words, seconds=LOOK_SECONDS)
    found: dict[str, dict[str, str]] | None = json.loads(said) if said.strip() else None
    return found


def sentences(command: str, cluster: DemoCluster, found: Found) -> list[str]:
    """Sentences: what keeps running, how to continue `command` (up or down), look at the model, and take all down."""
    if nothing(cluster, found):
        return [_nothing(command, cluster)]
    lines = [_state(cluster, found)]
    if command == "up":
        lines.append(f"Go on:        {make(cluster, 'demo')} (picks it up where it is, and shows it)")
    if found.stage:
        kubeconfig = f"KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}"
        lines.append(f"Look at it:   {kubeconfig} {typed('kubectl')} -n {NAMESPACE} describe qm {MODEL}")
    only = "" if cluster.ours else f" (removes the namespaces {NAMESPACE} and {SYSTEM} and the chart, and nothing else)"
    lines.append(f"Take it down: {make(cluster, 'demo-down')}{only}")
    return lines


def nothing(cluster: DemoCluster, found: Found) -> bool:
    """Whether nothing of the demo runs."""
    if cluster.ours:
        return not found.running
    return not found.operator and found.unknown is None


def make(cluster: DemoCluster, target: str) -> str:
    """The command line of a target, with the settings that it needs."""
    if cluster.ours:
        return f"make {target}"
    given = {"KUBECONFIG": str(cluster.kubeconfig)}
    if target == "demo" and (registry := os.environ.get("REGISTRY")):
        given["REGISTRY"] = registry
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in given.items()), "make", target])


def _nothing(command: str, cluster: DemoCluster) -> str:
    where = "on this machine" if cluster.ours else f"on the cluster of {cluster.kubeconfig}"
    if command == "down":
        return f"Nothing of the demo runs {where}. {make(cluster, 'demo-down')} removes what may be left of it."
    built = f"What is built stays in {cache()}; {make(cluster, 'demo')} goes on from there."
    return f"Nothing of the demo runs {where}. {built}"


def _state(cluster: DemoCluster, found: Found) -> str:
    where = "cluster on this machine" if cluster.ours else f"cluster of {cluster.kubeconfig}"
    if found.missing:
        return f"The {where} is up in part. Of its programs these go on running: {', '.join(found.running)}."
    if found.unknown:
        return f"The {where} could not be asked what goes on running there: {found.unknown}"
    if not found.operator:
        return f"The {where} goes on running. The operator is not installed."
    both = (
        f"The {where} and the operator go on running"
        if cluster.ours
        else f"On the {where} the operator goes on running"
    )
    if not found.stage:
        return f"{both}. The model {MODEL} is not applied."
    return f"{both}. The operator goes on with {MODEL}, which is at the stage {found.stage}."
