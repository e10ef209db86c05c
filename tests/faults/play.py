"""One run of a scenario: a namespace, operators behind their proxies, an actor, and what a scenario may do."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lowbit.api.base import API_VERSION
from tests.faults.actor import Actor
from tests.faults.client import Admin
from tests.faults.compare import State, difference, orphans, state
from tests.faults.mirror import Mirror, Object
from tests.faults.plan import Plan
from tests.faults.proxy import Proxy
from tests.faults.seat import COMPARED, Account, Seat
from tests.unit.world import spec as model_spec

T = TypeVar("T")
PATIENCE = 90.0
"""Seconds until a condition counts as never met."""
QUIET = 0.3
"""Seconds without a write after which a run counts as settled."""


class NeverCameError(AssertionError):
    """A condition was not met in time."""


@dataclass(frozen=True)
class Cast:
    """Who takes part, beside the user and the actor."""

    seats: int = 1
    """Operators, of which the first is started at once."""
    account: Account | None = None
    """Who they are to the API server; None: the admin."""
    kubelet: bool = False
    """Whether an operator that ends is started again."""
    compared: float = COMPARED
    """Seconds between two of an operator's comparisons with LISTs."""


USUAL = Cast()


class Play:
    """Scenarios get this. Use `async with`."""

    def __init__(
        self, admin: Admin, mirror: Mirror, name: str, folder: Path, plan: Plan = (), cast: Cast = USUAL
    ) -> None:
        """The plan is the first seat's."""
        self.admin, self._mirror, self._kubelet = admin, mirror, cast.kubelet
        self.space = mirror.open(name)
        self.actor = Actor(admin, self.space)
        account = cast.account or Account(admin.session, admin.url)
        numbers = itertools.count(1)

        def seat(number: int) -> Seat:
            made = Seat(
                name if number == 1 else f"{name}-{number}", name, account, folder, plan if number == 1 else (),
                lambda: f"operator-{next(numbers)}",
            )  # fmt: skip
            made.compared = cast.compared
            return made

        self.seats = [seat(number) for number in range(1, cast.seats + 1)]
        for other in self.seats[1:]:
            other.proxy.wire.held = self.seats[0].proxy.wire.held
        self._generations: dict[str, int] = {}
        self._asked = (0, 0)
        self.patience = PATIENCE

    @property
    def proxy(self) -> Proxy:
        """The first operator's."""
        return self.seats[0].proxy

    @property
    def log(self) -> Path:
        """The first operator's."""
        return self.seats[0].log

    @property
    def deaths(self) -> int:
        return sum(seat.deaths for seat in self.seats)

    async def __aenter__(self) -> Play:
        await self.admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.space.name}})
        for seat in self.seats:
            await seat.open()
        self.seats[0].start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for seat in self.seats:
            await seat.close()
        await self.actor.stop()
        self._mirror.close(self.space.name)

    async def add_store(self) -> None:
        """A ModelStore on a claim that is bound."""
        await self.add_claim()
        metadata = {"name": "default", "namespace": self.space.name}
        store = {"apiVersion": API_VERSION, "kind": "ModelStore", "metadata": metadata}
        await self.admin.apply(store | {"spec": {"pvc": {"claimName": "models"}}})

    async def add_claim(self) -> None:
        """A claim that is bound."""
        metadata = {"name": "models", "namespace": self.space.name}
        asked = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": asked}
        await self.admin.apply(claim)
        bound = {"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}}
        await self.admin.patch("PersistentVolumeClaim", self.space.name, "models", {"status": bound}, "status")

    async def apply(self, name: str, **changes: Any) -> None:
        """A user applies a QuantizedModel: tests.unit.world.spec with these changes."""
        self._user_acts()
        metadata = {"name": name, "namespace": self.space.name}
        spec = model_spec(**changes)
        manifest = {"apiVersion": API_VERSION, "kind": "QuantizedModel", "metadata": metadata, "spec": spec}
        self._generations[name] = (await self.admin.apply(manifest))["metadata"]["generation"]

    async def delete(self, name: str) -> None:
        """A user deletes a QuantizedModel."""
        self._user_acts()
        await self.admin.delete("QuantizedModel", self.space.name, name)

    def _user_acts(self) -> None:
        self._asked = (len(self.proxy.calls), len(self.proxy.events))

    def after_last_act(self) -> frozenset[str]:
        """The points that have come since a user last did something: that is what a scenario is about."""
        calls, events = self._asked
        return frozenset([*(call.point for call in self.proxy.calls[calls:]), *self.proxy.events[events:]])

    async def until(self, what: str, condition: Callable[[], T | bool | None]) -> T:
        """Wait until the state gives something true, and return it."""
        deadline = time.monotonic() + self.patience
        while True:
            self.space.changed.clear()
            self._mirror.check()
            if self.actor.error is not None:
                raise self.actor.error
            if found := condition():
                return found  # type: ignore[return-value]
            if time.monotonic() > deadline:
                raise NeverCameError(f"never came true: {what}")
            try:
                async with asyncio.timeout(0.1):
                    await self.space.changed.wait()
            except TimeoutError:
                for seat in self.seats:
                    seat.check(self._kubelet)

    def model(self, name: str) -> Object:
        """A QuantizedModel as it is; empty where there is none."""
        return self.space.objects.get(("QuantizedModel", name)) or {"metadata": {}, "spec": {}}

    async def served(self, name: str) -> str:
        """Wait until the present spec is served. The revision's name."""

        def revision() -> str | None:
            model = self.model(name)
            status, generation = model.get("status", {}), self._generations[name]
            ready = any(
                each["type"] == "Ready" and each["status"] == "True" and each["observedGeneration"] == generation
                for each in status.get("conditions", ())
            )
            return (status.get("current") or {}).get("name") if ready else None

        return await self.until(f"{name} is served", revision)

    async def says(self, name: str, reason: str) -> None:
        """Wait until the condition Ready has this reason, for the present spec."""

        def said() -> bool:
            conditions = self.model(name).get("status", {}).get("conditions", ())
            wanted = ("Ready", reason, self._generations[name])
            return any((each["type"], each["reason"], each["observedGeneration"]) == wanted for each in conditions)

        await self.until(f"{name} says {reason}", said)

    async def held(self, prefix: str) -> str:
        """Wait until a Job that is held runs. Its name."""

        def job() -> str | None:
            names = (each["metadata"]["name"] for each in self.space.of("Job") if each.get("status", {}).get("active"))
            return next((name for name in names if prefix in name), None)

        return await self.until(f"a Job {prefix} runs", job)

    async def gone(self, name: str) -> None:
        """Wait until nothing that names a QuantizedModel as its owner is left."""

        def nothing() -> bool:
            owners = (
                each["name"]
                for manifest in self.space.objects.values()
                for each in manifest["metadata"].get("ownerReferences") or ()
            )
            return not self.model(name)["metadata"] and name not in owners

        await self.until(f"all of {name} is gone", nothing)

    async def settle(self, wanted: State | None = None, told: frozenset[str] = frozenset()) -> None:
        """Wait until the operator leads and writes nothing more, the state is the wanted one where one is given, and
        these Events were sent."""

        def settled() -> bool:
            same = wanted is None or state(self.space) == wanted
            return same and told <= self.space.told and not any(self.unrest())

        try:
            await self.until("the run settles", settled)
        except NeverCameError as error:
            rest = [str(error), *self.unrest(), difference(wanted or {}, state(self.space)) if wanted else ""]
            rest += [f"never told {each}" for each in told - self.space.told]
            raise NeverCameError("\n".join(rest)) from error

    def unrest(self) -> Iterator[str]:
        """Why the run has not settled."""
        if not any(seat.leads() for seat in self.seats):
            yield "no operator leads"
        for seat in self.seats:
            if time.monotonic() - seat.proxy.last_write <= QUIET:
                yield f"it was written just now: {[call.point for call in seat.proxy.calls if call.asked.write][-5:]}"
        if self.actor.busy:
            yield "the actor is busy"
        yield from orphans(self.space)
