"""Attempts on the same samples: counted by the samples, told, and spent where the manifest asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowbit.api.documents import EvaluateDocument
from lowbit.api.evaluation import ResolvedGate
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.status import CountedAttempt
from lowbit.gate.attempts import confidence_of, gate_at
from lowbit.gate.spending import spent
from lowbit.naming.names import input_hash
from lowbit.naming.store_keys import attempt_key
from lowbit.worker.evaluate.sketch import SIZE, same, sketch
from lowbit.worker.refuse import RefusalError
from tests.unit.evaluation_bench import CANDIDATE, ORIGINAL, Bench, make_bench, make_dataset, words
from tests.unit.fake_engine import FakeEngine
from tests.unit.life import NAME, status
from tests.unit.world import World, spec

bench = pytest.fixture(make_bench)


def texts(count: int, seed: int, length: int = 80) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 50_000, length).tolist() for _ in range(count)]


DATA = texts(256, 1)


@pytest.mark.parametrize(
    "again",
    [
        DATA, DATA[::-1], DATA[1:], [text[:60] for text in DATA], [[7, 8, 9, *text[3:]] for text in DATA],
        DATA[:100] + texts(156, 2), DATA + texts(800, 3),
    ],
    ids=["same", "another order", "a line less", "cut elsewhere", "another date", "two fifths", "raised to fourfold"],
)  # fmt: skip
def test_the_same_samples_are_known_again(again: list[list[int]]) -> None:
    one, other = sketch(DATA), sketch(again)
    assert len(one) == SIZE
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(
    "fresh",
    [texts(256, 4), [DATA[0], *texts(255, 5)], texts(5, 6), []],
    ids=["all other", "one in common", "a few", "none"],
)
def test_fresh_samples_are_not_taken_for_the_same(fresh: list[list[int]]) -> None:
    assert not same(sketch(DATA), sketch(fresh))
    assert not same(sketch(fresh), sketch(DATA))


def test_prompts_with_the_same_beginning_and_end_are_told_apart_by_what_is_between() -> None:
    frame, close = list(range(40)), list(range(100, 140))
    one, other = ([frame + text + close for text in texts(200, seed, 20)] for seed in (7, 8))
    assert not same(sketch(one), sketch(other))
    assert same(sketch(one), sketch(one[:150]))


def test_all_attempts_together_spend_the_error_once() -> None:
    assert spent(0.95, 1) == pytest.approx(0.975)
    assert sum(1 - spent(0.95, attempt) for attempt in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)
    assert confidence_of("0.95", "Warn", 7) == 0.95
    assert confidence_of("0.95", "Spend", 2) == pytest.approx(1 - 0.05 / 6)


def candidate(bench: Bench, hash_: str, name: str = "eval-1", **changes: Any) -> EvaluateDocument:
    return bench.document(baseline="baseline-1", input_hash=hash_, evaluation=name, **changes)


async def counted(bench: Bench, asked: EvaluateDocument) -> CountedAttempt:
    result = await bench.run(FakeEngine(CANDIDATE), asked)
    assert result.summary.attempt is not None
    assert result.summary.attempt.input_hash == asked.input_hash
    return result.summary.attempt


async def test_every_manifest_on_the_same_samples_is_counted_once(bench: Bench) -> None:
    original = await bench.run(FakeEngine(ORIGINAL), bench.document())
    assert original.summary.attempt is None
    assert (await counted(bench, candidate(bench, "a" * 64))).ordinal == 1
    assert (await counted(bench, candidate(bench, "a" * 64))).ordinal == 1, "found in the store"
    other = {"kind": "Artifact", "digest": "sha256:" + "e" * 64}
    second = candidate(bench, "a" * 64, "eval-2")
    second = second.model_copy(update={"model": second.model.model_validate(other)})
    assert (await counted(bench, second)).ordinal == 1, "candidates of one manifest divide the error already"
    edited = await counted(bench, candidate(bench, "b" * 64, "eval-3"))
    assert (edited.ordinal, edited.before) == (2, ["eval-1"])


async def test_an_edited_dataset_under_another_suites_name_is_the_same_samples(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    await counted(bench, candidate(bench, "a" * 64))
    generator = np.random.default_rng(5)
    lines = [{"text": words(generator, 30)} for _ in range(12)] + [{"text": words(generator, 60)} for _ in range(3)]
    edited = make_dataset(bench.store, bench.store.root.parent, lines)
    protocol = bench.protocol()
    protocol = protocol.model_copy(update={"suites": [bench.suite("renamed", dataset=edited)]})
    await bench.run(FakeEngine(ORIGINAL), bench.document(protocol, evaluation="baseline-2"))
    asked = bench.document(protocol, "baseline-2", input_hash="b" * 64, evaluation="eval-2")
    assert (await counted(bench, asked)).ordinal == 2
    fresh = make_dataset(bench.store, bench.store.root.parent, [words(np.random.default_rng(9), 30)] * 1 + [
        words(np.random.default_rng(seed), 30) for seed in range(20, 40)
    ])  # fmt: skip
    protocol = protocol.model_copy(update={"suites": [bench.suite(dataset=fresh)]})
    await bench.run(FakeEngine(ORIGINAL), bench.document(protocol, evaluation="baseline-3"))
    asked = bench.document(protocol, "baseline-3", input_hash="c" * 64, evaluation="eval-3")
    assert (await counted(bench, asked)).ordinal == 1


async def test_a_run_that_died_is_not_counted_twice_and_a_spoiled_entry_stops_nothing(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    await counted(bench, candidate(bench, "a" * 64))
    bench.store.write(attempt_key(bench.source, "f" * 64), b"{")
    (bench.store.root / "evaluations" / "eval-1" / "result.json").unlink()
    assert (await counted(bench, candidate(bench, "a" * 64))).ordinal == 1
    assert (await counted(bench, candidate(bench, "b" * 64, "eval-2"))).ordinal == 2


async def test_a_manifest_that_never_came_to_a_measurement_is_no_attempt(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    with pytest.raises(RefusalError, match="cannot be compared"):
        await bench.run(FakeEngine(CANDIDATE, release="0.99.0"), candidate(bench, "a" * 64))
    assert (await counted(bench, candidate(bench, "b" * 64, "eval-2"))).ordinal == 1


def verdict(world: World) -> dict[str, Any]:
    found: dict[str, Any] = status(world)["verdict"]
    return found


def edited(value: str, **evaluation: Any) -> dict[str, Any]:
    changed = spec()
    changed["evaluation"]["suites"][0]["gate"]["maximum"][0]["value"] = value
    changed["evaluation"] |= evaluation
    return changed


def test_the_second_candidate_of_one_manifest_is_no_second_attempt(world: World) -> None:
    world.apply_model(NAME, edited("0.0001"))
    world.settle(NAME)
    assert len(world.names("ModelRevision")) == 2
    for name in world.names("ModelRevision"):
        assert world.objects["ModelRevision", name]["status"]["verdict"]["attempts"] == 1


def test_an_edited_threshold_is_another_attempt_though_nothing_is_measured_anew(world: World) -> None:
    for number, value in enumerate(("0.5", "0.4", "0.3"), start=1):
        world.apply_model(NAME, edited(value))
        world.settle(NAME)
        assert verdict(world)["attempts"] == number
    assert "This was attempt 3 on the same samples" in verdict(world)["message"]
    assert world.evaluated == 2


def test_what_the_store_has_counted_outlives_the_model(world: World) -> None:
    body = edited("0.5")
    world.counted = CountedAttempt(
        ordinal=14, input_hash=input_hash(QuantizedModelSpec.model_validate(body)), before=["eval-1"]
    )
    world.apply_model(NAME, body)
    world.settle(NAME)
    assert verdict(world)["attempts"] == 14
    world.apply_model(NAME, edited("0.4"))
    world.settle(NAME)
    assert verdict(world)["attempts"] == 15, "the same measurement, judged by another threshold"


def test_a_repeated_attempt_is_told_by_an_event_and_the_first_is_not(world: World) -> None:
    world.apply_model(NAME, edited("0.5"))
    world.settle(NAME)
    assert "RepeatedAttempt" not in dict(world.events)
    world.apply_model(NAME, edited("0.4"))
    world.settle(NAME)
    (message,) = [text for reason, text in world.events if reason == "RepeatedAttempt"]
    assert "Attempt 2 on the same samples" in message


def test_spent_attempts_need_more_confidence_each_time(world: World) -> None:
    confidences = []
    for value in ("0.5", "0.4"):
        world.apply_model(NAME, edited(value, attempts="Spend"))
        world.settle(NAME)
        confidences.append(float(verdict(world)["confidence"]))
    assert confidences == [pytest.approx(1 - 0.05 / 2 / 2), pytest.approx(1 - 0.05 / 2 / 6, abs=1e-6)]
    assert "so its error was divided by 6" in verdict(world)["message"]


def test_a_warned_gate_stays_as_it_is() -> None:
    gate = ResolvedGate(suite="fidelity", maximum=[], minimum=[], confidence="0.95")
    assert gate_at(gate, "Warn", 9) is gate
