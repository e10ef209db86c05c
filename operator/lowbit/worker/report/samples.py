"""Which compared samples a report shows: flipped ones and the worst, cut to what a page can hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from lowbit.report.model import SampleCount, SampleRow
from lowbit.worker.suites.base import ComparedSample

SHOWN = 400
"""Samples in a report, of all suites together: the page and report.json stay below ten megabytes."""
LEAST = 20
"""Samples of each suite, however many suites there are."""
TEXT = 4000
"""Characters of a prompt or an answer."""
CUT = " … (cut; whole in compared.jsonl)"
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, halves of a pair, and what turns the direction of the text that follows."""


def compared_lines(samples: Mapping[str, Sequence[ComparedSample]]) -> bytes:
    """Every sample as a line of JSON, by suite."""
    rows = ({"suite": suite} | asdict(one) for suite, found in samples.items() for one in found)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def shown_samples(samples: Mapping[str, Sequence[ComparedSample]]) -> tuple[list[SampleRow], list[SampleCount]]:
    """The samples for the report, worst first in each suite, and how many there are of all."""
    most = max(LEAST, SHOWN // max(1, sum(bool(found) for found in samples.values())))
    rows, counts = [], []
    for suite, found in samples.items():
        if not found:
            continue
        chosen = choose(found, most)
        rows += [sample_row(suite, one) for one in chosen]
        flipped = sum(one.flipped for one in found)
        counts.append(SampleCount(suite=suite, all=len(found), flipped=flipped, shown=len(chosen)))
    return rows, counts


def choose(samples: Sequence[ComparedSample], most: int) -> list[ComparedSample]:
    """At most this many: flipped ones first, with a quarter left for the worst of the others."""
    ordered = sorted(samples, key=lambda one: -one.score)
    flipped = [one for one in ordered if one.flipped]
    others = [one for one in ordered if not one.flipped]
    kept = flipped[: max(most - len(others), most * 3 // 4)]
    return kept + others[: most - len(kept)]


def sample_row(suite: str, sample: ComparedSample) -> SampleRow:
    """One sample, in printable characters and cut."""
    texts = {name: printable(getattr(sample, name)) for name in ("prompt", "original", "candidate", "expected")}
    short = {name: printable(getattr(sample, name), 200) for name in ("id", "slice", "note")}
    return SampleRow(suite=suite, score=sample.score, flipped=sample.flipped, **texts, **short)


def printable(text: str, most: int = TEXT) -> str:
    """The text without what no page should print, cut."""
    clean = UNPRINTABLE.sub("\ufffd", text[:most])
    return clean if len(text) <= most else clean + CUT
