"""The check that decided a verdict, for a table that has room for one."""

from __future__ import annotations

from math import inf, isfinite

from lowbit.api.status import GateCheck, VerdictRecord


def deciding_check(record: VerdictRecord) -> GateCheck | None:
    """The closest call of a Passed, else the check that is farthest from passing; None where nothing was checked."""
    same = [check for check in record.checks if check.verdict == record.verdict]
    if not same:
        return None
    pick = min if record.verdict == "Passed" else max
    return pick(same, key=_distance)


def _distance(check: GateCheck) -> float:
    """From the bound that is nearest to passing to its threshold, as a share of that; infinite without a number."""
    upper = check.bound != "Minimum"
    passing = check.verdict != "Failed"
    bound, threshold = float(check.upper if upper == passing else check.lower), float(check.threshold)
    if not isfinite(bound):
        return inf
    return abs(bound - threshold) / threshold if threshold else abs(bound)
