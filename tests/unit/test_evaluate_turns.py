"""Suites whose two sides take turns: each start is measured by itself, and the candidate's evaluation compares all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.evaluation import ResolvedSuite
from lowbit.api.modelevaluation import Turn
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import report_key
from lowbit.worker import suites
from lowbit.worker.evaluate import results
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import Arrays, Ask, InterleavedRunner, Summary
from tests.unit.evaluation_bench import ARTIFACT, Bench, make_bench, of_suites
from tests.unit.fake_engine import FakeEngine, Matrix, damaged, distribution
from tests.unit.measurements import Estimate, row
from tests.unit.toys import ToyRace, toy_race

Lead = float
bench = pytest.fixture(make_bench)


class RaceRunner(InterleavedRunner[ToyRace, Lead]):
    """The logprob that an engine gives to token 2 behind token 1."""

    method = "They run."

    async def measure(self, ask: Ask[ToyRace], original: Lead | None) -> Lead:
        return (await ask.client.prompt_logprobs([1, 2], 1))[0][2]

    def summarize_starts(self, suite: str, starts: Any) -> Summary:
        leads = [float(candidate - original) for original, candidate in starts]
        return Summary([row("Lead", Estimate(float(np.mean(leads))), suite)], {"leads": np.array(leads)})

    def pack(self, samples: Lead) -> Arrays:
        return {"lead": np.array([samples])}

    def unpack(self, arrays: Mapping[str, Any], settings: ToyRace) -> Lead:
        return float(arrays["lead"][0])

    def texts(self, samples: Lead) -> list[list[int]]:
        return [[1, 2]]


@pytest.fixture(autouse=True)
def race(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(suites.RUNNERS, "race", RaceRunner())
    with toy_race():
        yield


def document(bench: Bench, side: str, number: int = 0, other: str = ARTIFACT) -> EvaluateDocument:
    """Of the original or the candidate: its own evaluation, or a start in turn with another model."""
    protocol = bench.protocol()
    race = ResolvedSuite.model_validate({"name": "race", "version": 1, "race": {"rounds": 2}})
    protocol = protocol.model_copy(update={"suites": [*protocol.suites, race]})
    found = bench.document(protocol, "original-0-a" if side == "candidate" else None)
    known: dict[str, Any] = {"evaluation": f"{side}-{number}-{other[-1]}"}
    if number:
        other = bench.source if side == "candidate" else other
        known["turn"] = Turn(start=number, other=other, other_runtime=digest("runtime", found.engine))
        known["baseline"] = "original-0-a"
    if side == "candidate":
        known["turns"] = [f"turn-{side[0]}{number}" for number in (1, 2) for side in ("original", "candidate")]
    return found.model_copy(update=known)


async def run(bench: Bench, seed: int, asked: EvaluateDocument) -> tuple[EvaluateResult, FakeEngine]:
    engine = FakeEngine(engine_of(seed))
    return await bench.run(engine, asked), engine


def engine_of(seed: int) -> Matrix:
    """Each start of an engine is a little other."""
    return damaged(distribution(0), 0.3, seed)


async def starts(bench: Bench) -> None:
    await run(bench, 0, document(bench, "original"))
    for number in (1, 2):
        await run(bench, 10 + number, document(bench, "original", number))
        await run(bench, 20 + number, document(bench, "candidate", number))


async def test_the_candidates_own_evaluation_compares_every_start(bench: Bench) -> None:
    await starts(bench)
    result, engine = await run(bench, 30, document(bench, "candidate"))
    leads = [engine_of(20 + number)[1, 2] - engine_of(10 + number)[1, 2] for number in (1, 2)]
    (lead,) = [each for each in result.summary.measurements if each.suite == "race"]
    assert lead.mean is not None
    assert float(lead.mean.value) == pytest.approx(np.mean(leads), abs=1e-6)
    assert result.summary.measurements[0].suite == "fidelity"
    assert [1, 2] not in engine.prompts, "it races in its turns only"
    assert b"race" in (bench.store.read(report_key("candidate-0-a")) or b"")


async def test_a_turn_measures_only_the_suites_that_take_turns_and_claims_nothing(bench: Bench) -> None:
    await run(bench, 0, document(bench, "original"))
    result, engine = await run(bench, 11, document(bench, "original", 1))
    assert (result.summary.measurements, result.summary.speed) == ([], [])
    assert engine.prompts.count([1, 2]) == 1
    assert max(map(len, engine.prompts)) <= 3, "no text of another suite"
    assert bench.store.read(report_key("original-1-a")) is None


async def test_the_original_alone_does_not_race(bench: Bench) -> None:
    result, engine = await run(bench, 0, document(bench, "original"))
    assert {each.suite for each in of_suites(result)} == {"fidelity"}
    assert [1, 2] not in engine.prompts


async def test_another_candidate_races_anew(bench: Bench) -> None:
    await starts(bench)
    other = "sha256:" + "d" * 64
    _, engine = await run(bench, 11, document(bench, "original", 1, other))
    assert engine.prompts.count([1, 2]) == 1, "the other candidate's race is at another hour"


async def test_a_start_that_is_gone_is_refused_with_what_to_do(bench: Bench) -> None:
    await starts(bench)
    asked = document(bench, "candidate", 2)
    (race,) = [suite for suite in asked.protocol.suites if suite.name == "race"]
    key = results.suite_key(results.suite_input(asked, race, asked.model, asked.engine, asked.turn))
    (bench.store.root / "measured" / key / "suite.json").unlink()
    engine = FakeEngine(engine_of(30))
    with pytest.raises(RefusalError, match="lacks that of start 2 of the candidate") as refused:
        await bench.run(engine, document(bench, "candidate"))
    assert "the ModelEvaluation turn-c2, and the Jobs turn-c2 and candidate-0-a" in refused.value.refusal.action
    assert engine.completions == 0, "before anything is measured"


async def test_a_candidates_start_without_the_originals_names_the_originals(bench: Bench) -> None:
    await run(bench, 0, document(bench, "original"))
    with pytest.raises(RefusalError, match="lacks that of start 1 of the original") as refused:
        await run(bench, 21, document(bench, "candidate", 1))
    assert "the ModelEvaluation turn-o1" in refused.value.refusal.action


async def test_an_originals_start_in_another_version_of_the_engine_is_refused(bench: Bench) -> None:
    await run(bench, 0, document(bench, "original"))
    with pytest.raises(RefusalError, match=r"0\.34\.0 now"):
        await bench.run(FakeEngine(engine_of(11), release="0.34.0"), document(bench, "original", 1))


async def test_an_artifact_that_is_the_original_itself_is_measured_too(bench: Bench) -> None:
    """Its starts tell the noise of the race: samples of the original are not its own."""
    await run(bench, 0, document(bench, "original"))
    await run(bench, 11, document(bench, "original", 1, bench.source))
    asked = document(bench, "candidate", 1)
    same = asked.model.model_copy(update={"digest": bench.source})
    _, engine = await run(bench, 21, asked.model_copy(update={"model": same}))
    assert engine.prompts.count([1, 2]) == 1
