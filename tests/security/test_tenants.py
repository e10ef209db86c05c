"""Namespaces are tenants: who may say where models lie, and that nobody lies in another one's folder unasked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lowbit.api.modelstore import ModelStore, ModelStoreSpec
from lowbit.decide.store import decide_store
from lowbit.desired.context import Context
from lowbit.desired.jobs.prepare import prepare_job
from lowbit.naming.names import DOCUMENT_ANNOTATION, FETCH_ANNOTATION
from lowbit.state.snapshot import Metadata, Observed
from tests.api.chart import Manifest, of_kind, permissions, render
from tests.unit import desired_inputs as inputs

BUCKET: dict[str, Any] = {"bucket": "models", "prefix": "lowbit", "credentialsSecretRef": {"name": "s3"}}


def store(**changes: Any) -> ModelStoreSpec:
    return ModelStoreSpec.model_validate({"s3": BUCKET | changes})


def prefix(manifest: Manifest, annotation: str) -> str:
    text = inputs.pod_template(manifest)["metadata"]["annotations"][annotation]
    found: str = json.loads(text)["store"]["s3"].get("prefix", "")
    return found


def prepared_in(namespace: str, spec: ModelStoreSpec) -> str:
    """The prefix that prepare writes below."""
    model = inputs.spec()
    context = Context(namespace, spec, inputs.PLATFORM)
    job = prepare_job(context, inputs.OWNER, "chat", model, inputs.run("chat-prepare-1", model.jobs.prepare))
    return prefix(job, DOCUMENT_ANNOTATION)


def test_the_same_bucket_is_another_folder_in_each_namespace() -> None:
    assert [prepared_in(each, store()) for each in ("team-a", "team-b")] == ["lowbit/team-a", "lowbit/team-b"]
    assert prepared_in("team-a", store(prefix=None)) == "team-a"
    assert prepared_in("team-a", store(prefix="a/b/")) == "a/b/team-a"


def test_only_a_store_that_says_so_is_shared() -> None:
    shared = store(sharing="Cluster")
    assert {prepared_in(each, shared) for each in ("team-a", "team-b")} == {"lowbit"}
    assert prepared_in("team-a", store(sharing="Cluster", prefix=None)) == ""


@pytest.mark.parametrize("sharing", ["Namespace", "Cluster"])
def test_every_stage_and_what_serves_use_the_same_folder(sharing: str) -> None:
    spec = store(sharing=sharing)
    wanted = f"lowbit/{inputs.NAMESPACE}" if sharing == "Namespace" else "lowbit"
    workers = (inputs.prepare(spec), inputs.quantize(spec), inputs.evaluate(spec))
    fetches = (inputs.evaluate(spec), inputs.of_kind(inputs.serve(spec), "Deployment"))
    assert {prefix(each, DOCUMENT_ANNOTATION) for each in workers} == {wanted}
    assert {prefix(each, FETCH_ANNOTATION) for each in fetches} == {wanted}


@pytest.mark.parametrize(
    ("sharing", "says"),
    [("Namespace", "below lowbit/team-a"), ("Cluster", "below lowbit; other namespaces may share them")],
)
def test_a_store_says_where_it_keeps_models_and_with_whom(sharing: str, says: str) -> None:
    seen = Observed(Metadata("default", "team-a", "u", "1"), ModelStore(spec=store(sharing=sharing)))
    plan = decide_store(seen, None, datetime(2026, 1, 1, tzinfo=UTC))
    assert plan.status is not None
    assert says in json.dumps(plan.status.status)


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return render()


def aggregated(manifests: list[Manifest], to: str) -> set[tuple[str, str, str]]:
    """What the cluster's own role of that name gets from the chart."""
    label = f"rbac.authorization.k8s.io/aggregate-to-{to}"
    return permissions([role for role in of_kind(manifests, "ClusterRole") if label in role["metadata"]["labels"]])


WRITE = {"create", "update", "patch", "delete", "deletecollection"}


def test_who_may_edit_may_not_say_where_models_lie(manifests: list[Manifest]) -> None:
    for role in ("view", "edit"):
        verbs = {verb for _, resource, verb in aggregated(manifests, role) if resource == "modelstores"}
        assert verbs == {"get", "list", "watch"}, role
    admin = {verb for _, resource, verb in aggregated(manifests, "admin") if resource == "modelstores"}
    assert admin == {"get", "list", "watch", "create", "update", "patch", "delete"}


def test_nobody_gets_the_right_to_write_what_lowbit_writes(manifests: list[Manifest]) -> None:
    """Revisions, evaluations and every status: what a verdict rests on."""
    for role in ("view", "edit", "admin"):
        written = {resource for _, resource, verb in aggregated(manifests, role) if verb in WRITE}
        assert written <= {"quantizedmodels", "quantizedmodels/scale", "modelstores"}, role


def test_view_may_write_nothing(manifests: list[Manifest]) -> None:
    assert not {each for each in aggregated(manifests, "view") if each[2] in WRITE}
