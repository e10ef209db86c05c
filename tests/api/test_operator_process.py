"""The operator's process against a real API server: events, restarts, leadership, and silence at rest."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from hack.cluster.apiserver import ApiServer
from tests.api.conftest import StartOperator
from tests.api.operator_process import Cluster, model_store, quantized_model, wait_for

LEASE = ("lowbit-system", "lowbit")


def prepare_jobs(cluster: Cluster, space: str) -> list[dict[str, Any]]:
    return cluster.list("Job", space)


def test_an_applied_model_gets_its_prepare_job_and_a_status(cluster: Cluster, space: str, start: StartOperator) -> None:
    start()
    cluster.apply(quantized_model(space, "chat"))
    (job,) = wait_for("the prepare Job is made", lambda: prepare_jobs(cluster, space))
    assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "lowbit"
    wait_for("the status says so", lambda: cluster.conditions(space, "chat").get("Reconciling") == "True")
    events = wait_for("an event is sent", lambda: cluster.list("Event", space))
    assert {each["reportingController"] for each in events} == {"lowbit.dev/operator"}


def test_a_child_that_is_deleted_by_hand_comes_back(cluster: Cluster, space: str, start: StartOperator) -> None:
    start()
    cluster.apply(quantized_model(space, "chat"))
    (job,) = wait_for("the prepare Job is made", lambda: prepare_jobs(cluster, space))
    cluster.delete("Job", space, job["metadata"]["name"])
    again = wait_for("it is back", lambda: prepare_jobs(cluster, space))
    assert [each["metadata"]["name"] for each in again] == [job["metadata"]["name"]]
    assert again[0]["metadata"]["uid"] != job["metadata"]["uid"]


def test_killed_and_started_again_it_goes_on_without_a_second_job(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    first = start("first")
    cluster.apply(quantized_model(space, "chat"))
    first.kill()
    second = start("second")
    (job,) = wait_for("the prepare Job is made", lambda: prepare_jobs(cluster, space))
    wait_for("the status is written", lambda: cluster.conditions(space, "chat").get("Ready"))
    second.kill()
    start("third")
    wait_for("the third leads", lambda: _holder(cluster) == "third")
    assert [each["metadata"]["uid"] for each in prepare_jobs(cluster, space)] == [job["metadata"]["uid"]]


def test_it_writes_nothing_at_rest(cluster: Cluster, space: str, start: StartOperator) -> None:
    operator = start("operator", f"--namespaces={space}")
    cluster.apply(quantized_model(space, "chat"))
    wait_for("the status is written", lambda: cluster.conditions(space, "chat").get("Reconciling") == "True")

    def nudge() -> float:
        """Have it reconciled for nothing, and count the writes."""
        before = operator.metric("lowbit_reconciles_total", kind="QuantizedModel", result="unchanged")
        cluster.patch("QuantizedModel", space, "chat", {"metadata": {"annotations": {"nudge": f"n{before}"}}})
        unchanged = "a reconcile that changes nothing"
        count = partial(operator.metric, "lowbit_reconciles_total", kind="QuantizedModel", result="unchanged")
        wait_for(unchanged, lambda: count() > before)
        return operator.writes()

    wait_for("what has begun is done", lambda: nudge() == nudge())
    settled = nudge()
    assert [nudge() for _ in range(3)] == [settled] * 3
    assert operator.metric("lowbit_missed_events_total") == 0


def test_a_standby_takes_over_from_a_leader_that_was_killed(cluster: Cluster, space: str, start: StartOperator) -> None:
    leader = start("leader")
    wait_for("it leads", lambda: _holder(cluster) == "leader")
    standby = start("standby")
    assert standby.metric("lowbit_leader") == 0
    leader.kill()
    cluster.apply(quantized_model(space, "chat"))
    wait_for("the standby leads", lambda: _holder(cluster) == "standby")
    wait_for("it does the work", lambda: prepare_jobs(cluster, space))


def test_a_leader_that_is_stopped_gives_the_lease_up(cluster: Cluster, space: str, start: StartOperator) -> None:
    leader = start("leader", "--lease-duration=3600", "--lease-renew-deadline=3000")
    wait_for("it leads", lambda: _holder(cluster) == "leader")
    assert leader.terminate() == 0
    assert _holder(cluster) == ""
    start("next")
    wait_for("the next one leads without waiting an hour", lambda: _holder(cluster) == "next")


def test_only_the_leader_writes(cluster: Cluster, space: str, start: StartOperator) -> None:
    leader = start("leader")
    wait_for("it leads", lambda: _holder(cluster) == "leader")
    standby = start("standby")
    cluster.apply(quantized_model(space, "chat"))
    wait_for("the status is written", lambda: cluster.conditions(space, "chat").get("Reconciling") == "True")
    assert standby.writes() == 0
    assert leader.writes() > 0


def test_it_outlives_an_api_server_that_goes_away(
    server: ApiServer, cluster: Cluster, space: str, start: StartOperator
) -> None:
    operator = start()
    wait_for("it leads", lambda: _holder(cluster) == "operator")
    server.kill_apiserver()
    wait_for("it is not ready", lambda: operator.get("/readyz")[0] == 503)
    assert operator.get("/healthz")[0] == 200
    server.start_apiserver()
    wait_for("it is ready again", operator.ready)
    cluster.apply(quantized_model(space, "chat"))
    wait_for("it does the work", lambda: prepare_jobs(cluster, space))


def test_a_claim_that_can_only_be_read_is_refused_as_a_store(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    start()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "archive", "namespace": space},
        "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    store = model_store(space) | {"metadata": {"name": "archive", "namespace": space}}
    store["spec"] = {"pvc": {"claimName": "archive"}}
    cluster.apply(claim, store)

    def reason() -> str | None:
        status = (cluster.get("ModelStore", space, "archive") or {}).get("status", {})
        return next((each["reason"] for each in status.get("conditions", ())), None)

    wait_for("the store is refused", lambda: reason() == "ReadOnly")


def test_a_policy_that_refuses_a_job_is_told_to_the_user_and_waited_for(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    refuse_jobs(cluster, space)
    wait_for("the policy holds", lambda: jobs_are_refused(cluster, space))
    start("operator", f"--namespaces={space}")
    cluster.apply(quantized_model(space, "chat"))

    def notes() -> list[str]:
        return [event["note"] for event in cluster.list("Event", space) if event["reason"] == "WriteRefused"]

    (note,) = wait_for("an event says so", notes)
    assert "create Job" in note and "Jobs are made in office hours" in note
    cluster.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", POLICY)
    wait_for("it goes on by itself", lambda: cluster.list("Job", space))


POLICY = "no-jobs"


def refuse_jobs(cluster: Cluster, space: str) -> None:
    """As a platform team would."""
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "Jobs are made in office hours"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {
            "policyName": POLICY,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}},
        },
    }
    cluster.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [policy, binding]})
    )


def jobs_are_refused(cluster: Cluster, space: str) -> bool:
    """Policies are compiled some time after they were made."""
    create = ("create", "job", "probe", "--image=x", "--dry-run=server", "-n", space)
    return "office hours" in cluster.server.kubectl.attempt(*create).stderr


def _holder(cluster: Cluster) -> str | None:
    lease = cluster.get("Lease", *LEASE)
    return lease["spec"].get("holderIdentity", "") if lease else None
