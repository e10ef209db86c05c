"""An API server, an actor, operators, and a watch that knows when everything happened."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from hack.cluster.apiserver import ApiServer
from lowbit.api.base import API_VERSION
from lowbit.kube.resources import RESOURCES
from tests.api.calls import CallError
from tests.api.installation import Installation
from tests.api.operator_process import OperatorProcess, model_store, namespace
from tests.bench.record import ROOT, TICKS, memory_of
from tests.bench.scale.actor import start
from tests.faults.client import Admin
from tests.unit.world import spec as model_spec

SPACE = "bench"
LEASE = ("--lease-duration=15", "--lease-renew-deadline=10", "--lease-retry=2")
"""As in a pod."""
AT_ONCE = 16
"""Applies that are on their way at the same time."""
BARE = 2000
"""Applies by which the machine's speed is taken."""
LONGEST = 3600.0
PROGRESS = 30.0
"""Seconds between two words on how far a wave is."""
QUIET = 3.0
"""Seconds with less than a tenth of a core after which the operator is at rest."""
WRITES = ("create", "update", "patch", "delete")
Object = dict[str, Any]


@dataclass
class Watch:
    """What the API server tells of some kinds, with the time at which it was told (time.monotonic)."""

    admin: Admin
    ready: dict[str, float] = field(default_factory=dict)
    """When each QuantizedModel was first Ready."""
    listeners: list[Callable[[str, str, Object, float], None]] = field(default_factory=list)
    """Told of each event: its type, the kind, the object, the time."""
    counts: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, *kinds: str) -> None:
        """Watch from now on."""
        for kind in kinds:
            listing = await self.admin.call("GET", RESOURCES[kind].path(None) + "?limit=1")
            self._tasks.append(asyncio.create_task(self._follow(kind, listing["metadata"]["resourceVersion"])))

    async def stop(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _follow(self, kind: str, version: str) -> None:
        while True:
            async for event in self.admin.watch(kind, version):
                if event["type"] == "ERROR":
                    raise RuntimeError(f"the watch of {kind} has ended: {event['object']}")
                version = event["object"]["metadata"]["resourceVersion"]
                self._take(event["type"], kind, event["object"], time.monotonic())

    def _take(self, type_: str, kind: str, manifest: Object, moment: float) -> None:
        self.counts[f"{type_} {kind}"] += 1
        if kind == "QuantizedModel" and is_ready(manifest):
            self.ready.setdefault(manifest["metadata"]["name"], moment)
            self.changed.set()
        for listener in self.listeners:
            listener(type_, kind, manifest, moment)

    async def until(self, what: str, condition: Callable[[], bool], longest: float = LONGEST) -> None:
        """Wait until something is so; looked at when a QuantizedModel becomes Ready, and every now and then."""
        deadline = time.monotonic() + longest
        while not condition():
            for task in self._tasks:
                if task.done():
                    task.result()
            if time.monotonic() > deadline:
                raise RuntimeError(f"never came true: {what}")
            self.changed.clear()
            try:
                async with asyncio.timeout(0.2):
                    await self.changed.wait()
            except TimeoutError:
                continue


@dataclass
class Rig:
    """Everything that a figure is taken with."""

    server: ApiServer
    admin: Admin
    actor: Any
    account: Installation
    """Whose account operators have: its rights and a token, as in a pod."""
    count: int = 0
    """QuantizedModels so far."""
    operators: int = 0
    applied: float = 0.0
    """Seconds that the applies of the last wave took."""
    latest: OperatorProcess | None = None
    """The operator that was started last."""
    half: float = 0.0
    """Seconds until half of the last wave was Ready."""

    async def wave(self, watch: Watch, count: int) -> float:
        """Apply so many QuantizedModels. Seconds from the first apply until the last of them is Ready."""
        names = [name_of(number) for number in range(self.count, self.count + count)]
        self.count += count
        waiting = iter(names)
        began = time.monotonic()

        async def apply() -> None:
            for name in waiting:
                await self.admin.apply(model(name))

        await asyncio.gather(*(apply() for _ in range(AT_ONCE)))
        self.applied = time.monotonic() - began
        wanted = set(names)
        say = self._progress(watch, began, count)
        await watch.until("all are Ready", lambda: self.alive() and say() and wanted <= watch.ready.keys())
        moments = sorted(watch.ready[name] for name in names)
        self.half = moments[count // 2] - began
        return moments[-1] - began

    async def speed(self) -> float:
        """Server-side applies per second of new 2 KB ConfigMaps that nobody watches: the machine's speed now. Once."""
        waiting = iter(range(BARE))
        began = time.monotonic()

        async def apply() -> None:
            for number in waiting:
                await self.admin.apply(bare(f"bare-{number}"))

        await asyncio.gather(*(apply() for _ in range(AT_ONCE)))
        return BARE / (time.monotonic() - began)

    def _progress(self, watch: Watch, began: float, count: int) -> Callable[[], bool]:
        """Print every 30 s how far the wave is, and the core seconds that each part has used. Always true."""
        before, told = len(watch.ready), began

        def say() -> bool:
            nonlocal told
            if (now := time.monotonic()) - told >= PROGRESS:
                told = now
                used = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.processor().items())
                print(f"{now - began:4.0f} s: {len(watch.ready) - before:,} of {count:,} are Ready; {used}", flush=True)
            return True

        return say

    def alive(self) -> bool:
        """Raises when the actor has ended: nothing would ever come true."""
        if not self.actor.is_alive():
            raise RuntimeError("the actor has ended")
        return True

    @contextmanager
    def operator(self, *arguments: str, identity: str | None = None, tree: Path = ROOT) -> Iterator[OperatorProcess]:
        """An operator process, just started, from a checkout. It releases its Lease at the end unless it was killed."""
        self.operators += 1
        name = identity or f"operator-{self.operators}"
        process = OperatorProcess(
            self.server,
            self.server.folder / f"{name}.log",
            name,
            *LEASE,
            "--log-level=WARNING",
            f"--kubeconfig={self.account.kubeconfig()}",
            f"--lease-namespace={self.account.namespace}",
            f"--lease-name={self.account.name}",
            *arguments,
            tree=tree,
        )
        self.latest = process
        try:
            yield process
            if process.process.poll() is None:
                process.terminate()
        finally:
            process.kill()

    def processor(self) -> dict[str, float]:
        """Seconds of a core that each process has used."""
        plane = self.server.control_plane
        pids = {"kube-apiserver": plane.apiserver.pid(), "etcd": plane.etcd.pid(), "actor": self.actor.pid}
        pids["bench"] = os.getpid()
        if self.latest is not None:
            pids["operator"] = pid_of(self.latest)
        return {name: seconds_of(pid) for name, pid in pids.items() if pid}


@asynccontextmanager
async def rig(*, runs: bool = False, arguments: tuple[str, ...] = ()) -> AsyncIterator[Rig]:
    """One API server with Lowbit's kinds and a ModelStore, and an actor. arguments: more flags of kube-apiserver."""
    with ApiServer(arguments=("--etcd-compaction-interval=60s", *arguments)) as server:
        crds = str(ROOT / "crds")
        server.kubectl("apply", "--server-side", "-f", crds)
        server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds)
        server.kubectl("create", "-f", "-", stdin=json.dumps(namespace(SPACE)))
        server.kubectl("create", "-f", "-", stdin=json.dumps(model_store(SPACE)))
        account = Installation(server, server.folder / "account", "lowbit")
        account.install()
        actor = start(server, runs=runs)
        admin = Admin(server)
        try:
            yield Rig(server, admin, actor, account)
        finally:
            actor.kill()
            await admin.close()


