"""What runs a suite. Each is one file here, under the name of its suite, and one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy.typing as npt

from lowbit.api.status import Measurement
from lowbit.worker.engines import EngineClient
from lowbit.worker.progress import Progress

Settings = TypeVar("Settings")
Samples = TypeVar("Samples")
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Ask(Generic[Settings]):
    """One model to ask one suite's questions."""

    suite: str
    """The suite's name, for messages."""
    settings: Settings
    """The resolved suite's settings, of the kind that the runner is for."""
    client: EngineClient
    dataset: Callable[[str], Path]
    """A dataset by its digest, as a local file."""
    room: int | None
    """The most tokens that a text may have; None where the engine does not say."""
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
class Summary:
    """What a suite has measured on one model, compared with its original where there is one."""

    rows: list[Measurement]
    details: Arrays = field(default_factory=dict)
    """What goes to the store only, by a name that is unique in the suite."""
    sections: list[Section] = field(default_factory=list)


class Runner(ABC, Generic[Settings, Samples]):
    """Asks an engine, and makes measurements of what it said."""

    method: ClassVar[str]
    """How it measures, in a paragraph of plain text for the report."""

    @abstractmethod
    async def measure(self, ask: Ask[Settings], original: Samples | None) -> Samples:
        """Everything that the engine says. original: what the original was asked, and said; None where that is what is
        measured.

        Raises EngineError, and RefusalError where the dataset is of no use.
        """

    @abstractmethod
    def summarize(self, suite: str, samples: Samples, original: Samples | None) -> Summary:
        """The measurements. original: None on a baseline."""

    @abstractmethod
    def pack(self, samples: Samples) -> Arrays:
        """Samples as they lie in the store."""

    @abstractmethod
    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: Settings) -> Samples:
        """The inverse of pack. Raises KeyError or ValueError where something is missing or does not fit together."""

    @abstractmethod
    def texts(self, samples: Samples) -> list[list[int]]:
        """Token ids of what the models have read: prompts for all that is measured besides."""
