"""Live objects, one in a namespace, of one operator: changed, looked at, and changed back."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.apiserver import ApiServer
from lowbit.api.base import API_VERSION
from lowbit.kube.errors import UNTYPED
from tests.api.calls import CallError
from tests.api.in_pod import Pod
from tests.api.operator_process import QUICK_LEASE
from tests.faults.client import Admin
from tests.faults.compare import State, breaches, difference, state
from tests.faults.mirror import Happened, Mirror
from tests.faults.play import QUIET, Cast, NeverCameError, Play
from tests.faults.properties.changes import Change, Spec

NAME = "chat"
REFUSED = (400, 403, 422)
WAITS = ("StoreNotFound", "StoreNotReady")
"""Reasons of Ready that name what somebody else has to make."""
KEPT = (("serving", "queueName"), ("serving", "workloadPriorityClassName"))
"""Properties that a Deployment which answers keeps, because Kueue refuses another value."""
HISTORY = ("ModelRevision", "ModelEvaluation", "Job", "Pod")
"""Of these there may be more than before: what was tried is remembered."""
CLASSES: dict[str, dict[str, Any]] = {
    "/apis/scheduling.k8s.io/v1/priorityclasses": {"value": 1},
    "/apis/node.k8s.io/v1/runtimeclasses": {"handler": "runc"},
}
"""Pods that name one need it."""


@dataclass(frozen=True)
class Outcome:
    """What came of one change."""

    change: str
    said: str
    """Ready, Stalled and why, what it waits for, or how the API server refused it."""
    made: str = ""
    """What the operator made and changed for it."""
    wrong: Sequence[str] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        failed = "".join(f"\n    {each}" for each in self.wrong)
        made = f" ({self.made})" if self.made else ""
        return f"{'FAILED ' if self.wrong else ''}{self.change}: {self.said}{made}{failed}"


class Life(Play):
    """One namespace with one QuantizedModel; the operator is everybody's."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        super().__init__(fleet.admin, fleet.mirror, name, fleet.folder, cast=Cast(seats=0))
        self.fleet = fleet
        self._generation = 0
        self._changed = 0.0
        self.space.listeners.append(self._on)

    def _on(self, _: Happened) -> None:
        self._changed = time.monotonic()

    async def __aenter__(self) -> Life:
        await self.admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.space.name}})
        await self.add_claim()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.actor.stop()
        self._mirror.close(self.space.name)

    async def put(self, kind: str, name: str, spec: Spec) -> None:
        """A person applies an object. Raises CallError."""
        if kind == "QuantizedModel":
            for whose, holder in (("", spec), *((f"{n}/", each) for n, each in enumerate(spec["candidates"]))):
                datasets = (holder.get("calibration") or {}).get("datasets", ())
                self.actor.world.datasets |= {f"calibration/{whose}{each['name']}" for each in datasets}
            self.actor.world.datasets |= {f"evaluation/{each['name']}" for each in spec["evaluation"]["suites"]}
        metadata = {"name": name, "namespace": self.space.name}
        manifest = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        answer = await self.admin.apply(manifest)
        if kind == "QuantizedModel":
            self._generation = answer["metadata"]["generation"]

    def verdict(self) -> str | None:
        """What the status says of the present generation, once it says something lasting."""
        status = self.model(NAME).get("status", {})
        conditions = {each["type"]: each for each in status.get("conditions", ())}
        ready, stalled = conditions.get("Ready"), conditions.get("Stalled")
        if ready is None or any(each["observedGeneration"] != self._generation for each in conditions.values()):
            return None
        if ready["status"] == "True":
            return "Ready"
        if stalled is not None:
            return f"Stalled, {stalled['reason']}: {stalled['message']}"
        return f"Waits, {ready['reason']}: {ready['message']}" if ready["reason"] in WAITS else None

    def unsaid(self) -> Iterator[str]:
        """What a person is not told, and would need."""
        status = self.model(NAME).get("status", {})
        for each in status.get("conditions", ()):
            if each["type"] in ("Stalled", "Reconciling") and not (each["reason"] and each["message"]):
                yield f"{each['type']} without a reason or message"
            if each["type"] == "Stalled" and not (status.get("lastFailure") or {}).get("action"):
                yield "Stalled, and nothing says what to do"

    def rests(self) -> bool:
        """Whether nobody does anything."""
        self.fleet.check()
        return not self.actor.busy and time.monotonic() - self._changed > QUIET

    async def converged(self) -> str:
        """Wait until the operator has said what becomes of the present spec, and rests."""
        return await self.until(f"{NAME} rests", lambda: self.verdict() if self.rests() else None)

    async def ready(self) -> None:
        """Wait until the present spec is Ready, and the operator rests."""
        await self.until(f"{NAME} is Ready", lambda: self.verdict() == "Ready" and self.rests())

    async def as_before(self, before: State) -> None:
        """Wait until everything is again as it was; what was tried meanwhile may be remembered."""
        try:
            await self.until("all is as before", lambda: self.rests() and not self.different(before))
        except NeverCameError as error:
            raise NeverCameError(f"{error}\n{self.different(before)}") from error

    def normal(self) -> State:
        """The state without what only counts or remembers."""
        found = state(self.space)
        model = found.get(f"QuantizedModel {NAME}", {})
        status = model.get("status", {})
        status.pop("observedGeneration", None)
        status.pop("lastFailure", None)  # history, while nothing is Stalled
        for each in status.get("conditions", ()):
            each.pop("observedGeneration", None)
        return found

    def different(self, before: State) -> str:
        """What is not as it was."""
        now = self.normal()
        return difference(before, {k: v for k, v in now.items() if k in before or not k.startswith(HISTORY)})

    async def attempt(self, change: Change) -> Outcome:
        """One change of a QuantizedModel that rests, and back."""
        before, began, first = self.normal(), time.monotonic(), len(self.space.history)
        wrong: list[str] = []
        said, made = "", ""
        try:
            refusal = await self._first_taken(change)
            said = refusal or await self.converged()
            wrong += self.unsaid()
            made = self._made(first)
            path = change.property.path
            if said == "Ready" and path[0] in ("serving", "engine") and path not in KEPT:
                await self.as_made_anew()
            await self.put("QuantizedModel", NAME, change.before)
            await self.as_before(before)
        except (AssertionError, CallError) as error:
            wrong += self.why(error)
        return Outcome(str(change), said, made, wrong, time.monotonic() - began)

    async def as_made_anew(self) -> None:
        """What serves was changed in place: deleted by hand and made anew, it is the same."""
        changed = self.normal()
        for kind in ("Deployment", "NetworkPolicy", "PodDisruptionBudget"):
            if (kind, NAME) in self.space.objects:
                await self.admin.delete(kind, self.space.name, NAME)
        await self.as_before(changed)

    def why(self, error: BaseException) -> list[str]:
        """What went wrong, the status, and the operator's last words on this namespace."""
        status = self.model(NAME).get("status", {})
        lines = [line for line in self.fleet.log.read_text().splitlines() if self.space.name in line]
        said = {key: status.get(key) for key in ("conditions", "lastFailure")}
        return [*str(error).splitlines(), f"its status: {said}", *lines[-8:]]

    async def _first_taken(self, change: Change) -> str | None:
        """Apply the first spec that the API server takes; how it refused all of them."""
        refusal = None
        for spec in change.after:
            try:
                await self.put("QuantizedModel", NAME, spec)
            except CallError as error:
                if error.status not in REFUSED and UNTYPED not in str(error):
                    raise
                refusal = f"Refused: {str(error).partition(': ')[2]}"
            else:
                return None
        return refusal

    def _made(self, first: int) -> str:
        """Kinds of what was made, and of what was changed beside the QuantizedModel."""
        events = [
            each for each in self.space.history[first:] if each.kind not in ("QuantizedModel", "Pod", "ModelStore")
        ]
        made = {each.kind for each in events if each.type == "ADDED"}
        changed = {each.kind for each in events if each.type == "MODIFIED"} - made
        words = [f"makes {', '.join(sorted(made))}"] if made else []
        return "; ".join(words + ([f"changes {', '.join(sorted(changed))}"] if changed else []))


