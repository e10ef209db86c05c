"""Results of evaluations in the store.

measured/<key>: one model's samples of one suite (samples.npz), for all evaluations; suite.json is written last.
evaluations/<name>: details.npz, compared.jsonl, the report (html, json, txt), and result.json, which is written last.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowbit.api.documents import EvaluateDocument
from lowbit.api.engines import ResolvedEngine
from lowbit.api.evaluation import ResolvedSuite, suite_of
from lowbit.api.modelevaluation import EvaluatedModel, Turn
from lowbit.naming.canonical import canonical, digest
from lowbit.naming.store_keys import (
    compared_key,
    details_key,
    marker_key,
    report_json_key,
    report_key,
    report_text_key,
    samples_key,
)
from lowbit.report import html, text
from lowbit.report.model import Report
from lowbit.worker.engines.base import UNKNOWN_VERSION
from lowbit.worker.evaluate import looking
from lowbit.worker.evaluate.stored import Asked, StoredResult, StoredSuite, read_result
from lowbit.worker.refuse import RefusalError
from lowbit.worker.report.samples import compared_lines
from lowbit.worker.store import Store
from lowbit.worker.suites import RUNNERS, Arrays
from lowbit.worker.suites.base import ComparedSample


def read_baseline(store: Store, document: EvaluateDocument) -> StoredResult:
    """The baseline's result. Raises RefusalError if it is missing, or of another model, protocol or runtime."""
    asked = Asked.baseline_of(document)
    baseline = read_result(store, asked)
    if baseline is None:
        raise RefusalError(
            "NoBaseline",
            f"the store holds no result of the baseline {asked.evaluation}: it was removed after it had been measured",
            f"delete the ModelEvaluation {asked.evaluation} and the Job of that name, so that the original is measured "
            "again",
        )
    return baseline


def suite_input(
    document: EvaluateDocument, suite: ResolvedSuite, model: EvaluatedModel, engine: ResolvedEngine, turn: Turn | None
) -> dict[str, Any]:
    """Everything that a model's samples of one suite depend on. The suite's name is not in it.

    Samples of a turn depend on both models and engines: turns with another one are other samples. An artifact may be
    the original itself, so it counts which of the two a model is. A suite that looks several times stops where its gate
    is decided, so a candidate's samples depend on that. What is evaluated again for another device or node has samples
    of its own, although the engine is the same.
    """
    stopping = looking.stopping_of(document, suite.name) if model.kind == "Artifact" else None
    depends: dict[str, Any] = {
        "model": model.digest,
        "suite": suite.model_copy(update={"name": ""}),
        "tokenizer": document.protocol.tokenizer,
        "runtime": digest("runtime", engine),
    }
    if stopping is not None:
        depends["stopping"] = stopping.model_copy(update={"gate": stopping.gate.model_copy(update={"suite": ""})})
    if document.place is not None:
        depends["place"] = document.place
    whole: dict[str, Any] = canonical(depends if turn is None else depends | {"turn": turn, "side": model.kind})
    return whole


def suite_key(of: Mapping[str, Any]) -> str:
    """Key of a model's samples of one suite: the hash of what they depend on."""
    return digest("suite", dict(of))


def read_suite(store: Store, key: str, suite: ResolvedSuite, version: str) -> Any | None:
    """The samples of one model and suite; None if there are none, or if they are of another engine version.

    Raises RefusalError if they cannot be read, or were measured on something else than their key says.
    """
    data = store.read(marker_key(key))
    if data is None:
        return None
    # Outside of try: a store that cannot be read is not damaged, and nobody must delete anything there.
    samples = store.read(samples_key(key)) or b""
    try:
        return _load_suite(samples, key, suite, version, StoredSuite.model_validate_json(data))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RefusalError(
            "Damaged",
            f"the store's samples of suite {suite.name} are damaged: {error}",
            f"delete the folder measured/{key} in the store; for an original also its ModelEvaluation and the folder "
            "evaluations/<its name>",
        ) from error


def _load_suite(data: bytes, key: str, suite: ResolvedSuite, version: str, marker: StoredSuite) -> Any | None:
    if suite_key(marker.of) != key:
        raise ValueError("suite.json is of something else than its folder's name says")
    if UNKNOWN_VERSION not in (marker.engine_version, version) and marker.engine_version != version:
        return None
    if hashlib.sha256(data).hexdigest() != marker.samples:
        raise ValueError("samples.npz is not the one that suite.json was written for")
    kind, settings = suite_of(suite)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return RUNNERS[kind.name].unpack(arrays, settings)


def write_suite(store: Store, of: Mapping[str, Any], suite: ResolvedSuite, samples: Any, version: str) -> None:
    """Write the samples, then the marker that makes them count. of: what they depend on."""
    kind, _ = suite_of(suite)
    key, data = suite_key(of), to_bytes(RUNNERS[kind.name].pack(samples))
    marker = StoredSuite(engine_version=version, of=dict(of), samples=hashlib.sha256(data).hexdigest())
    store.write(samples_key(key), data)
    store.write(marker_key(key), marker.model_dump_json(by_alias=True).encode())


def write_details(store: Store, evaluation: str, details: Mapping[str, Arrays]) -> None:
    """Write the comparison of every unit, by suite; nothing if no suite has any."""
    arrays = {f"{suite}/{name}": values for suite, found in details.items() for name, values in found.items()}
    if arrays:
        store.write(details_key(evaluation), to_bytes(arrays))


def write_report(
    store: Store, evaluation: str, report: Report, samples: Mapping[str, Sequence[ComparedSample]]
) -> dict[str, str]:
    """Write the report as page, JSON and text, and every compared sample. Members of the summary that name them."""
    if lines := compared_lines(samples):
        store.write(compared_key(evaluation), lines)
    page, data = html.render(report).encode(), report.model_dump_json(by_alias=True, indent=1).encode()
    store.write(report_text_key(evaluation), text.render(report).encode())
    store.write(report_json_key(evaluation), data)
    store.write(report_key(evaluation), page)
    return {
        "report_digest": f"sha256:{hashlib.sha256(page).hexdigest()}",
        "report_path": report_key(evaluation),
        "report_json_digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
    }


def to_bytes(arrays: Arrays) -> bytes:
    """A compressed npz; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    # numpy's stub takes the keyword allow_pickle before it takes names.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
