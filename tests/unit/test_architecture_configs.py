"""Configurations of models that people use, with what is true of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.engines.vllm import VLLM, VLLMKind
from lowbit.api.facts import ModelFacts
from lowbit.api.problem import Refused
from lowbit.architecture import library
from lowbit.architecture.config import read_config
from lowbit.architecture.headers import linear_layers, split_of
from lowbit.cli.facts import UnreadableConfigError, facts_of

DATA = json.loads((Path(__file__).parent / "data" / "model-configs.json").read_text())
ENCODERS = {"BERT (defaults)", "RoBERTa (defaults)", "XLM-R (defaults)"}
VLLM_KIND = VLLMKind()
OTHER_LAYERS = {"Gemma3n text (defaults)", "Zamba2 (defaults)"}
"""Only their tensors tell the sizes of their layers."""
KNOWN = sorted(name for name, each in DATA.items() if "truth" in each and name not in ENCODERS)
REFUSED = {
    "BART (defaults)": "encoder-decoder",
    "ipex-t5": "encoder-decoder",
    "BERT (defaults)": "BertModel",
    "RoBERTa (defaults)": "RobertaForSequenceClassification",
    "XLM-R (defaults)": "XLMRobertaModel",
    "ModernBERT (defaults)": "ModernBertForMaskedLM",
    "Kimi-K2-Instruct": "kimi_k2",
    "Llama-3_3-Nemotron-Super-49B-v1": "nemotron-nas",
    "baichuan": "baichuan",
    "internlm2_5_7b": "internlm2",
    "ipex-chatglm": "chatglm",
    "ipex-qwen": "qwen",
    "phi-2": "phi-msft",
}


@cache
def facts(name: str) -> ModelFacts:
    return facts_of(DATA[name]["config"], name)


def text_layers(name: str) -> dict[str, list[int]]:
    """The linear layers of the text part: [inputs, outputs] by name."""
    return {
        kind: shape for kind, (shape,) in DATA[name]["truth"]["lin"].items() if "vision" not in kind
    }  # fmt: skip


def row_parallel(name: str) -> set[int]:
    """Input widths of the layers whose inputs are shared among ranks."""
    hidden = facts(name).hidden_size
    found = {shape[0] for kind, shape in text_layers(name).items() if split_of(kind) == "Inputs"}
    for kind, (shape,) in DATA[name]["truth"]["experts3d"].items():
        if split_of(kind) == "Inputs":
            found.add(shape[2] if shape[1] == hidden else shape[1])
    return found


@pytest.mark.parametrize("name", sorted(set(KNOWN) - OTHER_LAYERS))
def test_the_number_of_weights_is_right_to_a_percent(name: str) -> None:
    seen = facts(name)
    truth = DATA[name]["truth"]
    if seen.other_parts:
        assert 0.85 * truth["params_B"] < seen.parameters / 1e9 <= truth["params_B"], "of the text part alone"
    else:
        assert seen.parameters / 1e9 == pytest.approx(truth["params_B"], rel=0.01)


@pytest.mark.parametrize("name", KNOWN)
def test_tied_embeddings_heads_and_types_are_right(name: str) -> None:
    seen, truth = facts(name), DATA[name]["truth"]
    assert seen.tied_embeddings is truth["tied"]
    assert truth["head_dim"] in (seen.head_dim, None) or seen.cache_heads == 1


@pytest.mark.parametrize("name", sorted(set(KNOWN) - OTHER_LAYERS))
def test_every_width_that_ranks_share_is_known(name: str) -> None:
    assert {layer.inputs for layer in facts(name).linear if layer.split == "Inputs"} == row_parallel(name)


@pytest.mark.parametrize("name", sorted(OTHER_LAYERS))
def test_sizes_that_only_the_tensors_tell_are_not_guessed(name: str) -> None:
    assert facts(name).linear == []
    assert facts(name).parameters == 0


@pytest.mark.parametrize(("name", "says"), REFUSED.items())
def test_what_is_no_decoder_or_is_not_known_is_refused_by_its_name(name: str, says: str) -> None:
    with pytest.raises(Refused, match=says) as error:
        read_config(DATA[name]["config"], name)
    assert error.value.problems[0].action


@dataclass(frozen=True)
class Shape:
    """A tensor of a file."""

    name: str
    shape: tuple[int, ...]


def tensors(name: str) -> list[Shape]:
    """The tensors of one layer, as their model's class names them."""
    truth = DATA[name]["truth"]
    flat = {kind: tuple(reversed(shape)) for kind, shape in text_layers(name).items()}
    packed = {kind: tuple(shape) for kind, (shape,) in truth["experts3d"].items()}
    return [Shape(kind.replace("layers.", "layers.0.") + ".weight", shape) for kind, shape in flat.items()] + [
        Shape(kind.replace("layers.", "layers.0."), shape) for kind, shape in packed.items()
    ]


@pytest.mark.parametrize("name", sorted(set(KNOWN) - OTHER_LAYERS - {"Qwen2.5-VL-7B-Instruct"}))
def test_the_tensors_tell_the_same_widths_as_the_configuration(name: str) -> None:
    seen = facts(name)
    read = linear_layers(tensors(name), seen.model_type, seen.hidden_size, seen.layers)
    assert {layer.inputs for layer in read if layer.split == "Inputs"} == row_parallel(name)
    assert {layer.inputs for layer in read} <= {layer.inputs for layer in seen.linear}


