"""evaluate from the document to the results in the store, against an engine whose distribution is known."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.api.documents import ProgressLine, ReportedRevision
from lowbit.api.evaluation import MaximumThreshold, ResolvedGate
from lowbit.api.paths import TERMINATION_LIMIT
from lowbit.api.recipes import ResolvedRecipe
from lowbit.gate import judge
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import (
    artifact_index_key,
    dataset_key,
    report_json_key,
    report_key,
    report_text_key,
    result_key,
)
from lowbit.report import html
from lowbit.report.model import Report
from lowbit.worker.evaluate.decoding import PROMPTS
from lowbit.worker.refuse import EngineError, RefusalError
from tests.unit.evaluation_bench import (
    ARTIFACT,
    ARTIFACT_HASH,
    CANDIDATE,
    ORIGINAL,
    Bench,
    make_bench,
    make_dataset,
    mean_of,
    of_suites,
    per_text,
    value_of,
    words,
)
from tests.unit.fake_engine import MODEL, VOCABULARY, FakeEngine

bench = pytest.fixture(make_bench)


async def test_the_result_and_the_report_name_the_kernel_that_ran(bench: Bench) -> None:
    original = await bench.run(FakeEngine(ORIGINAL), bench.document())
    assert original.summary.kernels == [], "an engine that writes no log names none"
    bench.engine_log.write_text("INFO 11-27 02:25:41 [x:352] Using CPUWNA16LinearKernel for AutoGPTQLinearMethod\n")
    candidate = await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1"))
    assert candidate.summary.kernels == ["CPUWNA16LinearKernel for AutoGPTQLinearMethod"]
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert "<code>CPUWNA16LinearKernel for AutoGPTQLinearMethod</code>" in page
    stored = bench.stored("eval-1")
    assert stored.summary.kernels == candidate.summary.kernels
    assert "names none" in (bench.store.read(report_key("baseline-1")) or b"").decode()


async def test_a_candidate_in_another_version_of_the_engine_is_refused_before_it_is_measured(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    moved = FakeEngine(CANDIDATE, release="0.34.0")
    with pytest.raises(RefusalError, match=r"version 0\.33\.0 of the engine, and engine:1 is version 0\.34\.0 now"):
        await bench.run(moved, bench.document(baseline="baseline-1"))
    assert moved.completions == 1, "the first completion only, which shows that the engine is ready"


async def test_the_estimates_are_those_of_the_known_distributions(bench: Bench) -> None:
    original, candidate = await bench.both()
    texts = bench.texts()
    kl = per_text(lambda a, _: np.exp(ORIGINAL[a]) @ (ORIGINAL[a] - CANDIDATE[a]), texts)
    ratio = per_text(lambda a, b: ORIGINAL[a, b] - CANDIDATE[a, b], texts)
    same = per_text(lambda a, _: ORIGINAL[a].argmax() == CANDIDATE[a].argmax(), texts)
    for metric, values in (("KLDivergence", kl), ("PerplexityRatio", ratio), ("Top1Agreement", same)):
        mean = mean_of(candidate, metric)
        assert mean is not None
        assert float(mean.value) == pytest.approx(values.mean(), rel=1e-4, abs=1e-5)
        assert float(mean.standard_error) == pytest.approx(values.std(ddof=1) / len(values) ** 0.5, rel=1e-3)
        assert mean_of(original, metric) is None, "nothing to compare with"
    assert {row.count for row in of_suites(candidate)} == {len(texts)} == {17}
    loss = per_text(lambda a, b: -ORIGINAL[a, b], texts)
    assert value_of(original, "Perplexity") == pytest.approx(loss.mean(), rel=1e-4)
    assert value_of(candidate, "Perplexity") == pytest.approx((loss + ratio).mean(), rel=1e-4)


async def test_covered_mass_is_a_mean_over_texts_like_every_other_value(bench: Bench) -> None:
    top = 20
    original = await bench.run(FakeEngine(ORIGINAL), bench.document(bench.protocol(top_logprobs=top)))
    texts = bench.texts()
    assert len({len(text) for text in texts}) > 1
    likely = np.sort(np.exp(ORIGINAL), axis=1)[:, ::-1][:, :top]

    def listed(before: int, token: int) -> float:
        p = float(np.exp(ORIGINAL[before, token]))
        return float(likely[before].sum()) + (p if p < likely[before, -1] else 0.0)

    expected = per_text(listed, texts).mean()
    assert value_of(original, "CoveredMass") == pytest.approx(expected, rel=1e-4)


async def test_an_original_measured_against_itself_shows_no_loss(bench: Bench) -> None:
    _, candidate = await bench.both(ORIGINAL)
    assert value_of(candidate, "KLDivergence") < 1e-5
    assert value_of(candidate, "Top1Agreement") == 1


async def test_texts_are_cut_and_short_ones_left_out(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document(bench.protocol(samples=100)))
    assert sorted(len(text) for text in bench.texts()) == [20] + [30] * 12 + [40] * 4


async def test_the_same_text_many_times_counts_once_and_the_report_says_so(bench: Bench, tmp_path: Path) -> None:
    """Equal but for white space, for how Unicode writes a letter, or behind the cut: nothing new is learned from it."""
    few = [words(np.random.default_rng(seed), 50) for seed in range(8)]
    lines = [{"text": text} for text in few * 40]
    lines += [{"text": few[0].replace(" ", "  \n")}, {"text": few[1] + " w7"}]
    bench.dataset = make_dataset(bench.store, tmp_path, lines)
    original = await bench.run(FakeEngine(ORIGINAL), bench.document(bench.protocol(samples=300)))
    assert {row.count for row in of_suites(original)} == {8}
    page = (bench.store.read(report_key("baseline-1")) or b"").decode()
    assert '<td>Lines of the dataset</td><td class="n">322</td>' in page
    assert 'white space and Unicode</td><td class="n">314</td>' in page


async def test_texts_of_one_group_are_one_unit_and_the_report_says_so(bench: Bench, tmp_path: Path) -> None:
    """Texts of one group resemble each other: counted one by one they would promise more than was measured."""
    texts = [words(np.random.default_rng(seed), 50) for seed in range(12)]
    lines = [{"text": text, "group": f"g{number % 3}"} for number, text in enumerate(texts[:9])]
    bench.dataset = make_dataset(bench.store, tmp_path, [*lines, *({"text": text} for text in texts[9:])])
    original = await bench.run(FakeEngine(ORIGINAL), bench.document(bench.protocol(samples=300)))
    assert {row.count for row in original.summary.measurements if row.suite == "fidelity"} == {3 + 3}
    page = (bench.store.read(report_key("baseline-1")) or b"").decode()
    assert 'Measured: texts</td><td class="n">12</td>' in page
    assert 'Measured: groups of texts, which are independent</td><td class="n">6</td>' in page


async def test_texts_are_drawn_by_chance_and_the_same_each_time(bench: Bench, tmp_path: Path) -> None:
    lines = [{"text": f"w{number % VOCABULARY} " + words(np.random.default_rng(number), 20)} for number in range(200)]
    bench.dataset = make_dataset(bench.store, tmp_path, lines)
    await bench.run(FakeEngine(ORIGINAL), bench.document(bench.protocol(samples=20)))
    first = bench.texts()
    numbers = [int(str(line["text"]).split()[0][1:]) for line in lines]
    assert [text[0] for text in first] != numbers[: len(first)], "a sorted file gives no sorted sample"
    again = bench.document(bench.protocol(samples=20)).model_copy(update={"evaluation": "baseline-2"})
    bench.measured_by("0.1.0")
    await bench.run(FakeEngine(ORIGINAL), again)
    assert bench.texts() == first


@pytest.mark.parametrize("answer", ["a number", "an error"])
async def test_a_model_that_answers_nan_fails_and_the_tokens_are_counted(bench: Bench, answer: str) -> None:
    """vLLM cannot write NaN as JSON, and answers 400; another engine may send it."""
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    broken = FakeEngine(np.full_like(ORIGINAL, np.nan), refuses_nan=answer == "an error")
    candidate = await bench.run(broken, bench.document(baseline="baseline-1"))
    tokens = sum(len(text) - 1 for text in bench.texts())
    assert {row.not_finite for row in of_suites(candidate)} == {tokens}
    gate = ResolvedGate(
        suite="fidelity", maximum=[MaximumThreshold(metric="KLDivergence", value="5")], minimum=[], confidence="0.95"
    )
    verdict = judge([gate], candidate.summary, 1, 1, "2026-01-01T00:00:00Z")
    assert verdict.verdict == "Failed"
    assert f"{tokens} of the numbers that the engine gave are not finite" in verdict.message
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert f"{tokens} of {tokens} tokens have no finite log probability" in page


async def test_one_token_that_is_not_finite_fails_the_suite(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    damaged_once = CANDIDATE.copy()
    damaged_once[bench.texts()[0][0]] = np.nan
    candidate = await bench.run(FakeEngine(damaged_once), bench.document(baseline="baseline-1"))
    assert all(row.not_finite >= 1 for row in of_suites(candidate))


async def test_texts_are_cut_to_what_the_engine_takes(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL, max_model_len=26), bench.document())
    assert max(len(text) for text in bench.texts()) == 25


async def test_the_candidate_reads_the_very_tokens_of_the_original(bench: Bench) -> None:
    """Without its tokenizer: even a template that writes today's date changes nothing."""
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    (bench.store.root / "sources").rename(bench.store.root / "gone")
    engine = FakeEngine(CANDIDATE)
    await bench.run(engine, bench.document(baseline="baseline-1"))
    assert all(text in engine.prompts for text in bench.texts())


