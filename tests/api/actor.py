"""Plays Jobs, pods and Deployments on an API server that has neither controllers nor nodes."""

from __future__ import annotations

import http.server
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from lowbit.api.termination import TerminationMessage
from tests.api.calls import CallError
from tests.api.operator_process import Cluster, wait_for
from tests.unit.world import World

T = TypeVar("T")
NODE = "node-1"
WORKER = "worker"


class Actor:
    """Ends Jobs with the results that workers would leave behind, and rolls Deployments out, in some namespaces."""

    def __init__(self, cluster: Cluster, *spaces: str) -> None:
        self._cluster = cluster
        self._spaces = spaces
        self.world = World()
        """Whose `kl` says what is measured."""
        self.held: Callable[[str], bool] = lambda job: False
        """Jobs that are let run on."""

    def until(self, what: str, condition: Callable[[], T | bool | None]) -> T:
        """Act until a condition gives something true, and return it."""

        def acted() -> T | bool | None:
            self.act()
            return condition()

        return wait_for(what, acted)

    def act(self) -> None:
        """End every Job that is not held, and roll every Deployment out."""
        for space in self._spaces:
            for job in self._cluster.list("Job", space):
                if not job["status"].get("conditions") and not self.held(job["metadata"]["name"]):
                    with unless_gone():
                        self.finish(job)
            for deployment in self._cluster.list("Deployment", space):
                if deployment["status"].get("observedGeneration") != deployment["metadata"]["generation"]:
                    with unless_gone():
                        self.roll_out(deployment)

    def run(self, job: dict[str, Any]) -> str:
        """The Job's pod runs on the node. Its name."""
        space, name = job["metadata"]["namespace"], job["metadata"]["name"]
        template = job["spec"]["template"]
        labels = template["metadata"]["labels"] | {"batch.kubernetes.io/job-name": name}
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": name,
            "uid": job["metadata"]["uid"],
            "controller": True,
        }
        metadata = {"name": f"{name}-0", "namespace": space, "labels": labels, "ownerReferences": [owner]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] | {"nodeName": NODE}}
        self._cluster.apply(pod)
        self._pod_status(space, metadata["name"], "Running", {"running": {"startedAt": now()}})
        known = self._cluster.get("Job", space, name) or job
        self._job_status(job, {"startTime": known["status"].get("startTime") or now(), "active": 1, "ready": 1})
        return f"{name}-0"

    def finish(self, job: dict[str, Any], message: TerminationMessage | None = None, code: int = 0) -> None:
        """The Job's pod has ended; with the result that its stage would have, where nothing else is said."""
        name, stage = job["metadata"]["name"], job["metadata"]["labels"]["lowbit.dev/stage"]
        text = (message or self.world.result(stage, name, job)).model_dump_json(by_alias=True, exclude_none=True)
        pod = self.run(job)
        ended = {"exitCode": code, "message": text, "startedAt": now(), "finishedAt": now()}
        phase = "Failed" if code else "Succeeded"
        self._pod_status(job["metadata"]["namespace"], pod, phase, {"terminated": ended})
        first, last = ("FailureTarget", "Failed") if code else ("SuccessCriteriaMet", "Complete")
        conditions = [{"type": each, "status": "True", "lastTransitionTime": now()} for each in (first, last)]
        counts = {"failed": 1} if code else {"succeeded": 1, "completionTime": now()}
        self._job_status(job, {"conditions": conditions, "active": 0, "ready": 0, **counts})

    def roll_out(self, deployment: dict[str, Any]) -> None:
        """Every pod of the Deployment is new and ready."""
        metadata, count = deployment["metadata"], deployment["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
        status = counts | {"observedGeneration": metadata["generation"]}
        self._cluster.patch("Deployment", metadata["namespace"], metadata["name"], {"status": status}, "/status")

    def _pod_status(self, space: str, name: str, phase: str, state: dict[str, Any]) -> None:
        containers = [
            {
                "name": each,
                "image": "image",
                "imageID": f"{each}@sha256:1",
                "ready": False,
                "restartCount": 0,
                "state": state,
            }
            for each in (WORKER, "engine")
        ]
        status = {"phase": phase, "containerStatuses": containers}
        self._cluster.patch("Pod", space, name, {"status": status}, "/status")

    def _job_status(self, job: dict[str, Any], status: dict[str, Any]) -> None:
        metadata = job["metadata"]
        self._cluster.patch("Job", metadata["namespace"], metadata["name"], {"status": status}, "/status")


@contextmanager
def unless_gone() -> Iterator[None]:
    """The operator may delete what is being acted on."""
    try:
        yield
    except CallError as error:
        if error.status != 404:
            raise


class Kubelet:
    """The node's kubelet, of which nothing is there but the logs of containers."""

    def __init__(self, cluster: Cluster) -> None:
        self.logs: dict[tuple[str, str, str], str] = {}
        """By namespace, pod, container."""
        self.asked: list[str] = []
        """Every address that was asked for."""
        self._cluster = cluster
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        authority = cluster.server.control_plane.authority
        pair = authority.sign("kubelet", user=f"system:node:{NODE}", hosts=("127.0.0.1",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Kubelet:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        self._cluster.apply(node)
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_address[1]}},
        }
        path = self._cluster.path("Node", None, NODE)
        self._cluster.client("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        kubelet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kubelet.asked.append(self.path)
                _, space, pod, container = Path(urllib.parse.urlparse(self.path).path).parts[1:]
                text = kubelet.logs.get((space, pod, container))
                self.send_response(404 if text is None else 200)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