@asynccontextmanager
async def watching(rig: Rig, *kinds: str) -> AsyncIterator[Watch]:
    """A watch of these kinds, from now on."""
    watch = Watch(rig.admin)
    await watch.start(*kinds)
    try:
        yield watch
    finally:
        await watch.stop()


def name_of(number: int) -> str:
    return f"model-{number:05}"


def model(name: str, **serving: Any) -> Object:
    """A QuantizedModel that is served by one pod."""
    metadata = {"name": name, "namespace": SPACE}
    spec = model_spec(serving={"replicas": 1} | serving)
    return {"apiVersion": API_VERSION, "kind": "QuantizedModel", "metadata": metadata, "spec": spec}


def bare(name: str) -> Object:
    """A ConfigMap of 2 KB that nobody watches."""
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"bare": "x" * 2000}}


def is_ready(manifest: Object) -> bool:
    conditions = manifest.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def ask(read: Callable[..., Any], *words: Any, **more: Any) -> Any:
    """A blocking question to an operator, without holding the watch up."""
    return await asyncio.to_thread(read, *words, **more)


async def eventually(condition: Callable[[], bool], every: float = 0.1) -> None:
    """Wait until a blocking question is answered with yes."""
    deadline = time.monotonic() + LONGEST
    while not await ask(condition):
        if time.monotonic() > deadline:
            raise RuntimeError("it never came true")
        await asyncio.sleep(every)


