"""What a mean over texts hides: tails, long prompts, later turns, damage while decoding, and noise of the engine."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.api.documents import EvaluateResult
from lowbit.api.evaluation import MaximumThreshold, ResolvedGate
from lowbit.api.status import Measurement
from lowbit.gate import judge
from lowbit.naming.store_keys import report_key, samples_key
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import RUNNERS
from lowbit.worker.suites.base import ComparedSample
from lowbit.worker.suites.fidelity import compare
from lowbit.worker.suites.fidelity_samples import SuiteSamples
from lowbit.worker.suites.fidelity_words import identity
from tests.unit.evaluation_bench import CANDIDATE, ORIGINAL, Bench, make_bench, make_dataset, of_suites, value_of, words
from tests.unit.fake_engine import VOCABULARY, FakeEngine, damaged

bench = pytest.fixture(make_bench)
NEAR = damaged(ORIGINAL, 0.02)
RUINED = damaged(ORIGINAL, 3.0)
ANSWERS: dict[str, Any] = {"answers": {"promptTokens": 12, "outputTokens": 16}}


async def measured(
    bench: Bench, candidate: FakeEngine, original: FakeEngine | None = None, **changes: Any
) -> tuple[EvaluateResult, EvaluateResult]:
    """The original's result and the candidate's."""
    protocol = bench.protocol(**changes)
    one = await bench.run(original or FakeEngine(ORIGINAL, max_model_len=2048), bench.document(protocol))
    return one, await bench.run(candidate, bench.document(protocol, baseline="baseline-1"))


def samples_of(bench: Bench, name: str, **changes: Any) -> SuiteSamples:
    """What a model has given."""
    data = bench.store.read(samples_key(bench.stored(name).suites["fidelity"])) or b""
    with np.load(io.BytesIO(data)) as arrays:
        samples: SuiteSamples = RUNNERS["fidelity"].unpack(arrays, bench.suite(**changes).member()[1])
    return samples


def shown(bench: Bench, **changes: Any) -> list[ComparedSample]:
    """The texts of the comparison, as the report gets them."""
    sides = [samples_of(bench, name, **changes) for name in ("eval-1", "baseline-1")]
    return compare("fidelity", *sides).samples


def sliced(result: EvaluateResult, metric: str, kind: str) -> dict[str, Measurement]:
    rows = [row for row in result.summary.measurements if row.metric == metric and row.slice_kind == kind]
    return {row.slice or "": row for row in rows}


def value(row: Measurement) -> float:
    assert row.mean is not None
    return float(row.mean.value)


def long_texts(bench: Bench, tmp_path: Path) -> None:
    """Twenty short texts and four long ones."""
    generator = np.random.default_rng(3)
    lines = [{"text": words(generator, 60)} for _ in range(20)] + [{"text": words(generator, 600)} for _ in range(4)]
    bench.dataset = make_dataset(bench.store, tmp_path, lines)


async def test_damage_to_long_prompts_alone_shows_in_their_slice_and_hardly_in_the_mean(
    bench: Bench, tmp_path: Path
) -> None:
    """As a damaged KV cache would do it."""
    long_texts(bench, tmp_path)
    engine = FakeEngine(NEAR, late=(400, RUINED), max_model_len=2048)
    _, candidate = await measured(bench, engine, samples=24, max_tokens=1024)
    lengths = sliced(candidate, "KLDivergence", "Length")
    assert set(lengths) == {"0-256", "256-1k"}
    assert (lengths["0-256"].count, lengths["256-1k"].count) == (24, 4)
    assert value(lengths["0-256"]) < 0.01
    assert value(lengths["256-1k"]) > 0.5
    assert value_of(candidate, "KLDivergence") < value(lengths["256-1k"]) / 5
    agreement = sliced(candidate, "Top1Agreement", "Length")
    assert value(agreement["256-1k"]) < 0.8 < value(agreement["0-256"])


async def test_texts_of_one_length_have_no_slices(bench: Bench) -> None:
    _, candidate = await bench.both()
    assert not [row for row in candidate.summary.measurements if row.slice is not None]


async def test_chats_are_sliced_by_how_often_a_user_speaks(bench: Bench, tmp_path: Path) -> None:
    generator = np.random.default_rng(4)

    def chat(turns: int) -> dict[str, Any]:
        roles = ["user", "assistant"] * turns
        return {"messages": [{"role": role, "content": words(generator, 12)} for role in roles]}

    bench.dataset = make_dataset(bench.store, tmp_path, [chat(1) for _ in range(6)] + [chat(3) for _ in range(5)])
    _, candidate = await measured(bench, FakeEngine(NEAR, late=(30, RUINED)), max_tokens=80)
    turns = sliced(candidate, "KLDivergence", "Turns")
    assert {name: row.count for name, row in turns.items()} == {"SingleTurn": 6, "MultiTurn": 5}
    assert value(turns["MultiTurn"]) > 20 * value(turns["SingleTurn"])


async def test_tails_are_those_of_all_tokens(bench: Bench) -> None:
    _, candidate = await bench.both()
    original, other = (samples_of(bench, name) for name in ("baseline-1", "eval-1"))
    rows = original.lists.tokens, other.lists.tokens
    assert np.array_equal(*rows)
    before = [token for text in bench.texts() for token in text[:-1]]
    exact = (np.exp(ORIGINAL[before]) * (ORIGINAL[before] - CANDIDATE[before])).sum(axis=1)
    for metric, share in (("KLDivergenceP99", 0.99), ("KLDivergenceP999", 0.999)):
        assert value_of(candidate, metric) == pytest.approx(np.quantile(exact, share), rel=1e-3)


async def test_texts_of_one_group_are_one_unit(bench: Bench, tmp_path: Path) -> None:
    """A document in eight parts would otherwise make every bound look sharp."""
    generator = np.random.default_rng(6)
    texts = [words(generator, 30) for _ in range(24)]
    lines = [{"text": text, "group": f"document-{number // 4}"} for number, text in enumerate(texts[:20])]
    bench.dataset = make_dataset(bench.store, tmp_path, lines + [{"text": text} for text in texts[20:]])
    _, candidate = await measured(bench, FakeEngine(CANDIDATE), samples=24)
    whole = [row for row in of_suites(candidate) if row.slice is None]
    assert {row.count for row in whole} == {5 + 4}
    samples = samples_of(bench, "eval-1")
    divergences = shown(bench)
    by_id = {each.id: each.score for each in divergences}
    means = np.array([by_id[identity(text)] for text in samples.texts])
    groups = samples.units.groups
    expected = np.mean([means[groups == group].mean() for group in set(groups.tolist())])
    assert value_of(candidate, "KLDivergence") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("group", [["a"], {"id": 1}, 1.5])
async def test_a_group_that_names_nothing_is_refused(bench: Bench, tmp_path: Path, group: Any) -> None:
    bench.dataset = make_dataset(bench.store, tmp_path, [{"text": words(np.random.default_rng(1), 30), "group": group}])
    with pytest.raises(RefusalError, match="line 1: has a field group that is no name"):
        await bench.run(FakeEngine(ORIGINAL), bench.document())


async def test_an_engine_that_repeats_itself_has_a_floor_of_0_and_no_ratio(bench: Bench) -> None:
    original, candidate = await bench.both()
    assert value_of(original, "KLDivergenceFloor") == value_of(candidate, "KLDivergenceFloor") == 0
    assert not [row for row in candidate.summary.measurements if row.metric == "KLDivergenceToFloor"]
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert "The floor is 0" in page
    verdict = judge([to_floor("5")], candidate.summary, 1, 1, "2026-01-01T00:00:00Z")
    assert verdict.verdict == "Inconclusive"


def to_floor(most: str) -> ResolvedGate:
    maximum = [MaximumThreshold(metric="KLDivergenceToFloor", value=most)]
    return ResolvedGate(suite="fidelity", maximum=maximum, minimum=[], confidence="0.95")


@pytest.mark.parametrize(("noise", "verdict"), [(0.05, "Passed"), (1.0, "Failed")])
async def test_a_gate_may_ask_how_far_a_candidate_is_in_floors(
    bench: Bench, tmp_path: Path, noise: float, verdict: str
) -> None:
    """A candidate that is the original, in an engine that does not repeat itself, is as near as noise is."""
    generator = np.random.default_rng(8)
    bench.dataset = make_dataset(bench.store, tmp_path, [{"text": words(generator, 30)} for _ in range(170)])
    shaken = FakeEngine(damaged(ORIGINAL, 0.0 if verdict == "Passed" else noise), noise=0.05, seed=1)
    original, candidate = await measured(bench, shaken, FakeEngine(ORIGINAL, noise=0.05), samples=170)
    floor = value_of(original, "KLDivergenceFloor")
    assert floor > 0
    assert value_of(candidate, "KLDivergenceFloor") == floor
    ratio = value_of(candidate, "KLDivergenceToFloor")
    assert ratio == pytest.approx(value_of(candidate, "KLDivergence") / floor, rel=1e-4)
    found = judge([to_floor("2")], candidate.summary, 1, 1, "2026-01-01T00:00:00Z")
    assert found.verdict == verdict, found.message


async def test_the_second_reading_is_in_another_order(bench: Bench) -> None:
    engine = FakeEngine(ORIGINAL)
    await bench.run(engine, bench.document())
    texts = bench.texts()
    read = [prompt for prompt in engine.prompts if prompt in texts]
    assert sorted(read[: len(texts)]) == sorted(read[len(texts) : 2 * len(texts)]) == sorted(texts)
    assert read[: len(texts)] != read[len(texts) : 2 * len(texts)]


async def test_without_answers_nothing_is_generated_for_them(bench: Bench) -> None:
    original, candidate = await bench.both()
    asked = {row.metric for one in (original, candidate) for row in one.summary.measurements}
    assert not asked & {"AnswerKLDivergence", "DecodingKLDivergence", "PrefillDecodeDivergence"}


async def test_both_models_read_the_answers_that_the_original_generated(bench: Bench) -> None:
    original, candidate = await measured(bench, FakeEngine(CANDIDATE), **ANSWERS)
    answers = samples_of(bench, "baseline-1", **ANSWERS).answers
    assert answers is not None
    for text, prompt in zip(answers.texts, answers.prompts, strict=True):
        assert text[prompt:] == FakeEngine(ORIGINAL).generate(text[:prompt], 16)[0]
    expected = []
    for text, prompt in zip(answers.texts, answers.prompts, strict=True):
        before = text[prompt - 1 : -1]
        expected.append((np.exp(ORIGINAL[before]) * (ORIGINAL[before] - CANDIDATE[before])).sum(axis=1).mean())
    assert value_of(candidate, "AnswerKLDivergence") == pytest.approx(np.mean(expected), rel=1e-3)
    assert value_of(original, "PrefillDecodeDivergence") == pytest.approx(0, abs=1e-6)
    assert samples_of(bench, "eval-1", **ANSWERS).answers is not None


async def test_damage_that_shows_only_while_decoding_shows(bench: Bench) -> None:
    """Reading texts and answers, the candidate is perfect: only its decode kernels are broken."""
    _, candidate = await measured(bench, FakeEngine(ORIGINAL, decoding=CANDIDATE), **ANSWERS)
    assert value_of(candidate, "KLDivergence") == pytest.approx(0, abs=1e-6)
    assert value_of(candidate, "AnswerKLDivergence") == pytest.approx(0, abs=1e-6)
    assert value_of(candidate, "DecodingKLDivergence") > 0.05
    assert value_of(candidate, "PrefillDecodeDivergence") > 0.05
    gate = ResolvedGate(
        suite="fidelity", maximum=[MaximumThreshold(metric="DecodingKLDivergence", value="0.01")], minimum=[],
        confidence="0.95",
    )  # fmt: skip
    assert judge([gate], candidate.summary, 1, 1, "2026-01-01T00:00:00Z").verdict != "Passed"


async def test_a_sound_candidate_is_as_near_while_decoding_as_while_reading(bench: Bench) -> None:
    _, candidate = await measured(bench, FakeEngine(NEAR), **ANSWERS)
    read, decoded = (value_of(candidate, name) for name in ("AnswerKLDivergence", "DecodingKLDivergence"))
    assert decoded == pytest.approx(read, rel=0.5)
    assert value_of(candidate, "PrefillDecodeDivergence") == pytest.approx(0, abs=1e-6)


async def test_a_candidate_that_leaves_the_answer_is_led_back_to_it(bench: Bench) -> None:
    """What is compared are the same prefixes, whatever the candidate would have said."""
    await measured(bench, FakeEngine(damaged(ORIGINAL, 1.0)), **ANSWERS)
    one, other = (samples_of(bench, name, **ANSWERS).answers for name in ("baseline-1", "eval-1"))
    assert one is not None
    assert other is not None
    assert one.texts == other.texts
    assert len(other.decoded) == len(one.decoded) == sum(map(len, one.texts)) - sum(one.prompts)
    assert 0 < other.by_decode.sum() < one.by_decode.sum()
    before = np.array([token for text, at in zip(one.texts, one.prompts, strict=True) for token in text[at - 1 : -1]])
    best = damaged(ORIGINAL, 1.0)[before].argmax(axis=1)
    assert np.array_equal(other.decoded.ids[:, 0], best), "at each token of the answer, behind that very prefix"


async def test_an_answer_to_a_chat_begins_where_the_template_lets_it(bench: Bench, tmp_path: Path) -> None:
    generator = np.random.default_rng(9)
    chats = [
        [{"role": "user", "content": words(generator, 9)}, {"role": "assistant", "content": words(generator, 20)}]
        for _ in range(3)
    ]
    bench.dataset = make_dataset(bench.store, tmp_path, [{"messages": chat} for chat in chats])
    engines = [FakeEngine(model, marks_begin=True) for model in (CANDIDATE, ORIGINAL)]
    await measured(bench, *engines, **ANSWERS)
    answers = samples_of(bench, "baseline-1", **ANSWERS).answers
    assert answers is not None
    asked = [[int(word[1:]) for word in chat[0]["content"].split()] + [0] for chat in chats]
    assert sorted(text[:at] for text, at in zip(answers.texts, answers.prompts, strict=True)) == sorted(asked)


async def test_chats_that_differ_in_their_last_answer_alone_have_one_answer(bench: Bench, tmp_path: Path) -> None:
    generator = np.random.default_rng(10)
    asked = [words(generator, 9) for _ in range(3)]
    lines = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": words(generator, 20)}]}
        for text in asked * 2
    ]
    bench.dataset = make_dataset(bench.store, tmp_path, lines)
    _, candidate = await measured(bench, FakeEngine(CANDIDATE), **ANSWERS)
    counts = {row.metric: row.count for row in candidate.summary.measurements if row.slice is None}
    assert (counts["KLDivergence"], counts["AnswerKLDivergence"]) == (6, 3)


async def test_a_model_that_gives_nan_while_decoding_alone_fails(bench: Bench) -> None:
    broken = FakeEngine(ORIGINAL, decoding=np.full_like(ORIGINAL, np.nan))
    await bench.run(FakeEngine(ORIGINAL), bench.document(bench.protocol(**ANSWERS)))
    candidate = await bench.run(broken, bench.document(bench.protocol(**ANSWERS), baseline="baseline-1"))
    rows = [row for row in candidate.summary.measurements if row.metric == "DecodingKLDivergence"]
    assert rows[0].not_finite > 0
    maximum = [MaximumThreshold(metric="DecodingKLDivergence", value="9")]
    gate = ResolvedGate(suite="fidelity", maximum=maximum, minimum=[], confidence="0.95")
    assert judge([gate], candidate.summary, 1, 1, "2026-01-01T00:00:00Z").verdict == "Failed"


async def test_samples_of_an_older_lowbit_still_count(bench: Bench) -> None:
    """They lack groups, turns, the floor and the words: no number that they give is another."""
    _, candidate = await bench.both()
    runner, settings = RUNNERS["fidelity"], bench.suite().member()[1]
    old = {"tokens", "lengths", "ids", "logprobs", "tokenLogprobs", "leftOut"}
    sides = []
    for name in ("eval-1", "baseline-1"):
        packed = runner.pack(samples_of(bench, name))
        sides.append(runner.unpack({key: packed[key] for key in old}, settings))
    again = compare("fidelity", *sides)
    before = {row.metric: row for row in of_suites(candidate) if row.metric != "KLDivergenceFloor"}
    assert {row.metric: row for row in again.rows} == before
    assert any("older Lowbit" in section.text for section in again.sections)


async def test_the_worst_texts_come_first_with_what_each_model_expected(bench: Bench) -> None:
    await bench.both()
    found = shown(bench)
    assert len(found) == 17
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    worst = found[0]
    last = int(worst.prompt.split()[-1][1:])
    row = np.argsort(-ORIGINAL[last], kind="stable")[0]
    assert worst.original.startswith(f'"w{row}" {np.exp(ORIGINAL[last, row]):.2g}, ')
    assert worst.expected in {f"w{token}" for token in range(VOCABULARY)}
    assert worst.note.count("nats") == 2
