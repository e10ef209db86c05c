"""The examples are what they say: valid, and with texts that are held out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lowbit.api.base import Wire
from lowbit.api.evaluation import suite_of
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import label
from lowbit.resolve.freeze import freeze
from tests.unit import desired_inputs as inputs

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TYPES: dict[str, type[Wire]] = {"QuantizedModel": QuantizedModelSpec, "ModelStore": ModelStoreSpec}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text()))


def model(name: str) -> QuantizedModelSpec:
    (found,) = [d for d in documents(name) if d["kind"] == "QuantizedModel"]
    return QuantizedModelSpec.model_validate(found["spec"])


@pytest.mark.parametrize("file", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_every_example_is_valid(file: str) -> None:
    for document in documents(file):
        assert document["apiVersion"] == "lowbit.dev/v1alpha1"
        TYPES[document["kind"]].model_validate(document["spec"])


def test_the_group_size_of_the_small_example_is_the_largest_that_its_model_allows() -> None:
    facts = inputs.FACTS.model_copy(
        update={
            "hidden_size": 576,
            "intermediate_size": 1536,
            "attention_heads": 9,
            "key_value_heads": 3,
            "head_dim": 64,
        }
    )
    spec = model("smollm2.yaml")
    datasets = dict.fromkeys(("calibration/general", "evaluation/fidelity"), inputs.DATASET)
    prepared = inputs.prepared().model_copy(update={"facts": facts, "datasets": datasets})
    (frozen,) = freeze("smollm2", spec, Platform(), prepared)
    assert label(frozen.recipe) == "gptq-int4-g64"
    auto = spec.model_copy(update={"candidates": model("smallest.yaml").candidates})
    assert freeze("smollm2", auto, Platform(), prepared)[0].recipe == frozen.recipe


def test_the_tensor_parallel_example_fits_its_model() -> None:
    facts = inputs.FACTS.model_copy(
        update={
            "hidden_size": 8192,
            "intermediate_size": 29568,
            "attention_heads": 64,
            "key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 32768,
        }
    )
    spec = model("72b-tensor-parallel.yaml")
    datasets = dict.fromkeys(("calibration/general", "evaluation/fidelity"), inputs.DATASET)
    prepared = inputs.prepared().model_copy(update={"facts": facts, "datasets": datasets})
    (frozen,) = freeze("assistant-72b", spec, Platform(), prepared)
    assert label(frozen.recipe) == "gptq-int4-g32"


def test_the_smallest_example_is_about_ten_lines_and_the_gated_one_serves_nothing() -> None:
    lines = [line for line in (EXAMPLES / "smallest.yaml").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) <= 13
    assert model("gate-only.yaml").serving is None


def texts(name: str) -> list[str]:
    records = [json.loads(line) for line in (EXAMPLES / "data" / name).read_text().splitlines()]
    return [" ".join(m["content"] for m in record["messages"] if m["role"] == "assistant") for record in records]


def test_the_example_texts_are_distinct_and_the_held_out_ones_share_no_sentence_with_the_others() -> None:
    calibration, holdout = texts("calibration.jsonl"), texts("holdout.jsonl")
    spec = model("smollm2.yaml")
    assert spec.calibration is not None
    assert len(set(calibration)) == len(calibration) >= spec.calibration.samples
    assert len(set(holdout)) == len(holdout) == suite_of(spec.evaluation.suites[0])[1].wire()["samples"]

    def sentences(all_texts: list[str]) -> set[str]:
        return {sentence.strip() for text in all_texts for sentence in text.split(".") if sentence.strip()}

    assert not sentences(calibration) & sentences(holdout)


def test_the_data_is_what_its_program_makes(tmp_path: Path) -> None:
    root = EXAMPLES.parent
    sources = ("examples/data/make.py", "examples/data/sentences.txt", "examples/data/kinds.txt")
    for file in (*sources, "operator/lowbit/worker/evaluate/prompts.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text((root / file).read_text())
    subprocess.run([sys.executable, tmp_path / "examples/data/make.py"], check=True)
    for made in ("calibration.jsonl", "prompts.jsonl", "longform.jsonl", "kinds.jsonl", "sequences.jsonl"):
        assert (tmp_path / "examples/data" / made).read_text() == (EXAMPLES / "data" / made).read_text()
