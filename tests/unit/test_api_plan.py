"""`lowbit plan`: what is wrong, or what would be made; the examples; the reference."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lowbit.cli.main import PROBLEMS, UNREADABLE, main, reference_files
from lowbit.schema import crd
from lowbit.schema.check import check_manifest
from tests.api.manifests import ROOT, changed, good
from tests.unit.api_inputs import QWEN_7B, SMOLLM2, examples


def run(*arguments: str | Path) -> tuple[int, str]:
    out = io.StringIO()
    code = main([str(argument) for argument in arguments], out)
    return code, out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(good("full")))
    return path


def config(tmp_path: Path, content: dict[str, Any]) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(content))
    return tmp_path


def test_without_a_config_it_says_what_was_not_checked(file: Path) -> None:
    code, text = run("plan", file)
    assert code == 0
    assert "whether the group size divides every layer on each rank" in text
    assert "gptq-int4-gAuto" in text


def test_with_a_config_it_estimates_sizes_and_memory(file: Path, tmp_path: Path) -> None:
    code, text = run("plan", file, "--config", config(tmp_path, QWEN_7B))
    assert code == 0
    assert "gptq-int4-g128" in text
    assert "about 5.5 GB" in text or "about 5.6 GB" in text
    assert "whether the group size divides" not in text


def test_every_job_is_named_with_its_gpus(file: Path) -> None:
    _, text = run("plan", file)
    assert text.count("quantize-<hash>") == 2
    assert text.count("baseline-<hash>") == 1
    assert text.count("eval-<hash>") == 3
    assert "support-chat-prepare-" in text
    assert "GPUs at most at once: 2" in text


def test_the_job_that_asks_for_the_showcase_is_named_where_something_serves(file: Path) -> None:
    def asked(manifest: dict[str, Any]) -> bool:
        manifest["spec"]["evaluation"]["showcase"] = {"prompts": [{"name": "hello", "text": "Hello"}]}
        file.write_text(yaml.safe_dump(manifest))
        code, text = run("plan", file)
        assert code == 0
        return "support-chat-ask-<hash>" in text

    manifest = good("full")
    assert "ask-<hash>" not in run("plan", file)[1]
    assert asked(manifest)
    del manifest["spec"]["serving"]
    assert not asked(manifest)


def test_every_problem_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    manifest = changed(good("full"), {"spec.source": {}, "metadata.name": "7b", "spec.candidates": [{}]})
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(manifest))
    code, text = run("plan", tmp_path / "bad.yaml")
    assert code == PROBLEMS
    assert "spec.source: a source needs exactly one of" in text
    assert "spec.candidates[0]: a candidate needs exactly one of" in text
    assert "metadata.name: metadata.name becomes the Service's name" in text


def test_a_model_that_does_not_fit_is_a_problem_with_what_to_use(file: Path, tmp_path: Path) -> None:
    manifest = changed(good("full"), {"spec.engine.vllm.tensorParallelSize": 2})
    file.write_text(yaml.safe_dump(manifest))
    code, text = run("plan", file, "--config", config(tmp_path, SMOLLM2))
    assert code == PROBLEMS
    assert "2 does not divide the model's 9 attention heads" in text
    assert "use one of 1, 3, 9" in text


def test_the_platforms_images_are_used(file: Path, tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text("workerImage: registry.example/worker:7\n")
    assert "registry.example/worker:7" in run("plan", file, "--platform", tmp_path / "platform.yaml")[1]


@pytest.mark.parametrize("text", ["", "kind: Pod", "a: [", "- 1"])
def test_a_file_without_a_manifest_says_so(file: Path, text: str) -> None:
    file.write_text(text)
    code, said = run("plan", file)
    assert code == UNREADABLE
    assert str(file) in said


def test_a_config_of_another_kind_of_model_says_so(file: Path, tmp_path: Path) -> None:
    code, text = run("plan", file, "--config", config(tmp_path, {"model_type": "clip"}))
    assert code == UNREADABLE
    assert "names no single architecture" in text


@pytest.mark.parametrize(("name", "manifest"), examples(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_example_is_valid(name: str, manifest: dict[str, Any]) -> None:
    assert check_manifest(manifest).findings == (), name


def test_the_reference_is_current() -> None:
    committed = {path.name: path.read_text() for path in (ROOT / "docs/reference").iterdir()}
    assert committed == dict(reference_files()), "run: lowbit reference docs/reference"


def test_generators_write_into_a_folder(tmp_path: Path) -> None:
    assert run("crds", tmp_path / "crds")[0] == 0
    assert {path.name for path in (tmp_path / "crds").iterdir()} == set(crd.files())


def test_a_group_is_told_by_its_pods(file: Path) -> None:
    manifest = good("full")
    manifest["spec"]["engine"]["vllm"] |= {"pipelineParallelSize": 2, "tensorParallelSize": 8}
    manifest["spec"]["serving"]["replicas"] = 3
    file.write_text(yaml.safe_dump(manifest))
    code, text = run("plan", file)
    assert code == 0, text
    assert "Serving: 3 x (2 pods x 8 GPU)" in text
    assert "GPUs at most at once: 48" in text
