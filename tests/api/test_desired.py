"""Every manifest, the chart and the examples before a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.cluster.apiserver import ApiServer
from lowbit.desired.common import Manifest
from tests.api.chart import render
from tests.api.installation import Installation
from tests.unit import desired_inputs as inputs

ROOT = Path(__file__).resolve().parents[2]
WITH_PODS = ("Job", "Deployment")
DRY_RUN = ("--dry-run=server", "--server-side", "--validate=strict", "-f", "-")


@pytest.fixture(scope="module", autouse=True)
def restricted(server: ApiServer, installation: Installation) -> None:
    """A namespace under restricted Pod Security, beside the chart's own."""
    server.kubectl("create", "namespace", inputs.NAMESPACE)
    for name in (inputs.NAMESPACE, installation.namespace):
        server.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    server.kubectl("create", "priorityclass", "batch", "--value=1")


def test_the_chart_passes_strict_validation(server: ApiServer) -> None:
    server.kubectl("apply", *DRY_RUN, "--force-conflicts", stdin=yaml.safe_dump_all(render()))


@pytest.fixture(params=sorted(inputs.STORES))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    every = inputs.everything(inputs.STORES[request.param])
    return [manifest for manifest in every if manifest["kind"] != "PodMonitor"]


def test_every_manifest_passes_strict_validation(server: ApiServer, manifests: list[Manifest]) -> None:
    for manifest in manifests:
        server.kubectl("apply", *DRY_RUN, stdin=json.dumps(manifest))


def test_every_pod_is_admitted_where_pod_security_is_restricted(server: ApiServer, manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] in WITH_PODS:
            pod = {"apiVersion": "v1", "kind": "Pod", **inputs.pod_template(manifest)}
            pod["metadata"] = {**pod["metadata"], "name": "pod", "namespace": inputs.NAMESPACE}
            server.kubectl("apply", *DRY_RUN, stdin=json.dumps(pod))


def test_an_applied_manifest_says_everything_that_was_declared(server: ApiServer, manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] in ("Job", "ConfigMap") or manifest["apiVersion"].startswith("lowbit.dev"):
            continue  # created once, never compared
        server.kubectl.apply(json.dumps(manifest))
        seen = server.kubectl.get(manifest["kind"], manifest["metadata"]["name"], "-n", inputs.NAMESPACE)
        assert not list(differences(manifest, seen)), manifest["kind"]


def differences(declared: object, seen: object, path: str = "") -> Iterator[str]:
    """Paths below which what was declared is not what the server gives back."""
    if isinstance(declared, dict):
        for key, value in declared.items():
            yield from differences(value, seen.get(key) if isinstance(seen, dict) else None, f"{path}.{key}")
    elif isinstance(declared, list):
        if not isinstance(seen, list) or len(seen) != len(declared):
            yield path
        else:
            for index, (one, other) in enumerate(zip(declared, seen, strict=True)):
                yield from differences(one, other, f"{path}[{index}]")
    elif declared != seen:
        yield f"{path}: {declared!r} became {seen!r}"


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "examples").glob("*.yaml")))
def test_every_example_is_accepted(server: ApiServer, file: str) -> None:
    server.kubectl("apply", "-n", inputs.NAMESPACE, *DRY_RUN, stdin=(ROOT / "examples" / file).read_text())
