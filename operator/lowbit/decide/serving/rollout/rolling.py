"""A rolling change: new pods come up, and old ones go when they answer. Kubernetes' Deployment does the rest."""

from __future__ import annotations

from lowbit.decide.serving.rollout.base import Analysis, Progress, Rollout, Step
from lowbit.decide.serving.target import Target


class RollingChange(Rollout):
    """Asks no metrics: an old pod goes only when a new one answers."""

    name = "rollingChange"

    def next_step(self, old: Target | None, new: Target, progress: Progress, analysis: Analysis | None) -> Step:
        """The new one at once."""
        return Step(new, progress.rolled_out and progress.label == new.label)
