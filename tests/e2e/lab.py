"""Tools of end-to-end tests: a namespace with a store and a model; apply manifests, await conditions, ask the model."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import volumes
from hack.cluster.cluster import Cluster
from hack.cluster.progress import StepError
from hack.cluster.s3 import REGION, S3Server
from lowbit.api.base import API_VERSION
from tests.e2e.texts import calibration, holdout

MINUTES = 60.0
POLL_SECONDS = 1.0

Manifest = dict[str, Any]

MADE_KINDS = (
    "modelrevisions,modelevaluations,jobs,pods,configmaps,deployments,replicasets,services,serviceaccounts,"
    "poddisruptionbudgets,networkpolicies"
)
BUCKET = "models"
CPU: Manifest = {"requests": {"cpu": "400m"}}
"""Of two cores. A pod that asks for nothing gets nothing while the machine does something else."""


@dataclass(frozen=True)
class Lab:
    """One namespace of the cluster in which Lowbit runs."""

    cluster: Cluster
    namespace: str

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """kubectl in the namespace; its output. Raises StepError with what it said."""
        return str(self.cluster.kubectl("-n", self.namespace, *arguments, stdin=given))

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object, or None."""
        found = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(found) if found.strip() else None

    def objects(self, kind: str, selector: str = "") -> list[Manifest]:
        """All objects of a kind."""
        items: list[Manifest] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return items

    def apply(self, manifest: Manifest) -> None:
        """kubectl apply."""
        self.kubectl("apply", "-f", "-", given=json.dumps(manifest))

    def furnish(self, model: Path) -> Path:
        """A ModelStore, the source volume with a model in it, and the datasets. Returns the store's folder."""
        kubectl, paths = self.cluster.kubectl, self.cluster.paths
        store = volumes.create(kubectl, paths, namespace=self.namespace, name="models")
        sources = volumes.create(kubectl, paths, namespace=self.namespace, name="sources")
        shutil.copytree(model, sources / "model")
        self._datasets()
        self._store({"pvc": {"claimName": "models"}})
        return store

    def furnish_bucket(self, model: Path, server: S3Server) -> Manifest:
        """The same in a bucket: source and store. Returns the source as a QuantizedModel writes it."""
        keys = {"accessKeyId": server.access_key, "secretAccessKey": server.secret_key}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": keys})
        where = {"bucket": BUCKET, "endpoint": server.url, "region": REGION, "credentialsSecretRef": {"name": "bucket"}}
        client = server.client()
        for file in sorted(model.iterdir()):
            client.upload_file(str(file), BUCKET, f"source/{file.name}")
        self._datasets()
        self._store({"s3": where | {"prefix": "store"}})
        return {"s3": where | {"path": "source"}}

    def _store(self, spec: Manifest) -> None:
        self.apply({"apiVersion": API_VERSION, "kind": "ModelStore", "metadata": {"name": "default"}, "spec": spec})

    def _datasets(self) -> None:
        for name, texts in (("calibration", calibration()), ("holdout", holdout())):
            lines = "\n".join(json.dumps({"text": text}) for text in texts)
            data = {"data.jsonl": lines}
            self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})

    def apply_model(self, name: str, **changes: Any) -> None:
        """A QuantizedModel of the model in the source volume, on CPU; a field that is None is left out."""
        spec = {field: value for field, value in (model_spec() | changes).items() if value is not None}
        self.apply({"apiVersion": API_VERSION, "kind": "QuantizedModel", "metadata": {"name": name}, "spec": spec})

    def status(self, name: str) -> Manifest:
        """Status of a QuantizedModel; empty before the first."""
        return (self.get("quantizedmodel", name) or {}).get("status") or {}

    def wait(self, what: str, check: Callable[[], bool], minutes: float = 20) -> None:
        """Wait for a condition; says what was missing."""
        deadline = time.monotonic() + minutes * MINUTES
        while not check():
            if time.monotonic() > deadline:
                raise StepError(what, f"not so after {minutes:.0f} minutes\n{self.picture()}")
            time.sleep(POLL_SECONDS)

    def wait_ready(self, name: str, minutes: float = 20) -> Manifest:
        """Until Ready holds for the present generation; fails as soon as it is Stalled."""

        def ready() -> bool:
            if condition(self.get("quantizedmodel", name), "Stalled"):
                raise StepError(f"{name} becomes Ready", f"it is Stalled\n{self.picture()}")
            return condition(self.get("quantizedmodel", name), "Ready")

        self.wait(f"{name} becomes Ready", ready, minutes)
        return self.status(name)

    def wait_available(self, name: str, minutes: float = 20) -> None:
        """Until a passed revision answers."""
        available: Callable[[], bool] = lambda: condition(self.get("quantizedmodel", name), "Available")  # noqa: E731
        self.wait(f"{name} becomes Available", available, minutes)

    def wait_stalled(self, name: str, minutes: float = 20) -> Manifest:
        """Until Stalled holds for the present generation."""
        stalled: Callable[[], bool] = lambda: condition(self.get("quantizedmodel", name), "Stalled")  # noqa: E731
        self.wait(f"{name} becomes Stalled", stalled, minutes)
        return self.status(name)

    def service(self, name: str) -> str:
        """URL of the Service by its address: the node's own network reaches it."""
        service = self.get("service", name)
        assert service is not None, f"there is no Service {name}"
        return f"http://{service['spec']['clusterIP']}"

    def ask(self, name: str, prompt: str = "The capital of France is", headers: dict[str, str] | None = None) -> str:
        """One completion through Service, guard and engine."""
        body = {"model": name, "prompt": prompt, "max_tokens": 8, "temperature": 0}
        answer = request(f"{self.service(name)}/v1/completions", body, headers)
        return str(answer["choices"][0]["text"])

    def left_over(self) -> list[str]:
        """What Lowbit has made and is still there, as kind/name."""
        items = self.objects(MADE_KINDS, "app.kubernetes.io/managed-by=lowbit")
        return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in items)

    def wait_gone(self, *names: str) -> None:
        """Until the QuantizedModels and all that Lowbit made in the namespace are gone."""
        for name in names:
            self.wait(f"{name} is gone", lambda name=name: self.get("quantizedmodel", name) is None)  # type: ignore[misc]
        self.wait("nothing of Lowbit's is left", lambda: not self.left_over())

    def remove(self) -> None:
        """The namespace, its volumes and their folders."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=true", "--timeout=300s")
        for name in ("models", "sources"):
            volumes.delete(self.cluster.kubectl, self.cluster.paths, namespace=self.namespace, name=name)

    def picture(self) -> str:
        """What one needs to see why: objects, events, and the ends of all logs."""
        parts = [self._said("get", "qm,mrev,meval,jobs,pods,deployments", "-o", "wide"), self._said("describe", "qm")]
        parts.append(self._said("get", "events", "--sort-by=.lastTimestamp"))
        for pod in self.objects("pods"):
            name = pod["metadata"]["name"]
            parts.append(f"--- {name}\n{self._said('logs', name, '--all-containers', '--tail=25', '--prefix')}")
        parts.append(str(self.cluster.kubectl("-n", "lowbit-system", "logs", "deployment/lowbit", "--tail=40")))
        return "\n".join(parts)

    def _said(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments)
        except Exception as error:
            return str(error)


def condition(manifest: Manifest | None, type_: str) -> bool:
    """Whether a condition is True for the present generation."""
    if manifest is None:
        return False
    status = manifest.get("status") or {}
    if status.get("observedGeneration") != manifest["metadata"]["generation"]:
        return False
    return any(each["type"] == type_ and each["status"] == "True" for each in status.get("conditions") or [])


def request(url: str, body: Manifest | None = None, headers: dict[str, str] | None = None) -> Manifest:
    """One HTTP request with a JSON answer. Raises urllib.error.HTTPError."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}))
    with urllib.request.urlopen(asked, timeout=300) as response:
        answer: Manifest = json.load(response)
    return answer


