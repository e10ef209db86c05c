"""quantize: makes an artifact in the store from source, recipe and calibration texts, with a report per module."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lowbit import __version__
from lowbit.api.documents import QuantizeDocument, QuantizeResult
from lowbit.api.facts import Coverage
from lowbit.api.paths import SCRATCH_PATH
from lowbit.api.recipes import recipe_of
from lowbit.naming.store_keys import artifact_index_key, calibration_set_key, quant_log_key
from lowbit.report.quantlog import parse_modules, quant_log
from lowbit.worker.backends import BACKENDS, Backend, Work
from lowbit.worker.backends.losses import ModuleLoss, rounded_experts, worst
from lowbit.worker.backends.tools import peak_bytes, pick_device, quiet
from lowbit.worker.data.calibration import Calibrated, calibrated_texts
from lowbit.worker.data.tokens import Tokenizer
from lowbit.worker.errors import named
from lowbit.worker.errors.system import hides_system_error
from lowbit.worker.model.artifact_files import finish
from lowbit.worker.model.file_list import scan
from lowbit.worker.model.fuse_layers import fuse_layers
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError, cut
from lowbit.worker.store import Store
from lowbit.worker.store.indexes import read_artifact_index, write_index

Made = TypeVar("Made")
LOADED, QUANTIZED, TESTED = 0.05, 0.9, 0.95
"""Shares of the stage's time, by experience."""
SMOKE_LENGTH = 80


def quantize(
    document: QuantizeDocument,
    store: Store,
    progress: Progress,
    *,
    scratch: Path = Path(SCRATCH_PATH),
    clock: Callable[[], float] = time.monotonic,
) -> QuantizeResult:
    """Make the artifact, unless the store holds it. Raises RefusalError if data or model do not allow it."""
    known = find(store, document.artifact_hash)
    if known is not None:
        return known
    kind, recipe = recipe_of(document.recipe)
    if kind.name not in BACKENDS:
        raise ValueError(f"there is nothing to quantize with the recipe {kind.name}")
    backend = BACKENDS[kind.name]
    begin = clock()
    store.remove_stale(time.time())
    # Never larger than the source, and the source is there already.
    store.check_space(document.facts.weight_bytes, "the artifact")
    device, device_name = pick_device(document.device)
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(len(os.sched_getaffinity(0))))
    progress.step("reading source and calibration texts")
    source = store.folder("sources", document.source)
    calibrated = calibrate(document, store, source)
    workspace = empty(store.workspace(f"quantize-{document.artifact_hash[:16]}"))
    work = Work(source, workspace, recipe, document.facts, calibrated.samples, device, scratch)
    modules, smoke, covered = make(backend, work, progress)
    progress.report(TESTED, "hashing and committing the artifact", force=True)
    file_list = scan(workspace)
    store.commit("artifacts", workspace, file_list)
    result = QuantizeResult(
        artifact=file_list.as_artifact(document.facts.weight_bytes, covered),
        seconds=round(clock() - begin, 1),
        peak_bytes=peak_bytes(device),
        **of_modules(modules),
        smoke=cut(" ".join(smoke.split()), SMOKE_LENGTH),
        versions=backend.versions() | {"lowbit": __version__},
        device=device_name,
    )
    write_report(store, document.artifact_hash, result, modules, calibrated)
    progress.report(1.0, "done", force=True)
    return result


def make(backend: Backend, work: Work, progress: Progress) -> tuple[list[ModuleLoss], str, Coverage]:
    """Quantize into the workspace, judge, tidy up and try out.

    Returns every module's loss, what was generated, and which layers are quantized.
    """
    part = progress.part(LOADED, QUANTIZED)
    with quiet(work.scratch / "quantizer.log") as write:
        before = progress.write_to(write)
        try:
            modules = or_refuse(
                "QuantizationFailed",
                "the quantizer broke on this model",
                lambda: backend.quantize(work, part.report),
            )
            covered = finish(work.target, work.source, work.facts)
            progress.report(QUANTIZED, "trying out the artifact", force=True)
            smoke = or_refuse(
                "SmokeTestFailed",
                "the artifact could not be tried out",
                lambda: backend.smoke_test(work.target, work.device),
            )
            fuse_layers(work.target, work.source)  # last: the quantizer would not load it so
        finally:
            progress.write_to(before)
    return modules, smoke, covered


def of_modules(modules: Sequence[ModuleLoss]) -> dict[str, Any]:
    """Members of the result that sum the modules up."""
    most, (rounded, experts) = worst(modules), rounded_experts(modules)
    return {
        "worst_module": most.name if most else None,
        "worst_loss": most.loss if most else None,
        "rounded_experts": rounded,
        "experts": experts,
    }


def or_refuse(reason: str, what: str, work: Callable[[], Made]) -> Made:
    """What `work` returns. Raises RefusalError for a model that the quantizer breaks on: another recipe may do."""
    try:
        return work()
    except (RefusalError, MemoryError):
        raise
    except Exception as error:
        if named(error) is not None:
            raise  # the disk, the network or the GPU
        words = " ".join(str(error).split())
        raise RefusalError(
            reason,
            f"{what}: {type(error).__name__}: {words}",
            "try another recipe, or an artifact that was made elsewhere; report it with the Job's log",
        ) from error


def calibrate(document: QuantizeDocument, store: Store, source: Path) -> Calibrated:
    """The texts that the quantizer reads, and their token ids; none if the recipe needs none."""
    if document.calibration is None:
        return Calibrated([], [], {})
    longest = min(document.calibration.max_tokens, document.facts.max_position_embeddings)
    return calibrated_texts(document.calibration, store, load_tokenizer(source), longest)


def load_tokenizer(source: Path) -> Tokenizer:
    """The source's tokenizer. Raises RefusalError."""
    from transformers import AutoTokenizer

    try:
        loaded: Tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        if hides_system_error(error):
            raise
        raise RefusalError(
            "NoTokenizer",
            f"the source's tokenizer cannot be loaded: {error}",
            "use a source with tokenizer.json and tokenizer_config.json that transformers loads without remote code",
        ) from error
    return loaded


def find(store: Store, artifact_hash: str) -> QuantizeResult | None:
    """The result of an earlier Job, if the store still holds the whole artifact."""
    try:
        result = QuantizeResult.model_validate(read_artifact_index(store, artifact_hash).get("quantize"))
    except ValidationError:
        return None
    if store.file_list("artifacts", result.artifact.digest) is None:
        return None
    return result.model_copy(update={"reused": True})


def write_report(
    store: Store, artifact_hash: str, result: QuantizeResult, modules: list[ModuleLoss], calibrated: Calibrated
) -> None:
    """Write the modules' log as CSV and the texts that were read; then the index, after the commit.

    So the index never names what is missing.
    """
    rows = [module.row() for module in modules]
    store.write(quant_log_key(artifact_hash), quant_log(parse_modules(rows)).encode())
    content: dict[str, Any] = {"artifact": result.artifact.wire(), "quantize": result.wire(), "modules": rows}
    if calibrated.texts:
        store.write(calibration_set_key(artifact_hash), calibrated.kept)
        content["calibration"] = calibrated.report(calibration_set_key(artifact_hash))
    write_index(store, artifact_index_key(artifact_hash), artifact_hash, content)


def empty(folder: Path) -> Path:
    """The folder, emptied of what a killed attempt left."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder
