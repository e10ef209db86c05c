"""Results of evaluations in the store.

measured/<key>: one model's samples of one suite (samples.npz), for all evaluations; suite.json is written last.
evaluations/<name>: details.npz, report.html, and result.json, which is written last.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from lowbit.api.base import Tolerant
from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.engines import ResolvedEngine
from lowbit.api.evaluation import ResolvedSuite, suite_of
from lowbit.api.modelevaluation import EvaluatedModel, EvaluationProtocol, Turn
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import details_key, marker_key, result_key, samples_key
from lowbit.worker.engines.base import UNKNOWN_VERSION
from lowbit.worker.evaluate.decoding import DecodingSummary, Generated
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store
from lowbit.worker.suites import RUNNERS, Arrays


class StoredSuite(Tolerant):
    """suite.json."""

    engine_version: str


class StoredResult(EvaluateResult):
    """result.json. It also parses as an EvaluateResult."""

    model: EvaluatedModel
    baseline: str | None = None
    protocol: EvaluationProtocol
    protocol_key: str
    suites: dict[str, str] = Field(default_factory=dict)
    """Keys of the samples, by the suite's name."""
    engine: ResolvedEngine
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the engine and of the evaluator's packages."""
    max_model_len: int | None = None
    """As the engine reported it."""
    decoding: DecodingSummary | None = None
    generated: list[Generated] = Field(default_factory=list)


def read_result(store: Store, evaluation: str) -> StoredResult | None:
    """A finished evaluation, or None. Raises RefusalError if it exists and cannot be read."""
    data = store.read(result_key(evaluation))
    if data is None:
        return None
    try:
        return StoredResult.model_validate_json(data)
    except ValueError as error:
        raise damaged(evaluation, f"result.json cannot be read: {error}") from error


def read_baseline(store: Store, document: EvaluateDocument, protocol_key: str) -> StoredResult:
    """The baseline's result. Raises RefusalError if it is missing, or was measured by another protocol."""
    name = document.baseline or ""
    baseline = read_result(store, name)
    if baseline is None:
        raise RefusalError(
            "NoBaseline",
            f"the store holds no result of the baseline {name}: it was removed after it had been measured",
            f"delete the ModelEvaluation {name} and the Job of that name, so that the original is measured again",
        )
    if baseline.protocol_key != protocol_key:
        raise RefusalError(
            "OtherProtocol",
            f"the baseline {name} was measured with the protocol {baseline.protocol_key[:10]}, "
            f"and this evaluation asks for {protocol_key[:10]}: their numbers cannot be compared",
            f"delete the ModelEvaluation {name}, the Job of that name and the folder evaluations/{name} in the store, "
            "so that the original is measured again",
        )
    return baseline


def suite_key(
    document: EvaluateDocument, suite: ResolvedSuite, model: EvaluatedModel, engine: ResolvedEngine, turn: Turn | None
) -> str:
    """Hash of everything that a model's samples of one suite depend on. The suite's name is not in it.

    Samples of a turn depend on both models and engines: turns with another one are other samples. An artifact may be
    the original itself, so it counts which of the two a model is.
    """
    depends: dict[str, Any] = {
        "model": model.digest,
        "suite": suite.model_copy(update={"name": ""}),
        "tokenizer": document.protocol.tokenizer,
        "runtime": digest("runtime", engine),
    }
    return digest("suite", depends if turn is None else depends | {"turn": turn, "side": model.kind})


def read_suite(store: Store, key: str, suite: ResolvedSuite, version: str) -> Any | None:
    """The samples of one model and suite; None if there are none, or if they are of another engine version.

    Raises RefusalError if they cannot be read.
    """
    data = store.read(marker_key(key))
    if data is None:
        return None
    try:
        before = StoredSuite.model_validate_json(data).engine_version
        if UNKNOWN_VERSION not in (before, version) and before != version:
            return None
        kind, settings = suite_of(suite)
        with np.load(io.BytesIO(store.read(samples_key(key)) or b""), allow_pickle=False) as arrays:
            return RUNNERS[kind.name].unpack(arrays, settings)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RefusalError(
            "Damaged",
            f"the store's samples of suite {suite.name} are damaged: {error}",
            f"delete the folder measured/{key} in the store; for an original also its ModelEvaluation and the folder "
            "evaluations/<its name>",
        ) from error


def write_suite(store: Store, key: str, suite: ResolvedSuite, samples: Any, version: str) -> None:
    """Write the samples, then the marker that makes them count."""
    kind, _ = suite_of(suite)
    store.write(samples_key(key), to_bytes(RUNNERS[kind.name].pack(samples)))
    store.write(marker_key(key), StoredSuite(engine_version=version).model_dump_json(by_alias=True).encode())


def write_details(store: Store, evaluation: str, details: Mapping[str, Arrays]) -> None:
    """Write the comparison of every unit, by suite; nothing if no suite has any."""
    arrays = {f"{suite}/{name}": values for suite, found in details.items() for name, values in found.items()}
    if arrays:
        store.write(details_key(evaluation), to_bytes(arrays))


def to_bytes(arrays: Arrays) -> bytes:
    """A compressed npz; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    # numpy's stub takes the keyword allow_pickle before it takes names.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def damaged(evaluation: str, why: str) -> RefusalError:
    """The refusal of a stored result that cannot be used."""
    return RefusalError(
        "Damaged",
        f"the store's results of {evaluation} are damaged: {why}",
        f"delete the ModelEvaluation {evaluation}, the Job of that name and the folder evaluations/{evaluation} in the "
        "store",
    )