async def until_ready(operator: OperatorProcess, bench: Rig) -> None:
    """Wait until the operator says that it is ready, and leads. /metrics is not asked: it takes its time."""
    await eventually(operator.ready)
    await until_leading(operator, bench)


async def until_leading(operator: OperatorProcess, bench: Rig) -> None:
    """Wait until it holds the Lease."""
    held = RESOURCES["Lease"].path(bench.account.namespace, bench.account.name)
    while True:
        try:
            lease = await bench.admin.call("GET", held)
        except CallError:
            lease = {}
        if lease.get("spec", {}).get("holderIdentity") == operator.log.stem:
            return
        await asyncio.sleep(0.05)


async def until_rest(operator: OperatorProcess) -> None:
    """Wait until next to nothing of a core is used for a while."""
    used, calm = seconds_of(pid_of(operator)), 0.0
    while calm < QUIET:
        await asyncio.sleep(0.5)
        now = seconds_of(pid_of(operator))
        calm = calm + 0.5 if now - used <= 0.05 else 0.0
        used = now


def calls(operator: OperatorProcess) -> dict[str, float]:
    """Calls to the API server so far by "verb resource", of whatever outcome; the Lease's left out."""
    found: defaultdict[str, float] = defaultdict(float)
    for series, value in operator.series("lowbit_api_calls_total"):
        labels = dict(part.split("=", 1) for part in series.partition("{")[2].rstrip("}").split(","))
        verb, resource = labels["verb"].strip('"'), labels["resource"].strip('"')
        if resource != "leases":
            found[f"{verb} {resource}"] += value
    return dict(found)


def reconciles(operator: OperatorProcess) -> float:
    """Turns of the queue so far."""
    return sum(value for _, value in operator.series("lowbit_reconciles_total"))


def written(counts: dict[str, float]) -> float:
    """Writes among the calls."""
    return sum(value for name, value in counts.items() if name.split()[0] in WRITES)


def got(counts: dict[str, float]) -> float:
    """GETs of single objects among the calls, without logs and discovery."""
    apart = ("get pods/log", "get discovery")
    return sum(value for name, value in counts.items() if name.startswith("get ") and name not in apart)


def pid_of(operator: OperatorProcess) -> int:
    assert isinstance(operator.process, Popen)
    return operator.process.pid


def resident(operator: OperatorProcess) -> float:
    """Resident memory now, MiB."""
    return memory_of(pid_of(operator), "VmRSS") / 1024


def largest(operator: OperatorProcess) -> float:
    """The most that it has had so far, MiB."""
    return memory_of(pid_of(operator), "VmHWM") / 1024


def seconds_of(pid: int) -> float:
    """Processor seconds of a process and of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
