"""One rule that a schema cannot say: as CEL for the API server and as Python for ``lowbit plan``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_core import PydanticUndefined

from lowbit.api.base import Wire


@dataclass(frozen=True)
class Rule:
    """One rule on an object of one type."""

    cel: str
    """Common Expression Language, `self` is the object; it holds when true."""
    message: str
    """What is wrong, and what to write instead."""
    holds: Callable[[Any], bool] | None
    """The same in Python on the pydantic object; None for a rule on changes, which has nothing to look at offline."""
    field: str | None = None
    """Member (camelCase) that the message points to; by default the object itself."""
    offender: Callable[[Any], str] | None = None
    """What exactly breaks it, for `lowbit plan`: the API server's message cannot say that."""


def listed(names: Sequence[str], setting: str | None = None) -> str:
    """CEL: a list of names. setting: the platform's list, whose mark the chart replaces by the mark and its own names.

    No name equals a mark, because it has parentheses.
    """
    marks = (f"(platform.{setting})",) if setting is not None else ()
    return "[" + ", ".join(f"'{name}'" for name in (*names, *marks)) + "]"


def exactly_one(what: str, *members: str) -> Rule:
    """A tagged union: one member is set, and no other. A union of one member says how to write that."""

    def holds(value: Wire) -> bool:
        fields = type(value).model_fields.items()
        given = [getattr(value, name) for name, field in fields if (field.alias or name) in members]
        return sum(each is not None for each in given) == 1

    if len(members) == 1:
        return Rule(f"has(self.{members[0]})", f"{what} needs {members[0]}: write {members[0]}: {{...}}", holds)
    listed = " and ".join(filter(None, (", ".join(members[:-1]), members[-1])))
    counted = " + ".join(f"(has(self.{member}) ? 1 : 0)" for member in members)
    return Rule(
        f"{counted} == 1",
        f"{what} needs exactly one of {listed}: write one of them, and remove the others",
        holds,
    )


def or_default(path: str, kind: type[Wire], attribute: str) -> str:
    """CEL: the field of that type below path, or its default: inside of lists the API server fills in nothing."""
    field = kind.model_fields[attribute]
    name = f"{path}.{field.alias or attribute}"
    if field.is_required() or field.default is None:
        return name
    return f"(has({name}) ? {name} : {json.dumps(field.default)})"


def equal(kind: type[Wire], one: str, other: str, *, one_type: bool = True) -> str:
    """CEL: two objects of a type are equal, whether their defaults are written or not.

    one_type: whether CEL takes them for one type, as two items of one list are.
    """
    plain = f"{one} == {other}" if one_type else f"dyn({one}) == dyn({other})"
    defaults = {name: field for name, field in kind.model_fields.items() if field.default not in NOT_FILLED_IN}
    if not defaults:
        return plain
    parts = []
    for attribute, field in kind.model_fields.items():
        name = field.alias or attribute
        both = f"!has({one}.{name}) || !has({other}.{name}) || {one}.{name} == {other}.{name}"
        if field.is_required():
            parts.append(f"{one}.{name} == {other}.{name}")
        elif attribute in defaults:
            # Not by or_default(): of a number or a word the API server cannot tell how much that would cost.
            is_default = f"(!has({{0}}.{name}) || {{0}}.{name} == {json.dumps(field.default)})"
            parts.append(f"{is_default.format(one)} == {is_default.format(other)} && ({both})")
        else:
            parts.append(f"has({one}.{name}) == has({other}.{name}) && ({both})")
    return " && ".join(parts)


NOT_FILLED_IN = (None, "", PydanticUndefined)
"""Defaults that say nothing, and what stands where there is none."""
NUMBER_CEL = "'^[0-9]+([.][0-9]+)?$'"


def between(field: str, attribute: str, cel: str, test: Callable[[Decimal], bool], message: str) -> Rule:
    """A rule that a decimal string lies within bounds. Other text passes: its pattern has a message already."""
    return Rule(
        f"!has(self.{field}) || !self.{field}.matches({NUMBER_CEL}) || ({cel.format(x=f'double(self.{field})')})",
        message,
        lambda value: test(Decimal(getattr(value, attribute))),
        field,
    )