@pytest.mark.parametrize(
    ("name", "per_token"),
    [
        ("Meta-Llama-3.1-8B", 32 * 2 * 8 * 128),
        ("deepseek_v2_lite", 27 * (512 + 64)),
        ("Qwen3.5-27B", 16 * 2 * 4 * 256),
        ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 6 * 2 * 2 * 128),
        ("gemma-3-12b-it", 8 * 2 * 8 * 256),
        ("ipex-falcon-7b", 1 * 2 * 1 * 284),
    ],
)
def test_only_layers_that_keep_every_token_count_for_the_cache(name: str, per_token: int) -> None:
    seen = facts(name)
    assert seen.attention_layers * seen.cache_values == per_token


def test_layers_that_predict_further_tokens_are_no_decoder_layers() -> None:
    found = linear_layers([Shape("model.layers.61.mlp.down_proj.weight", (16, 32))], "deepseek_v3", 16, 61)
    assert found == []


def test_experts_are_counted_whatever_form_they_are_kept_in() -> None:
    one_by_one = [Shape(f"model.layers.0.mlp.experts.{n}.down_proj.weight", (16, 8)) for n in range(4)]
    together = [Shape("model.layers.0.mlp.experts.down_proj", (4, 16, 8))]
    turned = [Shape("model.layers.0.mlp.experts.down_proj", (4, 8, 16))]
    expected: Any = linear_layers(one_by_one, "qwen3_moe", 16, 1)
    assert [(layer.inputs, layer.outputs, layer.count) for layer in expected] == [(8, 16, 4)]
    assert linear_layers(together, "qwen3_moe", 16, 1) == expected == linear_layers(turned, "gpt_oss", 16, 1)


def test_numbers_that_json_lacks_are_read_as_transformers_writes_them() -> None:
    limits = {"time_step_limit": [0.0, {"__float__": "Infinity"}]}
    name = "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
    assert facts_of(DATA[name]["config"] | limits, name) == facts(name)


def test_a_class_whose_type_generates_is_taken_by_the_name_that_its_repository_gives_it() -> None:
    """transformers spells this one Kimi_K25ForConditionalGeneration."""
    seen = facts("Kimi-K2.5")
    assert (seen.model_type, seen.experts, seen.cache_heads) == ("kimi_k2", 384, 1)


def test_whatever_transformers_has_is_read_or_refused_in_words() -> None:
    """Its own default configuration of every type that generates text."""
    known = library.configurations()
    read = 0
    for model_type, name in library.generating_by_type().items():
        try:
            content = json.loads(json.dumps(known[model_type]().to_dict(), default=str))
        except Exception:
            continue  # it needs parts that have no default
        try:
            facts_of(content | {"architectures": [name], "model_type": model_type}, model_type)
            read += 1
        except UnreadableConfigError as error:
            assert model_type in str(error)
    assert read > 200


STATE_HEADS = {
    # name: sizes that vLLM divides its heads among, of those that divide its attention heads
    "Nemotron-H-56B-Base-8K": {1, 2, 4, 8},  # 256 heads in 8 groups: 16, 32 and 64 would split a group
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": {1, 2, 4, 8},  # 64 heads in 8 groups
    "Qwen3.5 text (defaults)": {1, 2, 4, 8, 16},  # 16 key heads, 32 value heads
    "Qwen3.5-27B": {1, 2, 4, 8},  # 16 and 48, beside 24 of attention: 12 and 24 would split a key head
    "Zamba2 (defaults)": {1, 2, 4, 8},  # 8 heads in one group, which every rank may hold
}


@pytest.mark.parametrize("name", STATE_HEADS)
def test_heads_of_mamba_and_linear_attention_are_counted_as_the_engine_divides_them(name: str) -> None:
    known = facts(name)
    sizes = [size for size in range(1, known.attention_heads + 1) if known.attention_heads % size == 0]
    fits = {size for size in sizes if not VLLM_KIND.problems(VLLM(tensor_parallel_size=size), known)}
    assert fits == STATE_HEADS[name]


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("Nemotron-H-56B-Base-8K", 16, "16 does not divide the model's 8 groups of mamba heads"),
        ("Zamba2 (defaults)", 16, "16 does not divide the model's 8 mamba heads"),
        ("Qwen3.5-27B", 12, "12 does not divide the model's 16 key heads of linear attention"),
    ],
)
def test_a_size_that_splits_such_a_head_is_refused_with_those_that_fit(name: str, size: int, words: str) -> None:
    (problem,) = VLLM_KIND.problems(VLLM(tensor_parallel_size=size), facts(name))
    assert (problem.reason, problem.message) == ("HeadsNotDivisible", words)
    assert problem.action == "use one of 1, 2, 4, 8"


def test_an_unknown_number_of_such_heads_refuses_nothing() -> None:
    """An older Lowbit's facts have none; neither has mamba of the first kind, which has no heads."""
    assert facts("Jamba (defaults)").state_heads == []
    old = facts("Nemotron-H-56B-Base-8K").model_copy(update={"state_heads": [], "linear": []})
    assert VLLM_KIND.problems(VLLM(tensor_parallel_size=8), old) == []
