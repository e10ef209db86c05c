"""The idle operator: from an apply to the operator's first write, and the memory of an operator that has nothing to do.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.idle [--samples 200] [--real-time]

etcd and kube-apiserver are real, the operator is a process of its own with the settings that it has in a pod. One
QuantizedModel is created, changed and deleted again and again, each step when the operator is at rest. The end is the
arrival of the operator's next write, whatever it is, as the API server's audit log has it. There are three beginnings,
all by the machine's one clock: the apply's arrival at the API server (audit log), its commit (etcd tells a watch of
it), and the end of its answer (audit log). The aim is counted from the commit: what comes before it is the API server's
work. A machine at work adds its own delays, a scheduler's slice at each of about eight hand-overs: --real-time takes
them away.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hack.cluster.apiserver import ApiServer
from tests.api.operator_process import OperatorProcess, model_store, namespace, quantized_model, wait_for
from tests.bench.record import ROOT, Figure, figure, memory_of, surroundings, write

OURS, THE_OPERATORS = "lowbit-bench", "lowbit"
"""User agents."""
SPACE, NAME = "bench", "chat"
REST_SECONDS = 0.3
"""So long no write: the operator is at rest."""
LONGEST_SECONDS = 30.0
REAL_TIME_PRIORITY = 10
PERCENTILES = (50, 90, 99)
LEASE = ("--lease-duration=15", "--lease-renew-deadline=10", "--lease-retry=2")
"""As in a pod."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Write:
    """One request that changed something, by the API server's clock (seconds since the epoch)."""

    agent: str
    what: str
    received: float
    answered: float


class AuditLog:
    """The writes that the API server has answered, as it logs them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def fresh(self) -> list[Write]:
        """Those since the last call."""
        with self._path.open("rb") as stream:
            stream.seek(self._read)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [_write(json.loads(line)) for line in whole.splitlines()]

    def until_rest(self, after_one_of: str | None = None) -> list[Write]:
        """All writes until for a while there was none, where one of this user agent is waited for first."""
        found: list[Write] = []
        last = start = time.monotonic()
        while time.monotonic() - last < REST_SECONDS or not _begun(found, after_one_of):
            if more := self.fresh():
                found += more
                last = time.monotonic()
            if time.monotonic() - start > LONGEST_SECONDS:
                raise RuntimeError("the operator does not begin, or does not come to rest")
            time.sleep(0.02)
        return found


def _begun(writes: Sequence[Write], agent: str | None) -> bool:
    return agent is None or any(each.agent == agent for each in writes)


def _write(event: dict[str, Any]) -> Write:
    reference = event.get("objectRef", {})
    what = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
    received, answered = (_seconds(event[name]) for name in ("requestReceivedTimestamp", "stageTimestamp"))
    return Write(event.get("userAgent", ""), f"{event['verb']} {what}", received, answered)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Commits(threading.Thread):
    """When etcd committed a change of a QuantizedModel, as told to a watch: the times (seconds since the epoch)."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        address = server.address
        self._connection = http.client.HTTPConnection("127.0.0.1", address.etcd_port)
        first, last = (base64.b64encode(f"/registry/lowbit.dev/quantizedmodels{end}".encode()).decode() for end in "/0")
        self._body = json.dumps({"create_request": {"key": first, "range_end": last}})
        self._connection.request("POST", "/v3/watch", self._body)
        self._stream = self._connection.getresponse()
        self._stream.readline()  # the watch is there

    def run(self) -> None:
        while self._stream.readline():
            self.times.append(time.time())

    def first_after(self, moment: float) -> float:
        """The first commit after a time."""
        return wait_for("etcd tells of the commit", lambda: next((t for t in self.times if t > moment), None))


class AuditedApiServer(ApiServer):
    """Writes each change down as it answers it."""

    def start_apiserver(self) -> None:
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        self.audit = AuditLog(self.folder / "audit.log")
        self.control_plane.start_apiserver(
            "--endpoint-reconciler-type=none",
            "--advertise-address=192.0.2.1",
            "--shutdown-delay-duration=0s",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.folder / 'audit.log'}",
        )


