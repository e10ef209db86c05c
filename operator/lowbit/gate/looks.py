"""Several looks at a candidate's samples: with which confidence each look decides, and when measuring may stop.

The number of looks is fixed before the first one, and each adds an equal part of the samples. Look i of m decides with
the boundary of gate/spending.py, so that all looks together err as rarely as one at the end.
"""

from __future__ import annotations

from statistics import NormalDist

from lowbit.api.status import Measurement
from lowbit.gate.spending import boundaries

MOST = 5
"""More looks at one sample are not planned: each needs a boundary of its own."""


def is_planned(look: int, looks: int) -> bool:
    """Whether a look can have been planned."""
    return 1 <= look <= looks <= MOST


def confidence_at(confidence: float, look: int, looks: int) -> float:
    """One-sided confidence of each bound at look i of m, so that all looks together have `confidence`.

    confidence: already divided over the candidates; at least 0.5. With one look it stays exactly as it is.
    Raises ValueError if the look cannot have been planned.
    """
    if not is_planned(look, looks):
        raise ValueError(f"look {look} of {looks} cannot have been planned")
    return confidence if looks == 1 else NormalDist().cdf(boundaries(looks, 1 - confidence)[look - 1])


def at_look(error: float, row: Measurement) -> float:
    """The error of a check of this row: that of its look, so that all planned looks together keep to `error`.

    None at all for a look that cannot have been planned.
    """
    if not is_planned(row.look, row.looks):
        return 0.0
    # An error that no gate may have stays as it is: the judge refuses it.
    return 1 - confidence_at(1 - error, row.look, row.looks) if 0 < error <= 0.5 else error


def parts(samples: int, looks: int) -> list[int]:
    """How many samples there are at each look: equal parts, the last look has all of them."""
    return [samples * look // looks for look in range(1, looks + 1)]
