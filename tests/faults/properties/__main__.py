"""python -m tests.faults.properties: every property is changed in turn on a live object; a table of what came of it.

With WORDS only the changes whose name holds one of them: `python -m tests.faults.properties serving.pod`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from tests.faults.properties.run import AT_ONCE, every


async def show(words: list[str], at_once: int) -> int:
    began = time.monotonic()
    outcomes = []
    async for each in every(words, at_once):
        outcomes.append(each)
        print(f"{each.seconds:5.1f} s  {each}", flush=True)
    failed = [each for each in outcomes if each.wrong]
    said = [each.said.partition(":")[0].partition(",")[0] for each in outcomes]
    counts = ", ".join(f"{said.count(each)} {each}" for each in sorted(set(said)))
    print(f"\n{len(outcomes)} changes in {time.monotonic() - began:.0f} s: {counts}; {len(failed)} failed")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.properties", description=__doc__)
    parser.add_argument("words", nargs="*", help="parts of the names of the changes that are to be made")
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, help=f"live objects at the same time (default {AT_ONCE})"
    )
    words = parser.parse_args()
    return asyncio.run(show(words.words, words.at_once))


if __name__ == "__main__":
    sys.exit(main())
