"""prepare: everything into the store, every check before a GPU is asked for, and what the store holds already."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.documents import FetchDocument, PrepareResult, PVCStoreAccess, StoreAccess
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.api.paths import TERMINATION_LIMIT
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import label
from lowbit.api.status import ArtifactRecord
from lowbit.naming.names import evaluation_name
from lowbit.naming.store_keys import artifact_index_key, result_key
from lowbit.resolve.freeze import baseline_spec, candidate_spec, freeze
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.evaluate.sketch import sketch
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.fetch import fetch
from lowbit.worker.model.file_list import scan
from lowbit.worker.prepare import add_evaluations, message_bytes, prepare
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs
from tests.unit.measurements import Estimate, row, summary_of


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return inputs.write_places(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> PVCStore:
    return PVCStore(tmp_path / "store")


def run(store: PVCStore, mounts: Mounts, spec: QuantizedModelSpec | None = None) -> PrepareResult:
    return prepare(inputs.prepare_document(spec or inputs.spec()), store, inputs.silence(), mounts=mounts)


def refusal(store: PVCStore, mounts: Mounts, spec: QuantizedModelSpec | None = None) -> Any:
    with pytest.raises(RefusalError) as error:
        run(store, mounts, spec)
    assert error.value.refusal.action
    return error.value.refusal


def test_what_it_returns_is_enough_to_freeze_the_revisions(store: PVCStore, mounts: Mounts) -> None:
    result = run(store, mounts)
    revision = freeze("small", inputs.spec(), Platform(), result)[0]
    assert label(revision.recipe) == "gptq-int4-g128"
    assert scan(store.folder("sources", result.source)).digest == result.source
    assert set(result.datasets) == {"calibration/talk", "evaluation/fidelity"}
    for digest in result.datasets.values():
        assert store.dataset(digest).is_file()


def test_a_second_run_gives_the_same_result(store: PVCStore, mounts: Mounts) -> None:
    assert run(store, mounts) == run(store, mounts)


def test_an_artifact_and_a_baseline_that_the_store_holds_are_found(store: PVCStore, mounts: Mounts) -> None:
    revision = freeze("small", inputs.spec(), Platform(), run(store, mounts))[0]
    workspace = store.workspace("made")
    (workspace / "config.json").write_text("{}")
    manifest = scan(workspace)
    store.commit("artifacts", workspace, manifest)
    record = manifest.as_artifact(100)
    store.write(
        artifact_index_key(revision.artifact_hash),
        json.dumps({"of": revision.artifact_hash, "artifact": record.wire()}).encode(),
    )
    asked, summary = baseline_spec(revision), summary_of()
    name = evaluation_name(asked)
    stored = StoredResult(
        evaluation=name, summary=summary, seconds=1, model=asked.model, protocol=asked.protocol,
        protocol_key=asked.protocol_key, engine=asked.engine,
    )  # fmt: skip
    store.write(result_key(name), stored.model_dump_json(by_alias=True).encode())
    result = run(store, mounts)
    assert result.found == {revision.artifact_hash: record}
    assert result.found_evaluations == {name: summary}


def test_a_manifest_that_is_judged_by_what_the_store_holds_is_another_attempt(store: PVCStore, mounts: Mounts) -> None:
    """A model that was made again with another threshold measures nothing: prepare counts it."""
    revision = freeze("small", inputs.spec(), Platform(), run(store, mounts))[0]
    workspace = store.workspace("made")
    (workspace / "config.json").write_text("{}")
    manifest = scan(workspace)
    store.commit("artifacts", workspace, manifest)
    store.write(
        artifact_index_key(revision.artifact_hash),
        json.dumps({"of": revision.artifact_hash, "artifact": manifest.as_artifact(100).wire()}).encode(),
    )
    asked = candidate_spec(revision, manifest.digest)
    name = evaluation_name(asked)
    stored = StoredResult(
        evaluation=name, summary=summary_of(), seconds=1, model=asked.model, protocol=asked.protocol,
        protocol_key=asked.protocol_key, engine=asked.engine, baseline=asked.baseline,
        sketches={"fidelity": sketch([[1, 2, 3], [4, 5, 6], [7, 8, 9]])},
    )  # fmt: skip
    store.write(result_key(name), stored.model_dump_json(by_alias=True).encode())

    def number(spec: QuantizedModelSpec) -> int:
        attempt = run(store, mounts, spec).found_evaluations[name].attempt
        assert attempt is not None
        return attempt.ordinal

    first = inputs.spec()
    (suite, *_) = first.evaluation.suites
    gate = suite.gate.model_copy(update={"confidence": "0.9"})
    edited = first.evaluation.model_copy(update={"suites": [suite.model_copy(update={"gate": gate})]})
    assert [number(each) for each in (first, first.model_copy(update={"evaluation": edited}), first)] == [1, 2, 1]


def test_an_index_without_its_artifact_is_not_reported_as_found(store: PVCStore, mounts: Mounts) -> None:
    revision = freeze("small", inputs.spec(), Platform(), run(store, mounts))[0]
    record = ArtifactRecord(digest="sha256:" + "0" * 64, bytes=1, source_bytes=1, ratio="1.00")
    store.write(
        artifact_index_key(revision.artifact_hash),
        json.dumps({"of": revision.artifact_hash, "artifact": record.wire()}).encode(),
    )
    assert run(store, mounts).found == {}


def test_the_message_stays_below_four_kilobytes_whatever_the_store_holds(store: PVCStore, mounts: Mounts) -> None:
    rows = [row("KLDivergence", Estimate("0.123456789", "0.001234567", 256), "s" * 60)] * 4
    summaries = {f"eval-{n:010}": summary_of(*rows) for n in range(20)}
    result = add_evaluations(run(store, mounts), summaries)
    assert 0 < len(result.found_evaluations) < 20
    assert message_bytes(result) <= TERMINATION_LIMIT


def test_every_problem_between_manifest_and_model_is_named_at_once(store: PVCStore, mounts: Mounts) -> None:
    found = refusal(
        store, mounts,
        inputs.spec(
            candidates=[{"gptq": {"bits": 4, "groupSize": 128}}, {"gptq": {"bits": 4, "groupSize": 64}}],
            engine={"vllm": {"device": "CPU", "tensorParallelSize": 4, "maxModelLen": 4096}},
        ),
    )  # fmt: skip
    assert found.reason == "GroupNotDivisible"
    for part in ("candidates[0]", "maxModelLen", "QuantizedModel small"):
        assert part in found.message
    assert "spec.engine.vllm.maxModelLen: use at most 512" in found.action


def test_texts_that_are_in_both_datasets_are_refused_before_the_model_is_copied(
    store: PVCStore, mounts: Mounts
) -> None:
    inputs.write_lines(mounts.config_maps / "texts" / "holdout.jsonl", inputs.texts(9, 160))
    assert refusal(store, mounts).reason == "DataOverlap"
    assert not (store.root / "sources").exists()


def test_too_few_calibration_texts_are_refused(store: PVCStore, mounts: Mounts) -> None:
    inputs.write_lines(mounts.config_maps / "texts" / "calibration.jsonl", inputs.texts(0, 5))
    found = refusal(store, mounts)
    assert found.reason == "TooFewTexts"
    assert "at most 5" in found.action


def test_a_dataset_that_is_not_there_is_refused(store: PVCStore, mounts: Mounts) -> None:
    (mounts.config_maps / "texts" / "holdout.jsonl").unlink()
    found = refusal(store, mounts)
    assert found.reason == "DatasetMissing"
    assert "ConfigMap texts" in found.action


def test_a_model_with_remote_code_is_refused(store: PVCStore, mounts: Mounts) -> None:
    inputs.write_model(mounts.volumes / "models" / "small", config={"model_type": "own", "auto_map": {}})
    assert refusal(store, mounts).reason == "RemoteCode"


def test_an_artifact_made_elsewhere_comes_into_the_store_and_is_found(store: PVCStore, mounts: Mounts) -> None:
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": False, "sym": True}
    folder = inputs.write_model(mounts.volumes / "models" / "own", config={"quantization_config": gptq})
    spec = inputs.spec(candidates=[{"artifact": {"pvc": {"claimName": "models", "path": "own"}}}], calibration=None)
    result = run(store, mounts, spec)
    assert result.artifacts == {"0": scan(folder).digest}
    assert result.artifact_bytes["0"] == scan(folder).size
    assert [record.digest for record in result.found.values()] == [result.artifacts["0"]]


def test_an_artifact_that_only_says_that_it_is_quantized_is_refused(store: PVCStore, mounts: Mounts) -> None:
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": False, "sym": True}
    tensors = {f"model.layers.{layer}.mlp.up_proj.weight": ("BF16", [4, 4], 32) for layer in range(2)}
    weights = {"model__safetensors": inputs.safetensors(tensors)}
    inputs.write_model(mounts.volumes / "models" / "own", config={"quantization_config": gptq}, **weights)
    spec = inputs.spec(candidates=[{"artifact": {"pvc": {"claimName": "models", "path": "own"}}}], calibration=None)
    refused = refusal(store, mounts, spec)
    assert refused.reason == "BadArtifact"
    assert "0 of its 2 linear layers are" in refused.message


def test_an_artifact_by_a_digest_that_the_store_does_not_hold_is_refused(store: PVCStore, mounts: Mounts) -> None:
    spec = inputs.spec(candidates=[{"artifact": {"digest": "sha256:" + "0" * 64}}], calibration=None)
    assert refusal(store, mounts, spec).reason == "NotInStore"


@pytest.mark.parametrize("at", range(1, 130, 6))
def test_killed_at_any_point_the_next_attempt_completes(mounts: Mounts, tmp_path: Path, at: int) -> None:
    def work(_: Callable[[], None]) -> None:
        run(PVCStore(tmp_path / "store"), mounts)

    inputs.run_and_die(work, at)
    store = PVCStore(tmp_path / "store")
    assert scan(store.folder("sources", run(store, mounts).source))


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the tool for the probes is laid; something small stands for it."""
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/true\n")
    monkeypatch.setattr("lowbit.worker.fetch.BUSYBOX", busybox)
    return tmp_path / "scratch" / "tools" / "busybox"


