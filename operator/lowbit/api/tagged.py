"""Tagged unions made from a registry: a new member is one declaration, and one line in the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import Field, create_model

from lowbit.api.base import Wire


class Named(Protocol):
    """A declaration in a registry."""

    @property
    def name(self) -> str:
        """The member's name in a manifest."""


Kind = TypeVar("Kind", bound=Named)


class Registry(Generic[Kind]):
    """Declarations by name, in the order of the documentation."""

    def __init__(self, what: str, *kinds: Kind) -> None:
        self._what = what
        self._kinds = {kind.name: kind for kind in kinds}

    def __getitem__(self, name: str) -> Kind:
        """The declaration of that name. Raises KeyError, which lists the known names."""
        try:
            return self._kinds[name]
        except KeyError:
            raise KeyError(f"there is no {self._what} {name}; there are {', '.join(self._kinds)}") from None

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def names(self) -> tuple[str, ...]:
        """Names of all declarations."""
        return tuple(self._kinds)


class Tagged(Wire):
    """A tagged union: exactly one member is set. A rule enforces it."""

    common: ClassVar[frozenset[str]] = frozenset()
    """Fields beside the members, which all of them share."""

    @classmethod
    def members(cls) -> list[str]:
        """The members' names."""
        return [name for name in cls.model_fields if name not in cls.common]

    @property
    def is_set(self) -> bool:
        """Whether a member is set. If none is, another rule reports it."""
        return any(getattr(self, name) is not None for name in self.members())

    def member(self) -> tuple[str, Wire]:
        """Name and settings of the member that is set. Raises ValueError if none is."""
        for name in self.members():
            value = getattr(self, name)
            if value is not None:
                return name, value
        raise ValueError(f"none of {', '.join(self.members())} is set")


Base = TypeVar("Base", bound=Tagged)


def union(name: str, description: str, members: Mapping[str, tuple[type[Wire], str]], base: type[Base]) -> type[Base]:
    """A subclass of base with one optional field per member. Descriptions are for `kubectl explain`."""
    fields: dict[str, Any] = {
        member: (kind | None, Field(default=None, description=text)) for member, (kind, text) in members.items()
    }
    made: type[Base] = create_model(name, __base__=base, __doc__=description, __module__=__name__, **fields)
    return made
