"""Which kind a record is of: told by its fields first, by its file's name second; and the texts of each kind."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lowbit.api.calibration import DatasetFormat
from lowbit.data.chats import Message, NoChatError, is_sharegpt, messages_of, tools_of
from lowbit.data.records import Record

Kind = Literal["Text", "Chat", "ShareGPT", "SFT", "RL"]
Use = Literal["calibration", "evaluation"]
"""A quantizer reads prompt and response of an SFT record as two texts. In an evaluation they are one chat."""

FIELDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("Text", ("text",)),
    ("Chat", ("messages",)),
    ("ShareGPT", ("conversations",)),
    ("SFT", ("instruction",)),
    ("RL", ("prompt",)),
)
"""The fields that tell a kind, in the order in which they are asked for."""
NAMES: dict[str, Kind] = {
    "sft": "SFT", "instruct": "SFT", "instructions": "SFT", "alpaca": "SFT",
    "rl": "RL", "rlhf": "RL", "grpo": "RL", "ppo": "RL", "prompt": "RL", "prompts": "RL",
    "sharegpt": "ShareGPT", "chat": "Chat", "chats": "Chat", "dialogs": "Chat", "dialogues": "Chat",
    "text": "Text", "texts": "Text", "article": "Text", "articles": "Text", "wiki": "Text", "c4": "Text",
    "corpus": "Text", "docs": "Text", "books": "Text",
}  # fmt: skip
"""Words of a file's name that tell a kind where the fields do not."""
OTHER_NAMES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "Text": {"text": ("content", "article", "body", "document", "passage")},
    "Chat": {"messages": ("chat", "dialog", "dialogue", "conversation")},
    "ShareGPT": {"conversations": ("conversation", "messages")},
    "SFT": {
        "instruction": ("prompt", "question", "query"),
        "input": ("context",),
        "output": ("response", "answer", "completion"),
    },
    "RL": {"prompt": ("question", "query", "problem", "instruction")},
}
"""What others call a kind's fields."""
USUAL: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "Text": (("text",),),
    "Chat": (("messages",), ("conversations",), ("instruction",)),
    "ShareGPT": (("conversations",),),
    "SFT": (("instruction", "output"),),
    "RL": (("prompt",),),
}
"""A record with one of these sets of fields is read by them alone, as it always was."""
TELL = 'write {"text": "..."} or {"messages": [{"role": "user", "content": "..."}]} per line'


class NoRecordError(Exception):
    """A value is no record. Says what is wrong with it, and what to write instead."""

    def __init__(self, problem: str, action: str) -> None:
        super().__init__(problem)
        self.problem, self.action = problem, action


@dataclass(frozen=True)
class Told:
    """What a record was taken for."""

    kind: Kind
    why: str
    by_fields: bool
    """Whether the record says so by itself, so that it is read in the same way without its file's name."""


def by_fields(value: Any) -> Told | None:
    """The kind that the fields tell."""
    if isinstance(value, str):
        return Told("Text", "lines that are texts", by_fields=True)
    kind = kind_of(value) if isinstance(value, Mapping) else None
    if kind is None:
        return None
    sharegpt = kind == "Chat" and is_sharegpt(value["messages"])
    shown = [name for name in (*dict(FIELDS)[kind], *more_fields(kind)) if name in value]
    return Told("ShareGPT" if sharegpt else kind, f"field {', '.join(shown)}", by_fields=True)


def kind_of(names: Container[str]) -> Kind | None:
    """The kind that the names of fields tell, whatever is in them."""
    return next((kind for kind, fields in FIELDS if any(field in names for field in fields)), None)


def has_usual_names(names: Container[str], kind: Kind) -> bool:
    """Whether a record with these fields is read by the kind's own names."""
    return any(all(field in names for field in fields) for fields in USUAL[kind])


def more_fields(kind: Kind) -> tuple[str, ...]:
    """Fields that a kind has besides."""
    return {"SFT": ("input", "output"), "Chat": ("tools",)}.get(kind, ())


def by_name(name: str) -> Told | None:
    """The kind that a word of the file's name tells, the last word first."""
    for word in reversed(re.split(r"[^a-z0-9]+", name.casefold())):
        if word in NAMES:
            return Told(NAMES[word], f"file name ({word})", by_fields=False)
    return None


def told(value: Any, name: str) -> Told:
    """The kind of a record: by its fields, or else by its file's name. Raises NoRecordError."""
    found = by_fields(value) or by_name(name)
    if found is None:
        fields = ", ".join(sorted(value)[:8]) if isinstance(value, Mapping) else type(value).__name__
        known = "text, messages, conversations, instruction or prompt"
        raise NoRecordError(f"has no field {known} (found: {fields})", TELL)
    return found