def fetch_document(digest: str) -> FetchDocument:
    model = EvaluatedModel(kind="Source", digest=digest)
    return FetchDocument(store=StoreAccess(pvc=PVCStoreAccess()), model=model)


def test_fetch_lets_pass_what_was_judged_and_lays_out_what_probes_run(
    store: PVCStore, mounts: Mounts, tool: Path
) -> None:
    digest = run(store, mounts).source
    folder = store.folder("sources", digest)
    for _ in range(2):  # a pod that is started anew finds it there
        assert fetch(fetch_document(digest), store, inputs.silence(), folder=folder, tool=tool).digest == digest
    assert tool.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("change", ["flip a bit", "add a file", "remove a file", "remove all"])
def test_fetch_stops_whatever_was_tampered_with(
    store: PVCStore, mounts: Mounts, tmp_path: Path, tool: Path, change: str
) -> None:
    digest = run(store, mounts).source
    folder = inputs.write_model(tmp_path / "mounted")
    if change == "flip a bit":
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[:-1] + b"\x01")
    elif change == "add a file":
        (folder / "extra.json").write_text("{}")
    elif change == "remove a file":
        (folder / "generation_config.json").unlink()
    else:
        folder = tmp_path / "nothing"
    with pytest.raises(RefusalError) as error:
        fetch(fetch_document(digest), store, inputs.silence(), folder=folder, tool=tool)
    assert error.value.refusal.reason == "DigestMismatch"
    assert digest in error.value.refusal.message


