"""Whether one more question that both models get right can turn a pass of the exact test into none.

PYTHONPATH=operator .venv/bin/python -m tests.bench.gate.steps
"""

from __future__ import annotations

from itertools import pairwise, product

from lowbit.gate.exact import p_value

MARGINS, LOSSES, GAINS, QUESTIONS = (0.02, 0.05, 0.1), range(5), range(6), range(60, 111)
ERROR = 0.05


def main() -> None:
    """Count the steps at which the p-value rises, and those at which it crosses the error."""
    steps = [
        step
        for margin, lost, gained in product(MARGINS, LOSSES, GAINS)
        for step in pairwise(p_value(lost, gained, count, margin) for count in QUESTIONS)
    ]
    rises = sum(after > before + 1e-9 for before, after in steps)
    crossed = sum(before <= ERROR < after for before, after in steps)
    print(f"{rises} of {len(steps)} steps raise the p-value, {crossed} of them across {ERROR}")


if __name__ == "__main__":
    main()
