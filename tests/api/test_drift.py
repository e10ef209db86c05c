"""What is in Git stays equal to what the API server holds: for Argo CD, Flux and kubectl diff nothing has drifted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from hack.cluster.kubectl import Kubectl
from lowbit.api.base import API_VERSION
from lowbit.schema import crd
from tests.api.manifests import ROOT, good, good_names

Manifest = dict[str, Any]


def all_manifests() -> dict[str, Manifest]:
    """Everything that the tests call good, and the examples."""
    found = {f"good/{name}": good(name) for name in good_names()}
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        for number, document in enumerate(yaml.safe_load_all(path.read_text())):
            if document and document["apiVersion"] == API_VERSION:
                found[f"examples/{path.stem}-{number}"] = document
    return found


MANIFESTS = all_manifests()


@pytest.fixture(params=MANIFESTS)
def manifest(request: pytest.FixtureRequest, kubectl: Kubectl) -> Iterator[Manifest]:
    """One of them, under a name of its own; it is gone afterwards."""
    made = json.loads(json.dumps(MANIFESTS[request.param]))
    made["metadata"] = {**made["metadata"], "name": "drift", "namespace": "people"}
    yield made
    kubectl("delete", made["kind"].lower(), "drift", "--ignore-not-found")


def three_way(last: Mapping[str, Any], wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that a three-way merger would send, as Argo CD and kubectl do for custom resources.

    last: what it has applied before. A list is one value: an item with one more field is another list.
    """
    patch: dict[str, Any] = {key: None for key in last if key not in wanted and key in live}
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(live.get(key), dict):
            before = last.get(key)
            below = three_way(before if isinstance(before, dict) else {}, value, live[key])
            patch |= {key: below} if below else {}
        elif key not in live or live[key] != value:
            patch[key] = value
    return patch


def test_a_three_way_merger_sees_a_field_that_was_added_inside_of_a_list() -> None:
    wanted = {"items": [{"name": "a"}], "map": {"a": 1}}
    assert three_way(wanted, wanted, {"items": [{"name": "a"}], "map": {"a": 1, "b": 2}}) == {}
    assert three_way(wanted, wanted, {"items": [{"name": "a", "weight": 1}], "map": {"a": 1}})


def apply(kubectl: Kubectl, manifest: Manifest, *arguments: str) -> Manifest:
    """Apply it, and read it back."""
    kubectl("apply", *arguments, "-f", "-", stdin=yaml.safe_dump(manifest))
    read: Manifest = kubectl.get(manifest["kind"].lower(), "drift")
    return read


@pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_what_was_applied_reads_back_as_it_was_written(kubectl: Kubectl, manifest: Manifest, how: list[str]) -> None:
    live = apply(kubectl, manifest, *how)
    assert three_way(manifest, manifest, live) == {}
    assert kubectl.attempt("diff", *how, "-f", "-", stdin=yaml.safe_dump(manifest)).returncode == 0
    again = apply(kubectl, manifest, *how)
    for field in ("generation", "resourceVersion"):
        assert again["metadata"][field] == live["metadata"][field]


def test_the_crds_fill_in_nothing_inside_of_lists() -> None:
    found = [where for kind in crd.KINDS for where in defaults(crd.root_schema(kind), kind.name, in_list=False)]
    assert found == []


def defaults(schema: Mapping[str, Any], path: str, *, in_list: bool) -> Iterator[str]:
    """Paths of fields with a default, inside of lists."""
    if in_list and "default" in schema:
        yield path
    for name, child in schema.get("properties", {}).items():
        yield from defaults(child, f"{path}.{name}", in_list=in_list)
    if "items" in schema:
        yield from defaults(schema["items"], f"{path}[]", in_list=True)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from defaults(schema["additionalProperties"], f"{path}{{}}", in_list=in_list)


def test_a_default_inside_of_a_list_is_still_explained(kubectl: Kubectl) -> None:
    assert "Default: 256." in " ".join(kubectl("explain", "qm.spec.evaluation.suites.fidelity.samples").split())


def test_the_crds_themselves_do_not_drift(kubectl: Kubectl) -> None:
    for kind in crd.KINDS:
        wanted = crd.definition(kind)
        live = json.loads(kubectl("get", "crd", wanted["metadata"]["name"], "-o", "json"))
        assert three_way(wanted, wanted, live) == {}
