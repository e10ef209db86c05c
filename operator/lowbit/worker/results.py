"""An evaluation in the store: samples.npz (every token), report.html, and result.json, which is written last."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.engines import ResolvedEngine
from lowbit.api.modelevaluation import EvaluatedModel, EvaluationProtocol
from lowbit.worker.decoding import DecodingSummary, Generated
from lowbit.worker.fidelity import SuiteSamples
from lowbit.worker.refuse import RefusalError
from lowbit.worker.scoring import Comparison, Lists
from lowbit.worker.store import Store

Arrays = dict[str, npt.NDArray[Any]]


class StoredResult(EvaluateResult):
    """result.json. Reads as an EvaluateResult where nothing more is wanted."""

    model: EvaluatedModel
    baseline: str | None = None
    protocol: EvaluationProtocol
    protocol_key: str
    engine: ResolvedEngine
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the engine and of what measured."""
    max_model_len: int | None = None
    """As the engine told it."""
    decoding: DecodingSummary | None = None
    generated: list[Generated] = Field(default_factory=list)


def result_key(evaluation: str) -> str:
    """Where the result is; with it, the evaluation counts."""
    return f"evaluations/{evaluation}/result.json"


def samples_key(evaluation: str) -> str:
    """Where every token's numbers are."""
    return f"evaluations/{evaluation}/samples.npz"


def report_key(evaluation: str) -> str:
    """Where the report for people is."""
    return f"evaluations/{evaluation}/report.html"


def read_result(store: Store, evaluation: str) -> StoredResult | None:
    """A finished evaluation, or None. Raises RefusalError where it is there and cannot be read."""
    data = store.read(result_key(evaluation))
    if data is None:
        return None
    try:
        return StoredResult.model_validate_json(data)
    except ValueError as error:
        raise damaged(evaluation, f"result.json cannot be read: {error}") from error


def read_baseline(store: Store, document: EvaluateDocument, protocol_key: str) -> StoredResult:
    """The baseline's result. Raises RefusalError where it is missing, or was measured in another way."""
    name = document.baseline or ""
    baseline = read_result(store, name)
    if baseline is None:
        raise RefusalError(
            "NoBaseline",
            f"the store holds no result of the baseline {name}: it was removed after it had been measured",
            f"delete the ModelEvaluation {name}, so that the original is measured again",
        )
    if baseline.protocol_key != protocol_key:
        raise RefusalError(
            "OtherProtocol",
            f"the baseline {name} was measured with the protocol {baseline.protocol_key[:10]}, and this evaluation asks "
            f"for {protocol_key[:10]}: their numbers cannot be compared",
            f"delete the ModelEvaluation {name} and its results in the store, so that the original is measured again",
        )
    return baseline


def read_samples(store: Store, evaluation: str, protocol: EvaluationProtocol) -> list[SuiteSamples]:
    """Every token of a finished evaluation, by suite. Raises RefusalError where it cannot be read."""
    data = store.read(samples_key(evaluation))
    if data is None:
        raise damaged(evaluation, "samples.npz is missing")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return [unpack(arrays, suite.name, suite.top_logprobs) for suite in protocol.suites]
    except (ValueError, KeyError, OSError) as error:
        raise damaged(evaluation, f"samples.npz cannot be read: {error}") from error


def pack(suite: str, samples: SuiteSamples) -> Arrays:
    """One model's numbers of one suite, as arrays under <suite>/<name>.

    tokens: all texts one after another, lengths: of each. ids, logprobs, tokenLogprobs: of all scored positions.
    """
    return {
        f"{suite}/tokens": np.array([token for text in samples.texts for token in text], dtype=np.int32),
        f"{suite}/lengths": np.array([len(text) for text in samples.texts], dtype=np.int32),
        f"{suite}/ids": samples.lists.ids,
        f"{suite}/logprobs": samples.lists.logprobs,
        f"{suite}/tokenLogprobs": samples.lists.token_logprobs,
    }


def pack_comparison(suite: str, comparison: Comparison) -> Arrays:
    """The comparison with the baseline, position by position."""
    return {
        f"{suite}/klDivergence": comparison.kl_divergence.astype(np.float32),
        f"{suite}/agreement": comparison.agreement,
        f"{suite}/covered": comparison.covered.astype(np.float32),
    }


def unpack(arrays: Mapping[str, npt.NDArray[Any]], suite: str, top: int) -> SuiteSamples:
    """The inverse of pack. Raises KeyError or ValueError where something is missing or does not fit together."""
    tokens, lengths = arrays[f"{suite}/tokens"], arrays[f"{suite}/lengths"]
    if int(lengths.sum()) != len(tokens) or len(lengths) == 0:
        raise ValueError(f"the texts of suite {suite} do not fit their lengths")
    texts = [part.tolist() for part in np.split(tokens, np.cumsum(lengths)[:-1])]
    scored = np.array([token for text in texts for token in text[1:]], dtype=np.int32)
    lists = Lists(
        arrays[f"{suite}/ids"], arrays[f"{suite}/logprobs"], scored, arrays[f"{suite}/tokenLogprobs"]
    )  # fmt: skip
    if not len(scored) == len(lists.ids) == len(lists.logprobs) == len(lists.token_logprobs):
        raise ValueError(f"the numbers of suite {suite} do not fit its texts")
    return SuiteSamples(texts, top, lists)


def to_bytes(arrays: Arrays) -> bytes:
    """A compressed npz; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    # numpy's stub takes the keyword allow_pickle before it takes names.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def damaged(evaluation: str, why: str) -> RefusalError:
    """The refusal of a result that is there, and is of no use."""
    return RefusalError(
        "Damaged",
        f"the store's results of {evaluation} are damaged: {why}",
        f"delete the ModelEvaluation {evaluation} and the folder evaluations/{evaluation} in the store",
    )
