"""States that no run would make: foreign objects stay untouched, a blocked model says so, nothing loops for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.outcome import Clock
from tests.faults.states.actor import spoil
from tests.faults.states.cluster import Cluster
from tests.faults.states.walk import Walk
from tests.unit.world import spec

NAME = "one"


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.quality = lambda digest: "Passed"  # type: ignore[method-assign]
    cluster.add_store()
    cluster.apply_model(NAME, spec())
    return cluster


def conditions(cluster: Cluster) -> dict[str, Any]:
    return {each["type"]: each for each in cluster.model(NAME)["status"]["conditions"]}


def placed(cluster: Cluster, kind: str, name: str, manifest: dict[str, Any], **metadata: Any) -> str:
    """Somebody else's object; its uid."""
    cluster.objects.pop((kind, name), None)
    made = cluster.put(manifest | {"metadata": {"name": name} | metadata})
    uid: str = made["metadata"]["uid"]
    cluster.foreign.add(uid)
    return uid


def test_a_job_of_somebody_else_under_our_name_is_left_alone_and_said(cluster: Cluster) -> None:
    walk = Walk(cluster)
    walk.reconcile(NAME)
    (job,) = cluster.names("Job")
    uid = placed(cluster, "Job", job, cluster.objects["Job", job], labels={"app": "theirs"})
    walk.rest()
    assert conditions(cluster)["Stalled"]["reason"] == "NameTaken"
    assert job in conditions(cluster)["Stalled"]["message"]
    assert cluster.objects["Job", job]["metadata"]["uid"] == uid
    cluster.objects.pop(("Job", job))
    walk.rest()
    assert conditions(cluster)["Ready"]["status"] == "True"


@pytest.mark.parametrize("kind", ["Deployment", "Service", "NetworkPolicy", "ServiceAccount"])
def test_a_child_that_something_else_controls_is_never_applied_nor_deleted(cluster: Cluster, kind: str) -> None:
    walk = Walk(cluster)
    walk.rest()
    app = cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}})["metadata"]["uid"]
    each = cluster.objects[kind, NAME]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "app", "uid": app, "controller": True}
    uid = placed(cluster, kind, NAME, {**each, "spec": {}}, labels=each["metadata"]["labels"], ownerReferences=[owner])
    before = cluster.objects[kind, NAME]
    walk.rest()
    assert conditions(cluster)["Stalled"]["reason"] == "NameTaken"
    cluster.apply_model(NAME, spec(serving=None))
    walk.rest()
    assert cluster.objects[kind, NAME] == before
    assert before["metadata"]["uid"] == uid


def test_what_a_former_model_of_the_same_name_left_is_waited_for_until_it_is_collected(cluster: Cluster) -> None:
    walk = Walk(cluster)
    walk.rest()
    model = cluster.model(NAME)
    cluster.objects.pop(("QuantizedModel", NAME))
    cluster.apply_model(NAME, model["spec"])
    walk.reconcile_all()
    assert "Stalled" not in conditions(cluster)
    walk.rest()
    assert conditions(cluster)["Ready"]["status"] == "True"


def test_a_revision_that_is_being_deleted_is_not_created_again_and_again(cluster: Cluster) -> None:
    walk = Walk(cluster)
    walk.rest()
    cluster.held = True
    (name,) = cluster.names("ModelRevision")
    each = cluster.objects["ModelRevision", name]
    cluster.write(("ModelRevision", name), each | {"metadata": each["metadata"] | {"finalizers": ["example.com/hold"]}})
    cluster.delete("ModelRevision", name)
    walk.rest()
    assert conditions(cluster)["Ready"]["reason"] == "Restarting"
    cluster.held = False
    walk.rest()
    assert conditions(cluster)["Ready"]["status"] == "True"


def test_an_evaluation_that_cannot_be_read_is_not_created_again_and_again(cluster: Cluster) -> None:
    walk = Walk(cluster)
    walk.rest()
    for name in cluster.names("ModelEvaluation"):
        each = cluster.objects["ModelEvaluation", name]
        cluster.write(("ModelEvaluation", name), each | {"spec": each["spec"] | {"shards": 7}})
    (revision,) = cluster.names("ModelRevision")
    each = cluster.objects["ModelRevision", revision]
    cluster.write(("ModelRevision", revision), each | {"status": {"artifact": each["status"]["artifact"]}})
    walk.rest()
    assert conditions(cluster)["Stalled"]["reason"] == "NameTaken"
    assert "cannot read" in conditions(cluster)["Stalled"]["message"]


@pytest.mark.parametrize("exit_code", [0, EXIT_REFUSED])
def test_words_that_say_nothing_stall_with_words_that_do(cluster: Cluster, exit_code: int) -> None:
    walk = Walk(cluster)
    walk.reconcile(NAME)
    (job,) = cluster.names("Job")
    cluster.finish_job(job, TerminationMessage(refusal=Refusal(reason="", message="", action="")), code=exit_code)
    walk.rest()
    failure = cluster.model(NAME)["status"]["lastFailure"]
    assert conditions(cluster)["Stalled"]["status"] == "True"
    assert failure["reason"] and failure["message"] and failure["action"]


def test_a_worker_whose_result_cannot_be_read_does_not_run_for_ever(cluster: Cluster) -> None:
    walk = Walk(cluster)
    walk.reconcile(NAME)
    (job,) = cluster.names("Job")
    cluster.finish_job(job)
    spoil(cluster, job, "garble", 1)
    uid = cluster.objects["Job", job]["metadata"]["uid"]
    walk.rest()
    assert conditions(cluster)["Stalled"]["reason"] == "NoResult"
    assert cluster.objects["Job", job]["metadata"]["uid"] == uid


def test_a_job_that_ended_in_the_future_is_not_waited_for(cluster: Cluster) -> None:
    clock = Clock(cluster.now)
    soon, far = cluster.now + timedelta(seconds=5), cluster.now + timedelta(days=3650)
    assert clock.seconds_since(f"{soon:%Y-%m-%dT%H:%M:%SZ}") == 0.0
    assert clock.seconds_since(f"{far:%Y-%m-%dT%H:%M:%SZ}") == float("inf")
    assert clock.seconds_since("2026-01-01") == float("inf"), "a time without a zone says nothing"


def test_the_store_forgets_that_an_object_could_not_be_read_when_it_can_be(cluster: Cluster) -> None:
    manifest = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "ModelEvaluation", "metadata": {"name": "eval-1"}}
    cluster.put(manifest | {"spec": {"shards": 7}})
    assert "eval-1" in cluster.snapshot(NAME).unreadable
    cluster.objects.pop(("ModelEvaluation", "eval-1"))
    assert cluster.snapshot(NAME).unreadable == {}
