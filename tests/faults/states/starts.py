"""Arbitrary starts, by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.faults.states.actor import OUTCOMES
from tests.faults.states.damage import DAMAGES
from tests.faults.states.specs import LIVES, SEEDS
from tests.faults.states.walk import Start

NUMBER = st.integers(0, 59)
STARTS = st.builds(
    Start,
    life=st.integers(0, len(LIVES) - 1),
    seed=st.integers(0, SEEDS - 1),
    moment=st.integers(0, 99),
    damages=st.lists(
        st.tuples(st.sampled_from([damage.__name__ for damage in DAMAGES]), NUMBER, NUMBER), min_size=1, max_size=6
    ),
    outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=4),
    years=st.sampled_from([0, 0, 0, -3, 20]),
    held=st.sampled_from([False, False, False, True]),
)