def test_a_refused_model_never_becomes_part_of_the_store(store: PVCStore, mounts: Mounts) -> None:
    inputs.write_model(mounts.volumes / "models" / "small", config={"model_type": "own", "auto_map": {}})
    refusal(store, mounts)
    assert not (store.root / "sources").exists()
    assert not (store.root / "manifests").exists()


@pytest.mark.parametrize("file", ["calibration", "holdout"])
def test_chats_for_a_model_without_template_are_refused_before_a_gpu_is_asked_for(
    store: PVCStore, mounts: Mounts, file: str
) -> None:
    chats = [
        {"messages": [{"role": "user", "content": f"question {number} of {file}, long enough"}]}
        for number in range(160)
    ]
    inputs.write_lines(mounts.config_maps / "texts" / f"{file}.jsonl", chats)
    assert run(store, mounts).source
    inputs.write_model(mounts.volumes / "models" / "small", tokenizer_config__json=b"{}")
    assert refusal(store, mounts).reason == "NoChatTemplate"


def test_too_few_different_texts_are_refused_with_the_number_that_is_needed(store: PVCStore, mounts: Mounts) -> None:
    """The same eight texts forty times over are eight, however their white space and letters are written."""
    few = [f"Caf\u00e9 number {number}, and it is long enough." for number in range(8)]
    lines = [{"text": text} for text in few * 40]
    lines += [{"text": few[0].replace("\u00e9", "e\u0301")}, {"text": few[1].replace(" ", " \n ")}]
    inputs.write_lines(mounts.config_maps / "texts" / "holdout.jsonl", lines)
    found = refusal(store, mounts)
    assert found.reason == "TooFewTexts"
    assert "has 8 different texts, and its gate needs 149" in found.message


