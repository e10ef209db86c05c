"""Answers that are JSON, or calls of tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import referencing
import referencing.exceptions

from lowbit.worker.engines.base import Constraint, Reply
from lowbit.worker.suites.scorers.base import UNREADABLE, ExpectedError, Scored, Scorer, listed, said

FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
"""JSON as chats show it."""
ONE_CALL = 'write {"name": "...", "arguments": {...}}, a list of such calls, or [] where no tool is to be called'


class JSONSchema(Scorer):
    """JSON that a schema allows: the line's, or the suite's."""

    def __init__(self, schema: str | None) -> None:
        self.schema = None if schema is None else parsed(schema, "the suite's jsonSchema")
        if self.schema is not None:
            self.check(self.schema)

    def check(self, expected: Any) -> None:
        """A schema of a draft that is known."""
        schema = self.of(expected)
        if not isinstance(schema, Mapping):
            raise ExpectedError(
                "expects no JSON schema", "write the schema as an object, or give the suite a jsonSchema"
            )
        try:
            kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
            kind.check_schema(dict(schema))
        except (jsonschema.exceptions.SchemaError, RecursionError, TypeError) as error:
            words = getattr(error, "message", str(error))
            raise ExpectedError(f"expects a JSON schema that is none ({words})", "mend the schema") from error

    def of(self, expected: Any) -> Any:
        """The schema for a line: its own, as an object or as JSON, or the suite's."""
        if expected is None:
            return self.schema
        return parsed(expected, "what the line expects") if isinstance(expected, str) else expected

    def score(self, reply: Reply, expected: Any) -> Scored:
        """Right if the schema allows it. A reference leads nowhere outside of the schema."""
        text = said(reply)
        fenced = FENCE.findall(text)
        try:
            value = json.loads(fenced[-1] if fenced else text)
        except (ValueError, RecursionError):
            return UNREADABLE
        schema = self.of(expected)
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            right = kind(schema, registry=referencing.Registry()).is_valid(value)
        except (referencing.exceptions.Unresolvable, RecursionError):
            right = False
        return Scored(right, found=json.dumps(value, sort_keys=True, ensure_ascii=False))

    def constraint(self, expected: Any) -> Constraint | None:
        """The schema."""
        return Constraint(schema=self.of(expected))


class ToolCalls(Scorer):
    """The calls that the model asks for, by name and arguments, in any order."""

    def check(self, expected: Any) -> None:
        """One call, or a list of them; none is a list without any."""
        calls(expected)

    def score(self, reply: Reply, expected: Any) -> Scored:
        """Right if the calls are those, and no other. Unreadable: arguments that are no JSON object."""
        try:
            found = sorted(key(call.name, json.loads(call.arguments or "{}")) for call in reply.tool_calls)
        except (ValueError, RecursionError, ExpectedError):
            return UNREADABLE
        return Scored(found == calls(expected), found="; ".join(found) or "no call")


def calls(expected: Any) -> list[str]:
    """The expected calls, each as a text that is equal for equal calls. Raises ExpectedError."""
    found = []
    for each in listed(expected):
        value = each.get("function", each) if isinstance(each, Mapping) else {}
        arguments = value.get("arguments", {})
        arguments = parsed(arguments, "a call's arguments") if isinstance(arguments, str) else arguments
        if not isinstance(value.get("name"), str):
            raise ExpectedError("expects no call of a tool", ONE_CALL)
        found.append(key(value["name"], arguments))
    return sorted(found)


def key(name: str, arguments: Any) -> str:
    """A call as a text. 1 and 1.0 are equal. Raises ExpectedError if the arguments are no object."""
    if not isinstance(arguments, Mapping):
        raise ExpectedError("expects a call whose arguments are no object", ONE_CALL)
    return f"{name}({json.dumps(_alike(arguments), sort_keys=True, ensure_ascii=False)})"


def _alike(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _alike(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_alike(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parsed(text: str, what: str) -> Any:
    """The JSON value. Raises ExpectedError if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExpectedError(f"{what} is no JSON ({error})", "write JSON") from error
