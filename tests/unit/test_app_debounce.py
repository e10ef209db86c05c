"""When a status is told."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.app.debounce import LATEST, StatusDebouncer
from lowbit.observe.keys import Key
from lowbit.state.plan import Event, Plan, WriteStatus

CHAT = Key("models", "chat")
Kind = Literal["QuantizedModel", "ModelRevision", "ModelEvaluation"]


def telling(
    kind: Kind = "QuantizedModel", type_: Literal["Normal", "Warning"] = "Normal", stage: str = "Quantizing"
) -> Plan:
    return Plan(status=WriteStatus(kind, "chat", "uid", "7", {}), events=(Event(type_, stage, "..."),))


@given(st.lists(st.tuples(st.floats(0, LATEST), st.booleans(), st.booleans())))
def test_a_status_is_told_where_there_is_room_and_never_later_than_it_may_wait(
    steps: list[tuple[float, bool, bool]],
) -> None:
    now, since = 0.0, None
    untold = StatusDebouncer(lambda: now)
    for seconds, crowded, conflicts in steps:
        now += seconds
        late = since is not None and now >= since + LATEST
        put_off = untold.put_off(CHAT, telling(), crowded=crowded)
        assert put_off == (crowded and not late)
        if put_off:
            since = now if since is None else since
        elif not conflicts:
            untold.carried_out(CHAT, telling())
            since = None


@pytest.mark.parametrize(
    "plan", [Plan(), telling("ModelRevision"), telling("ModelEvaluation"), telling(type_="Warning"),
             telling(stage="Serving"), telling(stage="Passed")],
    ids=["nothing", "revision", "evaluation", "warning", "serving", "passed"],
)  # fmt: skip
def test_what_others_rest_on_what_went_wrong_and_what_is_waited_for_is_told_at_once(plan: Plan) -> None:
    assert not StatusDebouncer(lambda: 0.0).put_off(CHAT, plan, crowded=True)


@pytest.mark.parametrize("kind", ["ModelRevision", "ModelEvaluation"])
def test_a_fact_that_is_told_meanwhile_lets_the_model_wait_no_longer(kind: Kind) -> None:
    now = 0.0
    untold = StatusDebouncer(lambda: now)
    assert untold.put_off(CHAT, telling(), crowded=True)
    now = LATEST / 2
    assert not untold.put_off(CHAT, telling(kind), crowded=True)
    untold.carried_out(CHAT, telling(kind))
    now = LATEST
    assert not untold.put_off(CHAT, telling(), crowded=True)


def test_a_model_that_is_gone_leaves_nothing_behind() -> None:
    now = 0.0
    untold = StatusDebouncer(lambda: now)
    assert untold.put_off(CHAT, telling(), crowded=True)
    untold.forget(CHAT)
    now = LATEST
    assert untold.put_off(CHAT, telling(), crowded=True)
