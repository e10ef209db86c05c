"""Token ids of a record of a calibration dataset. (In an evaluation the engine makes them: see texts.py.)"""

from __future__ import annotations

from typing import Any, Protocol

from lowbit.worker.data.datasets import Record, bad_line, no_chat_template


class Tokenizer(Protocol):
    """The part of transformers' tokenizers that is used."""

    chat_template: Any

    def __call__(self, text: str, **options: Any) -> Any: ...

    def apply_chat_template(self, messages: Any, **options: Any) -> Any: ...


def token_ids(what: str, record: Record, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a record: of a text as the engine makes them, of a chat by its template, which adds special tokens.

    what: the dataset, for messages ("calibration dataset tickets"). Raises RefusalError.
    """
    if record.messages is None:
        return list(tokenizer(record.text or "")["input_ids"])
    if not tokenizer.chat_template:
        raise no_chat_template(what)
    try:
        text = tokenizer.apply_chat_template(list(record.messages), tools=record.tools, tokenize=False)
    except Exception as error:  # a template raises what it likes
        raise bad_line(
            what, record.line, f"the chat template refuses it: {error}", "use roles in the order that the model knows"
        ) from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
