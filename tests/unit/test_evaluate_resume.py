"""A run that is cut off keeps the suites that it has finished, and begins again with the one that was cut."""

from __future__ import annotations

import pytest

from lowbit.api.modelevaluation import EvaluationProtocol
from lowbit.naming.store_keys import result_key
from lowbit.worker.refuse import EngineError
from tests.unit.evaluation_bench import ORIGINAL, Bench, make_bench
from tests.unit.fake_engine import FakeEngine

bench = pytest.fixture(make_bench)
TEXTS = 17
"""Of each suite of the bench."""


def two_suites(bench: Bench) -> EvaluationProtocol:
    """Two suites of seventeen texts."""
    return bench.protocol().model_copy(update={"suites": [bench.suite("first"), bench.suite("second", max_tokens=18)]})


def measured(bench: Bench) -> list[str]:
    """Files of measured suites, as they were written."""
    return [key.rsplit("/", 1)[1] for key in bench.store.written if key.startswith("measured/")]


@pytest.mark.parametrize("trouble", ["fail_after", "drop_after"])
async def test_a_suite_that_was_finished_is_not_measured_again(bench: Bench, trouble: str) -> None:
    cut = FakeEngine(ORIGINAL)
    setattr(cut, trouble, 1 + 2 * TEXTS + 5)  # the original is read twice, for its floor
    with pytest.raises(EngineError):
        await bench.run(cut, bench.document(two_suites(bench)))
    assert measured(bench) == ["samples.npz", "suite.json"]
    engine = FakeEngine(ORIGINAL)
    await bench.run(engine, bench.document(two_suites(bench)))
    long = [prompt for prompt in engine.prompts[1 : 1 + TEXTS] if len(prompt) > 18]
    assert long == [], "the texts of the second suite come first: those of the first are known"
    assert bench.store.has(result_key("baseline-1"))


async def test_a_suite_in_which_the_engine_restarted_is_measured_again(bench: Bench) -> None:
    """Its numbers come from two engines."""
    with pytest.raises(EngineError, match="restarted"):
        await bench.run(FakeEngine(ORIGINAL, restart_after=5), bench.document(two_suites(bench)))
    assert measured(bench) == []
