"""`PYTHONPATH=operator python -m tests.faults.states --steps 1000000`: arbitrary starts, for that many decide steps.

A failure prints the start that broke a rule, made as small as hypothesis can, and the command that walks it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.faults.states.starts import STARTS
from tests.faults.states.walk import Start, walk

BATCH = 1000
"""Starts to one seed of hypothesis."""


@dataclass
class Count:
    """What was walked."""

    starts: int = 0
    steps: int = 0
    longest: int = 0
    settled: list[int] = field(default_factory=list)
    failed: Start | None = None
    """The last start that broke a rule: when hypothesis is done, the smallest."""

    def walk(self, start: Start) -> None:
        """Walk one start."""
        self.failed = start
        walked = walk(start)
        self.failed = None
        self.starts += 1
        self.steps += walked.steps
        self.longest = max(self.longest, walked.longest)
        self.settled += walked.settled

    def said(self, seconds: float, processor: float) -> str:
        """How far it is, and how fast."""
        quick = sorted(self.settled)
        half, most = (quick[int(len(quick) * part)] / 1000 for part in (0.5, 0.99))
        return (
            f"{self.steps} steps from {self.starts} starts, {self.steps / seconds:.0f} steps/s "
            f"({self.steps / processor:.0f} in a second of processor time), at most {self.longest} reconciles to rest, "
            f"a settled decide: p50 {half:.0f} us, p99 {most:.0f} us"
        )


def batch(count: Count, number: int, examples: int) -> None:
    """The starts of one seed. Raises the AssertionError of the smallest start that breaks a rule."""

    @seed(number)
    @settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink], print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    @given(STARTS)
    def run(start: Start) -> None:
        count.walk(start)

    run()


def again(text: str) -> Start:
    """A start as it was printed."""
    known = json.loads(text)
    return Start(**known | {"damages": [tuple(each) for each in known["damages"]]})


def main() -> int:
    """Walk until the steps are done, or a rule is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.states", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="decide steps that are to be done")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; each next batch takes the next")
    parser.add_argument("--example", help="walk this one start, as it was printed")
    arguments = parser.parse_args()
    if arguments.example:
        print(f"{walk(again(arguments.example)).steps} steps: every rule holds")
        return 0
    count, number, began = Count(), arguments.seed, time.monotonic()
    while count.steps < arguments.steps:
        try:
            batch(count, number, BATCH)
        except Exception as error:
            print(f"seed {number}: {type(error).__name__}: {error}", file=sys.stderr)
            if count.failed is not None:
                command = f"PYTHONPATH=operator python -m tests.faults.states --example '{count.failed.text()}'"
                print(f"again: {command}", file=sys.stderr)
            return 1
        number += 1
        took = count.said(time.monotonic() - began, time.process_time())
        print(f"seeds {arguments.seed} to {number - 1}: {took}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
