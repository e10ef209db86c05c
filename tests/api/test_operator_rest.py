"""Who does not lead does not write, and who leads writes no more than is needed."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from tests.api.actor import Actor
from tests.api.calls import AuditLog
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, OperatorProcess, quantized_model, wait_for

THIEF: dict[str, Any] = {
    "holderIdentity": "thief",
    "leaseDurationSeconds": 3600,
    "renewTime": "2026-01-01T00:00:00.000000Z",
}
COMPARISONS = 4


def leads(operator: OperatorProcess) -> bool:
    return operator.metric("lowbit_leader") == 1


def knows(operator: OperatorProcess, space: str) -> bool:
    return operator.metric("lowbit_quantizedmodels", namespace=space) == 1


def test_a_leader_that_loses_its_lease_writes_nothing_until_it_has_it_again(
    cluster: Cluster, space: str, start: StartOperator, installation: Installation, audit: AuditLog
) -> None:
    operator = start()
    wait_for("it leads", partial(leads, operator))
    cluster.patch("Lease", installation.namespace, "lowbit", {"spec": THIEF})
    wait_for("it notices", lambda: not leads(operator))
    begin = audit.mark()
    cluster.apply(quantized_model(space, "chat"))
    wait_for("it sees the model", partial(knows, operator, space))
    wait_for("it looks at the Lease", lambda: any(call.resource == "leases" for call in audit.calls(since=begin)))
    assert [call.told for call in audit.writes(installation.user, begin)] == []
    assert operator.get("/readyz")[0] == operator.get("/healthz")[0] == 200  # it stands by
    cluster.patch("Lease", installation.namespace, "lowbit", {"spec": {"holderIdentity": ""}})
    wait_for("it takes up the work", lambda: cluster.list("Job", space))


def test_a_leader_that_was_frozen_and_comes_back_has_been_replaced_and_writes_nothing(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    frozen = start("frozen")
    wait_for("it leads", partial(leads, frozen))
    cluster.apply(quantized_model(space, "early"))
    wait_for("its work is done", lambda: cluster.conditions(space, "early").get("Reconciling"))
    other = start("other")
    before = frozen.writes()
    frozen.process.send_signal(signal.SIGSTOP)
    cluster.apply(quantized_model(space, "chat"))
    wait_for("the other one does the work", lambda: cluster.conditions(space, "chat").get("Reconciling"))
    frozen.process.send_signal(signal.SIGCONT)
    wait_for("it knows that it does not lead", lambda: frozen.get("/metrics")[0] == 200 and not leads(frozen))
    cluster.apply(quantized_model(space, "later"))
    wait_for("the other one does this as well", lambda: cluster.conditions(space, "later").get("Reconciling"))
    assert frozen.writes() == before
    assert leads(other)


def test_at_rest_comparisons_with_lists_write_nothing_and_a_life_writes_one_status_at_a_time(
    cluster: Cluster, space: str, start: StartOperator, installation: Installation, audit: AuditLog
) -> None:
    operator = start("operator", "--resync=0.5", f"--namespaces={space}")
    model = quantized_model(space, "chat")
    model["spec"]["serving"] = {"replicas": 2}
    cluster.apply(model)
    actor = Actor(cluster, space)
    actor.until("it is served", lambda: cluster.conditions(space, "chat").get("Ready") == "True")

    def rests() -> bool:
        """A whole comparison in which nothing was written."""
        begin = audit.mark()
        wait_for("a comparison with a LIST", lambda: comparisons(audit, begin) >= 2)
        return not audit.writes(installation.user, begin)

    wait_for("the operator is at rest", rests)
    begin = audit.mark()
    wait_for("several comparisons", lambda: comparisons(audit, begin) > COMPARISONS)
    assert [call.told for call in audit.writes(installation.user, begin)] == []
    assert operator.metric("lowbit_missed_events_total") == 0

    statuses = sum(
        value
        for series, value in operator.series("lowbit_api_calls_total")
        if 'verb="update"' in series and "/status" in series
    )
    assert statuses <= operator.metric("lowbit_reconciles_total") - operator.metric(
        "lowbit_reconciles_total", result="unchanged"
    )
    applies = operator.metric("lowbit_api_calls_total", verb="patch", resource="deployments")
    assert applies == 1, "the Deployment is applied once"


def comparisons(audit: AuditLog, since: int) -> int:
    """How often QuantizedModels were listed."""
    return sum(call.lists and call.resource == "quantizedmodels" for call in audit.calls(since=since))
