"""A backend makes the artifacts of a recipe: one file here, named like the recipe, and one line in the registry."""

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
"""Called with the share that is done (0 to 1), and what is being done."""


@dataclass(frozen=True)
class Work:
    """One model to quantize."""

    source: Path
    """Folder of the original."""
    target: Path
    """Folder to write the artifact to."""
    recipe: Any
    """Settings of the resolved recipe, of the backend's kind."""
    facts: ModelFacts
    samples: Sequence[list[int]]
    """Token ids of the calibration texts."""
    device: str
    """torch's name: cpu or cuda."""
    scratch: Path


class Backend(ABC):
    """Quantizes. Only its methods import torch: the operator's image has none."""

    packages: ClassVar[tuple[str, ...]]
    """Packages whose versions are kept with the artifact."""

    @abstractmethod
    def quantize(self, work: Work, advance: Advance) -> list[ModuleLoss]:
        """Write the artifact, and return the loss of every module. Raises RefusalError if one was not quantized."""

    @abstractmethod
    def smoke_test(self, folder: Path, device: str) -> str:
        """Load the artifact as it was written, and generate a few tokens. Returns their text, which may be empty.

        Raises RefusalError if a logit is not finite. The gate, not this test, judges whether the text is any good.
        """

    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the artifact."""
        return {name: metadata.version(name) for name in self.packages}
