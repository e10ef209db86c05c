"""What the tests of whole lives read off a World: status, conditions, what is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.world import World

NAME = "chat"


def status(world: World, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = world.model(name)["status"]
    return found


def condition(world: World, type_: str, name: str = NAME) -> Any:
    return next((c for c in status(world, name)["conditions"] if c["type"] == type_), None)


def served(world: World, name: str = NAME) -> Any:
    """The revision that the Deployment claims to serve; None without a Deployment."""
    deployment = world.objects.get(("Deployment", name))
    return deployment and deployment["spec"]["template"]["metadata"]["labels"]["lowbit.dev/revision"]


def only_passed_is_served(world: World, name: str = NAME) -> Callable[[], None]:
    """Looks at the world in a state on the way: what is served has passed, or is the source."""

    def check() -> None:
        label = served(world, name)
        if label is not None and label != "source":
            revision = world.objects["ModelRevision", label]
            assert revision["status"]["verdict"]["verdict"] == "Passed"

    return check
