"""The real Kueue, as a process beside a real API server: its kinds, its webhooks and its controllers."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from hack.cluster import build, paths
from hack.cluster.apiserver import ApiServer
from hack.cluster.progress import StepError
from tests.api.operator_process import wait_for

SYSTEM = "kueue-system"
SERVICE, CERTIFICATES = "kueue-webhook-service", "kueue-webhook-server-cert"
CONVERTED = ("localqueues", "clusterqueues", "workloads", "cohorts", "multikueueclusters")
"""Kinds whose CRDs need a conversion webhook: Kueue waits until it has written its CA into each."""
VERSION = "kueue.x-k8s.io/v1beta2"


class Kueue:
    """Kueue on a free loopback port, in a folder of the server's. Builds it where it is missing (9 minutes on 2 cores).

    The API server reaches its webhooks by a Service of the type ExternalName, which is `localhost`. No kubelet mounts
    its certificates: they are copied from the Secret that Kueue writes.
    """

    def __init__(self, server: ApiServer) -> None:
        self._kubectl = server.kubectl
        self._kubeconfig = server.kubeconfig
        self._folder = server.folder / "kueue"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        build.build(("kueue",))
        manifests = build.module_folder("kueue", "sigs.k8s.io/kueue") / "config" / "components"
        self._apply(_kinds(manifests, self._service()))
        kinds = ",".join((*CONVERTED, "resourceflavors", "workloadpriorityclasses"))
        wait_for("Kueue's kinds are served", lambda: self._kubectl.attempt("get", "-A", kinds).returncode == 0)
        self._apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}])
        self._apply(_webhooks(manifests, self._service()))
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def queue(self, space: str, name: str, **quota: str) -> None:
        """A LocalQueue with a ClusterQueue of that name, with these quotas; of less priority goes first."""
        flavors = [{"name": "any", "resources": [{"name": each, "nominalQuota": quota[each]} for each in quota]}]
        whole = {"namespaceSelector": {}, "resourceGroups": [{"coveredResources": list(quota), "flavors": flavors}],
                 "preemption": {"withinClusterQueue": "LowerPriority"}}  # fmt: skip
        self._apply(
            [
                {"apiVersion": VERSION, "kind": "ResourceFlavor", "metadata": {"name": "any"}},
                {"apiVersion": VERSION, "kind": "ClusterQueue", "metadata": {"name": name}, "spec": whole},
                {"apiVersion": VERSION, "kind": "LocalQueue", "metadata": {"name": name, "namespace": space},
                 "spec": {"clusterQueue": name}},
            ]
        )  # fmt: skip

    def priority(self, name: str, value: int) -> None:
        """A WorkloadPriorityClass."""
        found = {"apiVersion": VERSION, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": value}
        self._apply([found])

    def log(self) -> str:
        """The end of what it says."""
        return (self._folder / "log").read_text()[-4000:]

    def _service(self) -> dict[str, Any]:
        return {"name": SERVICE, "namespace": SYSTEM, "port": self._port}

    def _start(self) -> None:
        certificates = self._folder / "certificates"
        certificates.mkdir(parents=True)
        (self._folder / "config.yaml").write_text(yaml.safe_dump(_settings(self._port, certificates)))
        line = [str(paths.tools() / "kueue"), f"--config={self._folder / 'config.yaml'}"]
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*line, "--feature-gates=VisibilityOnDemand=false"], env=environment, stdout=log, stderr=log
            )
        wait_for("Kueue has its certificates", lambda: self._mount(certificates))
        wait_for("Kueue's webhooks answer", self._answers)

    def _mount(self, folder: Path) -> bool:
        """What a kubelet would do."""
        self._lives()
        secret = json.loads(self._kubectl("-n", SYSTEM, "get", "secret", CERTIFICATES, "-o", "json"))
        for name, value in (secret.get("data") or {}).items():
            (folder / name).write_bytes(base64.b64decode(value))
        return (folder / "tls.crt").exists()

    def _answers(self) -> bool:
        self._lives()
        try:
            self._apply([{"apiVersion": VERSION, "kind": "ResourceFlavor", "metadata": {"name": "any"}}])
        except StepError:
            return False
        return True

    def _lives(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"Kueue has ended:\n{self.log()}")

    def _apply(self, manifests: list[dict[str, Any]]) -> None:
        self._kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _kinds(manifests: Path, service: dict[str, Any]) -> list[dict[str, Any]]:
    """Kueue's CRDs, with a conversion webhook where it asks for one."""
    found = [yaml.safe_load(file.read_text()) for file in sorted((manifests / "crd" / "bases").glob("*.yaml"))]
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"service": service | {"path": "/convert"}}}
    for each in found:
        if each["spec"]["names"]["plural"] in CONVERTED:
            each["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    return found


def _webhooks(manifests: Path, service: dict[str, Any]) -> list[dict[str, Any]]:
    """Its webhooks, their Service, and the Secret that it fills, under the names of its own kustomization."""
    others = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", SYSTEM]}
    found: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": CERTIFICATES, "namespace": SYSTEM}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE, "namespace": SYSTEM},
         "spec": {"type": "ExternalName", "externalName": "localhost"}},
    ]  # fmt: skip
    for each in yaml.safe_load_all((manifests / "webhook" / "manifests.yaml").read_text()):
        each["metadata"]["name"] = f"kueue-{each['metadata']['name']}"
        for webhook in each["webhooks"]:
            webhook["clientConfig"]["service"] |= service
            webhook["namespaceSelector"] = {"matchExpressions": [others]}
        found.append(each)
    return found


def _settings(port: int, certificates: Path) -> dict[str, Any]:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": SYSTEM,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{_free_port()}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {
            "enable": True, "webhookServiceName": SERVICE, "webhookSecretName": CERTIFICATES,
        },
        "integrations": {"frameworks": ["batch/job", "pod", "deployment"]},
    }  # fmt: skip


def _free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])
