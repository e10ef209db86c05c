"""One life on the one-node cluster: seconds and peak memory of each stage.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.stages [--model smollm2-135m-instruct] [--runs 1]
        [--as-installed]

A namespace with a store on a volume, the model on another, and the QuantizedModel of examples/smollm2.yaml (for a model
that was cut to a few layers with a gate that it passes). Seconds are a Job's from its start to its completion, for
serving from the Deployment's creation to the pod's readiness, as the API server tells them: whole seconds. Memory is of
each container's own cgroup, looked at every half second: the kernel's own maximum, in which files that were read count,
and the largest resident memory that was seen, in which they do not.
"""

from __future__ import annotations

import argparse
import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from hack.cluster.cluster import Cluster
from hack.cluster.progress import StepError
from hack.demo.cluster import DemoCluster
from hack.demo.steps import install
from images.build import build
from images.load import load
from images.model import prepare_models
from images.targets import ALL
from lowbit.naming.names import STAGE_LABEL
from tests.bench.record import ROOT, Figure, figure, memory_of, surroundings, write
from tests.bench.workbench import EXAMPLE
from tests.e2e.lab import Lab, condition

NAME = "smollm2"
WHOLE = "smollm2-135m-instruct"
POLL_SECONDS = 0.5
LOOK_SECONDS = 3.0
CGROUPS = Path("/sys/fs/cgroup/memory/kubepods")
"""cgroup v1, as the cluster's kubelet makes them."""
GENEROUS = {"maximum": [{"metric": "KLDivergence", "value": "20"}]}
STAGES = ("prepare", "quantize", "baseline evaluation", "candidate evaluation", "start of serving")


@dataclass
class Memory(threading.Thread):
    """Watches every container's cgroup until it is stopped. MiB by container id."""

    maximum: dict[str, float] = field(default_factory=dict)
    resident: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            for folder in [*CGROUPS.glob("pod*/*/"), *CGROUPS.glob("*/pod*/*/")]:
                try:
                    maximum = int((folder / "memory.max_usage_in_bytes").read_text())
                    lines = (folder / "memory.stat").read_text().splitlines()
                except OSError:
                    continue  # it has just ended
                resident = next(int(line.split()[1]) for line in lines if line.startswith("total_rss "))
                self.maximum[folder.name] = maximum / 1024**2
                self.resident[folder.name] = max(self.resident[folder.name], resident / 1024**2)


@dataclass
class Life:
    """What was seen of one life: the newest picture of every Job and pod, also of those that are gone."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployment: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)

    def look(self, lab: Lab) -> None:
        """Look at everything once."""
        for item in lab.objects("jobs,pods"):
            kind = self.jobs if item["kind"] == "Job" else self.pods
            kind[item["metadata"]["name"]] = item
        self.deployment = lab.get("deployment", NAME) or {}
        self.model = lab.get("quantizedmodel", NAME) or {}

    def stage_of(self, labels: Mapping[str, str], name: str) -> str:
        """The stage that a Job or pod belongs to."""
        stage = labels.get(STAGE_LABEL, "start of serving")
        if stage == "evaluate":
            return "baseline evaluation" if name.startswith("baseline-") else "candidate evaluation"
        return stage

    def seconds(self) -> dict[str, float]:
        """By stage, and from the QuantizedModel's creation to its being Ready."""
        found = {}
        for name, job in self.jobs.items():
            stage = self.stage_of(job["metadata"]["labels"], name)
            found[stage] = _between(job["status"]["startTime"], job["status"]["completionTime"])
        (server,) = (
            pod for name, pod in self.pods.items() if self.stage_of(pod["metadata"]["labels"], name) == STAGES[-1]
        )
        found[STAGES[-1]] = _between(self.deployment["metadata"]["creationTimestamp"], _since(server, "Ready"))
        found["all of it"] = _between(self.model["metadata"]["creationTimestamp"], _since(self.model, "Ready"))
        return found

    def engine_starts(self) -> dict[str, float]:
        """Seconds from an engine's start until it passed its start-up probe: the container after it began then."""
        found = {}
        for name, pod in self.pods.items():
            engine, worker = (_state(pod, each) for each in ("engine", "worker"))
            if engine and worker:
                found[self.stage_of(pod["metadata"]["labels"], name)] = _between(
                    engine["startedAt"], worker["startedAt"]
                )
        return found

    def memory(self, seen: Memory) -> dict[str, tuple[float, float]]:
        """MiB by "stage, container": the kernel's maximum, the largest resident memory."""
        found = {}
        for name, pod in self.pods.items():
            status = pod["status"]
            for each in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
                id_ = each.get("containerID", "").rpartition("/")[2]
                if id_ in seen.maximum:
                    stage = self.stage_of(pod["metadata"]["labels"], name)
                    found[f"{stage}, {each['name']}"] = (seen.maximum[id_], seen.resident[id_])
        return found


def _between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _since(manifest: dict[str, Any], type_: str) -> str:
    return str(next(each["lastTransitionTime"] for each in manifest["status"]["conditions"] if each["type"] == type_))


