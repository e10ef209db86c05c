"""What a person gets for a manifest: from the API server, and the same from `lowbit plan` without one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from hack.cluster.kubectl import Kubectl
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.schema.check import check_manifest
from lowbit.schema.rules_objects import OBJECT_RULES, RULES
from tests.api.manifests import Bad, bad, good, good_names

BAD = bad()


def by_name(case: Bad) -> str:
    return case.name


@pytest.mark.parametrize("case", BAD, ids=by_name)
def test_the_api_server_refuses_it_and_says_what_to_write(kubectl: Kubectl, case: Bad) -> None:
    done = kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(case.manifest))
    assert done.returncode != 0, f"accepted: {done.stdout}"
    assert case.says in done.stderr.replace('\\"', '"')


@pytest.mark.parametrize("case", BAD, ids=by_name)
def test_without_a_cluster_the_same_is_said(case: Bad) -> None:
    found = check_manifest(case.manifest).findings
    assert any(case.says in finding.message for finding in found), found


@pytest.mark.parametrize("case", BAD, ids=by_name)
def test_one_mistake_is_one_finding(case: Bad) -> None:
    found = check_manifest(case.manifest).findings
    assert len(found) == case.findings, found


def test_there_are_at_least_sixty() -> None:
    assert len({case.name for case in BAD}) == len(BAD) >= 60


def test_every_rule_has_a_manifest_that_breaks_it() -> None:
    """Or it is a rule on changes, which test_changes covers."""
    messages = {rule.message for rules in RULES.values() for rule in rules if rule.holds}
    messages |= {rule.message for rules in OBJECT_RULES.values() for rule in rules}
    assert messages <= {finding.message for case in BAD for finding in check_manifest(case.manifest).findings}


@pytest.mark.parametrize("name", good_names())
def test_a_good_manifest_is_accepted_by_both(kubectl: Kubectl, name: str) -> None:
    assert check_manifest(good(name)).findings == ()
    kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(good(name)))


@pytest.mark.parametrize("name", good_names())
def test_the_api_server_fills_in_what_the_types_would_and_nothing_inside_of_lists(kubectl: Kubectl, name: str) -> None:
    manifest = good(name)
    printed = kubectl("create", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=yaml.safe_dump(manifest))
    spec_type = QuantizedModelSpec if manifest["kind"] == "QuantizedModel" else ModelStoreSpec
    stored: dict[str, Any] = yaml.safe_load(printed)["spec"]
    assert spec_type.model_validate(stored) == spec_type.model_validate(manifest["spec"])
    typed = spec_type.model_validate(manifest["spec"]).wire()
    assert without_empty(stored) == without_empty(with_lists_as_written(typed, manifest["spec"]))


def with_lists_as_written(typed: Any, written: Any) -> Any:
    """What the types say, with the lists of the manifest: other tools merge these as one value."""
    if isinstance(typed, dict) and isinstance(written, dict | None):
        return {key: with_lists_as_written(item, (written or {}).get(key)) for key, item in typed.items()}
    return written if isinstance(typed, list) and written is not None else typed


def without_empty(value: Any) -> Any:
    """What says something: {} and [] are left out, as the API server leaves them."""
    if isinstance(value, dict):
        items = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in ({}, [], "")}
    if isinstance(value, list):
        return [without_empty(item) for item in value]
    return str(value) if isinstance(value, int) else value
