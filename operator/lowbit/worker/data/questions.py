"""Questions of a dataset: what is asked, what is expected, and which kind of question it is."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowbit.api.calibration import DatasetFormat
from lowbit.api.suites.generation import ResolvedGeneration
from lowbit.data.reading import bad_line, read_dataset
from lowbit.data.records import Record
from lowbit.worker.engines.base import Prompt
from lowbit.worker.refuse import RefusalError

ID_DIGITS = 16
"""Of the SHA-256 of what is asked."""


@dataclass(frozen=True)
class QuestionSet:
    """A dataset to be read, and the fields of a line that say what is expected."""

    what: str
    """Its name in messages."""
    path: Path
    format: DatasetFormat
    seed: str
    """Decides which lines are drawn, and in which order."""
    expected_field: str = "expected"
    category_field: str = "category"
    group_field: str = "group"


@dataclass(frozen=True)
class Question:
    """One question: the unit that is counted."""

    id: str
    """Hash of what is asked: the same in every run on the same data."""
    prompt: Prompt
    expected: Any = None
    """The right answer, as JSON; None if the line has none."""
    category: str = ""
    group: str = ""
    """Questions of one group are not independent; empty: of its own."""
    line: int = 0
    """In the dataset, for messages."""


@dataclass(frozen=True)
class DrawnQuestions:
    """Questions by chance, no two of them equal, and what the dataset had besides."""

    questions: list[Question]
    lines: int
    """Of the dataset."""
    duplicates: int
    """Lines that ask the same as another one."""


def source_of(settings: ResolvedGeneration, suite: str, path: Path) -> QuestionSet:
    """The questions of a generation suite."""
    return QuestionSet(
        f"the dataset of suite {suite}", path, settings.format, settings.dataset, settings.expected_field,
        settings.category_field,
    )  # fmt: skip


def draw_questions(source: QuestionSet, count: int) -> DrawnQuestions:
    """At most count questions, by a shuffle with the seed.

    Raises RefusalError with the number of a line that cannot be used: one that asks nothing, or asks what another line
    asks and expects another answer.
    """
    records = read_dataset(source.path, source.format, source.what)
    found: dict[str, Question] = {}
    for record in records:
        question = question_of(record, source)
        known = found.setdefault(question.id, question)
        if known.expected != question.expected:
            raise bad_line(
                source.what, record.line, f"asks the same as line {known.line}, and expects another answer",
                "keep the line that is right",
            )  # fmt: skip
    drawn = list(found.values())
    random.Random(source.seed).shuffle(drawn)  # noqa: S311
    return DrawnQuestions(drawn[:count], len(records), len(records) - len(found))


def question_of(record: Record, source: QuestionSet) -> Question:
    """What a line asks. An answer at the end of a chat is no part of the question: it is what is expected, unless the
    line has a field for that. Raises RefusalError."""
    fields = record.fields
    expected = fields.get(source.expected_field)
    messages = record.messages
    if messages is not None and messages[-1].get("role") == "assistant":
        answer, messages = messages[-1].get("content"), messages[:-1]
        expected = answer if expected is None else expected
    if (messages is None and not (record.text or "").strip()) or (messages is not None and not messages):
        raise bad_line(
            source.what, record.line, "asks nothing",
            'write {"messages": [{"role": "user", "content": "..."}]}, or {"text": "..."} for a plain text',
        )  # fmt: skip
    prompt = Prompt(messages=messages, text=None if messages else record.text, tools=tuple(record.tools or ()))
    names = source.category_field, source.group_field
    category, group = (word(fields, name, source.what, record.line) for name in names)
    try:
        return Question(identify(prompt), prompt, expected, category, group, record.line)
    except UnicodeEncodeError as error:
        raise bad_line(source.what, record.line, f"is no text: {error}", "write whole characters, in UTF-8") from error


def word(fields: Mapping[str, Any], name: str, what: str, line: int) -> str:
    """A field that names something: a text, a number, true or false; empty if there is none. Raises RefusalError."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value) if isinstance(value, str) else json.dumps(value)
    raise bad_line(what, line, f"has a field {name} that is no name", f'write a text: "{name}": "..."')


def identify(prompt: Prompt) -> str:
    """A question's id."""
    record = Record(0, prompt.text, tuple(map(dict, prompt.messages)) if prompt.messages else None, list(prompt.tools))
    return hashlib.sha256(record.key.encode()).hexdigest()[:ID_DIGITS]


def enough_questions(questions: Sequence[Question], suite: str) -> list[Question]:
    """The questions. Raises RefusalError if they are too few for a standard error."""
    if len(questions) < 2:
        raise RefusalError(
            "TooFewQuestions", f"suite {suite} has {len(questions)} questions, and needs two",
            "give a dataset with more lines that differ",
        )  # fmt: skip
    return list(questions)


def to_json(question: Question) -> dict[str, Any]:
    """The question as JSON values."""
    prompt = question.prompt
    asked = {"messages": prompt.messages, "text": prompt.text, "tools": list(prompt.tools)}
    return {"id": question.id, "expected": question.expected, "category": question.category, "group": question.group,
            "line": question.line, **asked}  # fmt: skip


def from_json(value: Mapping[str, Any]) -> Question:
    """The inverse of to_json. Raises KeyError or TypeError."""
    messages = None if value["messages"] is None else tuple(value["messages"])
    prompt = Prompt(messages=messages, text=value["text"], tools=tuple(value["tools"]))
    rest = {name: value[name] for name in ("id", "expected", "category", "group", "line")}
    return replace(Question("", prompt), **rest)
