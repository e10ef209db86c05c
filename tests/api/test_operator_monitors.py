"""PodMonitors are made where the cluster has that kind: from the start, or from when it comes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.api import monitors
from tests.api.actor import Actor
from tests.api.conftest import StartOperator
from tests.api.operator_process import Cluster, OperatorProcess, quantized_model, wait_for


@pytest.fixture(autouse=True)
def without_the_kind(cluster: Cluster) -> Iterator[None]:
    """The cluster has no such kind, before and after."""
    monitors.remove(cluster)
    yield
    monitors.remove(cluster)


def serve(cluster: Cluster, space: str) -> None:
    """A QuantizedModel that is served in the end."""
    model = quantized_model(space, "chat")
    model["spec"]["serving"] = {"replicas": 1}
    cluster.apply(model)
    Actor(cluster, space).until("it is served", lambda: cluster.conditions(space, "chat").get("Ready") == "True")


def monitor(cluster: Cluster, space: str) -> dict[str, Any] | None:
    return cluster.get("PodMonitor", space, "chat")


def failed(operator: OperatorProcess) -> float:
    return operator.metric("lowbit_reconciles_total", result="error")


def test_without_the_kind_nothing_fails_and_when_it_comes_monitors_are_made(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    operator = start("operator", "--resync=1", f"--namespaces={space}")
    serve(cluster, space)
    assert failed(operator) == 0
    monitors.install(cluster)
    made = wait_for("the next comparison finds the kind", partial(monitor, cluster, space))
    assert made["spec"]["selector"]["matchLabels"]["lowbit.dev/quantizedmodel"] == "chat"
    cluster.delete("PodMonitor", space, "chat")
    again = wait_for("what is deleted by hand comes back", partial(monitor, cluster, space))
    assert again["metadata"]["uid"] != made["metadata"]["uid"]
    assert operator.metric("lowbit_missed_events_total") == 0
    assert operator.get("/healthz")[0] == 200


def test_where_the_kind_is_known_it_is_watched_and_its_loss_is_survived(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    monitors.install(cluster)
    operator = start("operator", f"--namespaces={space}")
    serve(cluster, space)
    made = wait_for("the monitor is made", partial(monitor, cluster, space))
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("QuantizedModel", "chat")
    cluster.delete("PodMonitor", space, "chat")
    wait_for("the watch tells of the deletion", partial(monitor, cluster, space))
    assert failed(operator) == 0

    operator.kill()
    monitors.remove(cluster)
    again = start("operator", f"--namespaces={space}")
    cluster.patch("QuantizedModel", space, "chat", {"spec": {"serving": {"replicas": 2}}})
    Actor(cluster, space).until("it goes on", lambda: cluster.conditions(space, "chat").get("Ready") == "True")
    assert failed(again) == 0
