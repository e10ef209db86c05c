"""A record of a dataset: a text or a chat, with all that stood beside it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lowbit.data.chats import Message, words_of

LEAST_CHARACTERS = 20
"""Texts of at most this many characters are useless for calibration, and are dropped."""


@dataclass(frozen=True)
class Record:
    """A text, or a chat (a list of messages with role and content)."""

    line: int
    """From 1; of a table, the row."""
    text: str | None = None
    messages: tuple[Message, ...] | None = None
    tools: list[Any] | None = None
    """Those that a chat may call."""
    group: str | None = None
    """Records of one group count as one unit: the parts of one long text, or what the dataset says."""
    file: str = field(default="", compare=False)
    """Path in the dataset, where it has several files."""
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The whole object of the line or row, with its own names; {"text": ...} where the line is only a text."""

    @property
    def characters(self) -> int:
        """Length of the text, or of all contents of the chat."""
        if self.messages is None:
            return len(self.text or "")
        return sum(len(words_of(message)) for message in self.messages)

    @property
    def plain(self) -> str:
        """The text, or all contents of the chat, without differences that nobody sees."""
        texts = [self.text or ""] if self.messages is None else list(map(words_of, self.messages))
        return " ".join(normal(texts))

    @property
    def key(self) -> str:
        """A text that is equal for equal records; white space and Unicode's forms do not count."""
        return json.dumps(normal([self.text, self.messages, self.tools]), sort_keys=True, ensure_ascii=False)


def normal(value: Any) -> Any:
    """The value with each text as people see it: without differences in white space and in Unicode's forms."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split())
    if isinstance(value, Mapping):
        return {name: normal(each) for name, each in value.items()}
    return [normal(each) for each in value] if isinstance(value, list | tuple) else value


def distinct(records: list[Record]) -> list[Record]:
    """The first of all records that are equal but for white space and Unicode."""
    return list({record.key: record for record in reversed(records)}.values())[::-1]


def long_enough(record: Record) -> bool:
    """Whether a record has more than LEAST_CHARACTERS."""
    return record.characters > LEAST_CHARACTERS


def usable(records: list[Record]) -> list[Record]:
    """The records that are long enough to count, without duplicates."""
    return [record for record in distinct(records) if long_enough(record)]


def one_of_each_group(records: Iterable[Record]) -> list[Record]:
    """The first record of each group, and all that have none."""
    found: dict[str | int, Record] = {}
    for number, record in enumerate(records):
        found.setdefault(number if record.group is None else record.group, record)
    return list(found.values())


def units(records: Iterable[Record]) -> int:
    """How many independent units the records are: those of one group are one, and so are equal ones."""
    return len(one_of_each_group(distinct(list(records))))