def _state(pod: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A container's running or terminated state."""
    status = pod["status"]
    every = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    state: dict[str, Any] = next((each["state"] for each in every if each["name"] == name), {})
    return state.get("running") or state.get("terminated")


def manifest(model: str) -> dict[str, Any]:
    """The example's QuantizedModel, of the model in the source volume."""
    found: dict[str, Any] = next(
        each for each in yaml.safe_load_all(EXAMPLE.read_text()) if each["kind"] == "QuantizedModel"
    )
    found["spec"]["source"]["pvc"]["path"] = "model"
    if model != WHOLE:
        found["spec"]["evaluation"]["suites"][0]["gate"] = GENEROUS
    return found


def live(cluster: Cluster, model: str, minutes: float) -> tuple[Life, dict[str, tuple[float, float]]]:
    """One life in a namespace of its own, from the apply to an answer."""
    space = f"bench-{secrets.token_hex(3)}"
    metadata = {"name": space, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    cluster.kubectl(
        "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    )
    lab, life, memory = Lab(cluster, space), Life(), Memory()
    try:
        lab.furnish(prepare_models()[model])
        for name in ("calibration", "holdout"):
            data = {"data.jsonl": (ROOT / "examples" / "data" / f"{name}.jsonl").read_text()}
            lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{NAME}-{name}"}, "data": data})
        memory.start()
        lab.apply(manifest(model))
        _follow(lab, life, minutes)
        print(f"it says: {lab.ask(NAME)!r}")
        life.look(lab)
        return life, life.memory(memory)
    finally:
        memory.stopped.set()
        lab.remove()


def _follow(lab: Lab, life: Life, minutes: float) -> None:
    """Until it is Ready, looking now and then."""
    waiter = threading.Event()
    for _ in range(int(minutes * 60 / LOOK_SECONDS)):
        life.look(lab)
        if condition(life.model, "Stalled"):
            raise StepError(f"{NAME} becomes Ready", f"it is Stalled\n{lab.picture()}")
        if condition(life.model, "Ready"):
            return
        waiter.wait(LOOK_SECONDS)
    raise StepError(f"{NAME} becomes Ready", f"not within {minutes:.0f} minutes\n{lab.picture()}")


def figures(lives: list[tuple[Life, dict[str, tuple[float, float]]]], model: str) -> list[Figure]:
    """Each over all lives."""
    seconds = [life.seconds() for life, _ in lives]
    found = [figure(f"{model}: {stage}", "s", [each[stage] for each in seconds]) for stage in (*STAGES, "all of it")]
    starts = [life.engine_starts() for life, _ in lives]
    for stage in starts[0]:
        found.append(figure(f"{model}: {stage}, the engine's start", "s", [each[stage] for each in starts]))
    for number, what in enumerate(("cgroup maximum", "resident")):
        for key in sorted(lives[0][1], key=lambda each: STAGES.index(each.split(",")[0])):
            values = [memory[key][number] for _, memory in lives if key in memory]
            found.append(figure(f"{model}: {key}, {what}", "MiB", values))
    return found


def installed(cluster: Cluster) -> str:
    """The operator's image."""
    words = (
        "-n",
        "lowbit-system",
        "get",
        "deployment",
        "lowbit",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    )
    return cluster.kubectl(*words).strip()


def operator_memory(cluster: Cluster) -> float:
    """Resident memory of the operator in its pod, MiB."""
    words = ("-n", "lowbit-system", "get", "pods", "-l", "app.kubernetes.io/name=lowbit", "-o", "json")
    pods = json.loads(cluster.kubectl(*words))["items"]
    ids = [each["containerID"].rpartition("/")[2] for pod in pods for each in pod["status"]["containerStatuses"]]
    folders = [folder for each in ids for folder in CGROUPS.glob(f"**/{each}")]
    pids = [int(pid) for folder in folders for pid in (folder / "cgroup.procs").read_text().split()]
    return max(memory_of(pid, "VmRSS") for pid in pids) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=WHOLE)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=40, help="until a life counts as broken")
    parser.add_argument("--as-installed", action="store_true", help="measure the chart that is installed already")
    arguments = parser.parse_args()
    cluster = Cluster()
    if not arguments.as_installed:
        references = build(ALL, None)
        cluster.up()
        install(DemoCluster(cluster.kubeconfig, ours=True), load(references))
    with surroundings() as seen:
        before = operator_memory(cluster)
        lives = [live(cluster, arguments.model, arguments.minutes) for _ in range(arguments.runs)]
        after = operator_memory(cluster)
    found = figures(lives, arguments.model)
    found.append(figure("the operator in its pod, resident, before", "MiB", [before]))
    found.append(figure("the operator in its pod, resident, after", "MiB", [after]))
    write(
        f"stages-{arguments.model}",
        found,
        seen,
        about=(__doc__ or "").strip(),
        setting={"model": arguments.model, "operator": installed(cluster)},
    )


if __name__ == "__main__":
    main()
