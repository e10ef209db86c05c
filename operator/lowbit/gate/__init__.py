"""Pure: statistics and verdicts."""

from lowbit.gate.judge import judge

__all__ = ["judge"]