def with_usual_names(value: Any, kind: Kind) -> Any:
    """The value with its kind's own field names, where it has others."""
    if not isinstance(value, Mapping):
        return {"text": value} if isinstance(value, str) else value
    found = dict(value)
    if has_usual_names(value, kind):
        return found
    for usual, others in OTHER_NAMES[kind].items():
        given = next((name for name in others if name in value), None)
        if usual not in found and given is not None:
            found[usual] = value[given]
    return found


def column_of(value: Any, column: str, format_: DatasetFormat) -> Any:
    """The value with what is in the column under the field of its kind. Raises NoRecordError."""
    if not isinstance(value, Mapping) or column not in value:
        raise NoRecordError(f"has no column {column}", "write the name of a column of this file in column")
    content = parsed(value[column])
    if format_ == "RL":
        return {**value, "prompt": content}
    if not isinstance(content, list):
        return {**value, "text": content}
    # Fields that are asked for first would tell another kind.
    first = ("text", "messages") if is_sharegpt(content) else ("text",)
    found = {name: each for name, each in value.items() if name not in first}
    return found | {"conversations" if is_sharegpt(content) else "messages": content}


def parsed(value: Any) -> Any:
    """A list that a table holds as JSON; any other value as it is."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def records_of(value: Any, kind: Kind, line: int, use: Use) -> list[Record]:
    """The records of a line: one, but two of an SFT record that is calibrated on. Raises NoRecordError."""
    fields = with_usual_names(value, kind)
    group = group_of(fields, use)
    if kind == "SFT" and use == "calibration":
        return [Record(line, text=text, group=group, fields=fields) for text in prompt_and_response(fields)]
    if kind == "RL" and isinstance(fields, Mapping) and isinstance(parsed(fields.get("prompt")), list):
        fields, kind = {**fields, "messages": fields["prompt"]}, "Chat"
    if kind in ("Text", "RL"):
        return [Record(line, text=text_of(fields, kind), group=group, fields=fields)]
    messages, tools = chat_of(fields, kind)
    return [Record(line, messages=messages, tools=tools, group=group, fields=fields)]


def text_of(fields: Any, kind: Kind) -> str:
    """The text of a Text or RL record."""
    field = "text" if kind == "Text" else "prompt"
    text = fields.get(field) if isinstance(fields, Mapping) else None
    if not isinstance(text, str):
        instead = "a JSON string, or set format: Chat" if kind == "Text" else "set format: Text"
        raise NoRecordError(f"has no text in {field}" if kind == "RL" else "has no text",
                            f'write {{"{field}": "..."}} or {instead}')  # fmt: skip
    return text


def chat_of(fields: Any, kind: Kind) -> tuple[tuple[Message, ...], list[Any] | None]:
    """Messages and tools of a chat. A table may hold both as JSON."""
    if isinstance(fields, Mapping):
        lists = {name: parsed(fields[name]) for name in ("messages", "conversations") if name in fields}
        fields = {**fields, **lists}
    try:
        if kind == "SFT":
            fields = {name: each for name, each in fields.items() if name not in ("messages", "conversations")}
        return tuple(messages_of(fields)), tools_of(fields)
    except (NoChatError, AttributeError) as error:
        action = 'write {"messages": [{"role": "user", "content": "..."}]}, or set format: Text'
        raise NoRecordError(str(error) if isinstance(error, NoChatError) else "is no object", action) from error


def prompt_and_response(fields: Any) -> list[str]:
    """The texts of an SFT record, as they are, with the reasoning in the response."""
    names = ("instruction", "input", "output")
    values = [fields.get(name) or "" for name in names] if isinstance(fields, Mapping) else [None]
    if not all(isinstance(value, str) for value in values) or not (values[0] or values[1]):
        raise NoRecordError(
            "has an instruction without text", 'write {"instruction": "...", "input": "...", "output": "..."}'
        )
    instruction, more, response = values
    prompt = "\n".join(part for part in (instruction, more) if part)
    return [text for text in (prompt, response) if text]


def group_of(fields: Any, use: Use) -> str | None:
    """The field group, as text; an empty one is none.

    Raises NoRecordError if an evaluation has one that names nothing: alone, the record would count too much.
    """
    group = fields.get("group") if isinstance(fields, Mapping) else None
    if isinstance(group, str | int):
        return str(group) or None
    if group is None or use == "calibration":
        return None
    raise NoRecordError("has a field group that is no name", 'write "group": "document-7"')