def code(url: str, body: Manifest | None = None, headers: dict[str, str] | None = None) -> int:
    """Status code of one HTTP request."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}))
    try:
        with urllib.request.urlopen(asked, timeout=300) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def model_spec() -> Manifest:
    """A cut SmolLM2 on CPU: group 64 divides it, and a model of few layers passes only a generous gate."""
    return {
        "source": {"pvc": {"claimName": "sources", "path": "model"}},
        "candidates": [{"gptq": {"bits": 4, "groupSize": 64}}],
        "calibration": {
            "samples": 24,
            "maxTokens": 128,
            "datasets": [{"name": "c", "configMap": {"name": "calibration"}}],
        },
        "evaluation": {
            "suites": [suite("5")],
            "speed": {"requests": 4, "promptTokens": 16, "outputTokens": 8},
        },
        "engine": {
            "vllm": {
                "device": "CPU",
                "maxModelLen": 512,
                "args": ["--enforce-eager"],
                "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}],
                "resources": CPU,
            }
        },
        "serving": {"replicas": 1, "drainSeconds": 20},
        "jobs": {"quantize": {"device": "CPU", "resources": CPU}},
    }


def suite(maximum: str) -> Manifest:
    """A fidelity suite with a largest KL divergence."""
    fidelity = {"dataset": {"configMap": {"name": "holdout"}}, "samples": 210, "maxTokens": 96}
    return {
        "name": "fidelity",
        "fidelity": fidelity,
        "gate": {"maximum": [{"metric": "KLDivergence", "value": maximum}]},
    }
