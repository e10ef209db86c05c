"""`lowbit report`: from a file, and through a Job that is deleted whatever happens."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.server
import io
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lowbit.api.modelstore import S3Store
from lowbit.api.pods import JobOptions
from lowbit.cli import bucket, through_job
from lowbit.cli.locate import NoReportError
from lowbit.cli.main import UNREADABLE, main
from lowbit.desired.jobs.read_file import read_file_job
from lowbit.kube.errors import NotFound, Unavailable
from tests.unit import desired_inputs, report_inputs
from tests.unit.pod_security import violations

KEY = "evaluations/eval-1/report.json"


def packed(data: bytes) -> str:
    return base64.encodebytes(gzip.compress(data)).decode()


def job(store: str = "pvc") -> dict[str, Any]:
    context = desired_inputs.context(desired_inputs.STORES[store])
    return read_file_job(context, "eval-1-report-abc", KEY, "operator:1", JobOptions())


class Cluster:
    """A cluster with one Job, which is complete at the second look."""

    def __init__(self, log: str = "", condition: str = "Complete", pod: Mapping[str, Any] | None = None) -> None:
        self.log, self.condition, self.pod = log, condition, pod or {}
        self.looks = 0
        self.deleted: list[str] = []
        self.away = False

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        return {"metadata": dict(manifest["metadata"]) | {"uid": "1"}}

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        self.looks += 1
        if self.away:
            raise Unavailable(0, "NoAnswer", "the API server is away")
        done = [{"type": self.condition, "status": "True"}] if self.looks > 1 else []
        return {"status": {"conditions": done}}

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> dict[str, Any]:
        self.deleted.append(f"{kind} {namespace}/{name} {uid}")
        if self.away:
            raise NotFound(404, "NotFound", "gone")
        return {}

    async def pods_of_job(self, namespace: str, job: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": f"{job}-x"}, "status": self.pod}]

    async def pod_log(self, namespace: str, pod: str, container: str, lines: int, limit_bytes: int) -> str:
        assert (pod, container) == ("eval-1-report-abc-x", "read")
        return self.log


DELETED = ["Job models/eval-1-report-abc 1"]


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


async def test_the_log_carries_the_file_and_the_job_is_deleted() -> None:
    cluster = Cluster(packed(b'{"a": 1}' * 5000))
    assert await through_job.fetch(cluster, job(), print, no_pause) == b'{"a": 1}' * 5000
    assert cluster.deleted == DELETED


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"state": state}]}


MISSING = container(terminated={"reason": "Error", "message": "the store has no file /lowbit/store/x\n"})
PULLING = container(waiting={"reason": "ImagePullBackOff"})
NO_NODE = {"conditions": [{"status": "False", "message": "0/3 nodes are available"}]}


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (Cluster(condition="Failed", pod=MISSING), "Error: the store has no file"),
        (Cluster(condition="Failed", pod=PULLING), "ImagePullBackOff"),
        (Cluster(condition="Nothing", pod=NO_NODE), "0/3 nodes are available"),
        (Cluster("not base64 at all!"), "no whole file"),
        (Cluster(packed(b"x" * 1000)[:20]), "no whole file"),
    ],
)
async def test_a_job_that_gives_no_file_is_told_with_its_reason_and_deleted(cluster: Cluster, said: str) -> None:
    with pytest.raises(NoReportError, match=said):
        await through_job.fetch(cluster, job(), lambda _: None, no_pause)
    assert cluster.deleted == DELETED


async def test_ctrl_c_deletes_the_job() -> None:
    cluster, waiting = Cluster(condition="Nothing"), asyncio.Event()

    async def pause(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(through_job.fetch(cluster, job(), lambda _: None, pause))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.deleted == DELETED


class SlowToMake(Cluster):
    """Takes the Job, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(condition="Nothing")
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.set()
        await self.answers.wait()
        return await super().create(manifest)


async def test_ctrl_c_while_the_job_is_being_made_deletes_it_too() -> None:
    cluster = SlowToMake()
    task = asyncio.create_task(through_job.fetch(cluster, job(), lambda _: None, no_pause))
    await cluster.asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    cluster.answers.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.deleted == DELETED


async def test_an_api_server_that_goes_away_is_what_is_told() -> None:
    cluster = Cluster()
    cluster.away = True
    with pytest.raises(Unavailable, match="away"):
        await through_job.fetch(cluster, job(), lambda _: None, no_pause)
    assert cluster.deleted == DELETED


