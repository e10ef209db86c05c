"""The corpus: objects as an operator and an API server have made them, kept to see what a newer operator does to them.

    PYTHONPATH=operator .venv/bin/python -m tests.api.corpus 0.1.0    # makes tests/unit/golden/corpus/0.1.0.yaml

The file of a version that has been released is never changed: that it is left alone is what the tests are for. Each
file is one namespace at rest: models that are served, that have passed, that have failed, and whose Jobs run.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hack.cluster.apiserver import ApiServer
from tests.api import monitors
from tests.api.actor import WORKER, Actor
from tests.api.calls import CallError
from tests.api.installation import Installation
from tests.api.manifests import ROOT
from tests.api.operator_process import Cluster, OperatorProcess, model_store, namespace, quantized_model, wait_for

Manifest = dict[str, Any]

FOLDER = ROOT / "tests" / "unit" / "golden" / "corpus"
SPACE = "corpus"
OWN = ("ModelStore", "QuantizedModel", "ModelRevision", "ModelEvaluation")
MADE = ("Job", "Pod", "ConfigMap", "ServiceAccount", "Service", "NetworkPolicy", "PodDisruptionBudget", "Deployment")
KINDS = ("PersistentVolumeClaim", *OWN, *MADE, "PodMonitor")
"""In the order in which they can be created: owners first."""
RUNS = {"preparing": "preparing-prepare-", "quantizing": "quantize-", "evaluating": "baseline-"}
"""Models whose Job of that prefix runs on."""
ENDS = {
    "served": "Serving",
    "shared": "Passed",
    "failed": "Failed",
    "original": "Failed",
    "outside": "Passed",
    "bucket": "Serving",
    "collected": "Serving",
    "preparing": "Preparing",
    "quantizing": "Quantizing",
    "evaluating": "EvaluatingBaseline",
}
"""Where each model stays."""
GENERATED = ("controller-uid", "batch.kubernetes.io/controller-uid")
"""Labels that the API server gives to a Job's pods."""


def versions() -> list[Path]:
    """The files, the oldest first."""
    return sorted(FOLDER.glob("*.yaml"))


@cache
def read(file: Path) -> list[Manifest]:
    """Every object of one file; not to be changed."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [manifest for manifest in yaml.load_all(file.read_text(), loader) if manifest]


def changed_platform() -> dict[str, Any]:
    """What an upgrade of the chart changes: every image."""
    return {f"{part}Image": f"registry.example/{part}:9.9.9" for part in ("operator", "worker", "engine", "guard")}


class Loader:
    """Puts a corpus onto an API server. Uids are the server's: owner references are written anew."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._uids: dict[str, str] = {}

    def load(self, manifests: list[Manifest]) -> None:
        """Create every object with its status."""
        self._cluster.apply(namespace(SPACE))
        for manifest in sorted(manifests, key=lambda each: KINDS.index(each["kind"])):
            self._create(manifest)

    def unload(self) -> None:
        """Delete every object."""
        for kind in KINDS:
            with contextlib.suppress(CallError):  # PodMonitors went with their kind
                self._cluster.empty(SPACE, kind)

    def _create(self, manifest: Manifest) -> None:
        kind, metadata = manifest["kind"], manifest["metadata"]
        fields = ("name", "namespace", "labels", "annotations")
        kept: Manifest = {field: metadata[field] for field in fields if field in metadata}
        kept["ownerReferences"] = [
            owner | {"uid": self._uids[owner["uid"]]} for owner in metadata.get("ownerReferences", ())
        ]
        whole = {name: value for name, value in manifest.items() if name != "status"} | {"metadata": kept}
        path = self._cluster.path(kind, SPACE)
        made = self._cluster.client("POST", path, _creatable(whole))
        self._uids[metadata["uid"]] = made["metadata"]["uid"]
        if manifest.get("status") and kind != "PodMonitor":
            self._cluster.patch(kind, SPACE, metadata["name"], {"status": manifest["status"]}, "/status")


def _creatable(manifest: Manifest) -> Manifest:
    """Without what only the API server may give."""
    spec = dict(manifest.get("spec") or {})
    if manifest["kind"] == "Job":
        spec.pop("selector", None)
        template = spec["template"]
        labels = {name: value for name, value in template["metadata"]["labels"].items() if name not in GENERATED}
        spec["template"] = template | {"metadata": template["metadata"] | {"labels": labels}}
    if manifest["kind"] == "Service":
        spec = {name: value for name, value in spec.items() if not name.startswith("clusterIP")}
    return manifest | {"spec": spec} if spec else manifest


