"""The check that decided a verdict: its message is the verdict's, and a table with room for one check shows it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from lowbit.api.status import GateCheck, Verdict


def deciding_check(verdict: Verdict, checks: Sequence[GateCheck]) -> GateCheck | None:
    """The closest call of a Passed, else the check that is farthest from passing; None where nothing was checked."""
    nearest = 1 if verdict == "Passed" else -1
    return min(
        (check for check in checks if check.verdict == verdict),
        key=lambda check: (nearest * _distance(check), check.message or ""),
        default=None,
    )


def _distance(check: GateCheck) -> float:
    """From the bound that is nearest to passing to its threshold, as a share of that; infinite without a number."""
    upper = check.bound != "Minimum"
    passing = check.verdict != "Failed"
    bound, threshold = float(check.upper if upper == passing else check.lower), float(check.threshold)
    if not isfinite(bound):
        return inf
    return abs(bound - threshold) / threshold if threshold else abs(bound)
