"""The CustomResourceDefinitions: current, small, accepted, and what kubectl makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from hack.cluster.kubectl import Kubectl
from lowbit.api.suites import SUITES
from lowbit.schema import crd
from lowbit.schema.rules import measured_by
from lowbit.schema.rules_objects import OBJECT_RULES, RULES
from lowbit.schema.structural import validation
from tests.api.manifests import ROOT, good
from tests.unit.toys import toy_suite

STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "stage": "EvaluatingBaseline",
    "reason": "EvaluatingBaseline",
    "message": "12 of 64 texts",
    "progress": {"percent": 42, "etaSeconds": 60, "message": "text 12"},
    "replicas": 2,
    "selector": "lowbit.dev/quantizedmodel=support-chat",
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "EvaluatingBaseline",
            "message": "12 of 64 texts",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    ],
}


@pytest.fixture
def model(kubectl: Kubectl) -> str:
    """A QuantizedModel with a status, as it is on its way."""
    manifest = good("full")
    manifest["metadata"]["name"] = "followed"
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(manifest))
    name: str = manifest["metadata"]["name"]
    kubectl("patch", "qm", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": STATUS}))
    return name


def test_the_committed_files_are_current() -> None:
    assert {path.name: path.read_text() for path in (ROOT / "crds").iterdir()} == dict(crd.files()), (
        "run: lowbit crds crds"
    )


def test_each_is_smaller_than_kubectl_apply_can_take() -> None:
    """kubectl apply keeps the whole object as JSON in an annotation, and all annotations have room for 256 KiB."""
    for name, text in crd.files().items():
        assert len(json.dumps(yaml.safe_load(text)).encode()) < 240_000, name


def test_nothing_is_a_float_and_everything_of_a_user_is_described() -> None:
    for kind in crd.KINDS:
        schema = crd.root_schema(kind)
        assert '"number"' not in json.dumps(schema)
        assert "$ref" not in json.dumps(schema)
        if kind.written_by_people:
            assert list(undescribed(schema["properties"]["spec"], "spec")) == []


def undescribed(schema: dict[str, Any], path: str) -> list[str]:
    missing = []
    for name, child in schema.get("properties", {}).items():
        if "description" not in child:
            missing.append(f"{path}.{name}")
        missing += undescribed(child, f"{path}.{name}")
        missing += undescribed(child.get("items", {}), f"{path}.{name}[]")
    return missing


def test_only_affinity_keeps_what_is_unknown() -> None:
    for kind in crd.KINDS:
        assert set(open_fields(crd.root_schema(kind), "")) <= {"affinity"}


def open_fields(schema: dict[str, Any], name: str) -> list[str]:
    found = [name] if schema.get("x-kubernetes-preserve-unknown-fields") else []
    for key, child in schema.get("properties", {}).items():
        found += open_fields(child, key)
    return found + open_fields(schema["items"], name) if "items" in schema else found


def test_rules_say_what_to_write_in_messages_of_a_readable_length() -> None:
    messages = [rule.message for rules in RULES.values() for rule in rules]
    messages += [rule.message for rules in OBJECT_RULES.values() for rule in rules]
    for message in messages:
        assert 20 < len(message) < 260, message


def test_the_api_server_accepts_them_and_knows_the_short_names(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources", "--api-group=lowbit.dev", "--no-headers")
    assert {line.split()[1] for line in listed.splitlines()} == {"qm", "mstore", "mrev", "meval"}
    assert len(kubectl("api-resources", "--categories=lowbit", "-o", "name").splitlines()) == 4


def test_the_smallest_manifest_is_ten_lines() -> None:
    assert len((ROOT / "tests/api/good/smallest.yaml").read_text().splitlines()) <= 11


def test_kubectl_get_fits_a_terminal_and_tells_the_story(kubectl: Kubectl, model: str) -> None:
    head, row = kubectl("get", "qm", model).splitlines()
    assert head.split() == ["NAME", "READY", "STAGE", "%", "VERDICT", "REASON", "AGE"]
    assert row.split()[:4] == [model, "False", "EvaluatingBaseline", "42"]
    assert len(row) <= 100
    assert "12 of 64 texts" in kubectl("get", "qm", model, "-o", "wide")


def test_kubectl_scale_reaches_the_replicas(kubectl: Kubectl, model: str) -> None:
    kubectl("scale", "qm", model, "--replicas=5")
    assert kubectl.get("qm", model)["spec"]["serving"]["replicas"] == 5
    scale = json.loads(
        kubectl("get", "--raw", f"/apis/lowbit.dev/v1alpha1/namespaces/people/quantizedmodels/{model}/scale")
    )
    assert scale["status"] == {"replicas": 2, "selector": STATUS["selector"]}


def test_a_spec_write_leaves_the_status_alone(kubectl: Kubectl, model: str) -> None:
    kubectl(
        "patch",
        "qm",
        model,
        "--type=merge",
        "-p",
        '{"status": {"stage": "Serving"}, "spec": {"jobs": {"ttlSeconds": 61}}}',
    )
    assert kubectl.get("qm", model)["status"]["stage"] == "EvaluatingBaseline"


def test_the_store_of_a_model_cannot_be_changed(kubectl: Kubectl, model: str) -> None:
    done = kubectl.attempt("patch", "qm", model, "--type=merge", "-p", '{"spec": {"storeRef": "other"}}')
    assert done.returncode != 0
    assert "storeRef cannot be changed, because the model's files lie there: make another QuantizedModel" in done.stderr


def test_a_store_cannot_be_changed(kubectl: Kubectl) -> None:
    store = good("store-pvc")
    store["metadata"]["name"] = "kept"
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(store))
    done = kubectl.attempt("patch", "mstore", "kept", "--type=merge", "-p", '{"spec": {"pvc": {"path": "other"}}}')
    assert "a ModelStore's spec cannot be changed" in done.stderr


def test_explain_describes_the_fields(kubectl: Kubectl) -> None:
    assert "scale subresource" in kubectl("explain", "qm.spec.serving.replicas")


def test_a_gate_that_asks_for_what_its_suite_does_not_measure_is_refused(kubectl: Kubectl) -> None:
    """With one more suite, known to tests only."""
    thresholds = {"type": "array", "maxItems": 8, "items": {"type": "object", "properties": {"metric": TEXT}}}
    gate = {"type": "object", "properties": dict.fromkeys(("maximum", "minimum", "nonInferiority"), thresholds)}
    with toy_suite():
        members = {name: {"type": "object", "properties": {"samples": {"type": "integer"}}} for name in SUITES.names()}
        rules = [validation(rule.cel, rule.message) for rule in map(measured_by, SUITES)]
    spec = {"type": "object", "properties": {**members, "gate": gate}, "x-kubernetes-validations": rules}
    kubectl("apply", "-f", "-", stdin=json.dumps(small_crd("Smell", spec)))
    kubectl("wait", "--for=condition=Established", "crd/smells.toys.dev")

    def refused(**spec: Any) -> str:
        manifest = {"apiVersion": "toys.dev/v1", "kind": "Smell", "metadata": {"name": "a"}, "spec": spec}
        return kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest)).stderr

    smell, divergence = [{"metric": "Smell"}], [{"metric": "KLDivergence"}]
    assert refused(toy={}, gate={"minimum": smell}) == refused(fidelity={}, gate={"maximum": divergence}) == ""
    assert "a toy suite does not measure: write one of Smell" in refused(toy={}, gate={"maximum": divergence})
    assert "a fidelity suite does not measure" in refused(fidelity={}, gate={"maximum": divergence, "minimum": smell})


TEXT = {"type": "string", "maxLength": 64}


def small_crd(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A CustomResourceDefinition of a group of its own."""
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.toys.dev"},
        "spec": {"group": "toys.dev", "scope": "Namespaced", "names": names, "versions": [version]},
    }  # fmt: skip
