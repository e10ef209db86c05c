"""Rollouts: how what serves is changed from one revision to another. Pure."""

from __future__ import annotations

from lowbit.api.serving import Serving
from lowbit.api.tagged import Registry
from lowbit.decide.serving.rollout.base import Analysis, Progress, Rollout, Step
from lowbit.decide.serving.rollout.rolling import RollingChange

__all__ = ["ROLLOUTS", "Analysis", "Progress", "Rollout", "Step", "rollout_of"]

ROLLOUTS: Registry[Rollout] = Registry("rollout", RollingChange())


def rollout_of(serving: Serving) -> Rollout:
    """The one that the manifest asks for. There is one so far, and no field."""
    return ROLLOUTS["rollingChange"]