class Fleet:
    """One API server, one operator for all namespaces."""

    def __init__(self, server: ApiServer, admin: Admin, mirror: Mirror, folder: Path) -> None:
        self.server, self.admin, self.mirror, self.folder = server, admin, mirror, folder
        self.log = folder / "operator.log"
        self._numbers = itertools.count(1)
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "KUBECONFIG": str(server.kubeconfig)}
        environment |= {"POD_NAME": "operator", "POD_NAMESPACE": "default"}
        words = ["--port=0", "--host=127.0.0.1", "--log-format=text", *QUICK_LEASE]
        self._operator = Pod(folder, environment, words, self.log)

    def check(self) -> None:
        """Raise when the operator has ended."""
        if self._operator.poll() is not None:
            raise AssertionError(f"the operator has ended by itself:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        self._operator.kill()
        self._operator.wait()

    def next_name(self) -> str:
        """Of a namespace."""
        return f"life-{next(self._numbers):03}"

    async def chain(self, changes: Sequence[Change]) -> list[Outcome]:
        """Changes of one live object, one after the other; all begin with the same spec."""
        async with Life(self, self.next_name()) as life:
            try:
                await life.put("ModelStore", "default", {"pvc": {"claimName": "models"}})
                await life.put("QuantizedModel", NAME, changes[0].before)
                await life.ready()
            except (AssertionError, CallError) as error:
                return [Outcome(str(each), "not Ready before", wrong=life.why(error)) for each in changes]
            outcomes = [await life.attempt(each) for each in changes]
            if wrong := list(breaches(life.space)):
                outcomes.append(Outcome(f"{len(changes)} changes from {changes[0]}", "rules", wrong=wrong))
            return outcomes


@asynccontextmanager
async def fleet(server: ApiServer, folder: Path) -> AsyncIterator[Fleet]:
    """An operator on an API server that has Lowbit's kinds."""
    admin = Admin(server)
    mirror = Mirror(admin)
    for path, more in CLASSES.items():
        for name in ("spare", "other"):
            kind = {"metadata": {"name": name}} | more
            await admin.call("POST", path, kind)
    await mirror.start()
    made = Fleet(server, admin, mirror, folder)
    try:
        yield made
    finally:
        made.stop()
        await mirror.stop()
        await admin.close()
