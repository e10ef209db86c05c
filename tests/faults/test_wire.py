"""The rules of the wire, each broken once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.plan import Asked
from tests.faults.wire import Wire

OWNED = {"labels": {"app.kubernetes.io/managed-by": "lowbit"}, "ownerReferences": [{"name": "chat"}]}
SEEN = {"uid": "1", "resourceVersion": "2"}


def asked(verb: str, resource: str, body: Any, force: bool = False) -> list[str]:
    wire = Wire()
    wire.asks(Asked(verb, resource, "chat"), {"force": "true"} if force else {}, json.dumps(body).encode(), 0.0)
    return wire.wrong


@pytest.mark.parametrize(
    ("verb", "resource", "body", "force"),
    [
        ("delete", "jobs", {"preconditions": SEEN, "propagationPolicy": "Background"}, False),
        ("update", "quantizedmodels/status", {"metadata": SEEN}, False),
        ("patch", "jobs", {"metadata": SEEN | {"ownerReferences": []}}, False),
        ("patch", "services", {"metadata": OWNED | {"resourceVersion": "1"}}, True),
        ("create", "jobs", {"metadata": OWNED}, False),
        ("create", "events", {"reason": "Serving"}, False),
    ],
)
def test_what_the_operator_writes_is_fine(verb: str, resource: str, body: Any, force: bool) -> None:
    assert asked(verb, resource, body, force) == []


@pytest.mark.parametrize(
    ("verb", "resource", "body", "force", "said"),
    [
        ("delete", "jobs", {"propagationPolicy": "Background"}, False, "without uid and resourceVersion"),
        ("delete", "jobs", {"preconditions": SEEN, "propagationPolicy": "Orphan"}, False, "what it owns"),
        ("update", "quantizedmodels/status", {"metadata": {"uid": "1"}}, False, "without resourceVersion"),
        ("patch", "jobs", {"metadata": {"resourceVersion": "2"}}, False, "without uid"),
        (
            "patch",
            "services",
            {"metadata": {"labels": OWNED["labels"], "resourceVersion": "1"}},
            True,
            "without an owner",
        ),
        ("patch", "services", {"metadata": OWNED}, True, "whatever is there"),
        ("create", "jobs", {"metadata": {"ownerReferences": [{}]}}, False, "without the label"),
    ],
)
def test_what_it_must_not_write_is_told(verb: str, resource: str, body: Any, force: bool, said: str) -> None:
    (found,) = asked(verb, resource, body, force)
    assert said in found


def lease(holder: str) -> bytes:
    return json.dumps({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 1}}).encode()


def test_nothing_is_written_when_the_lease_has_run_out() -> None:
    wire = Wire()
    wire.agreed(lease("one"), 10.0)
    wire.asks(Asked("create", "events", "Serving"), {}, b"{}", 10.9)
    assert wire.wrong == []
    wire.asks(Asked("create", "events", "Serving"), {}, b"{}", 20.0)
    assert wire.wrong == ["create:events:Serving: written without the Lease"]


def test_on_a_machine_that_is_late_a_write_may_come_as_late() -> None:
    wire = Wire()
    wire.agreed(lease("one"), 10.0)
    wire.late = 3.0
    wire.asks(Asked("create", "events", "Serving"), {}, b"{}", 15.0)
    assert wire.wrong == []
    wire.asks(Asked("create", "events", "Serving"), {}, b"{}", 16.0)
    assert wire.wrong == ["create:events:Serving: written without the Lease"]


def test_nothing_is_written_by_one_that_has_only_just_begun() -> None:
    wire = Wire()
    wire.agreed(lease("one"), 10.0)
    wire.died(10.1)
    wire.asks(Asked("create", "events", "Serving"), {}, b"{}", 10.2)
    assert wire.wrong == [], "it was under way"
    wire.asks(Asked("create", "events", "Serving"), {}, b"{}", 10.6)
    assert wire.wrong == ["create:events:Serving: written without the Lease"]


def test_a_lease_that_has_not_run_out_is_not_taken() -> None:
    wire = Wire()
    wire.agreed(lease("one"), 10.0)
    wire.asks(Asked("update", "leases", "lowbit-operator"), {}, lease("two"), 11.1)
    assert wire.wrong == []
    wire.asks(Asked("update", "leases", "lowbit-operator"), {}, lease("two"), 10.2)
    assert wire.wrong == ["update:leases:lowbit-operator: two takes the Lease 0.2 s after one has renewed it"]
    wire.agreed(lease(""), 10.3)
    wire.asks(Asked("update", "leases", "lowbit-operator"), {}, lease("two"), 10.4)
    assert len(wire.wrong) == 1
