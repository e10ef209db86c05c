"""What makes the artifacts of a recipe. Each is one file here, under the name of its recipe, and one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from lowbit.api.facts import ModelFacts
from lowbit.worker.backends.losses import ModuleLoss

Advance = Callable[[float, str], None]
"""Is told the share that is done, and what is being done."""


@dataclass(frozen=True)
class Work:
    """One model to quantize."""

    source: Path
    """Folder of the original."""
    target: Path
    """Folder to write the artifact to."""
    recipe: Any
    """The resolved recipe's settings, of the kind that the backend is for."""
    facts: ModelFacts
    samples: Sequence[list[int]]
    """Token ids of the calibration texts."""
    device: str
    """torch's name: cpu or cuda."""
    scratch: Path


class Backend(ABC):
    """Quantizes. torch is imported by its methods only: the operator's image has none."""

    packages: ClassVar[tuple[str, ...]]
    """Whose versions are kept with the artifact."""

    @abstractmethod
    def quantize(self, work: Work, advance: Advance) -> list[ModuleLoss]:
        """Write the artifact, and return the loss of every module. Raises RefusalError where one was not quantized."""

    @abstractmethod
    def smoke_test(self, folder: Path, device: str) -> str:
        """Load the artifact as it was written, and generate a few tokens. Returns their text, which may be empty.

        Raises RefusalError where it computes what is not a number. Whether the text is any good is for the gate to say.
        """

    def versions(self) -> dict[str, str]:
        """What made the artifact."""
        return {name: metadata.version(name) for name in self.packages}
