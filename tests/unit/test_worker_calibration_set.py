"""The calibration set is kept with the artifact, is what the quantizer reads, and is the one seen at the desk."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.documents import PrepareResult
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.main import main
from lowbit.naming.store_keys import artifact_index_key, calibration_set_key
from lowbit.resolve.freeze import artifact_hash, resolve_calibration
from lowbit.worker import quantize as stage
from lowbit.worker.backends import Work
from lowbit.worker.backends.base import Advance
from lowbit.worker.backends.losses import ModuleLoss
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.data.prepared import PreparedDatasets, prepare_datasets
from lowbit.worker.report.calibration import calibration_section
from lowbit.worker.store.pvc import PVCStore
from tests.unit import test_worker_quantize as quantizing
from tests.unit import worker_inputs as inputs
from tests.unit.test_worker_calibration import FakeTokenizer

SFT = [
    {"instruction": f"Explain the number {n} to somebody", "input": "" if n % 2 else f"Use {n} words.",
     "output": f"<think>It is {n}.</think> The number {n} follows {n - 1}."}
    for n in range(1, 60)
]  # fmt: skip
RL = [{"prompt": f"Which number follows {n}, and which one is before it?", "answer": n} for n in range(1, 60)]
DATASETS = [
    {"name": "sft", "weight": 7, "pvc": {"claimName": "data", "path": "sft.csv"}},
    {"name": "rl", "weight": 3, "pvc": {"claimName": "data", "path": "rl"}},
]


def places(folder: Path) -> Mounts:
    """The mounts with three files of two kinds on the claim data; one line of them is broken."""
    mounts = inputs.write_places(folder)
    data = mounts.volumes / "data"
    (data / "rl").mkdir(parents=True)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(SFT[0]))
    writer.writeheader()
    writer.writerows(SFT)
    (data / "sft.csv").write_text(written.getvalue())
    inputs.write_lines(data / "rl" / "a.jsonl", RL[:30])
    (data / "rl" / "b.jsonl").write_text("{\n" + "".join(json.dumps(row) + "\n" for row in RL[30:]))
    return mounts


def spec() -> QuantizedModelSpec:
    return inputs.spec(calibration={"samples": 40, "datasets": DATASETS})


def prepared(datasets: PreparedDatasets, model: PrepareResult) -> PrepareResult:
    return model.model_copy(
        update={"datasets": datasets.digests, "removed": datasets.removed, "broken": datasets.broken}
    )


class Reading(quantizing.PlayedBackend):
    """Remembers what it was shown."""

    shown: list[list[int]]

    def quantize(self, work: Work, advance: Advance) -> list[ModuleLoss]:
        self.shown = list(work.samples)
        return super().quantize(work, advance)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PVCStore, str, Reading]:
    """prepare the datasets and quantize."""
    store, mounts = PVCStore(tmp_path / "store"), places(tmp_path)
    real = stage.calibrate
    backend = Reading(monkeypatch, [quantizing.row(), quantizing.row(1)])
    monkeypatch.setattr(stage, "calibrate", real)
    monkeypatch.setattr(stage, "load_tokenizer", lambda _: FakeTokenizer())
    job = quantizing.document(store, tmp_path)
    found = PrepareResult(source=job.source, facts=job.facts, datasets={})
    calibration = resolve_calibration(0, spec(), prepared(prepare_datasets(spec(), store, mounts), found))
    name = artifact_hash(job.source, job.recipe, calibration)
    job = job.model_copy(update={"calibration": calibration, "artifact_hash": name})
    stage.quantize(job, store, inputs.silence(), scratch=tmp_path / "scratch")
    return store, name, backend


def kept(store: PVCStore, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (store.read(calibration_set_key(name)) or b"").splitlines()]


def test_the_set_is_kept_with_the_artifact_and_is_exactly_what_the_quantizer_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, name, backend = run(tmp_path, monkeypatch)
    rows = kept(store, name)
    assert [set(row) for row in rows] == [{"text", "source", "file"}] * 40
    read = [FakeTokenizer()(row["text"])["input_ids"] for row in rows]
    assert backend.shown == [ids[:512] for ids in read], "in this order, cut at the model's longest text"
    assert [row["source"] for row in rows].count("sft") == 28, "by weight"
    assert {row["file"] for row in rows} == {"sft.csv", "a.jsonl", "b.jsonl"}
    texts = {row["text"] for row in rows if row["source"] == "sft"}
    said = {f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"] for row in SFT}
    assert texts <= said | {row["output"] for row in SFT}
    assert texts & said and texts - said


def test_the_quantizers_report_names_the_set_and_what_each_file_was_taken_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, name, _ = run(tmp_path, monkeypatch)
    about = json.loads(store.read(artifact_index_key(name)) or b"")["calibration"]
    assert about["set"] == calibration_set_key(name)
    assert about["texts"] == 40
    files = {file["file"]: file for dataset in about["datasets"] for file in dataset["files"]}
    assert {name: list(file["kinds"]) for name, file in files.items()} == {
        "sft.csv": ["SFT"], "a.jsonl": ["RL"], "b.jsonl": ["RL"],
    }  # fmt: skip
    assert (files["b.jsonl"]["broken"], files["b.jsonl"]["firstBroken"][:6]) == (1, "line 1")
    assert [dataset["drawn"] for dataset in about["datasets"]] == [28, 12]
    (section,) = calibration_section(about)
    assert ("rl: b.jsonl", "RL (field prompt)", "30", "1", "0", "0", "0", "") in section.rows
    assert calibration_section(None) == [] == calibration_section({"datasets": 1})


def test_the_set_at_the_desk_is_the_set_in_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, name, _ = run(tmp_path, monkeypatch)
    data, output = tmp_path / "volumes" / "data", tmp_path / "set.jsonl"
    words = ["calibration", f"sft={data / 'sft.csv'}", f"rl={data / 'rl'}", "--weight", "0.7", "--weight", "0.3"]
    assert main([*words, "--samples", "40", "--output", str(output)], io.StringIO()) == 0
    assert [json.loads(line) for line in output.read_text().splitlines()] == kept(store, name)


def test_broken_lines_are_in_the_revision_and_in_the_jobs_log(tmp_path: Path) -> None:
    store, said = PVCStore(tmp_path / "store"), list[str]()
    datasets = prepare_datasets(spec(), store, places(tmp_path), said.append)
    assert datasets.broken == {"rl": 1}
    assert any(
        "calibration dataset rl: b.jsonl taken for RL (field prompt): 30 lines, 1 broken" in line for line in said
    )
    assert any("evaluation dataset fidelity: holdout.jsonl taken for Text" in line for line in said)
