"""Costs of thousands of settled QuantizedModels: cold start, a change during it, memory, rest, mass deletion, failover.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.scale.settled [--count 1000] [--runs 5] [--rest 300]
        [--only cold ...]

One wave makes them, with all their children (one ModelRevision, two ModelEvaluations, four Jobs and their pods, six
objects that serve and a pod each); then the operator is ended and started again and again. Times are the bench's own,
from a watch: a write's end is the moment at which the watch tells of it.

- cold: from the start of the process until it is synced (/readyz says ok, so that it has read everything, watches
  everything and leads) and until it is at rest; what it wrote; and its memory then.
- change: replicas of a settled QuantizedModel are changed, one after the other, from the moment at which the operator
  leads until it is at rest; the time from the change (told by the watch) to its Deployment's (told by the watch).
- deleted: 1,000 children (Services, Deployments, ServiceAccounts, NetworkPolicies, in turn) are deleted at once; for
  each, the time from its end to its return.
- decide: one decision on each of them, in this process, on a cache that was filled by LISTs.
- leader: of two operators, the one that leads is killed; the time until the other one has written.
- rest: processor time of an operator at rest, a comparison with LISTs (--resync) and scrapes of /metrics every 30 s
  included.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hack.cluster.apiserver import ApiServer
from lowbit.decide.reconcile import decide
from lowbit.kube.client import Kube
from lowbit.kube.connect import configuration
from lowbit.kube.resources import OWN_KINDS, SHARED_KINDS
from lowbit.naming.names import MANAGED_SELECTOR
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from tests.api.listed import listed
from tests.api.operator_process import OperatorProcess
from tests.bench.record import Figure, figure, surroundings, write
from tests.bench.scale.rig import (
    SPACE,
    Object,
    Rig,
    Watch,
    ask,
    calls,
    eventually,
    model,
    name_of,
    pid_of,
    resident,
    rig,
    seconds_of,
    until_leading,
    until_ready,
    until_rest,
    watching,
    written,
)

CHILDREN = ("Service", "Deployment", "ServiceAccount", "NetworkPolicy")
DELETED = 1000
SCRAPE = 30.0
"""Seconds between two scrapes of /metrics."""
CHANGES_APART = 0.25
"""Seconds."""
REPEATED = ("cold", "change", "deleted", "leader")
"""Parts that are run several times."""
Samples = dict[str, list[float]]


class Settled:
    """A population of settled QuantizedModels, and what is measured on it."""

    def __init__(self, bench: Rig, watch: Watch, count: int) -> None:
        self.bench, self.watch, self.count = bench, watch, count
        self.samples: defaultdict[str, list[float]] = defaultdict(list)
        self._changing = itertools.cycle(range(count))

    def add(self, name: str, value: float) -> None:
        """Take one sample."""
        print(f"{self.count:,} settled: {name}: {value:.4g}", flush=True)
        self.samples[name].append(value)

    async def settle(self) -> None:
        """The wave that makes them."""
        with self.bench.operator() as operator:
            await until_ready(operator, self.bench)
            await until_rest(operator)
            empty = resident(operator)
            self.add("resident memory, none yet", empty)
            self.add("wave, s", await self.bench.wave(self.watch, self.count))
            await until_rest(operator)
            self.add("resident memory, after the wave", resident(operator))

    async def cold(self) -> None:
        """One cold start at which nothing is changed."""
        began = time.monotonic()
        with self.bench.operator() as operator:
            await until_ready(operator, self.bench)
            self.add("cold start, to synced, s", time.monotonic() - began)
            await until_rest(operator)
            self.add("cold start, processor time to rest, s", seconds_of(pid_of(operator)))
            self.add("cold start, writes", written(await ask(calls, operator)))
            self.add("resident memory", resident(operator))

    async def change(self) -> None:
        """One cold start at which specs are changed."""
        with self.bench.operator() as operator:
            await until_leading(operator, self.bench)
            rest = asyncio.create_task(until_rest_but_for(operator))
            while not rest.done():
                seconds = await self._changed(name_of(next(self._changing)))
                self.add("change to first write during a cold start, ms", 1e3 * seconds)
                await asyncio.sleep(CHANGES_APART)

    async def _changed(self, name: str) -> float:
        """Seconds from a change of replicas to the Deployment's."""
        first: dict[str, float] = {}
        both = asyncio.Event()

        def told(type_: str, kind: str, manifest: Object, moment: float) -> None:
            if manifest["metadata"]["name"] != name or kind not in ("QuantizedModel", "Deployment"):
                return
            spec = manifest["spec"]
            if spec.get("serving", spec).get("replicas") == wanted:
                first.setdefault(kind, moment)
            if len(first) == 2:
                both.set()

        known = await self.bench.admin.get("QuantizedModel", SPACE, name)
        wanted = 3 - known["spec"]["serving"]["replicas"] if known else 2
        self.watch.listeners.append(told)
        await self.bench.admin.apply(model(name, replicas=wanted))
        async with asyncio.timeout(60):
            await both.wait()
        self.watch.listeners.remove(told)
        return first["Deployment"] - first["QuantizedModel"]

    async def decide(self) -> None:
        """A decision on each of them, first with nothing remembered, then again; apart from it, the snapshot."""
        cache = await filled_cache(self.bench.server)
        keys = [Key(SPACE, name) for name in cache.names("QuantizedModel", SPACE)]
        for words in ("first", "again", "again", "again", "again"):
            for key in keys:
                began = time.perf_counter()
                snapshot = cache.snapshot(key)
                seen = time.perf_counter()
                assert snapshot is not None
                plan = decide(snapshot, datetime.now(UTC))
                decided = time.perf_counter()
                assert not plan.actions and plan.status is None, f"{key} is not settled: {plan}"
                self.samples[f"one decide, {words}, µs"].append((decided - seen) * 1e6)
                self.samples[f"one snapshot, {words}, µs"].append((seen - began) * 1e6)

    async def deleted(self) -> None:
        """Children are deleted by hand, and come back."""
        with self.bench.operator() as operator:
            await until_ready(operator, self.bench)
            await until_rest(operator)
            wanted = set(
                itertools.islice(((kind, name_of(n)) for n in range(self.count) for kind in CHILDREN), DELETED)
            )
            gone: dict[tuple[str, str], float] = {}
            back: dict[tuple[str, str], float] = {}

            def told(type_: str, kind: str, manifest: Object, moment: float) -> None:
                reference = (kind, manifest["metadata"]["name"])
                if type_ == "DELETED":
                    gone.setdefault(reference, moment)
                elif type_ == "ADDED" and reference in gone:
                    back.setdefault(reference, moment)

            self.watch.listeners.append(told)
            waiting = iter(sorted(wanted))

            async def delete() -> None:
                for kind, name in waiting:
                    await self.bench.admin.delete(kind, SPACE, name)

            began = time.monotonic()
            await asyncio.gather(*(delete() for _ in range(16)))
            self.add("1,000 deletes sent in, s", time.monotonic() - began)
            await self.watch.until("all children are back", lambda: wanted <= back.keys(), 300)
            self.watch.listeners.remove(told)
            took = sorted(back[each] - gone[each] for each in wanted)
            self.add("deleted by hand, 99 % back within, s", took[int(len(took) * 0.99) - 1])
            self.add("deleted by hand, all back within, s", took[-1])
            await until_rest(operator)

    async def leader(self) -> None:
        """The leader is killed; a spec is changed at that moment."""
        with self.bench.operator(identity=f"leader-{time.time_ns()}") as first:
            await until_ready(first, self.bench)
            with self.bench.operator(identity=f"standby-{time.time_ns()}") as second:
                await eventually(second.ready)
                await asyncio.sleep(5)
                first.kill()
                began = time.monotonic()
                await self._changed(name_of(next(self._changing)))
                self.add("leader killed, to the next one's first write, s", time.monotonic() - began)
                await until_rest(second)

    async def rest(self, seconds: float, resync: float) -> None:
        """Nothing happens."""
        with self.bench.operator(f"--resync={resync}") as operator:
            await until_ready(operator, self.bench)
            await until_rest(operator)
            before, began = await ask(calls, operator), time.monotonic()
            used, lists = seconds_of(pid_of(operator)), _lists(before)
            while time.monotonic() - began < seconds:
                await asyncio.sleep(SCRAPE)
                await ask(operator.get, "/metrics")
            took, after = time.monotonic() - began, await ask(calls, operator)
            share = 100 * (seconds_of(pid_of(operator)) - used) / took
            self.add(f"at rest, comparisons in {took:.0f} s", (_lists(after) - lists))
            self.add("at rest, % of a core", share)
            self.add("at rest, writes", written(after) - written(before))


