"""A runner measures a suite: one file here, named like the suite, and one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy.typing as npt

from lowbit.api.status import Measurement
from lowbit.worker.engines.base import EngineClient
from lowbit.worker.progress import Progress

Settings = TypeVar("Settings")
Samples = TypeVar("Samples")
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Ask(Generic[Settings]):
    """Input of a runner: one model and one suite."""

    suite: str
    """The suite's name, for messages."""
    settings: Settings
    """Settings of the resolved suite, of the runner's kind."""
    client: EngineClient
    dataset: Callable[[str], Path]
    """A dataset by its digest, as a local file."""
    room: int | None
    """The most tokens that a text may have; None if the engine does not say."""
    progress: Progress


@dataclass(frozen=True)
class Section:
    """A part of the report that only this suite has."""

    title: str
    text: str
    plot: str = ""
    """SVG."""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    """A table; all but the first column are numbers."""


@dataclass(frozen=True)
class ComparedSample:
    """One unit that both models have answered, for the store and for the report."""

    id: str
    """The same in every run on the same data."""
    prompt: str
    original: str
    candidate: str
    expected: str = ""
    slice: str = ""
    score: float = 0.0
    """How much worse the candidate is: the report shows the worst first."""
    flipped: bool = False
    """Whether one of the two is right and the other is not."""
    note: str = ""
    """In a few words, what is different."""


@dataclass(frozen=True)
class Summary:
    """What a suite measured on one model, compared with its original unless it is one."""

    rows: list[Measurement]
    details: Arrays = field(default_factory=dict)
    """Arrays that go only to the store, by a name that is unique in the suite."""
    sections: list[Section] = field(default_factory=list)
    samples: list[ComparedSample] = field(default_factory=list)
    """Every unit that both models have answered; none on a baseline."""


class Runner(ABC, Generic[Settings, Samples]):
    """Queries an engine, and computes measurements from its answers."""

    method: ClassVar[str]
    """How it measures, in a paragraph of plain text for the report."""

    @abstractmethod
    async def measure(self, ask: Ask[Settings], original: Samples | None) -> Samples:
        """Samples of one model. original: the original's samples; None if the original itself is measured.

        Raises EngineError, and RefusalError if the dataset cannot be used.
        """

    @abstractmethod
    def pack(self, samples: Samples) -> Arrays:
        """The samples as arrays for the store."""

    @abstractmethod
    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: Settings) -> Samples:
        """The inverse of pack. Raises KeyError or ValueError if arrays are missing or do not fit together."""

    @abstractmethod
    def texts(self, samples: Samples) -> list[list[int]]:
        """Token ids of the texts that the models have read, at least one: prompts for the other measurements.

        A candidate's stored samples count only if their texts are those of the original.
        """


class SeparateRunner(Runner[Settings, Samples]):
    """Of a suite whose pairing is Separate."""

    @abstractmethod
    def summarize(self, suite: str, samples: Samples, original: Samples | None) -> Summary:
        """The measurements. original: None on a baseline."""


class InterleavedRunner(Runner[Settings, Samples]):
    """Of a suite whose pairing is Interleaved."""

    @abstractmethod
    def summarize_starts(self, suite: str, starts: Sequence[tuple[Samples, Samples]]) -> Summary:
        """The measurements. starts: samples of the original and of the candidate, from engines started in turn."""
