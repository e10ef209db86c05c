"""Chats as people write them down: OpenAI's messages with tools, ShareGPT's conversations, instruction and output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]

SHAREGPT_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "model": "assistant", "system": "system", "tool": "tool", "function": "tool", "observation": "tool",
}  # fmt: skip


class NoChatError(Exception):
    """A value is no chat. Says why, for people."""


def is_sharegpt(value: Any) -> bool:
    """Whether a list holds turns with from and value."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and "from" in value[0]


def messages_of(value: Any) -> list[Message]:
    """The messages of a line, as a chat template takes them. Raises NoChatError."""
    if not isinstance(value, Mapping):
        raise NoChatError("has no list messages")
    turns = value.get("messages", value.get("conversations"))
    if is_sharegpt(turns) or ("messages" not in value and "conversations" in value):
        return [_turn(number, turn) for number, turn in enumerate(_list(turns), start=1)]
    if "messages" not in value and "instruction" in value:
        return _instruction(value)
    return [_message(number, message) for number, message in enumerate(_list(value.get("messages")), start=1)]


def tools_of(value: Mapping[str, Any]) -> list[Any] | None:
    """The tools that a chat may call, as the template takes them: a list, or the same as JSON. Raises NoChatError."""
    tools = value.get("tools")
    if isinstance(tools, str):
        try:
            tools = json.loads(tools or "null")
        except ValueError as error:
            raise NoChatError(f"has tools that are not JSON ({error})") from error
    if tools is not None and not isinstance(tools, list):
        raise NoChatError("has tools that are no list")
    return tools or None


def words_of(message: Message) -> str:
    """What is said in a message: its text, or that of its parts, and the calls of tools."""
    content = message.get("content")
    parts: list[Any] = content if isinstance(content, list) else [{"text": content}]
    said = [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]
    if message.get("tool_calls"):
        said.append(json.dumps(message["tool_calls"], sort_keys=True, ensure_ascii=False))
    return " ".join(said)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise NoChatError("has no list messages")
    return value


def _message(number: int, message: Any) -> Message:
    if not isinstance(message, dict):
        raise NoChatError(f"message {number} is not an object with role and content")
    if not isinstance(message.get("role"), str):
        raise NoChatError(f"message {number} has no text in role")
    content = message.get("content")
    if content is None and message.get("tool_calls"):
        return {**message, "content": ""}
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                kind = part.get("type", "unknown") if isinstance(part, Mapping) else type(part).__name__
                raise NoChatError(f"message {number} has a part that is no text ({kind})")
    elif not isinstance(content, str):
        raise NoChatError(f"message {number} has no text in content")
    return message


def _turn(number: int, turn: Any) -> Message:
    """A turn of ShareGPT; some files of the kind have messages with role and content instead."""
    if isinstance(turn, Mapping) and "from" not in turn and "role" in turn:
        return _message(number, turn)
    if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
        raise NoChatError(f"turn {number} of conversations is not an object with from and value")
    role = SHAREGPT_ROLES.get(str(turn.get("from")))
    if role is None:
        raise NoChatError(f"turn {number} of conversations is from {turn.get('from')!r}, which is no known role")
    return {"role": role, "content": turn["value"]}


def _instruction(value: Mapping[str, Any]) -> list[Message]:
    instruction, more, answer = (value.get(field) or "" for field in ("instruction", "input", "output"))
    if not all(isinstance(each, str) for each in (instruction, more, answer)) or not instruction or not answer:
        raise NoChatError("has an instruction without text in instruction and output")
    asked = f"{instruction}\n\n{more}" if more else instruction
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
