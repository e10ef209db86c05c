"""The operator as a process of its own against a real API server, and what tests ask of it."""

from __future__ import annotations

import json
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

from tests.cluster.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
QUICK_LEASE = ("--lease-duration=1", "--lease-renew-deadline=0.6", "--lease-retry=0.15")
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

    def __init__(self, server: ApiServer, log: Path, identity: str, *arguments: str) -> None:
        self.log = log
        self.port = _free_port()
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
        command = [sys.executable, "-m", "lowbit.app", f"--port={self.port}", "--host=127.0.0.1"]
        command += [f"--identity={identity}", "--lease-namespace=default", *QUICK_LEASE, *arguments]
        with log.open("ab") as stream:
            self.process = subprocess.Popen(command, env=environment, stderr=stream, cwd=ROOT)

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
    """kubectl in few words."""

    def __init__(self, server: ApiServer, kubectl: Path) -> None:
        self.server = server
        self._kubectl = [str(kubectl), f"--kubeconfig={server.kubeconfig}"]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run([*self._kubectl, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run("apply", "--server-side", "-f", "-", stdin=json.dumps(items))

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.run("get", kind, "-n", namespace, "-o", "json"))["items"]
        return items

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return next((each for each in self.list(kind, namespace) if each["metadata"]["name"] == name), None)


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
            "calibration": {"datasets": [{"name": "texts", "configMap": {"name": "texts"}}]},
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
