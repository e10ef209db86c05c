"""What one write costs kube-apiserver, by kind; what a Service costs beside many; what a client's credential costs.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.scale.writes [--count 200] [--runs 5] [--services 8]

Milliseconds of a core in kube-apiserver for each write, while nobody watches; etcd's are not in it. Copies are made of
the objects of lives that an operator and the actor have led, each as they made it: an apply where its fields were
applied, else a POST. Its status is put as it was in the end.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from typing import Any

from lowbit.kube.resources import RESOURCES
from tests.bench.record import Figure, figure, surroundings, write
from tests.bench.scale.actor import account
from tests.bench.scale.rig import AT_ONCE, SPACE, Object, Rig, bare, rig, seconds_of, until_ready, until_rest, watching
from tests.faults.client import Admin

LIVES = 5
KINDS = (
    "QuantizedModel",
    "ModelRevision",
    "ModelEvaluation",
    "Job",
    "Pod",
    "Deployment",
    "Service",
    "ServiceAccount",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "ConfigMap",
    "Event",
)
TOLD = ("QuantizedModel", "ModelRevision", "ModelEvaluation", "Job", "Pod", "Deployment")
"""Whose status the operator or the actor writes."""
GIVEN = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
"""Metadata that the API server gives."""
THOUSAND = 1000


async def examples(bench: Rig) -> dict[str, Object]:
    """One object of each kind, as it is when its life is at rest."""
    async with watching(bench, "QuantizedModel") as watch:
        with bench.operator() as operator:
            await until_ready(operator, bench)
            await bench.wave(watch, LIVES)
            await until_rest(operator)
    bench.actor.kill()
    found = {}
    for kind in KINDS:
        listing = await bench.admin.call("GET", RESOURCES[kind].path(SPACE))
        mine = [each for each in listing["items"] if kind != "ConfigMap" or each["metadata"].get("ownerReferences")]
        found[kind] = mine[0] | {"apiVersion": RESOURCES[kind].api_version, "kind": kind}
    return found


def was_applied(manifest: Object) -> bool:
    return any(each["operation"] == "Apply" for each in manifest["metadata"]["managedFields"])


def made_anew(manifest: Object, name: str) -> Object:
    """As it was sent to the API server, under another name."""
    anew = copy.deepcopy(manifest)
    anew.pop("status", None)
    anew["metadata"] = {key: value for key, value in anew["metadata"].items() if key not in GIVEN} | {"name": name}
    if anew["kind"] == "Service":
        for given in ("clusterIP", "clusterIPs"):
            anew["spec"].pop(given, None)
    if anew["kind"] == "Job":  # what ties pods to a Job is its uid, which the API server sets
        anew["spec"].pop("selector", None)
        template = anew["spec"]["template"]["metadata"]
        template["labels"] = {key: value for key, value in template["labels"].items() if "lowbit.dev" in key}
    return anew


async def cost(bench: Rig, works: Iterable[Awaitable[Any]]) -> tuple[float, list[Any]]:
    """Milliseconds of a core in kube-apiserver for each of these, some at once; and what they returned."""
    pid = bench.server.control_plane.apiserver.pid()
    assert pid is not None
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(work: Awaitable[Any]) -> Any:
        async with slots:
            return await work

    before = seconds_of(pid)
    results = await asyncio.gather(*map(one, works))
    return 1e3 * (seconds_of(pid) - before) / len(results), results


async def by_kind(bench: Rig, seen: dict[str, Object], count: int, run: int) -> dict[str, float]:
    """Each kind made, and its status put, so many times."""
    found: dict[str, float] = {}
    admin = bench.admin
    for kind, example in seen.items():
        resource = RESOURCES[kind]
        copies = [made_anew(example, f"{kind.lower()}-{run}-{number}") for number in range(count)]
        if was_applied(example):
            found[f"an apply of a {kind}"], made = await cost(bench, map(admin.apply, copies))
        else:
            path = resource.path(SPACE)
            found[f"a POST of a {kind}"], made = await cost(bench, (admin.call("POST", path, each) for each in copies))
        if kind in TOLD:
            status = {"status": example["status"]}
            puts = (
                admin.call("PUT", resource.path(SPACE, each["metadata"]["name"], "status"), each | status)
                for each in made
            )
            found[f"a status of a {kind}"], _ = await cost(bench, puts)
    return found


async def by_credential(bench: Rig, clients: dict[str, Admin], count: int, run: int) -> dict[str, float]:
    """Applies of a ConfigMap of 2 KB by each client, in the other order every other time."""
    found = {}
    for name, client in sorted(clients.items(), reverse=run % 2 == 1):
        called = name.rpartition(" ")[2]
        applies = (client.apply(bare(f"{called}-{run}-{number}")) for number in range(5 * count))
        found[f"an apply of 2 KB {name}"], _ = await cost(bench, applies)
    return found


async def services(bench: Rig, example: Object, thousands: int) -> dict[str, float]:
    """Services, a thousand after the other."""
    found = {}
    for thousand in range(thousands):
        copies = (made_anew(example, f"more-{thousand}-{number}") for number in range(THOUSAND))
        spent, _ = await cost(bench, map(bench.admin.apply, copies))
        found[f"a Service beside {thousand * THOUSAND:,} to {(thousand + 1) * THOUSAND:,} others"] = spent
        print(f"Services beside {thousand},000: {spent:.1f} ms", flush=True)
    return found


async def measure(count: int, runs: int, thousands: int) -> list[Figure]:
    """All of it on one API server."""
    samples: defaultdict[str, list[float]] = defaultdict(list)

    def take(found: dict[str, float]) -> None:
        for name, value in found.items():
            samples[name].append(value)
        print({name: round(value, 2) for name, value in found.items()}, flush=True)

    async with rig() as bench:
        seen = await examples(bench)
        token = Admin(bench.server, account(bench.server, "writer"))
        clients = {"by a certificate": bench.admin, "by a token": token}
        try:
            for run in range(runs):
                take(await by_kind(bench, seen, count, run))
                take(await by_credential(bench, clients, count, run))
        finally:
            await token.close()
        take(await services(bench, seen["Service"], thousands))
    return [figure(name, "ms", values) for name, values in samples.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="writes of each kind in a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--services", type=int, default=8, help="thousands of Services, in the end")
    arguments = parser.parse_args()
    with surroundings() as seen:
        found = asyncio.run(measure(arguments.count, arguments.runs, arguments.services))
    write("scale-writes", found, seen, about=(__doc__ or "").strip())


if __name__ == "__main__":
    main()
