"""One rule that a schema cannot say: as CEL for the API server and as Python for ``lowbit plan``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

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


NUMBER_CEL = "'^[0-9]+([.][0-9]+)?$'"


def between(field: str, attribute: str, cel: str, test: Callable[[Decimal], bool], message: str) -> Rule:
    """A rule that a decimal string lies within bounds. Other text passes: its pattern has a message already."""
    return Rule(
        f"!has(self.{field}) || !self.{field}.matches({NUMBER_CEL}) || ({cel.format(x=f'double(self.{field})')})",
        message,
        lambda value: test(Decimal(getattr(value, attribute))),
        field,
    )
