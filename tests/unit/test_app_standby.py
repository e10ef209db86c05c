"""What a standby sees to first when it begins to lead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lowbit.app.standby import Standby
from lowbit.observe.keys import Key

HORIZON = 30.0
NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(st.floats(0, 20), st.sets(NAMES))))
def test_what_has_changed_lately_goes_first_and_the_longest_waiting_before_all(
    changes: list[tuple[float, set[str]]],
) -> None:
    now = 0.0
    standby = Standby(lambda: now, HORIZON)
    last: dict[str, float] = {}
    for wait, names in changes:
        now += wait
        standby.changed(Key("team", name) for name in sorted(names))
        last |= dict.fromkeys(names, now)
        assert len(standby) == sum(time >= now - HORIZON for time in last.values()), "nothing is kept for ever"
    taken = [key.name for key in standby.take()]
    assert sorted(taken) == sorted(name for name, time in last.items() if time >= now - HORIZON)
    assert [last[name] for name in taken] == sorted(last[name] for name in taken)
    assert standby.take() == []