async def filled_cache(server: ApiServer) -> Cache:
    """A cache with all that the operator watches."""
    kube = Kube(await configuration(str(server.kubeconfig)))
    cache = Cache()
    for kind in (*OWN_KINDS, *SHARED_KINDS):
        cache.sync(kind, *await listed(kube, kind, SPACE, None if kind in OWN_KINDS else MANAGED_SELECTOR))
    await kube.close()
    return cache


async def until_rest_but_for(operator: OperatorProcess) -> None:
    """Rest, though a spec is changed every now and then: so little of a core is used that the start must be over."""
    used, calm = seconds_of(pid_of(operator)), 0
    while calm < 3:
        await asyncio.sleep(1)
        now = seconds_of(pid_of(operator))
        calm = calm + 1 if now - used < 0.3 else 0
        used = now


def _lists(counts: dict[str, float]) -> float:
    """Comparisons with LISTs so far, roughly: each lists the ModelStores once."""
    return counts.get("list modelstores", 0)


UNITS = ("s", "ms", "µs", "% of a core")


def figures(count: int, samples: Samples) -> Iterator[Figure]:
    """One per name; the unit is what stands after the last comma."""
    for name, values in samples.items():
        words, _, unit = name.rpartition(", ")
        if unit not in UNITS:
            words, unit = name, "MiB" if name.startswith("resident") else ""
        percentiles = (50, 90, 99) if unit in ("ms", "µs") else ()
        yield figure(f"{count:,} settled: {words}", unit, values, percentiles)
    if {"resident memory", "resident memory, none yet"} <= samples.keys():
        empty = samples["resident memory, none yet"][0]
        values = [(each - empty) * 1000 / count for each in samples["resident memory"]]
        yield figure(f"{count:,} settled: resident memory for 1,000", "MiB", values)


