"""What a rollout decides: one step, from what serves, what is to serve, and how far it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from lowbit.decide.serving.target import Target

Analysis = Literal["Better", "Worse", "Unknown"]
"""What metrics say of the new beside the old, where a rollout asks for that."""


@dataclass(frozen=True)
class Progress:
    """How far the pods are."""

    label: str | None
    """The revision label of what was applied last."""
    rolled_out: bool
    """Every replica is of it, and answers."""


@dataclass(frozen=True)
class Step:
    """What is to be applied now."""

    serve: Target
    done: bool
    """Nothing but this serves any more."""


class Rollout(ABC):
    """One way to change."""

    name: ClassVar[str]

    @abstractmethod
    def next_step(self, old: Target | None, new: Target, progress: Progress, analysis: Analysis | None) -> Step:
        """The same input gives the same step. old: what serves now. analysis: None where nobody asked for one."""