@pytest.mark.parametrize("store", ["pvc", "s3"])
def test_the_job_reads_only_and_expires(store: str) -> None:
    made = job(store)
    spec, pod = made["spec"], made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert list(violations(pod)) == []
    assert pod["automountServiceAccountToken"] is False
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (0, 300, 300)
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] != "lowbit", "the operator does not watch it"
    assert "ownerReferences" not in made["metadata"]
    own = {"/lowbit/scratch", "/tmp"}
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["mountPath"] not in own)
    assert container["resources"]["limits"]["memory"] == "512Mi"
    last = container["command"][-1 if store == "pvc" else 4]
    assert last == f"/lowbit/store/lowbit/store/{KEY}" if store == "pvc" else last == f"models/{KEY}"


def test_the_command_in_the_job_prints_a_file_and_names_one_that_is_missing(tmp_path: Path) -> None:
    command = job()["spec"]["template"]["spec"]["containers"][0]["command"]
    (tmp_path / "report.json").write_bytes(b"{}" * 70_000)
    done = subprocess.run([*command[:-1], str(tmp_path / "report.json")], capture_output=True, text=True, check=True)
    assert through_job.unpack(done.stdout) == b"{}" * 70_000
    gone = subprocess.run([*command[:-1], str(tmp_path / "x")], capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stdout) == (66, "")
    assert "the store has no file" in gone.stderr


class Objects(http.server.BaseHTTPRequestHandler):
    """A bucket with one object, for whoever signs with the key AKID."""

    def do_GET(self) -> None:
        found = self.path == f"/models/models/{KEY}" and "Credential=AKID/" in self.headers.get("Authorization", "")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", "6" if found else "0")
        self.end_headers()
        if found:
            self.wfile.write(b'{"a":1')

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def test_the_command_in_the_job_prints_an_object_of_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "accessKeyId").write_text("AKID\n")
    (tmp_path / "secretAccessKey").write_text("secret")
    program, *words = job("s3")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert (program, words[-1]) == ("python3", "/lowbit/secrets/s3")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Objects) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = [*words[:4], f"http://127.0.0.1:{server.server_address[1]}", words[5], str(tmp_path)]
        done = subprocess.run([sys.executable, *there], capture_output=True, text=True, check=True)
        server.shutdown()
    assert through_job.unpack(done.stdout) == b'{"a":1'


class Bucket:
    """A client of a bucket with one object."""

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto's names
        if (Bucket, Key) != ("models", f"p/team/{KEY}"):
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        return {"Body": io.BytesIO(b"{}")}


def test_a_bucket_is_read_below_the_namespaces_own_prefix() -> None:
    store = S3Store(bucket="models", prefix="p")
    assert bucket.read(store, "team", KEY, Bucket()) == b"{}"
    with pytest.raises(NoReportError, match=r"s3://models/p/other/.*cannot be read with your credentials"):
        bucket.read(store, "other", KEY, Bucket())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chat.json"
    path.write_text(report_inputs.report().model_dump_json(by_alias=True))
    return path


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["report", *arguments], out), out.getvalue()


def test_a_file_is_rendered_without_a_cluster(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(str(file)) == (0, "chat.html is written\n")
    assert (tmp_path / "chat.html").read_text().startswith("<!doctype html>")
    code, shown = run(str(file), "--format", "text")
    assert code == 0 and "FAILED: Specificity" in shown
    assert json.loads(run(str(file), "--format", "json")[1]) == json.loads(file.read_text())
    assert run(str(file), "-o", str(tmp_path / "page.txt"))[0] == 0
    assert "FAILED" in (tmp_path / "page.txt").read_text()


def test_a_place_that_cannot_be_written_to_is_told(file: Path, tmp_path: Path) -> None:
    code, said = run(str(file), "-o", str(tmp_path / "none" / "page.html"))
    assert code == UNREADABLE
    assert f"{tmp_path}/none/page.html: No such file or directory" in said


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"version": "new"}')
    code, said = run(str(tmp_path / "x.json"))
    assert code == UNREADABLE and "is no report.json that this Lowbit reads" in said
    code, said = run(str(tmp_path / "y.json"))
    assert code == UNREADABLE and "cannot be read: No such file" in said
