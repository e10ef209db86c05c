"""result.json: a finished evaluation in the store. It says itself what it is of, and counts only if that is asked for.

A store outlives clusters and is copied between them, and its folders' names are short hashes: a name is no proof.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from lowbit.api.base import Tolerant
from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.engines import ResolvedEngine
from lowbit.api.modelevaluation import (
    EvaluatedModel,
    EvaluationProtocol,
    ModelEvaluationSpec,
    Place,
    StoppingGate,
    Turn,
)
from lowbit.api.showcase import ShowcaseAnswer
from lowbit.naming.canonical import digest
from lowbit.naming.names import evaluation_name
from lowbit.naming.store_keys import result_key
from lowbit.worker.evaluate.decoding import DecodingSummary, Generated
from lowbit.worker.evaluate.health_answer import HealthAnswer
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store


class StoredResult(EvaluateResult):
    """result.json. It also parses as an EvaluateResult."""

    model: EvaluatedModel
    baseline: str | None = None
    turn: Turn | None = None
    stopping: list[StoppingGate] | None = None
    place: Place | None = None
    protocol: EvaluationProtocol
    protocol_key: str
    suites: dict[str, str] = Field(default_factory=dict)
    """Keys of the samples, by the suite's name."""
    sketches: dict[str, list[str]] = Field(default_factory=dict)
    """What was read, as sketches by the suite's name: another evaluation of the same samples is known by them."""
    engine: ResolvedEngine
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the engine and of the evaluator's packages."""
    max_model_len: int | None = None
    """As the engine reported it."""
    decoding: DecodingSummary | None = None
    generated: list[Generated] = Field(default_factory=list)
    health: list[HealthAnswer] = Field(default_factory=list)
    """Answers to the prompts that every evaluation asks."""
    showcase: list[ShowcaseAnswer] = Field(default_factory=list)
    """The model's answers to the prompts of the showcase."""


@dataclass(frozen=True)
class Asked:
    """What a result has to be of before it counts."""

    evaluation: str
    model: EvaluatedModel
    protocol_key: str
    runtime_key: str | None
    """None: the document does not say it (an older operator's)."""
    baseline: str | None = None
    turn: Turn | None = None
    stopping: list[StoppingGate] | None = None
    place: Place | None = None

    @classmethod
    def by_document(cls, document: EvaluateDocument) -> Asked:
        """The result of the document's own evaluation."""
        return cls(
            document.evaluation, document.model, digest("protocol", document.protocol),
            digest("runtime", document.engine), document.baseline, document.turn, document.stopping, document.place,
        )  # fmt: skip

    @classmethod
    def baseline_of(cls, document: EvaluateDocument) -> Asked:
        """The result of the original that the document's model is compared with."""
        original = EvaluatedModel(kind="Source", digest=document.source)
        protocol, runtime = digest("protocol", document.protocol), document.baseline_runtime
        return cls(document.baseline or "", original, protocol, runtime, place=document.place)

    @classmethod
    def by_spec(cls, spec: ModelEvaluationSpec) -> Asked:
        """The result of a ModelEvaluation."""
        return cls(
            evaluation_name(spec),
            spec.model,
            spec.protocol_key,
            spec.runtime_key,
            spec.baseline,
            spec.turn,
            spec.stopping,
            spec.place,
        )

    def differences(self, found: StoredResult) -> list[str]:
        """In what a result differs, in words. Hashes are computed from what it holds, not taken from it."""
        runtime = digest("runtime", found.engine)
        compared = {
            "name": (found.evaluation, self.evaluation),
            "model": (f"{found.model.kind} {found.model.digest}", f"{self.model.kind} {self.model.digest}"),
            "protocol": (digest("protocol", found.protocol), self.protocol_key),
            "runtime": (runtime, self.runtime_key or runtime),
            "baseline": (found.baseline, self.baseline),
            "start in turn": (found.turn, self.turn),
            "gate that ends it": (found.stopping, self.stopping),
            "place": (found.place, self.place),
        }
        return [f"{what} {_short(a)} instead of {_short(b)}" for what, (a, b) in compared.items() if a != b]


def read_result(store: Store, asked: Asked) -> StoredResult | None:
    """A finished evaluation, or None. Raises RefusalError if it cannot be read, or is of something else.

    One of something else is never measured anew over: somebody has written into the store, and that must not be hidden.
    """
    data = store.read(result_key(asked.evaluation))
    if data is None:
        return None
    try:
        found = StoredResult.model_validate_json(data)
    except ValueError as error:
        raise damaged(asked.evaluation, f"result.json cannot be read: {error}") from error
    if differences := asked.differences(found):
        raise RefusalError(
            "OtherResult",
            f"the store's result of {asked.evaluation} is of something else ({'; '.join(differences)}): Lowbit never "
            "writes that under this name",
            f"find out who writes to the store; then {_mend(asked.evaluation)}",
        )
    return found


def find_result(store: Store, asked: Asked) -> StoredResult | None:
    """A finished evaluation, or None where there is none that counts: its own Job then says why."""
    try:
        return read_result(store, asked)
    except RefusalError:
        return None


def damaged(evaluation: str, why: str) -> RefusalError:
    """The refusal of a stored result that cannot be used."""
    return RefusalError("Damaged", f"the store's results of {evaluation} are damaged: {why}", _mend(evaluation))


def _mend(evaluation: str) -> str:
    return (
        f"delete the ModelEvaluation {evaluation}, the Job of that name and the folder evaluations/{evaluation} in the "
        "store, so that it is measured again"
    )


class StoredSuite(Tolerant):
    """suite.json: what a model's samples of a suite were measured on, and that they are complete."""

    engine_version: str
    of: dict[str, object]
    """What their key is the hash of: model, suite, tokenizer, runtime and, for a start in turn, the other model."""
    samples: str
    """SHA-256 (hex) of samples.npz."""


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
