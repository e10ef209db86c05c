"""A store on this machine's disk with a model and datasets in it, and the documents of the Jobs that work on it.

Everything comes from the code that the operator and the Jobs run: prepare fills the store, freeze() makes the revision,
desired/ makes the Jobs, and the documents are taken out of them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from images.model import prepare_models
from lowbit.api.documents import PrepareDocument, PVCStoreAccess, QuantizeResult, StoreAccess
from lowbit.api.engines import engine_of
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.desired.context import Context, Evaluation, JobRun
from lowbit.desired.jobs.evaluate import evaluate_job
from lowbit.desired.jobs.quantize import quantize_job
from lowbit.naming.names import DOCUMENT_ANNOTATION, evaluation_name, quantize_job_name
from lowbit.naming.store_keys import artifact_index_key
from lowbit.resolve.freeze import baseline_spec, candidate_spec, freeze
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.prepare import prepare
from lowbit.worker.progress import Progress
from lowbit.worker.store.pvc import PVCStore
from tests.bench.record import ROOT

EXAMPLE = ROOT / "examples" / "smollm2.yaml"
NAME = "smollm2"
STORE = {"pvc": {"claimName": "models"}}
ENVIRONMENT = {
    "HOME": "/lowbit/scratch", "TMPDIR": "/lowbit/scratch", "USER": "lowbit", "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1", "PYTHONPATH": "/app:/bench", "GPTQMODEL_CPU_WORKERS": "2",
}  # fmt: skip
"""As in the Jobs' pods."""


@dataclass
class Workbench:
    """One model, prepared in a folder."""

    folder: Path
    model: str
    revision: ModelRevisionSpec = field(init=False)
    spec: QuantizedModelSpec = field(init=False)

    def __post_init__(self) -> None:
        self.store = PVCStore(self.folder / "store")
        self.scratch.mkdir(parents=True)
        self.documents.mkdir()
        shutil.copytree(ROOT / "operator" / "lowbit", self.code)
        volumes, maps = self.folder / "volumes" / "sources", self.folder / "maps"
        shutil.copytree(prepare_models()[self.model], volumes / "smollm2-135m-instruct")
        for name in ("calibration", "holdout"):
            (maps / f"smollm2-{name}").mkdir(parents=True)
            shutil.copy(ROOT / "examples" / "data" / f"{name}.jsonl", maps / f"smollm2-{name}" / "data.jsonl")
        manifest = next(each for each in yaml.safe_load_all(EXAMPLE.read_text()) if each["kind"] == "QuantizedModel")
        self.spec = QuantizedModelSpec.model_validate(manifest["spec"])
        access = StoreAccess(pvc=PVCStoreAccess())
        document = PrepareDocument(name=NAME, namespace="bench", store=access, spec=self.spec, platform=Platform())
        mounts = Mounts(self.folder / "volumes", maps, self.folder / "secrets", self.scratch)
        prepared = prepare(document, self.store, Progress("prepare", write=lambda _: None), mounts=mounts)
        self.revision = freeze(NAME, self.spec, Platform(), prepared)[0]

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def documents(self) -> Path:
        return self.folder / "in"

    @property
    def code(self) -> Path:
        """As it was when the measurement began."""
        return self.folder / "lowbit"

    @property
    def volumes(self) -> dict[str, Path]:
        """Where a container sees them."""
        return {
            "/lowbit/store": self.store.root,
            "/lowbit/scratch": self.scratch,
            "/lowbit/in": self.documents,
            "/app/lowbit": self.code,
        }

    @property
    def source(self) -> str:
        """The source's folder, as a container sees it."""
        return f"/lowbit/store/sources/{self.revision.source.digest.removeprefix('sha256:')}"

    def quantize_document(self) -> None:
        """Write the document of the quantize Job."""
        options = self.spec.jobs.quantize
        asked = JobRun(quantize_job_name(self.revision.artifact_hash), options, 60)
        job = quantize_job(Context("bench", self._store, Platform()), (), self.revision, options.device, asked)
        self._write(job)

    def original(self) -> ModelEvaluationSpec:
        """The evaluation of the original."""
        return baseline_spec(self.revision)

    def candidate(self) -> ModelEvaluationSpec:
        """The evaluation of the artifact, which has to be in the store."""
        made = json.loads(self.store.read(artifact_index_key(self.revision.artifact_hash)) or b"{}")["quantize"]
        digest = QuantizeResult.model_validate(made).artifact.digest
        return candidate_spec(self.revision, digest)

    def evaluate_job(self, spec: ModelEvaluationSpec) -> dict[str, Any]:
        """The evaluate Job; its document is written."""
        name, options = evaluation_name(spec), self.spec.jobs.evaluate
        measured = Evaluation(name, spec, self.revision, engine_of(self.spec.engine)[1])
        job = evaluate_job(Context("bench", self._store, Platform()), (), measured, JobRun(name, options, 60))
        self._write(job)
        return job

    def forget(self, *names: str) -> None:
        """Remove folders of the store, so that what was made is made again."""
        for name in names:
            shutil.rmtree(self.store.root / name, ignore_errors=True)

    @property
    def _store(self) -> ModelStoreSpec:
        return ModelStoreSpec.model_validate(STORE)

    def _write(self, job: dict[str, Any]) -> None:
        text = job["spec"]["template"]["metadata"]["annotations"][DOCUMENT_ANNOTATION]
        (self.documents / "document.json").write_text(text)