async def test_requests_go_out_together(bench: Bench) -> None:
    engine = FakeEngine(ORIGINAL, together=17)
    async with asyncio.timeout(60):
        await bench.run(engine, bench.document())
    assert engine.all_here.is_set()


async def test_the_result_is_written_last(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    parts = [f"{key.split('/')[0]}/{key.rsplit('/', 1)[1]}" for key in bench.store.written]
    assert parts[-4:] == [
        "evaluations/report.txt", "evaluations/report.json", "evaluations/report.html", "evaluations/result.json",
    ]  # fmt: skip


async def test_a_new_suite_is_all_that_is_measured_anew_and_a_name_is_nothing_new(bench: Bench) -> None:
    first, _ = await bench.both()
    renamed, added = bench.suite("texts"), bench.suite("short", max_tokens=18)
    protocol = bench.protocol().model_copy(update={"suites": [renamed, added]})
    engine = FakeEngine(ORIGINAL)
    document = bench.document(protocol).model_copy(update={"evaluation": "baseline-2"})
    second = await bench.run(engine, document)
    # The first texts are prompts of what is generated besides.
    assert not any(text in engine.prompts for text in bench.texts()[PROMPTS:])
    whole = [
        row.model_copy(update={"suite": "fidelity"}) for row in second.summary.measurements if row.suite == "texts"
    ]
    assert whole == of_suites(first)
    assert {row.suite for row in of_suites(second)} == {"texts", "short"}


async def test_what_a_candidate_gave_for_other_texts_is_measured_anew(bench: Bench, tmp_path: Path) -> None:
    """A template may write the date: a new baseline then holds other token ids than the candidate has read."""
    await bench.both()
    lines = [{"text": words(np.random.default_rng(seed), 30)} for seed in range(90, 98)]
    other = bench.store.dataset(make_dataset(bench.store, tmp_path, lines))
    bench.store.dataset = lambda _: other  # type: ignore[assignment, method-assign]
    bench.measured_by("0.1.0")
    document = bench.document().model_copy(update={"evaluation": "baseline-2"})
    await bench.run(FakeEngine(ORIGINAL), document)
    again = bench.document(baseline="baseline-2").model_copy(update={"evaluation": "eval-2"})
    found = await bench.run(FakeEngine(CANDIDATE), again)
    assert {row.count for row in of_suites(found)} == {8}


async def test_what_another_version_of_the_engine_gave_is_measured_anew(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    engine = FakeEngine(ORIGINAL, release="0.34.0")
    await bench.run(engine, bench.document().model_copy(update={"evaluation": "baseline-2"}))
    assert all(text in engine.prompts for text in bench.texts())
    with pytest.raises(RefusalError, match="measured anew"):
        await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1"))


async def test_a_finished_evaluation_is_reused_without_an_engine(bench: Bench) -> None:
    original, candidate = await bench.both()
    engine = FakeEngine(ORIGINAL)
    again = await bench.run(engine, bench.document(baseline="baseline-1"))
    assert again == candidate.model_copy(update={"reused": True})
    assert not original.reused
    assert engine.requests == 0


async def test_the_result_fits_a_termination_message(bench: Bench) -> None:
    _, candidate = await bench.both()
    assert len(candidate.model_dump_json(by_alias=True, exclude_none=True)) < TERMINATION_LIMIT


async def test_speed_is_measured_at_one_request_and_at_many(bench: Bench) -> None:
    original, _ = await bench.both()
    assert [one.concurrency for one in original.summary.speed] == [1, 6]
    for one in original.summary.speed:
        assert float(one.tokens_per_second) > 0
        assert float(one.time_to_first_token_seconds) > 0


async def test_generated_tokens_are_compared_with_the_originals(bench: Bench) -> None:
    await bench.both()
    baseline, candidate = (bench.stored(name) for name in ("baseline-1", "eval-1"))
    assert baseline.decoding is not None
    assert baseline.decoding.same_tokens is None
    assert candidate is not None
    assert candidate.decoding is not None
    shares = [
        np.mean(np.array(a.tokens) == np.array(b.tokens))
        for a, b in zip(candidate.generated, baseline.generated, strict=True)
    ]
    assert candidate.decoding.same_tokens == pytest.approx(np.mean(shares))
    assert candidate.decoding.prefill_difference == pytest.approx(0, abs=1e-6)


async def test_progress_ends_near_the_whole(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL, unhealthy=2), bench.document())
    lines = [ProgressLine.model_validate_json(line) for line in bench.lines]
    percents = [line.percent for line in lines]
    assert percents == sorted(percents)
    assert percents[-1] > 90
    assert any("waiting for the engine" in line.message for line in lines)


@pytest.mark.parametrize("trouble", ["fail_after", "drop_after", "restart_after"])
@pytest.mark.parametrize("completions", [1, 5, 22, 35])
async def test_an_engine_in_trouble_makes_the_run_invalid(bench: Bench, trouble: str, completions: int) -> None:
    """While it starts, reads, generates and is timed: nothing is tried again in silence, and nothing is written."""
    engine = FakeEngine(ORIGINAL)
    setattr(engine, trouble, completions)
    with pytest.raises(EngineError, match=r"500|dropped|restarted"):
        await bench.run(engine, bench.document())
    assert not bench.store.has(result_key("baseline-1"))


async def test_an_engine_that_serves_another_model_is_not_measured(bench: Bench) -> None:
    document = bench.document().model_copy(update={"served_name": "other"})
    engine = FakeEngine(ORIGINAL)
    with pytest.raises((EngineError, AssertionError)):
        await bench.run(engine, document)


async def test_a_baseline_of_another_protocol_is_refused(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    engine = FakeEngine(CANDIDATE)
    with pytest.raises(RefusalError) as refused:
        await bench.run(engine, bench.document(bench.protocol(max_tokens=39), baseline="baseline-1"))
    assert refused.value.refusal.reason == "OtherResult"
    assert engine.requests == 0


async def test_a_baseline_that_is_gone_is_refused(bench: Bench) -> None:
    with pytest.raises(RefusalError) as refused:
        await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1"))
    assert refused.value.refusal.reason == "NoBaseline"


@pytest.mark.parametrize("damage", ["broken", "cut", "flipped"])
async def test_a_damaged_baseline_is_refused(bench: Bench, damage: str) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    whole = bench.store.read(bench.samples_key()) or b""
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 64]) + whole[middle + 64 :]
    bench.store.write(bench.samples_key(), {"broken": b"broken", "cut": whole[:middle], "flipped": flipped}[damage])
    with pytest.raises(RefusalError) as refused:
        await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1"))
    assert refused.value.refusal.reason == "Damaged"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"text": "w1 w2"}], "TooFewTexts"),
        ([{"text": "w1"}, {"text": "w2 w3"}], "TooFewTexts"),
        ([], "EmptyDataset"),
        ([{"text": "w1 w2"}, {"words": "w1"}], "BadDataset"),
        ([{"messages": "hello"}], "BadDataset"),
        ([{"messages": [{"role": "user"}]}], "BadDataset"),
    ],
)
async def test_a_dataset_that_measures_nothing_is_refused(
    bench: Bench, tmp_path: Path, lines: list[Any], reason: str
) -> None:
    bench.dataset = make_dataset(bench.store, tmp_path, lines)
    with pytest.raises(RefusalError) as refused:
        await bench.run(FakeEngine(ORIGINAL), bench.document())
    assert refused.value.refusal.reason == reason
    assert "fidelity" in refused.value.refusal.message


