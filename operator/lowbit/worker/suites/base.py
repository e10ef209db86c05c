"""A runner measures a suite: one file here, named like the suite, and one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy.typing as npt

from lowbit.api.status import Measurement
from lowbit.gate.looks import parts
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
    looks: int = 1
    """In how many parts the samples come (SuiteKind.looks)."""


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


class Part(NamedTuple):
    """One part of the samples, of those that are planned."""

    number: int
    """From 1."""
    of: int

    def end(self, samples: int) -> int:
        """How many of all samples there are with this part."""
        return parts(samples, self.of)[self.number - 1]


class LookingRunner(SeparateRunner[Settings, Samples]):
    """Of a suite whose gate looks several times (SuiteKind.looks). Its samples come in equal parts, whose units and
    order are the same for every model, so that a candidate's are the first of the original's.

    Its `summarize` compares the units that the candidate has with the same ones of the original, which has all.
    """

    @abstractmethod
    async def measure_part(
        self, ask: Ask[Settings], original: Samples | None, before: Samples | None, part: Part
    ) -> Samples:
        """The samples so far: those of `before`, which is None at the first part, and of one part more.

        Raises as `measure` does.
        """

    @abstractmethod
    def parts(self, samples: Samples) -> int:
        """How many parts the samples have."""

    async def measure(self, ask: Ask[Settings], original: Samples | None) -> Samples:
        """Every part."""
        samples: Samples | None = None
        for number in range(1, ask.looks + 1):
            progress = ask.progress.part((number - 1) / ask.looks, number / ask.looks)
            part = Part(number, ask.looks)
            samples = await self.measure_part(replace(ask, progress=progress), original, samples, part)
        if samples is None:
            raise ValueError(f"suite {ask.suite} has {ask.looks} parts")
        return samples


class InterleavedRunner(Runner[Settings, Samples]):
    """Of a suite whose pairing is Interleaved."""

    @abstractmethod
    def summarize_starts(self, suite: str, starts: Sequence[tuple[Samples, Samples]]) -> Summary:
        """The measurements. starts: samples of the original and of the candidate, from engines started in turn."""
