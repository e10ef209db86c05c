"""What is to be served, and what may be."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.modelrevision import ModelRevision
from lowbit.state.snapshot import Observed

SOURCE = "source"
"""The revision label of a Deployment that serves the original as fallback."""


@dataclass(frozen=True)
class Target:
    """What is to be served."""

    revision: Observed[ModelRevision]
    """Whose engine, images and source are used."""
    source: bool = False
    """Serve the original itself (fallback)."""

    @property
    def label(self) -> str:
        """The revision label of the pods."""
        return SOURCE if self.source else self.revision.meta.name


def passed(revision: Observed[ModelRevision]) -> bool:
    """Whether a revision may be served."""
    status = revision.body.status
    return status.verdict is not None and status.verdict.verdict == "Passed" and status.artifact is not None