class Client:
    """One connection that stays open: a person's apply without kubectl's own start."""

    def __init__(self, server: ApiServer) -> None:
        user = json.loads(server.kubeconfig.read_text())["users"][0]["user"]
        context = ssl.create_default_context(cafile=str(server.control_plane.authority.pair.certificate))
        with tempfile.NamedTemporaryFile() as file:
            pair = (user[f"client-{part}-data"] for part in ("certificate", "key"))
            file.write(b"".join(base64.b64decode(each) for each in pair))
            file.flush()
            context.load_cert_chain(file.name)
        address = server.address
        self._connection = http.client.HTTPSConnection(address.host, address.api_port, context=context)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Server-side apply."""
        self._send("PATCH", "?fieldManager=bench&force=true", manifest, "application/apply-patch+yaml")

    def delete(self) -> None:
        self._send("DELETE", "", None, "application/json")

    def _send(self, method: str, query: str, body: dict[str, Any] | None, content: str) -> None:
        path = f"/apis/lowbit.dev/v1alpha1/namespaces/{SPACE}/quantizedmodels/{NAME}{query}"
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"Content-Type": content, "User-Agent": OURS})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()[:500]}")


@contextmanager
def api_server() -> Iterator[AuditedApiServer]:
    """With Lowbit's kinds, and a namespace with a ModelStore."""
    with AuditedApiServer() as server:
        crds = str(ROOT / "crds")
        server.kubectl("apply", "--server-side", "-f", crds)
        server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds)
        server.kubectl("create", "-f", "-", stdin=json.dumps(namespace(SPACE)))
        yield server


@contextmanager
def operator(server: ApiServer) -> Iterator[OperatorProcess]:
    """It leads and has seen everything."""
    process = OperatorProcess(server, server.folder / "operator.log", "bench", *LEASE)
    try:
        wait_for("the operator is ready", process.ready)
        wait_for("it leads", lambda: process.metric("lowbit_leader") == 1)
        yield process
    finally:
        process.kill()


@dataclass
class Sample:
    """Milliseconds from the apply to the operator's first write."""

    arrival: float
    commit: float
    answer: float
    first: str


@dataclass(frozen=True)
class Bench:
    """Everything that a sample is taken with."""

    audit: AuditLog
    commits: Commits
    client: Client

    def sample(self, manifest: dict[str, Any]) -> Sample:
        """One apply at rest."""
        self.client.apply(manifest)
        writes = self.audit.until_rest(THE_OPERATORS)
        apply = next(each for each in writes if each.agent == OURS)
        first = min((each for each in writes if each.agent == THE_OPERATORS), key=lambda each: each.received)
        committed = self.commits.first_after(apply.received)
        return Sample(
            arrival=(first.received - apply.received) * 1e3,
            commit=(first.received - committed) * 1e3,
            answer=(first.received - apply.answered) * 1e3,
            first=first.what,
        )

    def take(self, count: int) -> dict[str, list[Sample]]:
        """Half of the samples are of an object that is created, half of one whose spec changes."""
        taken: dict[str, list[Sample]] = {"created": [], "changed": []}
        for number in range((count + 1) // 2):
            taken["created"].append(self.sample(model(2 * number)))
            taken["changed"].append(self.sample(model(2 * number + 1)))
            self.client.delete()
            self.audit.until_rest()
        return taken


def model(seed: int) -> dict[str, Any]:
    """A QuantizedModel whose input changes with the seed."""
    manifest = quantized_model(SPACE, NAME)
    manifest["spec"]["calibration"]["seed"] = seed
    return manifest


def figures(taken: dict[str, list[Sample]]) -> list[Figure]:
    """All samples together, then those from the commit apart."""
    every = [each for group in taken.values() for each in group]
    result = [
        figure(f"apply to first write, from the apply's {begin}", "ms", values, PERCENTILES)
        for begin, values in (
            ("commit", [each.commit for each in every]),
            ("arrival", [each.arrival for each in every]),
            ("answer", [each.answer for each in every]),
        )
    ]
    for name, samples in taken.items():
        words = f"apply to first write, from the commit of an object that is {name}"
        result.append(figure(words, "ms", [each.commit for each in samples], PERCENTILES))
    return result


def memory(process: OperatorProcess, name: str) -> list[Figure]:
    """Resident memory now and at its largest, MiB."""
    assert isinstance(process.process, subprocess.Popen)
    pid = process.process.pid
    fields = {"VmRSS": f"resident memory, {name}", "VmHWM": f"largest resident memory, {name}"}
    return [figure(words, "MiB", [memory_of(pid, field) / 1024]) for field, words in fields.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200, help="applies that are measured")
    parser.add_argument("--warm-up", type=int, default=10, help="applies before them that are not")
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="all measured processes come before all others, as on a machine at rest",
    )
    arguments = parser.parse_args()
    if arguments.real_time:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    with surroundings() as seen, api_server() as server, operator(server) as process:
        server.audit.until_rest()
        empty = memory(process, "empty")
        server.kubectl("create", "-f", "-", stdin=json.dumps(model_store(SPACE)))
        bench = Bench(server.audit, Commits(server), Client(server))
        bench.commits.start()
        bench.take(arguments.warm_up)
        taken = bench.take(arguments.samples)
        found = [*figures(taken), *empty, *memory(process, "after all applies")]
    firsts = sorted({f"{name}: {each.first}" for name, group in taken.items() for each in group})
    name = "idle-real-time" if arguments.real_time else "idle"
    write(name, found, seen, about=(__doc__ or "").strip(), setting={"first writes": firsts})


if __name__ == "__main__":
    main()
