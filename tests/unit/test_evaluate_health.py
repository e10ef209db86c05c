"""Are the answers of a model sound? Every evaluation asks a few prompts of its own."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.status import Measurement
from lowbit.api.suites.health_metrics import HEALTH
from lowbit.gate import judge
from lowbit.naming.store_keys import report_key
from lowbit.worker.engines.base import Reply, ToolCall
from lowbit.worker.suites import health
from tests.unit.evaluation_bench import ORIGINAL, Bench, make_bench
from tests.unit.fake_engine import FakeEngine

bench = pytest.fixture(make_bench)
POEM = "The sea is wide, the sea is deep, and in its arms the rivers sleep. The wind is cold, the wind is free. " * 2


@pytest.mark.parametrize(
    "text",
    [
        "It is so. " + "the cat sat on the mat and " * 12,
        "yes " * 40,
        "first\n" + "- the same line again\n" * 9,
        "a" * 300,
        "好的" * 100,
        "well then: " + "the cat sat on the mat and " * 12 + "the ca",
    ],
)
def test_the_same_words_over_and_over_are_a_loop(text: str) -> None:
    assert health.loops(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "yes", POEM, "ha ha ha ha", " ".join(str(n) for n in range(300)),
        "\n".join(f"{n} times {m} is {n * m}" for n in range(5) for m in range(5)),
        "def f(x):\n    if x:\n        return None\n    for y in x:\n        return None\n    return 1\n",
    ],
)  # fmt: skip
def test_what_repeats_a_little_is_none(text: str) -> None:
    assert not health.loops(text)


def reply(text: str, ended: Any = "Stop", tokens: int = 10, *calls: ToolCall) -> Reply:
    return Reply(text, ended, 5, tokens, calls)


def test_signs_of_an_answer() -> None:
    assert health.signs(reply("fine")).words == []
    assert health.signs(reply("fi", "Length")).words == ["cut off"]
    assert health.signs(reply(" \n")).words == ["empty"]
    assert health.signs(reply("", "ToolCalls", 10, ToolCall("look", "{}"))).words == []
    for text in ("Paris<|im_end|>", "Paris.\nUser: and Rome?", "Paris [/INST]", "Paris</s>", "so.\n### Assistant: yes"):
        assert health.signs(reply(text)).words == ["runs on"], text
    assert health.signs(reply("Tell the user: it works. An <a> is a link.")).words == []


def test_what_is_implausible_is_said() -> None:
    original = {f"{n}": [reply("fine", tokens=20)] for n in range(10)}
    candidate = {f"{n}": [reply("yes " * 40, "Length", 100) if n < 4 else reply("fine", tokens=20)] for n in range(10)}
    section = health.section("Answers", candidate, original)
    assert "Loops: 40% of the candidate's answers, 0% of the original's." in section.text
    assert "times as long" in section.text
    assert ("Loops", "0", "4") in section.rows
    assert health.section("Answers", original, original).text == "Nothing implausible."


def of_health(rows: list[Measurement]) -> dict[str, float]:
    return {row.metric: row.estimate or 0.0 for row in rows if row.suite == HEALTH}


def stops(body: dict[str, Any]) -> Any:
    """A model that answers."""
    text = body["messages"][-1]["content"]
    return "It is a good question about " + text.split()[-1]


def never_stops(body: dict[str, Any]) -> Any:
    """A model that loops on long answers, and says nothing to riddles."""
    text = body["messages"][-1]["content"]
    if "riddle" in text:
        return {"content": "", "tokens": 1}
    return {"content": "and so on " * 40, "finish_reason": "length", "tokens": 120} if "plain" in text else stops(body)


async def test_both_models_are_asked_with_the_sampling_of_serving_and_told_apart(bench: Bench) -> None:
    engine = FakeEngine(ORIGINAL, say=stops)
    baseline = await bench.run(engine, bench.document())
    candidate = await bench.run(FakeEngine(ORIGINAL, say=never_stops), bench.document(baseline="baseline-1"))
    asked = [body for body in engine.asked if "messages" in body]
    assert len(asked) >= 15
    assert all({"temperature", "top_p", "top_k"}.isdisjoint(body) for body in asked)
    before, after = of_health(baseline.summary.measurements), of_health(candidate.summary.measurements)
    assert (before["LoopShare"], before["EmptyShare"]) == (0, 0)
    assert after["LoopShare"] == after["TruncatedShare"] > 0
    assert "LengthRatio" in after
    originals = {row.metric: row.original for row in candidate.summary.measurements if row.suite == HEALTH}
    assert (originals["LoopShare"], originals["EmptyShare"], originals["LengthRatio"]) == ("0", "0", None)
    assert all(row.original is None for row in baseline.summary.measurements)
    assert "LengthRatio" not in before
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert "Soundness of answers with the sampling of serving" in page
    assert bench.stored("eval-1").health


async def test_a_candidate_that_says_nothing_cannot_pass(bench: Bench) -> None:
    baseline = await bench.run(FakeEngine(ORIGINAL, say=stops), bench.document())
    silent = FakeEngine(ORIGINAL, say=lambda _: {"content": "", "tokens": 1})
    candidate = await bench.run(silent, bench.document(baseline="baseline-1"))
    record = judge([], candidate.summary, 1, 1, "2026-01-01T00:00:00Z")
    assert any("Empty: 100% of the candidate's" in doubt and "0% of the orig" in doubt for doubt in record.implausible)
    assert judge([], baseline.summary, 1, 1, "2026-01-01T00:00:00Z").implausible == []


async def test_a_prompt_as_long_as_the_engine_takes_is_asked(bench: Bench) -> None:
    lengths: list[int] = []

    def finds(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        if "How many coins" not in text:
            return stops(body)
        lengths.append(len(text.split()))
        box = text.rsplit("does box ", 1)[1].split()[0]
        (line,) = [line for line in text.splitlines() if line.startswith(f"Box {box} ")]
        return line.split()[-2]

    await bench.run(FakeEngine(ORIGINAL, max_model_len=2048, say=finds), bench.document())
    assert max(lengths) > 0.85 * (2048 - 128)
    assert lengths == sorted(lengths)
    page = (bench.store.read(report_key("baseline-1")) or b"").decode()
    assert page.count('<td class="n">found</td>') == 3


async def test_a_model_without_a_chat_template_is_asked_plain_texts(bench: Bench) -> None:
    engine = FakeEngine(ORIGINAL, roles=())
    baseline = await bench.run(engine, bench.document())
    assert of_health(baseline.summary.measurements)
    assert all("prompt" in body for body in engine.asked)


async def test_an_engine_that_refuses_these_prompts_is_still_evaluated(bench: Bench) -> None:
    baseline = await bench.run(FakeEngine(ORIGINAL, say=lambda _: None), bench.document())
    assert of_health(baseline.summary.measurements) == {}
    assert baseline.summary.measurements
