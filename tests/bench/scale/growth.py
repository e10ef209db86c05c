"""One decision, and the cache's memory, against the number of QuantizedModels that stand beside it in the namespace.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.scale.growth [--counts 10 100 1000 5000]

In one process, without an API server: a life is played in memory, and its objects are copied under other names. Times
are of a snapshot and the decision that follows from it, for a QuantizedModel that is settled; memory is resident
memory, where all but it are at rest.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import time
from typing import Any

from lowbit.decide.reconcile import decide
from lowbit.naming.names import MODEL_LABEL
from lowbit.observe.cache import Cache
from lowbit.observe.keys import JOB_NAME_LABELS, Key
from tests.bench.record import Figure, figure, memory_of, surroundings, write
from tests.unit.world import NAMESPACE, World, spec

NAME = "chat"
RUNS = 2000
PERCENTILES = (50, 90, 99)
Manifest = dict[str, Any]


def life() -> World:
    """One QuantizedModel that is served, with all its children."""
    world = World()
    world.add_store()
    world.apply_model(NAME, spec())
    world.settle(NAME)
    return world


def another(manifest: Manifest, number: int) -> Manifest:
    """The same object of another QuantizedModel."""
    found = copy.deepcopy(manifest)
    metadata = found["metadata"]
    metadata["name"] = f"n{number}-{metadata['name']}"
    metadata["uid"] += f"-{number}"
    for owner in metadata.get("ownerReferences") or ():
        owner["name"], owner["uid"] = f"n{number}-{owner['name']}", f"{owner['uid']}-{number}"
    labels = metadata.get("labels") or {}
    for label in (MODEL_LABEL, *JOB_NAME_LABELS):
        if label in labels:
            labels[label] = f"n{number}-{labels[label]}"
    return found


def measure(world: World, count: int) -> list[Figure]:
    """With so many in the namespace, itself included."""
    gc.collect()
    before = memory_of(os.getpid(), "VmRSS")
    cache = Cache()
    for manifest in world.objects.values():
        cache.put(manifest)
    for number in range(count - 1):
        for manifest in world.objects.values():
            if manifest["kind"] != "ModelStore":
                cache.put(another(manifest, number))
        cache.rest(Key(NAMESPACE, f"n{number}-{NAME}"))
    gc.collect()
    memory = (memory_of(os.getpid(), "VmRSS") - before) / 1024
    seconds: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        snapshot = cache.snapshot(Key(NAMESPACE, NAME))
        assert snapshot is not None
        plan = decide(snapshot, world.now)
        seconds.append(time.perf_counter() - began)
        assert not plan.actions and plan.status is None, "it is not settled"
    return [
        figure(f"one decision of {count:,}", "µs", [each * 1e6 for each in seconds], PERCENTILES),
        figure(f"the cache of {count:,}", "MiB", [memory]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000, 5000])
    arguments = parser.parse_args()
    world = life()
    with surroundings() as seen:
        found = [each for count in arguments.counts for each in measure(world, count)]
    for each in found:
        each.samples.clear()
    write("scale-growth", found, seen, about=(__doc__ or "").strip())


if __name__ == "__main__":
    main()
