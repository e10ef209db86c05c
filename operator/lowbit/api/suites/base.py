"""What a suite declares: one file here, one runner of the same name in worker/suites, one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

from lowbit.api.base import Digest, Wire
from lowbit.api.engines.base import Capability
from lowbit.api.rule import Rule
from lowbit.api.suites.dataset import SuiteFile
from lowbit.api.suites.metric import Metric

Spec = TypeVar("Spec", bound=Wire)
Resolved = TypeVar("Resolved", bound=Wire)


Pairing = Literal["Separate", "Interleaved"]
"""How the two sides are measured. Separate: each model in an engine of its own, the original once for all candidates.
Interleaved: in pairs of fresh engines, original and candidate in turn, because what is measured drifts with time."""


class SuiteKind(ABC, Generic[Spec, Resolved]):
    """One member of `evaluation.suites[]`."""

    name: ClassVar[str]
    """The member's name in a manifest, and its runner's in the worker."""
    description: ClassVar[str]
    """For `kubectl explain`."""
    spec: type[Spec]
    """What a person writes."""
    resolved: type[Resolved]
    """The same with datasets under their digests, as it is frozen in a protocol: what must be equal on both sides."""
    version: ClassVar[int]
    """Raised when its runner would give another number for the same model."""
    metrics: ClassVar[tuple[Metric, ...]]
    """What its runner measures."""
    optional: ClassVar[Mapping[str, str]] = {}
    """Metrics for a gate that are measured only where an attribute of `spec` is set: that attribute, by metric."""
    needs: ClassVar[frozenset[Capability]] = frozenset()
    """What the engine must be able to do."""
    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules on `spec` that a schema cannot say."""
    dataset_fields: ClassVar[tuple[str, ...]] = ("dataset",)
    """Attributes of `spec` that are EvaluationDatasets, or None; those of `resolved` are their digests."""
    reads_fields: ClassVar[bool] = True
    """Whether its runner looks at a record's other fields, such as an expected answer. If not, only the columns of
    texts and chats of a table are stored."""
    length_field: ClassVar[str | None] = None
    """Attribute of `spec` with the longest text in tokens: it must fit into the engine, together with an answer."""
    pairing: ClassVar[Pairing] = "Separate"
    """How its two sides are measured."""
    looks: ClassVar[int] = 1
    """How often its gate looks at a candidate's samples while they are measured: at equal parts, fixed beforehand. Of
    several looks the runner is a LookingRunner."""
    count_field: ClassVar[str] = "samples"
    """Attribute of `spec` to raise if a verdict is Inconclusive."""

    @abstractmethod
    def resolve(self, spec: Spec, datasets: Mapping[str, Digest]) -> Resolved:
        """The settings with datasets under their digests. datasets: digest by the name that `datasets` gave."""

    def starts(self, resolved: Resolved) -> int:
        """How often each model's engine is started for it. More than one only where the pairing is Interleaved."""
        return 1

    def repeats(self, spec: Spec) -> int:
        """How often each prompt is answered. With several answers, a prompt's mean is one unit of the gate."""
        return 1

    def datasets(self, spec: Spec) -> Mapping[str, SuiteFile]:
        """Files that prepare puts into the store, by attribute, or by another name that is unique in the suite."""
        found = {name: getattr(spec, name) for name in self.dataset_fields}
        return {name: dataset for name, dataset in found.items() if dataset is not None}

    def digests(self, resolved: Resolved) -> Mapping[str, Digest]:
        """Digests of the same files, by the same names."""
        found = {name: getattr(resolved, name) for name in self.dataset_fields}
        return {name: digest for name, digest in found.items() if digest is not None}

    def tasks(self, spec: Spec) -> tuple[str, ...]:
        """Names of tasks that its gate judges one by one; none if it judges the suite as a whole."""
        return ()

    def units(self, spec: Spec) -> tuple[str, ...]:
        """Names of the files whose lines are the units that a gate counts, each file by itself."""
        return tuple(name for name in ("dataset",) if name in self.dataset_fields)


def dataset_key(suite: str, field: str) -> str:
    """Key of a suite's dataset in PrepareResult.datasets."""
    return f"evaluation/{suite}" if field == "dataset" else f"evaluation/{suite}/{field}"