async def measure(arguments: argparse.Namespace) -> Samples:
    """Everything that was asked for, on one population."""
    async with rig() as bench, watching(bench, "QuantizedModel", *CHILDREN) as watch:
        settled = Settled(bench, watch, arguments.count)
        await settled.settle()
        parts: dict[str, Any] = {name: getattr(settled, name) for name in REPEATED}
        for name in arguments.only:
            if name == "rest":
                await settled.rest(arguments.rest, arguments.resync)
            for _ in range(arguments.runs if name in REPEATED else 0):
                await parts[name]()
            if name == "decide":
                await settled.decide()
        return dict(settled.samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = (*REPEATED, "decide", "rest")
    parser.add_argument("--count", type=int, default=1000, help="QuantizedModels")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rest", type=float, default=300, help="seconds of rest")
    parser.add_argument("--resync", type=float, default=600, help="seconds between two comparisons while it rests")
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    parser.add_argument("--name", help="of the results, where not all parts were measured at once")
    arguments = parser.parse_args()
    with surroundings() as seen:
        samples = asyncio.run(measure(arguments))
    about = (__doc__ or "").strip()
    name = arguments.name or f"scale-settled-{arguments.count}"
    write(name, list(figures(arguments.count, samples)), seen, about=about)


if __name__ == "__main__":
    main()
