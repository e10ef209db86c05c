"""evaluation.showcase: what both models answer to the manifest's prompts, side by side, and what serves afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lowbit.api.showcase import Showcase
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import report_key
from lowbit.schema.check import check_manifest
from tests.unit.evaluation_bench import ORIGINAL, Bench, make_bench
from tests.unit.fake_engine import FakeEngine
from tests.unit.life import NAME, condition, status
from tests.unit.world import World, spec

PROMPTS: list[dict[str, Any]] = [
    {"name": "fox", "text": "w1 w2 w3"},
    {"name": "greeting", "messages": [{"role": "user", "content": "w5 w6"}]},
]
SHOWCASE = {"prompts": PROMPTS, "outputTokens": 8}


def engine(*said: str) -> FakeEngine:
    made = FakeEngine(ORIGINAL)
    made.say = lambda body: said[0] if "messages" in body else said[1]
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


async def test_the_report_shows_both_answers_side_by_side(bench: Bench) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    await bench.run(engine("Good morning.", "It jumps."), bench.document(protocol))
    await bench.run(engine("Good evening.", "It sleeps."), bench.document(protocol, baseline="baseline-1"))
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    for part in ("Showcase", "fox", "w1 w2 w3", "user: w5 w6", "Good morning.", "Good evening.", "It jumps.",
                 "It sleeps."):  # fmt: skip
        assert part in page
    assert [each.text for each in bench.stored("eval-1").showcase] == ["It sleeps.", "Good evening."]


async def test_the_sampling_is_that_of_a_client_of_serving(bench: Bench) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    asked = engine("Hello.", "It jumps.")
    await bench.run(asked, bench.document(protocol))
    assert [each["max_tokens"] for each in asked.asked] == [8, 8]
    assert not any(name in each for each in asked.asked for name in ("temperature", "top_p", "top_k"))


async def test_a_prompt_that_the_engine_refuses_fails_nothing(bench: Bench) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    refusing = FakeEngine(ORIGINAL)
    refusing.say = lambda body: None
    result = await bench.run(refusing, bench.document(protocol))
    assert result.summary.measurements
    assert all(each.refused for each in bench.stored("baseline-1").showcase)


async def test_without_a_showcase_nothing_is_asked_or_shown(bench: Bench) -> None:
    await bench.both()
    assert bench.stored("eval-1").showcase == []
    assert "Showcase" not in (bench.store.read(report_key("eval-1")) or b"").decode()


async def test_without_a_showcase_a_protocol_has_the_hash_that_it_had(bench: Bench) -> None:
    protocol = bench.protocol()
    assert "showcase" not in protocol.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    shown = protocol.model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    assert digest("protocol", protocol) != digest("protocol", shown)


def with_showcase(showcase: Any, **changes: Any) -> dict[str, Any]:
    whole = spec(**changes)
    return whole | {"evaluation": whole["evaluation"] | {"showcase": showcase}}


@pytest.mark.parametrize(
    "prompt", [{"name": "a"}, {"name": "a", "text": "x", "messages": [{"role": "user", "content": "x"}]}]
)
def test_a_prompt_is_a_text_or_a_chat(prompt: dict[str, Any]) -> None:
    manifest = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "metadata": {"name": NAME},
                "spec": with_showcase({"prompts": [prompt]})}  # fmt: skip
    (finding,) = check_manifest(manifest).findings
    assert "exactly one of messages and text" in finding.message


def test_there_are_at_most_thirty_two() -> None:
    with pytest.raises(ValidationError):
        Showcase.model_validate({"prompts": [{"name": f"p{n}", "text": "x"} for n in range(33)]})
