"""A suite that looks several times: measured in parts, until its gate is decided, in one start of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.evaluation import MinimumThreshold, ResolvedGate, ResolvedSuite
from lowbit.api.modelevaluation import StoppingGate
from lowbit.worker import suites
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import Arrays, Ask, LookingRunner, Part, Summary
from tests.unit.evaluation_bench import Bench, make_bench
from tests.unit.fake_engine import FakeEngine, damaged, distribution
from tests.unit.measurements import Estimate, row
from tests.unit.toys import ToyQuiz, toy_quiz

bench = pytest.fixture(make_bench)


@dataclass(frozen=True)
class Answers:
    """Logprobs that an engine gives to one answer of each question."""

    parts: int
    values: list[float]


class QuizRunner(LookingRunner[ToyQuiz, Answers]):
    """Question i is token i, behind token 1."""

    method = "It is asked."

    async def measure_part(
        self, ask: Ask[ToyQuiz], original: Answers | None, before: Answers | None, part: Part
    ) -> Answers:
        known = before.values if before is not None else []
        more = range(len(known), part.end(ask.settings.questions))
        found = [(await ask.client.prompt_logprobs([1, 2 + at % 8], 1))[0][2 + at % 8] for at in more]
        return Answers(part.number, [*known, *found])

    def parts(self, samples: Answers) -> int:
        return samples.parts

    def summarize(self, suite: str, samples: Answers, original: Answers | None) -> Summary:
        if original is None:
            return Summary([])
        values = 10 - np.abs(np.array(samples.values) - np.array(original.values[: len(samples.values)]))
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        return Summary([row("Nearness", Estimate(float(values.mean()), error, len(values)), suite)])

    def pack(self, samples: Answers) -> Arrays:
        return {"parts": np.array([samples.parts]), "values": np.array(samples.values)}

    def unpack(self, arrays: Mapping[str, Any], settings: ToyQuiz) -> Answers:
        return Answers(int(arrays["parts"][0]), arrays["values"].tolist())

    def texts(self, samples: Answers) -> list[list[int]]:
        return [[1, 2 + at % 8] for at in range(len(samples.values))]


@pytest.fixture(autouse=True)
def quiz(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(suites.RUNNERS, "quiz", QuizRunner())
    with toy_quiz():
        yield


def document(bench: Bench, side: str, *least: str, name: str = "") -> EvaluateDocument:
    """Of the original, or of a candidate whose quiz ends when these thresholds are decided."""
    quiz = ResolvedSuite.model_validate({"name": "quiz", "version": 1, "quiz": {"questions": 30}})
    protocol = bench.protocol()
    protocol = protocol.model_copy(update={"suites": [*protocol.suites, quiz]})
    found = bench.document(protocol, "original" if side == "candidate" else None)
    changed: dict[str, Any] = {"evaluation": name or side}
    if side == "candidate":
        minimum = [MinimumThreshold(metric="Nearness", value=value) for value in least]
        gate = ResolvedGate(suite="quiz", maximum=[], minimum=minimum, confidence="0.95")
        changed["stopping"] = [StoppingGate(gate=gate, candidates=1)]
    return found.model_copy(update=changed)


async def judged(bench: Bench, *least: str, name: str = "") -> tuple[EvaluateResult, int]:
    """The candidate's result, and how many questions it was asked."""
    engine = FakeEngine(damaged(distribution(0), 0.5))
    result = await bench.run(engine, document(bench, "candidate", *least, name=name))
    return result, sum(len(prompt) == 2 for prompt in engine.prompts)


async def original(bench: Bench) -> None:
    engine = FakeEngine(distribution(0))
    await bench.run(engine, document(bench, "original"))
    assert sum(len(prompt) == 2 for prompt in engine.prompts) == 30, "the original is measured whole"


def look_of(result: EvaluateResult) -> tuple[int, int, int]:
    (found,) = [each for each in result.summary.measurements if each.suite == "quiz"]
    return found.look, found.looks, found.count


async def test_what_is_decided_at_the_first_look_is_not_asked_further(bench: Bench) -> None:
    await original(bench)
    for name, least in (("passes", "5"), ("fails", "9.99")):
        result, asked = await judged(bench, least, name=name)
        assert (asked, look_of(result)) == (10, (1, 3, 10))


async def test_what_is_too_close_to_call_is_asked_to_the_end_of_the_budget(bench: Bench) -> None:
    await original(bench)
    found, _ = await judged(bench, "5")
    (value,) = [each.mean.value for each in found.summary.measurements if each.suite == "quiz" and each.mean]
    result, asked = await judged(bench, f"{float(value):.2f}", name="close")
    assert (asked, look_of(result)) == (30, (3, 3, 30))


async def test_it_goes_on_until_every_threshold_is_decided(bench: Bench) -> None:
    await original(bench)
    found, _ = await judged(bench, "5")
    (value,) = [each.mean.value for each in found.summary.measurements if each.suite == "quiz" and each.mean]
    _, asked = await judged(bench, "5", f"{float(value):.2f}", name="one of two")
    assert asked == 30


async def test_other_suites_say_one_look_of_one(bench: Bench) -> None:
    await original(bench)
    result, _ = await judged(bench, "5")
    rest = {(each.look, each.looks) for each in result.summary.measurements if each.suite == "fidelity"}
    assert rest == {(1, 1)}


async def test_samples_that_stopped_at_a_look_are_reused_for_the_same_gate_alone(bench: Bench) -> None:
    await original(bench)
    await judged(bench, "5")
    (bench.store.root / "evaluations" / "candidate" / "result.json").unlink()
    result, asked = await judged(bench, "5")
    assert (asked, look_of(result)) == (0, (1, 3, 10)), "after a restart nothing is asked twice"
    assert (await judged(bench, "5.1", name="edited"))[1] == 10, "another threshold could have stopped elsewhere"


async def test_a_result_that_another_gate_has_ended_is_refused(bench: Bench) -> None:
    await original(bench)
    await judged(bench, "5")
    with pytest.raises(RefusalError, match="gate that ends it"):
        await judged(bench, "5.1")
