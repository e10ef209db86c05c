"""`kubectl lowbit report` against a real API server, by a person who may do little; this test plays the kubelet."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lowbit.cli.main import INTERRUPTED, UNREADABLE, main
from lowbit.naming.names import evaluation_name
from lowbit.naming.store_keys import report_json_key, report_key
from lowbit.report.model import Report
from lowbit.resolve.freeze import candidate_spec
from tests.api.actor import Actor, Kubelet, now
from tests.api.manifests import ROOT
from tests.api.operator_process import Cluster, namespace, quantized_model, wait_for
from tests.unit import desired_inputs, report_inputs

RIGHTS = [
    {"apiGroups": ["lowbit.dev"], "verbs": ["get"],
     "resources": ["quantizedmodels", "modelrevisions", "modelevaluations", "modelstores"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
]  # fmt: skip
API = "lowbit.dev/v1alpha1"


@dataclass
class Desk:
    """A person at a desk, a namespace with a measured model, and the store's files."""

    cluster: Cluster
    kubelet: Kubelet
    space: str
    kubeconfig: Path
    store: Path
    output: Path

    def run(self, *arguments: str) -> tuple[int, str]:
        """The command, while a kubelet runs its Job."""
        out, ended = io.StringIO(), threading.Event()
        player = threading.Thread(target=self.play, args=(ended,), daemon=True)
        player.start()
        try:
            return main(
                ["report", *arguments, "-n", self.space, "--kubeconfig", str(self.kubeconfig)], out
            ), out.getvalue()
        finally:
            ended.set()
            player.join()

    def play(self, ended: threading.Event) -> None:
        """Run every Job's command here, on the store's folder."""
        actor = Actor(self.cluster, self.space)
        seen: set[str] = set()
        while not ended.wait(0.1):
            for job in self.cluster.list("Job", self.space):
                if job["metadata"]["name"] not in seen:
                    seen.add(job["metadata"]["name"])
                    self.finish(actor, job)

    def finish(self, actor: Actor, job: dict[str, Any]) -> None:
        """The Job's pod has run."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        command = [word.replace("/lowbit/store", str(self.store), 1) for word in container["command"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        pod = actor.run(job)
        self.kubelet.logs[self.space, pod, "read"] = done.stdout
        state = {"terminated": {"exitCode": done.returncode, "reason": "Error", "message": done.stderr}}
        status = {"name": "read", "image": "i", "imageID": "i", "ready": False, "restartCount": 0, "state": state}
        phase = "Failed" if done.returncode else "Succeeded"
        self.cluster.patch(
            "Pod", self.space, pod, {"status": {"phase": phase, "containerStatuses": [status]}}, "/status"
        )
        first, last = ("FailureTarget", "Failed") if done.returncode else ("SuccessCriteriaMet", "Complete")
        conditions = [{"type": each, "status": "True", "lastTransitionTime": now()} for each in (first, last)]
        counts = {"failed": 1} if done.returncode else {"succeeded": 1, "completionTime": now()}
        ended = {"active": 0, "ready": 0, "conditions": conditions, **counts}
        self.cluster.patch("Job", self.space, job["metadata"]["name"], {"status": ended}, "/status")


@pytest.fixture
def desk(cluster: Cluster, tmp_path: Path) -> Iterator[Desk]:
    """With a Role that has nothing but what the documentation says."""
    space = "report-desk"
    cluster.apply(namespace(space))
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "reads-reports", "namespace": space}, "rules": RIGHTS}  # fmt: skip
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    cluster.kubectl("-n", space, "create", "rolebinding", "ann", "--role=reads-reports", "--user=ann")
    kubeconfig = cluster.server.control_plane.client(tmp_path / "kubeconfig", "ann", ("people",))
    with Kubelet(cluster) as kubelet:
        made = Desk(cluster, kubelet, space, kubeconfig, tmp_path / "store", tmp_path / "chat.html")
        measured(made)
        yield made
    cluster.kubectl("-n", space, "delete", "rolebinding", "ann")
    cluster.empty(space, "QuantizedModel", "ModelStore", "ModelRevision", "ModelEvaluation", "Job", "Pod")


def measured(desk: Desk) -> None:
    """A model whose report was Failed when it was written, and whose revision is Passed now."""
    frozen = desired_inputs.revision_spec()
    asked = candidate_spec(frozen, desired_inputs.ARTIFACT)
    evaluation = evaluation_name(asked)
    data = report_inputs.report().model_dump_json(by_alias=True).encode()
    for key, content in ((report_json_key(evaluation), data), (report_key(evaluation), b"<p>page</p>")):
        path = desk.store / "lowbit/store" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    passed = report_inputs.record("Passed", report_inputs.check(), message="KLDivergence 0.0312 is at most 0.05")
    put(desk, "ModelStore", "default", desired_inputs.PVC.wire(), {})
    model = quantized_model(desk.space, "chat")
    summary = {"name": "chat-1", "candidate": 0, "recipe": "gptq-int4-g128"}
    put(desk, "QuantizedModel", "chat", model["spec"], {"candidate": summary})
    revision = frozen.wire() | {"storeRef": "default"}
    put(desk, "ModelRevision", "chat-1", revision, {"evaluation": evaluation, "verdict": passed.wire()})
    digests = {
        "reportDigest": digest(b"<p>page</p>"),
        "reportJsonDigest": digest(data),
        "reportPath": report_key(evaluation),
    }
    put(desk, "ModelEvaluation", evaluation, asked.wire(), {"phase": "Complete", "summary": {"speed": [], **digests}})


def put(desk: Desk, kind: str, name: str, spec: Any, status: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": desk.space}
    desk.cluster.apply({"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec})
    if status:
        desk.cluster.patch(kind, desk.space, name, {"status": status}, "/status")


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def no_job_is_left(desk: Desk) -> None:
    wait_for("no Job is left", lambda: not desk.cluster.list("Job", desk.space))


def test_a_report_comes_from_a_claim_with_the_verdict_of_now_and_leaves_nothing(desk: Desk) -> None:
    code, said = desk.run("chat", "-o", str(desk.output))
    assert code == 0, said
    page = desk.output.read_text()
    assert "KLDivergence 0.0312 is at most 0.05" in page
    assert "The ModelRevision" in page
    no_job_is_left(desk)
    code, said = desk.run("chat-1", "--format", "json")
    assert code == 0, said
    judgement = Report.model_validate_json(said).judgement
    assert judgement is not None
    assert (judgement.by, judgement.record.verdict) == ("Operator", "Passed")
    no_job_is_left(desk)


def test_a_file_that_somebody_has_changed_or_removed_is_not_shown(desk: Desk) -> None:
    path = next(desk.store.rglob("report.json"))
    path.write_bytes(path.read_bytes().replace(b"Failed", b"Passed"))
    code, said = desk.run("chat", "-o", str(desk.output))
    assert code == UNREADABLE
    assert "somebody else has written to the store" in said
    path.unlink()
    code, said = desk.run("chat", "-o", str(desk.output))
    assert code == UNREADABLE
    assert "the store has no file" in said
    assert not desk.output.exists()
    no_job_is_left(desk)


def test_what_an_older_lowbit_has_measured_is_its_page_alone(desk: Desk) -> None:
    (evaluation,) = desk.cluster.list("ModelEvaluation", desk.space)
    patch = {"status": {"summary": {"reportJsonDigest": None}}}
    desk.cluster.patch("ModelEvaluation", desk.space, evaluation["metadata"]["name"], patch, "/status")
    code, said = desk.run("chat", "-o", str(desk.output))
    assert code == 0, said
    assert desk.output.read_text() == "<p>page</p>"
    code, said = desk.run("chat", "--format", "text")
    assert code == UNREADABLE and "an older Lowbit" in said
    no_job_is_left(desk)


def test_ctrl_c_leaves_no_job(desk: Desk) -> None:
    arguments = ["report", "chat", "-n", desk.space, "--kubeconfig", str(desk.kubeconfig), "-o", str(desk.output)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "operator")}
    # A shell starts what runs in the background with SIGINT ignored, and the tests may run there.
    heard = ["env", "--default-signal=INT", sys.executable, "-m", "lowbit.cli.main"]
    command = subprocess.Popen([*heard, *arguments], env=environment)
    wait_for("the Job is there", lambda: desk.cluster.list("Job", desk.space))
    command.send_signal(signal.SIGINT)
    assert command.wait(timeout=300) == INTERRUPTED
    assert not desk.output.exists()
    no_job_is_left(desk)


def test_what_is_not_there_is_told(desk: Desk) -> None:
    code, said = desk.run("chatt")
    assert code == UNREADABLE and "neither a QuantizedModel nor a ModelRevision chatt" in said
    desk.cluster.patch("ModelRevision", desk.space, "chat-1", {"status": {"evaluation": None}}, "/status")
    code, said = desk.run("chat")
    assert code == UNREADABLE and "no measured revision yet" in said
    desk.cluster.kubectl("-n", desk.space, "delete", "rolebinding", "ann")
    code, said = desk.run("chat")
    assert code == UNREADABLE and "ann" in said and "forbidden" in said
    desk.cluster.kubectl("-n", desk.space, "create", "rolebinding", "ann", "--role=reads-reports", "--user=ann")
