"""The operator as a process of its own against a real API server, and what tests ask of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hack.cluster.apiserver import ApiServer
from lowbit.kube.resources import RESOURCES
from tests.api.calls import APPLY, MERGE, CallError, Client
from tests.api.in_pod import Pod
from tests.api.installation import Installation

ROOT = Path(__file__).parents[2]
QUICK_LEASE = ("--lease-duration=1", "--lease-renew-deadline=0.6", "--lease-retry=0.15")
CLUSTER_SCOPED = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
PATIENCE = 60.0
"""Seconds until a condition counts as never met."""

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | bool | None]) -> T:
    """Wait until a condition gives something true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found  # type: ignore[return-value]
        time.sleep(0.05)
    raise AssertionError(f"never came true: {what}")


class OperatorProcess:
    """``python -m lowbit.app``, with its log kept in a file."""

    def __init__(
        self,
        server: ApiServer,
        log: Path,
        identity: str,
        *arguments: str,
        installation: Installation | None = None,
        tree: Path = ROOT,
    ) -> None:
        """Run as the admin with a Lease in `default`, from a checkout, or with what the chart gives to its pod."""
        self.log = log
        self.port = _free_port()
        settings = [f"--port={self.port}", "--host=127.0.0.1", f"--identity={identity}", *QUICK_LEASE, *arguments]
        self.process: Pod | subprocess.Popen[bytes]
        if installation is not None:
            self.process = Pod(installation.folder, installation.environment(identity), settings, log)
            return
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "PYTHONPATH": str(tree / "operator")}
        command = [sys.executable, "-m", "lowbit.app", "--lease-namespace=default", *settings]
        with log.open("ab") as stream:
            self.process = subprocess.Popen(command, env=environment, stderr=stream, cwd=tree)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of /healthz, /readyz or /metrics; status 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the operator has ended:\n{self.log.read_text()[-4000:]}")
        return self.get("/readyz")[0] == 200

    def series(self, name: str) -> list[tuple[str, float]]:
        """All series of a metric at one moment: labels as text, and the value."""
        lines = [line.rpartition(" ") for line in self.get("/metrics")[1].splitlines()]
        return [(series, float(value)) for series, _, value in lines if series.partition("{")[0] == name]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series that carry these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(value for series, value in self.series(name) if all(each in series for each in wanted))

    def writes(self) -> float:
        """Writes so far, without the Lease's."""
        verbs = [f'verb="{verb}"' for verb in ("create", "update", "patch", "delete")]
        return sum(
            value
            for series, value in self.series("lowbit_api_calls_total")
            if any(verb in series for verb in verbs) and 'resource="leases"' not in series
        )

    def kill(self) -> None:
        """End it as the kernel would."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """End it as the kubelet would. Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)


class Cluster:
    """What tests do to a cluster and read from it, in few words. Kinds are written as in a manifest."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.client = Client(server)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """kubectl, as the admin."""
        return self.server.kubectl(*words, stdin=stdin)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Server-side apply, as a person."""
        for manifest in manifests:
            metadata = manifest["metadata"]
            path = self.path(manifest["kind"], metadata.get("namespace"), metadata["name"])
            self.client("PATCH", f"{path}?fieldManager=people&force=true", manifest, APPLY)

    def patch(self, kind: str, space: str, name: str, patch: Mapping[str, Any], subresource: str = "") -> Any:
        """Merge patch."""
        return self.client("PATCH", self.path(kind, space, name) + subresource, patch, MERGE)

    def list(self, kind: str, space: str) -> list[dict[str, Any]]:
        """Objects that are not being deleted."""
        items = self.client("GET", self.path(kind, space))["items"]
        told = {"apiVersion": RESOURCES[kind].api_version, "kind": kind}  # built-in kinds leave it out in a list
        return [told | each for each in items if not each["metadata"].get("deletionTimestamp")]

    def get(self, kind: str, space: str, name: str) -> dict[str, Any] | None:
        """One object; None where there is none."""
        try:
            found: dict[str, Any] = self.client("GET", self.path(kind, space, name))
        except CallError as error:
            if error.status == 404:
                return None
            raise
        return found

    def delete(self, kind: str, space: str, name: str) -> None:
        """Delete in the background."""
        self.client("DELETE", self.path(kind, space, name) + "?propagationPolicy=Background")

    def empty(self, space: str, *kinds: str) -> None:
        """Delete all objects of these kinds."""
        for kind in kinds:
            self.client("DELETE", self.path(kind, space) + "?propagationPolicy=Background")

    def conditions(self, space: str, name: str) -> dict[str, str]:
        """Status of each condition of a QuantizedModel."""
        model = self.get("QuantizedModel", space, name) or {}
        return {each["type"]: each["status"] for each in model.get("status", {}).get("conditions", ())}

    def path(self, kind: str, space: str | None, name: str | None = None) -> str:
        """Where the API server keeps it."""
        if kind in CLUSTER_SCOPED:
            return "/".join(filter(None, (CLUSTER_SCOPED[kind], name)))
        return RESOURCES[kind].path(space, name)


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def model_store(in_namespace: str) -> dict[str, Any]:
    """One that is ready without anything else."""
    return {
        "apiVersion": "lowbit.dev/v1alpha1",
        "kind": "ModelStore",
        "metadata": {"name": "default", "namespace": in_namespace},
        "spec": {"s3": {"bucket": "models"}},
    }


def quantized_model(in_namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "lowbit.dev/v1alpha1",
        "kind": "QuantizedModel",
        "metadata": {"name": name, "namespace": in_namespace},
        "spec": {
            "source": {"huggingFace": {"repo": "owner/model", "revision": "0123456789abcdef0123456789abcdef01234567"}},
            "candidates": [{"gptq": {"bits": 4}}],
            "calibration": {"datasets": [{"name": "general", "configMap": {"name": "general"}}]},
            "evaluation": {
                "suites": [
                    {
                        "name": "fidelity",
                        "fidelity": {"dataset": {"configMap": {"name": "holdout"}}},
                        "gate": {"maximum": [{"metric": "KLDivergence", "value": "0.15"}]},
                    }
                ]
            },
        },
    }


def _free_port() -> int:
    import socket

    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])
