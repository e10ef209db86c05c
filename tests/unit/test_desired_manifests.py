"""What holds for every object that Lowbit makes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lowbit.desired.common import Manifest
from lowbit.naming.names import MANAGED_BY, MANAGED_BY_LABEL
from tests.unit import desired_inputs as inputs
from tests.unit.pod_security import violations

WITH_PODS = ("Job", "Deployment")


@pytest.fixture(params=sorted(inputs.STORES))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return inputs.everything(inputs.STORES[request.param])


def test_every_pod_is_allowed_by_restricted_pod_security(manifests: list[Manifest]) -> None:
    pods = [inputs.pod_template(manifest)["spec"] for manifest in manifests if manifest["kind"] in WITH_PODS]
    assert len(pods) == 6
    assert [list(violations(pod)) for pod in pods] == [[]] * 6


def test_every_pod_pulls_its_images_with_the_platforms_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serving pods have an account of their own, and so none of the secrets that the default account has."""
    monkeypatch.setattr(inputs, "PLATFORM", inputs.PLATFORM.model_copy(update={"image_pull_secrets": ["registry"]}))
    pods = [inputs.pod_template(each)["spec"] for each in inputs.everything() if each["kind"] in WITH_PODS]
    assert [pod["imagePullSecrets"] for pod in pods] == [[{"name": "registry"}]] * 6
    own = inputs.spec(jobs={"prepare": {"imagePullSecrets": [{"name": "own"}]}})
    assert inputs.pod_template(inputs.prepare(model=own))["spec"]["imagePullSecrets"] == [{"name": "own"}]


def test_every_object_says_that_lowbit_manages_it_and_has_an_owner(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        assert manifest["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGED_BY
        assert manifest["metadata"]["namespace"] == inputs.NAMESPACE
        owners = manifest["metadata"]["ownerReferences"]
        assert owners
        assert sum(owner.get("controller", False) for owner in owners) <= 1


def test_every_mount_has_its_volume_and_no_claim_is_two_volumes(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] not in WITH_PODS:
            continue
        pod = inputs.pod_template(manifest)["spec"]
        names = [volume["name"] for volume in pod["volumes"]]
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if len(volume) > 1
                  and "persistentVolumeClaim" in volume]  # fmt: skip
        assert len(names) == len(set(names))
        assert len(claims) == len(set(claims))
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(names)
            assert len(paths) == len(set(paths))
            variables = [variable["name"] for variable in container.get("env", [])]
            assert len(variables) == len(set(variables))


def test_every_manifest_is_json_without_anything_empty_that_the_server_would_drop(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["apiVersion"].startswith("lowbit.dev"):
            continue  # custom resources keep what they are given
        assert json.loads(json.dumps(manifest)) == manifest
        assert not list(empty_members(manifest)), manifest["kind"]


def empty_members(value: Any, path: str = "") -> list[str]:
    """Paths of members that are None, [] or {} (emptyDir apart)."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if item in (None, [], {}) and key != "emptyDir":
            found.append(f"{path}.{key}")
        found += empty_members(item, f"{path}.{key}")
    return found


def test_the_same_input_gives_the_same_manifests() -> None:
    assert inputs.everything() == inputs.everything()


def test_every_name_is_a_dns_label(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        assert len(manifest["metadata"]["name"]) <= 63


def test_a_configmap_comes_before_the_pods_that_mount_it(manifests: list[Manifest]) -> None:
    made: set[str] = {"general", "bundle"}
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            assert manifest["immutable"] is True
            made.add(manifest["metadata"]["name"])
        if manifest["kind"] in WITH_PODS:
            volumes = inputs.pod_template(manifest)["spec"]["volumes"]
            assert {volume["configMap"]["name"] for volume in volumes if "configMap" in volume} <= made