def models() -> list[Manifest]:
    """One model for each way that one can go."""
    served, shared, failed, original, outside, bucket, collected = (
        quantized_model(SPACE, name)
        for name in ("served", "shared", "failed", "original", "outside", "bucket", "collected")
    )
    served["spec"] |= {"candidates": [{"gptq": {"bits": 4, "groupSize": 32}}, {"gptq": {"bits": 8}}]}
    served["spec"]["serving"] = _serving()
    served["spec"]["engine"] = {
        "vllm": {
            "args": ["--max-num-seqs", "64"],
            "env": [{"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}],
            "resources": {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        }
    }
    failed["spec"] |= {"candidates": [{"gptq": {"bits": 4, "groupSize": 32}}], "serving": {"replicas": 1}}
    original["spec"] |= {"candidates": [{"gptq": {"bits": 4, "groupSize": 32}}]}
    original["spec"]["serving"] = {"replicas": 1, "fallback": "Source"}
    outside["spec"]["candidates"] = [{"artifact": {"pvc": {"claimName": "models", "path": "made/elsewhere"}}}]
    bucket["spec"] |= {"storeRef": "bucket", "serving": {"replicas": 1}}
    collected["spec"] |= {"calibration": _calibration(64), "serving": {"replicas": 2}}
    running = [quantized_model(SPACE, name) for name in RUNS]
    for number, model in enumerate(running):
        model["spec"]["calibration"] = _calibration(100 + number)
    running[-1]["spec"]["engine"] = {"vllm": {"maxModelLen": 1024}}
    return [served, shared, failed, original, outside, bucket, collected, *running]


def _serving() -> Manifest:
    return {
        "replicas": 2,
        "apiKeySecretRef": {"name": "chat", "key": "token"},
        "pod": {
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
            "annotations": {"team": "chat"},
        },
    }


def _calibration(samples: int) -> Manifest:
    return {"samples": samples, "datasets": [{"name": "general", "configMap": {"name": "general"}}]}


class Maker:
    """Lets an operator make a corpus."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._actor = Actor(cluster, SPACE)
        self._fails: set[str] = set()
        self._actor.world.kl = self._kl
        self._actor.held = self._held

    def make(self) -> list[Manifest]:
        """Every object, once everything is at rest."""
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models", "namespace": SPACE},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Ti"}}},
        }
        bucket = model_store(SPACE)
        bucket["metadata"]["name"] = "bucket"
        self._cluster.apply(
            namespace(SPACE), claim, model_store(SPACE) | {"spec": {"pvc": {"claimName": "models"}}}, bucket
        )
        for model in models():
            self._cluster.apply(model)
        try:
            self._actor.until("every model is where it belongs", lambda: self.stages() == ENDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.stages()}") from error
        self._collect("collected")
        self._run_held()
        return [_kept(each) for kind in KINDS for each in self._cluster.list(kind, SPACE)]

    def stages(self) -> dict[str, str]:
        """Where each model is."""
        found = self._cluster.list("QuantizedModel", SPACE)
        return {each["metadata"]["name"]: each.get("status", {}).get("stage", "") for each in found}

    def _kl(self, evaluation: str) -> float:
        """What has groups of 32 fails."""
        measured = (self._cluster.get("ModelEvaluation", SPACE, evaluation) or {})["spec"]["model"]["digest"]
        for revision in self._cluster.list("ModelRevision", SPACE):
            artifact = revision.get("status", {}).get("artifact", {})
            if artifact.get("digest") == measured:
                return 0.5 if revision["spec"]["recipe"].get("gptq", {}).get("groupSize") == 32 else 0.05
        return 0.05

    def _held(self, job: str) -> bool:
        """The Jobs that run on."""
        found = self._cluster.get("Job", SPACE, job) or {"metadata": {"ownerReferences": []}}
        owners = {owner["name"] for owner in found["metadata"]["ownerReferences"]}
        return any(owners == {name} and job.startswith(prefix) for name, prefix in RUNS.items())

    def _run_held(self) -> None:
        for job in self._cluster.list("Job", SPACE):
            if not job["status"].get("conditions"):
                self._actor.run(job)

    def _collect(self, name: str) -> None:
        """The Jobs and pods of one model alone are gone, as after their time to live."""
        for job in self._cluster.list("Job", SPACE):
            if {owner["name"] for owner in job["metadata"]["ownerReferences"]} == {name}:
                self._cluster.delete("Job", SPACE, job["metadata"]["name"])
                self._cluster.delete("Pod", SPACE, f"{job['metadata']['name']}-0")


def _kept(manifest: Mapping[str, Any]) -> Manifest:
    """Without what is nobody's; of a pod's spec, which nobody reads, so much that it can be created."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    if manifest["kind"] != "Pod":
        return dict(manifest) | {"metadata": metadata}
    metadata.pop("annotations", None)
    spec = {"containers": [{"name": WORKER, "image": "image"}], "nodeName": manifest["spec"]["nodeName"]}
    status = {name: value for name, value in manifest["status"].items() if name != "qosClass"}
    return dict(manifest) | {"metadata": metadata, "spec": spec, "status": status}


def main(version: str) -> None:
    file = FOLDER / f"{version}.yaml"
    with ApiServer() as server, tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(server)
        cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        monitors.install(cluster)
        installation = Installation(server, Path(folder) / "pod", "lowbit")
        installation.install()
        operator = OperatorProcess(server, Path(folder) / "log", "maker", installation=installation)
        try:
            wait_for("the operator is ready", operator.ready)
            manifests = Maker(cluster).make()
        finally:
            operator.kill()
        FOLDER.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump_all(manifests, sort_keys=True, width=120))


if __name__ == "__main__":
    main(sys.argv[1])
