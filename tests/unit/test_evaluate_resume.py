"""A run that is cut off keeps the suites that it has finished, and begins again with the one that was cut."""

from __future__ import annotations

import pytest

from lowbit.api.modelevaluation import EvaluationProtocol, Place
from lowbit.naming.store_keys import report_key, result_key
from lowbit.worker.refuse import EngineError
from tests.unit.evaluation_bench import ORIGINAL, Bench, make_bench, value_of
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


async def test_what_is_evaluated_again_elsewhere_is_measured_there(bench: Bench) -> None:
    """The engine is the same, and so is its hash: what another device gave must not be taken for this one's."""
    _, first = await bench.both()
    place = Place(device="NVIDIA-L4")
    original, candidate = FakeEngine(ORIGINAL), FakeEngine(ORIGINAL)
    await bench.run(original, bench.document(place=place, evaluation="baseline-2"))
    asked = bench.document(baseline="baseline-2", place=place).model_copy(update={"evaluation": "eval-2"})
    again = await bench.run(candidate, asked)
    assert bench.stored("baseline-1").suites != bench.stored("baseline-2").suites
    assert min(original.requests, candidate.requests) > TEXTS
    assert value_of(first, "KLDivergence") > value_of(again, "KLDivergence") == 0.0
    assert (bench.stored("eval-1").place, bench.stored("eval-2").place) == (None, place)
    assert b"Evaluated again" in (bench.store.read(report_key("eval-2")) or b"")
