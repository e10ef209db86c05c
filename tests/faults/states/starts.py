"""Arbitrary starts, by hypothesis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

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


def directed() -> Iterator[Start]:
    """What is rare where it is drawn: at some moments of every life a revision's status lacks one of its fields, a Job
    whose pod has failed tries again by itself, what serves cannot start, or an impostor tells a Job's result.
    """
    for life in range(len(LIVES)):
        for moment, kind in itertools.product((3, 5, 7), range(2)):
            yield Start(life=life, moment=moment, damages=[("impostor", 0, kind)])
        for moment, field in itertools.product(range(8, 100, 23), range(8)):
            yield Start(life=life, moment=moment, damages=[("wipe", field, 1)])
        for moment, trouble in itertools.product((45, 99), range(5)):
            yield Start(life=life, moment=moment, damages=[("stuck_serving", 0, trouble)])
        for moment, node in itertools.product((60, 80, 99), range(3)):
            yield Start(life=life, moment=moment, damages=[("other_engine", 0, node)])
            yield Start(life=life, moment=moment, damages=[("other_engine", 0, node), ("wipe", node, 1)])
        for moment, failed in itertools.product(range(5, 80, 9), (1, 2, 4)):
            yield Start(life=life, moment=moment, damages=[("job_unended", failed, 1)])
