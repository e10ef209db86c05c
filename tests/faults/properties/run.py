"""All changes of all properties, on live objects."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from hack.cluster.apiserver import ApiServer
from tests.api.manifests import ROOT
from tests.faults.properties.base import broken_changes, model_changes, store_changes
from tests.faults.properties.changes import Change, by_before
from tests.faults.properties.life import Fleet, Outcome, fleet
from tests.faults.properties.stores import store_chain

AT_ONCE = 8
"""Live objects that are changed at the same time."""
LONGEST = 8
"""Changes of one object: of revisions that have passed the operator keeps ten."""


def chosen(changes: list[Change], words: Sequence[str]) -> list[Change]:
    """Those whose name holds one of the words; all where there are none."""
    return [each for each in changes if not words or any(word in str(each) for word in words)]


async def every(words: Sequence[str] = (), at_once: int = AT_ONCE) -> AsyncIterator[Outcome]:
    """Every change, as its outcome comes."""
    models = chosen([*model_changes(), *broken_changes()], words)
    stores = chosen(list(store_changes()), words)
    with ApiServer() as server, tempfile.TemporaryDirectory(prefix="lowbit-properties-") as folder:
        server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        async with fleet(server, Path(folder)) as made:
            async for outcome in _run(made, models, stores, at_once):
                yield outcome


async def _run(made: Fleet, models: list[Change], stores: list[Change], at_once: int) -> AsyncIterator[Outcome]:
    free = asyncio.Semaphore(at_once)

    async def limited(work: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
        async with free:
            return await work

    chains = [made.chain(group) for group in by_before(models, LONGEST)]
    chains += [store_chain(made, group) for group in by_before(stores, LONGEST)]
    for done in asyncio.as_completed([limited(each) for each in chains]):
        for outcome in await done:
            yield outcome
