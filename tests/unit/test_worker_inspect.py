"""What is read from a model's folder, and what is refused about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.recipes.base import Fitting
from lowbit.worker.model.artifact_files import keep_source_files, remove_others
from lowbit.worker.model.check_artifact import check_artifact
from lowbit.worker.model.inspect_model import inspect
from lowbit.worker.model.tokenizer_files import tokenizer_hash
from lowbit.worker.refuse import RefusalError
from tests.unit import worker_inputs as inputs


def test_the_facts_come_from_the_config_and_the_headers(tmp_path: Path) -> None:
    facts = inspect(inputs.write_model(tmp_path), "the model")
    assert facts.architecture == "LlamaForCausalLM"
    assert (facts.layers, facts.attention_heads, facts.key_value_heads, facts.head_dim) == (2, 4, 2, 32)
    assert facts.parameters == 64 * 128
    assert facts.weight_bytes == (tmp_path / "model.safetensors").stat().st_size
    assert facts.tied_embeddings
    assert facts.chat_template
    assert facts.dtype == "bfloat16"


def test_a_head_of_its_own_means_that_the_embeddings_are_not_tied(tmp_path: Path) -> None:
    weights = inputs.safetensors({"lm_head.weight": ("BF16", [64, 128], 2 * 64 * 128)})
    folder = inputs.write_model(tmp_path, config={"tie_word_embeddings": False}, model__safetensors=weights)
    assert not inspect(folder, "the model").tied_embeddings


def test_what_older_configs_leave_out_is_derived(tmp_path: Path) -> None:
    left_out = {"num_key_value_heads": None, "head_dim": None, "dtype": None, "torch_dtype": "float16"}
    facts = inspect(inputs.write_model(tmp_path, config=left_out), "the model")
    assert (facts.key_value_heads, facts.head_dim, facts.dtype) == (4, 32, "float16")


def test_every_change_of_the_tokenizer_or_template_changes_its_hash(tmp_path: Path) -> None:
    folder = inputs.write_model(tmp_path)
    hashes = {tokenizer_hash(folder)}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        (folder / name).write_text("{} ")
        hashes.add(tokenizer_hash(folder))
    assert len(hashes) == 5


@pytest.mark.parametrize(
    ("files", "config", "reason"),
    [
        ({}, {"model_type": "own", "auto_map": {"AutoModel": "modeling.Own"}}, "RemoteCode"),
        ({}, {"model_type": "own"}, "UnsupportedModel"),
        ({}, {"model_type": None}, "UnsupportedModel"),
        ({}, {"num_attention_heads": "four"}, "UnsupportedModel"),
        ({}, {"architectures": ["LlamaForSequenceClassification"]}, "UnsupportedModel"),
        ({"processor_config__json": b'{"auto_map": {}}'}, {}, "RemoteCode"),
        ({"tokenizer_config__json": b'{"tokenizer_class": "OwnTokenizer", "auto_map": {}}'}, {}, "RemoteCode"),
        ({"model__safetensors__index__json": b"null"}, {}, "BadConfig"),
        ({"model__safetensors__index__json": b"[]"}, {}, "BadConfig"),
        ({"model__safetensors__index__json": b'{"weight_map": null}'}, {}, "BadConfig"),
        ({"model__safetensors__index__json": b'{"weight_map": {"a": 3}}'}, {}, "BadConfig"),
        ({"config__json": b"{"}, {}, "BadConfig"),
        ({"config__json": b"[]"}, {}, "BadConfig"),
        ({"model__safetensors": b""}, {}, "BadWeights"),
        ({"model__safetensors": b"\xff" * 64}, {}, "BadWeights"),
        ({"model__safetensors": inputs.safetensors({"a": ("BF16", [4], 8)})[:-1]}, {}, "BadWeights"),
        ({"model__safetensors__index__json": b'{"weight_map": {"a": "model-2.safetensors"}}'}, {}, "MissingWeights"),
        ({}, {"hidden_size": None}, "UnsupportedModel"),
        ({}, {"architectures": []}, "UnsupportedModel"),
    ],
)
def test_a_model_that_brings_code_or_is_broken_is_refused(
    tmp_path: Path, files: dict[str, bytes], config: dict[str, Any], reason: str
) -> None:
    folder = inputs.write_model(tmp_path, config=config, **files)
    with pytest.raises(RefusalError) as error:
        inspect(folder, "the model small")
    assert error.value.refusal.reason == reason
    assert "the model small" in error.value.refusal.message
    assert error.value.refusal.action


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_without_config_weights_or_tokenizer_is_refused(tmp_path: Path, missing: str) -> None:
    (inputs.write_model(tmp_path) / missing).unlink()
    with pytest.raises(RefusalError) as error:
        inspect(tmp_path, "the model")
    assert error.value.refusal.reason in ("NoConfig", "NoSafetensors", "NoTokenizer")


@pytest.mark.parametrize(
    "quantization",
    [{"bits": 3}, {"bits": 2}, {"sym": False}, {"group_size": 16}, {"desc_act": True}, {"group_size": 128, "wide": 1}],
)
def test_an_artifact_that_the_engine_cannot_load_is_refused(tmp_path: Path, quantization: dict[str, Any]) -> None:
    shape = {"hidden_size": 192, "num_attention_heads": 6} if quantization.pop("wide", None) else {}
    facts = inspect(inputs.write_model(tmp_path, config=shape), "the artifact")
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True} | quantization
    with pytest.raises(RefusalError) as error:
        check_artifact({"quantization_config": gptq}, facts, Fitting(facts, 1), "the artifact")
    assert error.value.refusal.reason == "EngineCannotLoad"
    assert "quantize with 4 or 8 bits" in error.value.refusal.action


def test_what_the_engine_loads_of_awq_is_said_in_the_words_of_awq(tmp_path: Path) -> None:
    facts = inspect(inputs.write_model(tmp_path), "the artifact")
    awq = {"quant_method": "awq", "bits": 8, "group_size": 32, "zero_point": True}
    with pytest.raises(RefusalError) as error:
        check_artifact({"quantization_config": awq}, facts, Fitting(facts, 1), "the artifact")
    assert error.value.refusal.action == (
        "quantize with 4 bits with a zero point, and a group size of -1, 32, 64 or 128 that divides every layer"
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_four_and_eight_bits_are_taken(tmp_path: Path, bits: int) -> None:
    facts = inspect(inputs.write_model(tmp_path), "the artifact")
    gptq = {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": False, "sym": True}
    check_artifact({"quantization_config": gptq}, facts, Fitting(facts, 1), "the artifact")


def test_an_artifact_of_another_model_is_refused(tmp_path: Path) -> None:
    source = inspect(inputs.write_model(tmp_path / "a"), "the source")
    other = inspect(inputs.write_model(tmp_path / "b", config={"num_hidden_layers": 3}), "the artifact")
    with pytest.raises(RefusalError) as error:
        check_artifact({}, other, Fitting(source, 1), "the artifact")
    assert error.value.refusal.reason == "OtherModel"
    assert "layers is 3" in error.value.refusal.message


def test_a_good_artifact_passes(tmp_path: Path) -> None:
    facts = inspect(inputs.write_model(tmp_path), "the artifact")
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 64,
        "desc_act": False,
        "sym": True,
    }
    check_artifact(config, facts, Fitting(facts, 1), "the artifact")


@pytest.mark.parametrize(
    "name",
    ["tekken.json", "qwen.tiktoken", "sentencepiece.bpe.model", "tokenizer.model.v3", "chat_template.json",
     "additional_chat_templates/tool_use.jinja"],
)  # fmt: skip
def test_all_that_an_engine_may_read_of_a_tokenizer_is_hashed_and_kept(tmp_path: Path, name: str) -> None:
    folder, made = inputs.write_model(tmp_path / "source"), inputs.write_model(tmp_path / "made")
    before = tokenizer_hash(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    assert tokenizer_hash(folder) != before
    (made / "log.txt").write_text("the quantizer's")
    keep_source_files(made, folder)
    remove_others(made)
    assert (made / name).read_text() == "{}"
    assert tokenizer_hash(made) == tokenizer_hash(folder)
    assert not (made / "log.txt").exists()


@pytest.mark.parametrize(
    ("template", "file", "expected"),
    [
        ("{{ messages }}", None, True),
        ([{"name": "default", "template": "{{ messages }}"}], None, True),
        ([{"name": "tool_use", "template": "{{ messages }}"}], None, False),
        (None, "chat_template.jinja", True),
        (None, "chat_template.json", False),
        ("", None, False),
    ],
)
def test_a_template_counts_if_a_tokenizer_would_use_it(
    tmp_path: Path, template: Any, file: str | None, expected: bool
) -> None:
    """What prepare says here the quantizer must not deny on a GPU."""
    config = {} if template is None else {"chat_template": template}
    folder = inputs.write_model(tmp_path, tokenizer_config__json=json.dumps(config).encode())
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if file is not None:
        (folder / file).write_text('{"chat_template": "{{ messages }}"}')
    assert inspect(folder, "the model").chat_template == expected


def test_an_auto_map_beside_a_type_that_transformers_has_is_no_reason_to_refuse(tmp_path: Path) -> None:
    files = {"tokenizer_config__json": b'{"tokenizer_class": "LlamaTokenizerFast", "auto_map": {}}'}
    inputs.write_model(tmp_path, config={"auto_map": {"AutoModelForCausalLM": "modeling.Own"}}, **files)
    assert inspect(tmp_path, "the model").architecture == "LlamaForCausalLM"
