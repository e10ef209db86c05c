"""What makes a ModelStore ready."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lowbit.api.modelstore import ModelStore
from lowbit.decide.store import Claim, decide_store
from lowbit.state.snapshot import Metadata, Observed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def store(spec: dict[str, Any], status: dict[str, Any] | None = None, deleting: bool = False) -> Observed[ModelStore]:
    meta = Metadata("default", "team", "uid", "1", generation=1, deleting=deleting)
    return Observed(meta, ModelStore.model_validate({"spec": spec, "status": status or {}}))


PVC = {"pvc": {"claimName": "models"}}


@pytest.mark.parametrize(
    ("spec", "claim", "status", "reason"),
    [
        (PVC, Claim("Bound", ("ReadWriteMany",), "1Ti"), "True", "Ready"),
        (PVC, Claim("Pending", ("ReadWriteOnce",)), "True", "Ready"),
        (PVC, Claim("Bound", ("ReadOnlyMany",)), "False", "ReadOnly"),
        (PVC, Claim("Lost", ("ReadWriteMany",)), "False", "ClaimLost"),
        (PVC, None, "False", "ClaimNotFound"),
        ({"s3": {"bucket": "models"}}, None, "True", "Ready"),
        ({}, None, "False", "InvalidSpec"),
    ],
)
def test_a_store_says_whether_it_can_be_used(
    spec: dict[str, Any], claim: Claim | None, status: str, reason: str
) -> None:
    plan = decide_store(store(spec), claim, NOW)
    assert plan.status is not None
    (condition,) = plan.status.status["conditions"]
    assert (condition["status"], condition["reason"]) == (status, reason)
    assert [event.type for event in plan.events] == ["Normal" if status == "True" else "Warning"]
    assert plan.requeue_after is not None


def test_a_message_about_a_missing_claim_says_what_to_do() -> None:
    plan = decide_store(store(PVC), None, NOW)
    assert plan.status is not None
    assert "PersistentVolumeClaim models" in str(plan.status.status)
    assert "create it" in str(plan.status.status)


def test_nothing_is_written_when_nothing_has_changed() -> None:
    claim = Claim("Bound", ("ReadWriteMany",), "1Ti")
    first = decide_store(store(PVC), claim, NOW)
    assert first.status is not None
    again = decide_store(store(PVC, dict(first.status.status)), claim, NOW + timedelta(hours=1))
    assert again.status is None
    assert again.events == ()


def test_a_store_that_goes_away_is_left_alone() -> None:
    assert decide_store(store(PVC, deleting=True), None, NOW).status is None
