"""A store, documents that ask for evaluations, and an engine whose distribution is known."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.api.documents import EvaluateDocument, EvaluateResult, PVCStoreAccess, StoreAccess
from lowbit.api.engines import ResolvedEngine
from lowbit.api.engines.vllm import ResolvedVLLM
from lowbit.api.evaluation import ResolvedSuite, SpeedMeasurement
from lowbit.api.modelevaluation import EvaluatedModel, EvaluationProtocol
from lowbit.api.status import MeanStatistics, Measurement
from lowbit.api.suites.health_metrics import HEALTH
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import result_key, samples_key
from lowbit.worker.evaluate.evaluate import evaluate
from lowbit.worker.evaluate.stored import StoredResult, StoredSuite
from lowbit.worker.model.file_list import scan
from lowbit.worker.progress import Progress
from lowbit.worker.store.pvc import PVCStore
from lowbit.worker.suites import RUNNERS
from lowbit.worker.suites.fidelity_samples import SuiteSamples
from tests.unit.fake_engine import MODEL, VOCABULARY, FakeEngine, Matrix, damaged, distribution, serve

ARTIFACT = "sha256:" + "a" * 64
ARTIFACT_HASH = "b" * 64
VLLM = ResolvedVLLM(
    image="engine:1", device="CPU", tensor_parallel_size=1, dtype="Auto", gpu_memory_utilization="0.9",
    args=["--enforce-eager"], env=[],
)  # fmt: skip
ENGINE = ResolvedEngine.model_validate({"vllm": VLLM})
ORIGINAL = distribution(0)
CANDIDATE = damaged(ORIGINAL, 0.5)


class RecordingStore(PVCStore):
    """Remembers the order of writes."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []

    def write(self, key: str, data: bytes) -> None:
        self.written.append(key)
        super().write(key, data)


def make_source(store: PVCStore) -> str:
    folder = store.workspace("source")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "model.safetensors").write_bytes(b"weights")
    manifest = scan(folder)
    store.commit("sources", folder, manifest)
    return manifest.digest


def make_dataset(store: PVCStore, folder: Path, lines: list[Any]) -> str:
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path = folder / "data.jsonl"
    path.write_bytes(data)
    name = "sha256:" + hashlib.sha256(data).hexdigest()
    store.write_dataset(path, name)
    return name


def words(generator: np.random.Generator, count: int) -> str:
    return " ".join(f"w{token}" for token in generator.integers(0, VOCABULARY, count))


@dataclass
class Bench:
    """A store with a source and a dataset, and documents that ask for evaluations."""

    store: RecordingStore
    source: str
    dataset: str
    lines: list[str] = field(default_factory=list)

    @property
    def engine_log(self) -> Path:
        """Where the engine would have written its log; there is none at first."""
        return self.store.root.parent / "engine.log"

    def protocol(self, **changes: Any) -> EvaluationProtocol:
        speed = SpeedMeasurement(requests=6, prompt_tokens=16, output_tokens=8)
        return EvaluationProtocol(suites=[self.suite(**changes)], tokenizer="c" * 64, speed=speed)

    def suite(self, name: str = "fidelity", **changes: Any) -> ResolvedSuite:
        fidelity = {"dataset": self.dataset, "format": "Auto", "samples": 20, "max_tokens": 40,
                    "top_logprobs": VOCABULARY, **changes}  # fmt: skip
        return ResolvedSuite.model_validate({"name": name, "version": 1, "fidelity": fidelity})

    def document(
        self, protocol: EvaluationProtocol | None = None, baseline: str | None = None, **changes: Any
    ) -> EvaluateDocument:
        model = EvaluatedModel(
            kind="Artifact" if baseline else "Source", digest=ARTIFACT if baseline else self.source
        )  # fmt: skip
        return EvaluateDocument(
            store=StoreAccess(pvc=PVCStoreAccess()), evaluation="eval-1" if baseline else "baseline-1", model=model,
            source=self.source, source_bytes=269_060_552, protocol=protocol or self.protocol(),
            engine=ENGINE, baseline_runtime=digest("runtime", ENGINE) if baseline else None,
            served_name=MODEL, baseline=baseline, artifact_hash=ARTIFACT_HASH if baseline else None,
        ).model_copy(update=changes)  # fmt: skip

    async def run(self, engine: FakeEngine, document: EvaluateDocument) -> EvaluateResult:
        progress = Progress("evaluate", write=self.lines.append, interval=0)
        async with serve(engine) as url:
            return await evaluate(document, self.store, progress, url=url, engine_log=self.engine_log)

    async def both(self, candidate: Matrix = CANDIDATE) -> tuple[EvaluateResult, EvaluateResult]:
        original = await self.run(FakeEngine(ORIGINAL), self.document())
        return original, await self.run(FakeEngine(candidate), self.document(baseline="baseline-1"))

    def samples_key(self) -> str:
        return samples_key(self.stored("baseline-1").suites["fidelity"])

    def stored(self, name: str) -> StoredResult:
        """What the store has of an evaluation."""
        return StoredResult.model_validate_json(self.store.read(result_key(name)) or b"")

    def measured_by(self, version: str) -> None:
        """Say that another version of the engine has measured the original."""
        key = self.samples_key().replace("samples.npz", "suite.json")
        marker = StoredSuite.model_validate_json(self.store.read(key) or b"")
        changed = marker.model_copy(update={"engine_version": version})
        self.store.write(key, changed.model_dump_json(by_alias=True).encode())

    def texts(self) -> list[list[int]]:
        with np.load(io.BytesIO(self.store.read(self.samples_key()) or b"")) as arrays:
            samples: SuiteSamples = RUNNERS["fidelity"].unpack(arrays, self.suite().member()[1])
        return samples.texts


def make_bench(tmp_path: Path) -> Bench:
    """With a dataset of seventeen texts, two of them odd."""
    store = RecordingStore(tmp_path / "store")
    generator = np.random.default_rng(5)
    lines: list[Any] = [{"text": words(generator, 30)} for _ in range(12)]
    lines += [{"text": words(generator, 60)} for _ in range(4)]
    lines += [words(generator, 20), {"text": "w1"}]
    dataset = make_dataset(store, tmp_path, lines)
    return Bench(store, make_source(store), dataset)


def of_suites(result: EvaluateResult) -> list[Measurement]:
    """The rows of the suites, without those of the prompts that every evaluation asks."""
    return [row for row in result.summary.measurements if row.suite != HEALTH]


def mean_of(result: EvaluateResult, metric: str) -> MeanStatistics | None:
    rows = [row.mean for row in result.summary.measurements if row.metric == metric]
    return rows[0] if rows else None


def value_of(result: EvaluateResult, metric: str) -> float:
    mean = mean_of(result, metric)
    assert mean is not None
    return float(mean.value)


def per_text(values: Any, texts: list[list[int]]) -> Any:
    """Means over the texts of the means over their positions."""
    return np.array([np.mean([values(a, b) for a, b in pairwise(t)]) for t in texts])
