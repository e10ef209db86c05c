"""Token ids of a record of a calibration dataset. (In an evaluation the engine makes them: see texts.py.)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from lowbit.data.reading import bad_line
from lowbit.data.records import Record
from lowbit.worker.data.datasets import no_chat_template


class Tokenizer(Protocol):
    """The part of transformers' tokenizers that is used."""

    chat_template: Any

    def __call__(self, text: str, **options: Any) -> Any: ...

    def apply_chat_template(self, messages: Any, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Rendered:
    """A text as the model reads it."""

    text: str
    templated: bool = False
    """Whether it is a chat, whose template has added the special tokens."""


def rendered(what: str, record: Record, tokenizer: Tokenizer) -> Rendered:
    """The text of a record, or of a chat by its template.

    what: the dataset, for messages ("calibration dataset tickets"). Raises RefusalError.
    """
    if record.messages is None:
        return Rendered(record.text or "")
    if not tokenizer.chat_template:
        raise no_chat_template(what)
    try:
        text = tokenizer.apply_chat_template(list(record.messages), tools=record.tools, tokenize=False)
    except Exception as error:  # a template raises what it likes
        raise bad_line(
            what, record.line, f"the chat template refuses it: {error}", "use roles in the order that the model knows"
        ) from error
    return Rendered(text, templated=True)


def ids_of(text: Rendered, tokenizer: Tokenizer) -> list[int]:
    """Token ids: of a text as the engine makes them, of a chat without special tokens beside the template's."""
    found = tokenizer(text.text, add_special_tokens=False) if text.templated else tokenizer(text.text)
    return list(found["input_ids"])


def token_ids(what: str, record: Record, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a record. what: the dataset, for messages. Raises RefusalError."""
    return ids_of(rendered(what, record, tokenizer), tokenizer)
