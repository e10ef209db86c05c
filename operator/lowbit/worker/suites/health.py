"""Signs that answers are not sound, whatever they are about: loops, cut off, running on, empty, much longer or shorter.

A task's score does not see them: a model that gives the right answer and then never stops is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from lowbit.api.status import Measurement
from lowbit.api.suites.health_metrics import (
    EMPTY_SHARE,
    LENGTH_RATIO,
    LOOP_SHARE,
    RUN_ON_SHARE,
    SIGNS,
    TRUNCATED_SHARE,
)
from lowbit.gate.unsound import UNSOUND, UNSOUND_RATIO
from lowbit.worker.engines.base import Reply
from lowbit.worker.suites import scoring
from lowbit.worker.suites.base import Section
from lowbit.worker.suites.measurement import measurement

LOOP_WORDS = 24
"""Words at the end of an answer that repeat what stands right before them make a loop, from this many on."""
LONGEST_PERIOD = 40
"""Words of the longest run that is looked for over and over."""
LEAST_TURNS = 4
"""How often a run of words has to stand there."""
LINE_TURNS = 6
"""A line that stands there so often, and makes up half of the answer, is a loop."""
TURNS: Final = re.compile(
    r"<\|?(?:im_start|im_end|endoftext|eot_id|start_header_id|end_of_turn|start_of_turn|assistant|user|system)\|?>"
    r"|\[/?INST\]|</?s>|^\s*(?:###\s*)?(?:user|human|assistant|instruction)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
"""Marks of turns and of the end, as text in an answer."""
ATTRIBUTES: Final = {
    LOOP_SHARE: "loops", TRUNCATED_SHARE: "truncated", RUN_ON_SHARE: "runs_on", EMPTY_SHARE: "empty",
}  # fmt: skip
"""Of Signs, by metric."""


@dataclass(frozen=True)
class Signs:
    """Of one answer."""

    loops: bool
    truncated: bool
    runs_on: bool
    empty: bool

    @property
    def words(self) -> list[str]:
        """What is wrong, for people."""
        told = {"in a loop": self.loops, "cut off": self.truncated, "runs on": self.runs_on, "empty": self.empty}
        return [word for word, wrong in told.items() if wrong]


def signs(reply: Reply) -> Signs:
    """The signs of one answer. A call of a tool is an answer too."""
    return Signs(
        loops=loops(reply.text), truncated=reply.ended == "Length", runs_on=TURNS.search(reply.text) is not None,
        empty=not reply.text.strip() and not reply.tool_calls,
    )  # fmt: skip


def loops(text: str) -> bool:
    """Whether a text ends in the same words over and over, or has the same line many times."""
    lines = Counter(line for each in text.splitlines() if (line := each.strip()))
    if lines and max(lines.values()) >= max(LINE_TURNS, lines.total() / 2):
        return True
    words = text.split()[:-1]  # the last one may have been cut off
    # A text without spaces is looked at by characters: one word of a thousand letters is a loop as well.
    units = words if len(words) >= LOOP_WORDS else list(text.strip()) if len(text) >= 4 * LOOP_WORDS else []
    return any(_repeats(units, period) for period in range(1, LONGEST_PERIOD + 1))


def _repeats(units: Sequence[str], period: int) -> bool:
    """Whether the last units are a run of period of them, at least LEAST_TURNS times and LOOP_WORDS long."""
    length = max(LOOP_WORDS, LEAST_TURNS * period)
    tail = units[-length:]
    return len(tail) == length and all(a == b for a, b in zip(tail[period:], tail, strict=False))


Replies = Mapping[str, Sequence[Reply]]
"""Answers by the question's id: one, or several that were drawn by chance."""


def rows(suite: str, replies: Replies, original: Replies | None) -> list[Measurement]:
    """Shares of answers with each sign, as means over questions; beside an original the length ratio as well."""
    if not replies:
        return []
    found = [[signs(reply) for reply in each] for each in replies.values()]
    measured = []
    for metric, sign in ATTRIBUTES.items():
        values = np.array([np.mean([getattr(one, sign) for one in each]) for each in found])
        measured.append(measurement(suite, metric, scoring.mean(values)))
    if original:
        ratios = np.array([log(tokens(replies[key]) / tokens(original[key])) for key in replies if key in original])
        if len(ratios):
            measured.append(measurement(suite, LENGTH_RATIO, scoring.mean(ratios)))
    return measured


def tokens(replies: Sequence[Reply]) -> float:
    """Mean length of answers in tokens, at least one."""
    return max(1.0, float(np.mean([reply.output_tokens for reply in replies])))


def findings(measured: Sequence[Measurement], original: Sequence[Measurement]) -> list[str]:
    """Sentences about what is implausible on a candidate, beside its original."""
    before = {row.metric: row.estimate or 0.0 for row in original}
    told = []
    for row in measured:
        value = row.estimate or 0.0
        if row.metric == LENGTH_RATIO.name:
            ratio = LENGTH_RATIO.of(value)
            if not 1 / UNSOUND_RATIO <= ratio <= UNSOUND_RATIO:
                told.append(f"The candidate's answers are {ratio:.2f} times as long as the original's.")
        elif value - before.get(row.metric, 0.0) > UNSOUND:
            metric = next(sign for sign in SIGNS if sign.name == row.metric)
            told.append(
                f"{metric.title}: {value:.0%} of the candidate's answers, {before.get(row.metric, 0.0):.0%} of the "
                "original's."
            )
    return told


def section(title: str, replies: Replies, original: Replies | None) -> Section:
    """The signs of both models as counts of answers, and what is implausible."""
    sides = {"Original": original, "Candidate": replies} if original else {"Original": replies}
    answers = {name: [reply for each in (side or {}).values() for reply in each] for name, side in sides.items()}
    counted = {name: [signs(reply) for reply in each] for name, each in answers.items()}
    table = [("Answers", *(str(len(each)) for each in counted.values()))]
    for metric, sign in ATTRIBUTES.items():
        table.append((metric.title, *(str(sum(getattr(one, sign) for one in each)) for each in counted.values())))
    lengths = [f"{np.mean([reply.output_tokens for reply in each]):.1f}" for each in answers.values()]
    measured = rows("", replies, original)
    told = findings(measured, rows("", original, None)) if original else []
    text = " ".join(told) if told else "Nothing implausible." if original else "The original's own answers."
    return Section(title, text, header=("", *counted), rows=[*table, ("Tokens of an answer, mean", *lengths)])