def test_fewer_samples_than_the_gate_needs_are_refused(store: PVCStore, mounts: Mounts) -> None:
    suite: Any = inputs.spec().evaluation.suites[0].wire()
    suite["fidelity"]["samples"] = 150
    candidates = [{"gptq": {"bits": 4}}, {"gptq": {"bits": 8}}]
    found = refusal(store, mounts, inputs.spec(candidates=candidates, evaluation={"suites": [suite]}))
    assert "fidelity.samples" in found.message
    assert "150 is not enough for a verdict" in found.message
    assert "at least 183" in found.action


@pytest.mark.parametrize(
    ("config", "files", "method"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, {}, "fp8"),
        ({"text_config": {"quantization_config": {"quant_method": "gptq", "bits": 4}}}, {}, "gptq"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, {}, "compressed-tensors"),
        ({}, {"hf_quant_config__json": b'{"quantization": {"quant_algo": "NVFP4"}}'}, "nvfp4"),
        ({}, {"hf_quant_config__json": b"{}"}, "modelopt"),
    ],
)
def test_a_source_that_is_quantized_already_is_refused_before_a_gpu_is_asked_for(
    store: PVCStore, mounts: Mounts, config: dict[str, Any], files: dict[str, bytes], method: str
) -> None:
    inputs.write_model(mounts.volumes / "models" / "small", config=config, **files)
    found = refusal(store, mounts)
    assert found.reason == "AlreadyQuantized"
    assert f"({method})" in found.message
    assert "spec.source" in found.action


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"architectures": ["LlamaForSequenceClassification"]}, "UnsupportedModel"),
        ({"quantization_config": {"quant_method": "fp8"}}, "AlreadyQuantized"),
        ({"model_type": "xglm", "architectures": ["XGLMForCausalLM"]}, "EngineLacksModel"),
    ],
)
def test_what_the_configuration_alone_tells_is_said_before_the_weights_are_copied(
    store: PVCStore, mounts: Mounts, config: dict[str, Any], reason: str
) -> None:
    folder = inputs.write_model(mounts.volumes / "models" / "small", config=config)
    (folder / "model.safetensors").write_bytes(b"these would take hours, and are read by nobody")
    assert refusal(store, mounts).reason == reason
    assert not list(store.root.rglob("model.safetensors"))


def test_a_model_too_large_for_its_gpu_is_refused_before_its_weights_are_copied(
    store: PVCStore, mounts: Mounts
) -> None:
    inputs.write_model(mounts.volumes / "models" / "small")
    assert refusal(store, mounts, inputs.spec(engine={"vllm": {"gpu": "1Gi"}})).reason == "TooLargeForGPU"
    assert not list(store.root.rglob("model.safetensors"))
