"""The chart with watchNamespaces: Roles in place of a ClusterRole. And the login of a pod, whose token changes."""

from __future__ import annotations

from functools import partial

import pytest

from hack.cluster.apiserver import ApiServer
from tests.api.calls import AuditLog
from tests.api.chart import of_kind
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, model_store, namespace, quantized_model, wait_for

WATCHED, OTHER = ("team-a", "team-b"), "team-c"


@pytest.fixture(scope="module")
def narrow(server: ApiServer, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation for two namespaces; there is a third one."""
    for each in (*WATCHED, OTHER):
        cluster.apply(namespace(each), model_store(each))
    made = Installation(server, tmp_path_factory.mktemp("narrow"), "narrow", 'watchNamespaces=["team-a","team-b"]')
    made.install()
    return made


def test_with_roles_alone_it_works_in_its_namespaces_and_never_looks_into_others(
    cluster: Cluster, narrow: Installation, start: StartOperator, audit: AuditLog
) -> None:
    assert not of_kind(narrow.manifests, "ClusterRoleBinding")
    cluster.apply(quantized_model(OTHER, "early"))
    operator = start("narrow", of=narrow)
    for each in (*WATCHED, OTHER):
        cluster.apply(quantized_model(each, "chat"))
    for each in WATCHED:
        wait_for(f"the prepare Job in {each}", lambda each=each: cluster.list("Job", each))  # type: ignore[misc]
        wait_for("the status", lambda each=each: cluster.conditions(each, "chat").get("Reconciling"))  # type: ignore[misc]
    assert cluster.list("Job", OTHER) == []
    assert cluster.conditions(OTHER, "chat") == cluster.conditions(OTHER, "early") == {}
    calls = [call for call in audit.calls(narrow.user) if call.resource]
    assert {call.namespace for call in calls} == {*WATCHED, narrow.namespace}
    assert audit.refused(narrow.user) == []
    assert operator.metric("lowbit_quantizedmodels") == len(WATCHED)


def test_a_child_that_goes_away_in_one_namespace_comes_back_there(
    cluster: Cluster, narrow: Installation, start: StartOperator
) -> None:
    start("narrow", of=narrow)
    cluster.apply(quantized_model("team-b", "chat"))
    (job,) = wait_for("the prepare Job", lambda: cluster.list("Job", "team-b"))
    cluster.delete("Job", "team-b", job["metadata"]["name"])
    (again,) = wait_for("it is back", lambda: cluster.list("Job", "team-b"))
    assert again["metadata"]["uid"] != job["metadata"]["uid"]


def test_a_token_that_was_replaced_is_used_when_the_old_one_is_not_good_any_more(
    server: ApiServer, cluster: Cluster, narrow: Installation, start: StartOperator
) -> None:
    operator = start("narrow", of=narrow)
    cluster.delete("ServiceAccount", narrow.namespace, narrow.name)  # every token of it is void
    server.kill_apiserver()
    server.start_apiserver()
    # The Lease is updated by a leader, and read by one that has lost it while the API server was away.
    for what in ({"resource": "leases"}, {"verb": "watch"}):
        refused = partial(operator.metric, "lowbit_api_calls_total", code="401", **what)
        wait_for(f"the old token is refused ({what})", refused)
    narrow.install()
    cluster.apply(quantized_model("team-a", "later"))
    wait_for("the operator goes on", lambda: cluster.conditions("team-a", "later").get("Reconciling"))
    wait_for("it is well", lambda: operator.get("/healthz")[0] == operator.get("/readyz")[0] == 200)
