"""A ModelStore cannot be changed, but it can be deleted and made again with another spec, and back the same way."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.api.calls import CallError
from tests.faults.compare import breaches
from tests.faults.properties.base import full
from tests.faults.properties.changes import Change, Spec
from tests.faults.properties.life import NAME, REFUSED, Fleet, Life, Outcome

IMMUTABLE = "cannot be changed"


async def store_chain(fleet: Fleet, changes: Sequence[Change]) -> list[Outcome]:
    """Changes of the ModelStore of a model that is served."""
    async with Life(fleet, fleet.next_name()) as life:
        await life.put("ModelStore", "default", changes[0].before)
        await life.put("QuantizedModel", NAME, full())
        await life.ready()
        outcomes = [each for change in changes for each in (await refused(life, change), await anew(life, change))]
        if wrong := list(breaches(life.space)):
            outcomes.append(Outcome(f"{len(changes)} changes from ModelStore {changes[0]}", "rules", wrong=wrong))
        return outcomes


async def refused(life: Life, change: Change) -> Outcome:
    """The API server says that it cannot be changed, and what to do."""
    try:
        await life.put("ModelStore", "default", change.after[0])
    except CallError as error:
        said = str(error).partition(": ")[2]
        wrong = [] if error.status in REFUSED and IMMUTABLE in said else [str(error)]
        return Outcome(f"ModelStore {change}", f"Refused: {said}", wrong=wrong)
    return Outcome(f"ModelStore {change}", "taken", wrong=["it was changed, and the files lie where they lay"])


async def anew(life: Life, change: Change) -> Outcome:
    """Deleted and made with the change, and so back again."""
    await life.ready()
    before, began, said = life.normal(), time.monotonic(), ""
    wrong: list[str] = []
    try:
        await replace(life, change.after[0])
        said = await life.converged()
        wrong += life.unsaid()
        await replace(life, change.before)
        await life.as_before(before)
    except (AssertionError, CallError) as error:
        wrong += life.why(error)
    return Outcome(f"ModelStore {change}, made anew", said, "", wrong, time.monotonic() - began)


async def replace(life: Life, spec: Spec) -> None:
    """Replace a ModelStore under its name, and wait until the operator has seen the old one go and the new one come."""
    await life.admin.delete("ModelStore", life.space.name, "default")
    await life.put("ModelStore", "default", spec)
    await life.until("the store was looked at", lambda: looked_at(life, spec))


def looked_at(life: Life, spec: Spec) -> bool:
    """Whether the operator has judged the store with this spec."""
    store = life.space.objects.get(("ModelStore", "default"), {})
    return store.get("spec") == spec and bool(store.get("status", {}).get("conditions"))