async def test_chats_go_through_the_originals_template(bench: Bench, tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "w3 w4 " * 10}, {"role": "assistant", "content": "w5"}]
    bench.dataset = make_dataset(bench.store, tmp_path, [{"messages": chat}, {"messages": chat[::-1]}])
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    assert sorted(bench.texts()) == [[3, 4] * 10 + [5], [5] + [3, 4] * 10]


@pytest.mark.parametrize("roles", [(), ("user",)])
async def test_a_chat_that_the_engine_refuses_is_named_by_its_line(
    bench: Bench, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    """A model without a template, and a template that knows no such role."""
    chats = [{"messages": [{"role": role, "content": "w5 w6"}]} for role in (*roles, "assistant")]
    bench.dataset = make_dataset(bench.store, tmp_path, chats)
    named = f"dataset of suite fidelity, line {len(chats)}: the engine refuses it: .*no such role"
    with pytest.raises(RefusalError, match=named):
        await bench.run(FakeEngine(ORIGINAL, roles=roles), bench.document())


async def test_a_line_that_is_no_json_is_named(bench: Bench) -> None:
    data = b'{"text": "w1 w2"}\n{broken\n'
    bench.dataset = "sha256:" + hashlib.sha256(data).hexdigest()
    bench.store.write(dataset_key(bench.dataset), data)
    with pytest.raises(RefusalError, match="dataset of suite fidelity, line 2: is not JSON"):
        await bench.run(FakeEngine(ORIGINAL), bench.document())


async def test_result_json_says_how_it_was_measured(bench: Bench) -> None:
    await bench.both()
    stored = bench.stored("eval-1")
    assert stored.protocol_key == digest("protocol", bench.protocol())
    assert stored.versions["engine"] == "0.33.0"
    assert stored.baseline == "baseline-1"
    assert stored.max_model_len == 512


async def test_the_report_is_one_file_and_shows_everything(bench: Bench) -> None:
    index = {
        "of": ARTIFACT_HASH,
        "artifact": {"digest": ARTIFACT, "bytes": 114_600_000, "sourceBytes": 269_060_552, "ratio": "2.35"},
        "modules": [
            {"name": f"model.layers.{layer}.{module}", "loss": 0.001 * (layer + 1)}
            for layer in range(4)
            for module in ("self_attn.q_proj", "mlp.down_proj")
        ],
    }
    bench.store.write(artifact_index_key(ARTIFACT_HASH), json.dumps(index).encode())
    _, candidate = await bench.both()
    page = bench.store.read(report_key("eval-1"))
    assert page is not None
    assert candidate.summary.report_digest == "sha256:" + hashlib.sha256(page).hexdigest()
    assert candidate.summary.report_path == report_key("eval-1")
    text = page.decode()
    assert not re.findall(r"https?://(?!www\.w3\.org/(?:2000/svg|1999/xlink))|@import|url\((?!#)", text)
    for part in ("KL divergence", "Top-1 agreement", "Perplexity ratio", "mlp.down_proj", "2.35x", "114.6 MB",
                 "6 at once", "engine:1", "--enforce-eager", "0.33.0", "Covered mass", "baseline-1"):  # fmt: skip
        assert part in text
    data = bench.store.read(report_json_key("eval-1")) or b""
    assert candidate.summary.report_json_digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert html.render(Report.model_validate_json(data)) == text, "the page is what its JSON says, wherever it is made"
    assert (bench.store.read(report_text_key("eval-1")) or b"").decode().startswith(MODEL)


async def test_the_report_says_what_the_gate_says_by_the_thresholds_of_the_job(bench: Bench) -> None:
    maximum = [MaximumThreshold(metric="PerplexityRatio", value="1.0001")]
    gates = [ResolvedGate(suite="fidelity", maximum=maximum, minimum=[], confidence="0.95")]
    gptq = {"bits": 4, "groupSize": 64, "descAct": False, "sym": True, "dampPercent": "0.01"}
    recipe = ResolvedRecipe.model_validate({"gptq": gptq})
    name = "gptq-int4-g64 with --kv-cache-dtype=fp8 on tickets"
    reported = ReportedRevision(candidate=0, candidates=2, gates=gates, recipe=recipe, label=name)
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1", reported=reported))
    whole = Report.model_validate_json(bench.store.read(report_json_key("eval-1")) or b"")
    assert whole.judgement is not None
    record = whole.judgement.record
    assert whole.judgement.by == "Worker"
    assert record == judge(gates, bench.stored("eval-1").summary, 2, 1, record.time)
    assert (record.attempts, record.confidence) == (1, "0.975")
    assert whole.remedy is not None
    facts = whole.subject.recipe
    assert facts is not None and (facts.bits, facts.group_size, facts.label) == (4, 64, name)
    original = Report.model_validate_json(bench.store.read(report_json_key("baseline-1")) or b"")
    assert original.judgement is None


async def test_the_report_names_what_was_left_behind_and_left_out(bench: Bench) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    asked = bench.document(baseline="baseline-1", left_behind=["pytorch_model.bin"], removed={"talk": 3})
    await bench.run(FakeEngine(CANDIDATE), asked)
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert "not used: pytorch_model.bin (other formats" in page
    assert "without 3 lines that are, or nearly are, evaluated on" in page


async def test_a_report_without_the_quantizers_record_is_still_made(bench: Bench) -> None:
    bench.store.write(artifact_index_key(ARTIFACT_HASH), b'{"modules": [{"loss": "x"}, 3], "artifact": 5}')
    _, candidate = await bench.both()
    assert candidate.summary.report_path is not None
