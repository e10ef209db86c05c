"""The gate of many tutorials beside Lowbit's: docs/tutorial-gate.svg.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.gate.tutorial

Twenty questions decide there, by the observed loss alone. Probabilities are sums over all outcomes; nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lowbit.gate.exact import binomial
from lowbit.gate.power import paired_needed, paired_power
from tests.bench.record import ROOT

PAGE = ROOT / "docs" / "tutorial-gate.svg"
MARGIN, DISCORDANCE, CONFIDENCE, QUESTIONS = 0.02, 0.06, 0.95, 20
MOST = 0.06
"""The largest true loss that is drawn."""
STEPS = 24
WIDTH, HEIGHT, EDGE = 640, 420, 60


@dataclass(frozen=True)
class Curve:
    """The probability of passing by the true loss."""

    name: str
    color: str
    passes: Callable[[float], float]


def observed(loss: float, questions: int = QUESTIONS, margin: float = MARGIN) -> float:
    """Probability that the observed loss is at most the margin."""
    lost, gained = (DISCORDANCE + loss) / 2, (DISCORDANCE - loss) / 2
    whole = 0.0
    for losses in range(questions + 1):
        for gains in range(questions + 1 - losses):
            if (losses - gains) / questions <= margin + 1e-12:
                rest = binomial(gains, questions - losses, gained / (1 - lost))
                whole += binomial(losses, questions, lost) * rest
    return whole


def needed() -> int:
    """Questions that Lowbit's gate needs for a power of 0.8."""
    count = paired_needed(MARGIN, DISCORDANCE, CONFIDENCE, 0.8)
    if count is None:
        raise ValueError("no number of questions would do")
    return count


def curves() -> list[Curve]:
    """What is drawn."""
    count = needed()
    return [
        Curve(f"observed loss of {QUESTIONS} questions is at most 2 points", "#d62728", observed),
        Curve(
            f"Lowbit, {count} questions: the bound is at most 2 points", "#1f77b4",
            lambda loss: paired_power(count, MARGIN, DISCORDANCE, CONFIDENCE, loss),
        ),
    ]  # fmt: skip


def drawing(drawn: list[Curve]) -> str:
    """The SVG: true loss to the right, probability of passing upwards."""

    def place(loss: float, share: float) -> str:
        x = EDGE + (WIDTH - 2 * EDGE) * loss / MOST
        return f"{x:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * share:.1f}"

    lines = []
    for number, curve in enumerate(drawn):
        losses = [MOST * step / STEPS for step in range(STEPS)]
        points = " ".join(place(loss, curve.passes(loss)) for loss in losses)
        lines.append(f'<polyline points="{points}" stroke="{curve.color}" stroke-width="2" fill="none"/>')
        lines.append(f'<text x="{EDGE + 150}" y="{EDGE + 18 * number}" fill="{curve.color}">{curve.name}</text>')
    edge = f'<path d="M{place(MARGIN, 0)} L{place(MARGIN, 1)}" stroke="#999" stroke-dasharray="3 4" fill="none"/>'
    marks = [
        *(f'<text x="{EDGE - 42}" y="{place(0, share).split(",")[1]}">{share:.0%}</text>' for share in (0, 0.5, 1)),
        *(
            f'<text x="{place(loss, 0).split(",")[0]}" y="{HEIGHT - EDGE + 18}">{100 * loss:.0f}</text>'
            for loss in (0, 0.02, 0.04, 0.06)
        ),
    ]
    words = "True loss in points, 6 % of the answers differ; up: passes the gate. Dotted: the margin."
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            'font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<path d="M{EDGE},{EDGE} V{HEIGHT - EDGE} H{WIDTH - EDGE}" stroke="black" fill="none"/>',
            edge, *lines, *marks, f'<text x="{EDGE}" y="{HEIGHT - 12}">{words}</text>', "</svg>\n",
        )
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(drawing(curves()))
    print(PAGE.relative_to(ROOT))
