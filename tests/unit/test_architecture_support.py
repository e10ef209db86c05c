"""What quantizer or engine cannot do is said before a GPU is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from hack.matrix.page import PAGE, page
from hack.matrix.types import PER_TYPE, settings
from lowbit.api.facts import ModelFacts
from lowbit.architecture import support
from lowbit.architecture.support import Ended, Known, Table, Tried, check_support, table
from lowbit.cli.facts import facts_of
from tests.unit.api_inputs import SMOLLM2, changed_spec
from tests.unit.test_architecture_configs import facts

BOTH: list[Any] = [{"gptq": {}}, {"awq": {}}]


def problems(model: ModelFacts, candidates: list[Any] | None = None, **engine: Any) -> list[tuple[str, str]]:
    spec = changed_spec(candidates=candidates or BOTH, engine={"vllm": engine})
    return [(problem.field, problem.reason) for problem in check_support(spec, model)]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table with one type of each fate."""
    rows = {
        "llama": Tried(
            architecture="LlamaForCausalLM", original=Ended(loads=True), needs=["mamba-ssm"],
            recipes={"gptq": Ended(quantizes=True, loads=True), "awq": Ended(quantizes=False, why="it fell over")},
        ),
        "qwen2": Tried(
            architecture="Qwen2ForCausalLM", original=Ended(loads=True),
            recipes={"gptq": Ended(quantizes=True, loads=False, why="no such layer"),
                     "awq": Ended(quantizes=True, loads=True)},
        ),
        "qwen3": Tried(
            architecture="Qwen3ForCausalLM", original=Ended(loads=False, why="no kernel"), cpu_only="no kernel on CPUs",
            recipes={"gptq": Ended(quantizes=True, loads=False, why="no kernel"),
                     "awq": Ended(quantizes=True, loads=True)},
        ),
    }  # fmt: skip
    rows["gemma3_text"] = Tried(
        architecture="Gemma3ForCausalLM", original=Ended(loads=False, why="no such head size"),
        recipes={"gptq": Ended(quantizes=True, loads=False, why="no such head size"), "awq": Ended(quantizes=True)},
    )  # fmt: skip
    names = frozenset({row.architecture for row in rows.values()})
    made = Table(
        quantizer=Known(version="7", names=frozenset(rows)), engine=Known(version="0.32", names=names), tried=rows
    )
    monkeypatch.setattr(support, "table", lambda: made)
    return made


def test_a_recipe_that_failed_is_refused_and_the_other_is_advised(known: Table) -> None:
    spec = changed_spec(candidates=BOTH, engine={"vllm": {}})
    (problem,) = check_support(spec, facts_of(SMOLLM2))
    assert (problem.field, problem.reason) == ("spec.candidates[1].awq", "NotQuantizable")
    assert "it fell over" in problem.message
    assert "mamba-ssm" in problem.message
    assert problem.action.startswith("use gptq, or an artifact")


def test_an_artifact_that_the_engine_does_not_load_is_refused_before_it_is_made(known: Table) -> None:
    assert problems(facts("qwen2_7b")) == [("spec.candidates[0].gptq", "EngineCannotLoad")]


def test_what_fails_in_the_cpu_engine_alone_is_no_reason_to_refuse(known: Table) -> None:
    assert problems(facts("Qwen3-32B")) == []


def test_an_original_that_the_engine_cannot_load_is_the_engines_lack_and_not_the_recipes(known: Table) -> None:
    assert problems(facts("gemma3_1b_it")) == [("spec.engine.vllm", "EngineLacksModel")]
    assert problems(facts("gemma3_1b_it"), image="registry.example.com/vllm:1") == []


def test_a_type_without_a_definition_that_was_quantized_all_the_same_is_not_refused(known: Table) -> None:
    known.tried["olmo2"] = Tried(
        architecture="Olmo2ForCausalLM", original=Ended(loads=True), recipes={"gptq": Ended(quantizes=True, loads=True)}
    )
    assert problems(facts("olmo2_7b")) == [("spec.candidates[1].awq", "NotQuantizable")]


def test_a_type_that_the_quantizer_has_no_definition_of_is_refused_with_its_name(known: Table) -> None:
    spec = changed_spec(candidates=[{"gptq": {}}], engine={"vllm": {}})
    found = check_support(spec, facts("gemma2_2b"))
    assert [problem.reason for problem in found] == ["EngineLacksModel", "NotQuantizable"]
    assert "gemma2" in found[1].message


def test_an_image_that_the_manifest_names_may_have_what_the_table_lacks(known: Table) -> None:
    artifact = [{"artifact": {"pvc": {"claimName": "models", "path": "made"}}}]
    assert problems(facts("gemma2_2b"), artifact) == [("spec.engine.vllm", "EngineLacksModel")]
    assert problems(facts("gemma2_2b"), artifact, image="registry.example.com/vllm:1") == []


def test_a_model_of_several_parts_counts_by_its_whole_type() -> None:
    (found,) = problems(facts("llava"), [{"gptq": {}}])
    assert found == ("spec.candidates[0].gptq", "NotQuantizable"), "its text part alone is a llama"


def test_what_only_has_a_causal_twin_is_refused_by_its_type() -> None:
    assert ("spec.candidates[0].gptq", "NotQuantizable") in problems(facts("XLNet (defaults)"))


def test_the_demos_model_is_not_refused() -> None:
    assert problems(facts_of(SMOLLM2)) == []


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(table()), "run: PYTHONPATH=operator python -m hack.matrix.page"


def test_every_type_that_is_tried_has_a_tiny_model_with_that_class() -> None:
    assert {name: tried.architecture for name, tried in table().tried.items()} == {
        name: PER_TYPE[name][0] for name in table().tried
    }


@pytest.mark.parametrize("model_type", sorted(PER_TYPE))
def test_every_tiny_model_has_a_configuration_that_is_read(model_type: str) -> None:
    seen = facts_of(settings(model_type), model_type)
    assert seen.hidden_size == 128
    assert seen.model_type == model_type
