"""What went wrong is called by its name, and only what may pass is tried again."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.documents import EXIT_CRASHED, EXIT_LATER, EXIT_REFUSED
from lowbit.api.references import HuggingFaceLocation, S3Location
from lowbit.api.termination import Refusal
from lowbit.worker import s3client
from lowbit.worker.__main__ import outcome
from lowbit.worker.errors import EXIT_FAILED
from lowbit.worker.errors.servers import retry_after
from lowbit.worker.refuse import LaterError, RefusalError
from lowbit.worker.sources.hub import HubOrigin
from lowbit.worker.sources.s3 import S3Origin, client_of
from lowbit.worker.store.s3 import S3Store
from tests.unit.fake_hub import COMMIT, REPO, FakeHub

NOW = 1_800_000_000.0


def end(error: BaseException) -> tuple[int, Refusal]:
    """How a worker ends by the error."""

    def work() -> Any:
        raise error

    code, message = outcome(work)
    assert message.refusal is not None
    return code, message.refusal


def of_errno(number: int, path: str | None = "/lowbit/volumes/models/small/config.json") -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (errno.ENOSPC, EXIT_LATER, "NoSpace"),
        (errno.EDQUOT, EXIT_LATER, "NoSpace"),
        (errno.EIO, EXIT_LATER, "VolumeFailed"),
        (errno.ESTALE, EXIT_LATER, "VolumeFailed"),
        (errno.ENODEV, EXIT_LATER, "VolumeFailed"),
        (errno.ETIMEDOUT, EXIT_LATER, "VolumeFailed"),
        (errno.EMFILE, EXIT_LATER, "NodeExhausted"),
        (errno.ENOMEM, EXIT_LATER, "NodeExhausted"),
        (errno.EACCES, EXIT_REFUSED, "NotPermitted"),
        (errno.EPERM, EXIT_REFUSED, "NotPermitted"),
        (errno.EROFS, EXIT_REFUSED, "VolumeReadOnly"),
        (errno.ENAMETOOLONG, EXIT_REFUSED, "BadPath"),
        (errno.ELOOP, EXIT_REFUSED, "BadPath"),
        (errno.EXDEV, EXIT_REFUSED, "SystemCallFailed"),
        (errno.ENOENT, EXIT_FAILED, "FileMissing"),
    ],
)
def test_an_error_of_a_file_is_named_and_only_what_may_pass_is_tried_again(number: int, code: int, reason: str) -> None:
    found, refusal = end(of_errno(number))
    assert (found, refusal.reason) == (code, reason)
    if reason != "NoSpace":
        assert "small/config.json of claim models" in refusal.message
        assert errno.errorcode[number] in refusal.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (of_errno(errno.ECONNREFUSED, None), "Unreachable"),
        (of_errno(errno.EHOSTUNREACH, None), "Unreachable"),
        (TimeoutError("timed out"), "Unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "NameNotResolved"),
        (ssl.SSLCertVerificationError("certificate verify failed: unable to get local issuer"), "CertificateRefused"),
    ],
)
def test_a_server_that_does_not_answer_is_tried_again_under_its_own_name(error: OSError, reason: str) -> None:
    code, refusal = end(error)
    assert (code, refusal.reason) == (EXIT_LATER, reason)


@pytest.mark.parametrize("error", [KeyError("digest"), TypeError("no"), ValueError("no"), RuntimeError("no")])
def test_a_crash_of_our_own_code_is_called_a_bug_says_where_and_is_not_tried_again(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    code, refusal = end(error)
    assert (code, refusal.reason) == (EXIT_CRASHED, "WorkerCrashed")
    assert "which is a bug" in refusal.message
    assert type(error).__name__ in refusal.message
    assert "test_worker_errors.py:" in refusal.message and "in work" in refusal.message
    assert "not tried again" in refusal.action
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_in_the_handling_of_an_outage_is_a_bug() -> None:
    empty: dict[str, Any] = {}

    def work() -> Any:
        try:
            socket.create_connection(("127.0.0.1", 1), timeout=5)
        except ConnectionRefusedError:
            return empty["nothing"]

    code, message = outcome(work)
    assert code == EXIT_CRASHED
    assert message.refusal is not None and message.refusal.reason == "WorkerCrashed"


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


def test_a_gpu_without_room_asks_for_no_more_memory_of_the_job() -> None:
    code, refusal = end(OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert (code, refusal.reason) == (EXIT_REFUSED, "OutOfGPUMemory")
    assert "GPU with more memory" in refusal.action


def test_a_gpu_that_fails_is_tried_again() -> None:
    code, refusal = end(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert (code, refusal.reason) == (EXIT_LATER, "DeviceFailed")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"Retry-After": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({}, None),
    ],
)
def test_what_a_server_asks_to_wait_is_understood_in_each_of_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with FakeHub(folder) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def origin(tmp_path: Path) -> HubOrigin:
    return HubOrigin(HuggingFaceLocation(repo=REPO, revision=COMMIT), tmp_path)


HUB = [
    (429, "Throttled", LaterError), (500, "ServerFailed", LaterError), (502, "ServerFailed", LaterError),
    (503, "ServerFailed", LaterError), (504, "ServerFailed", LaterError), (408, "ServerFailed", LaterError),
    (501, "HubRefused", RefusalError), (400, "HubRefused", RefusalError), (451, "HubRefused", RefusalError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "reason", "kind"), HUB)
def test_a_hub_that_is_busy_is_asked_again_later_as_it_asks_and_one_that_refuses_is_not(
    hub: FakeHub, tmp_path: Path, status: int, reason: str, kind: type[RefusalError]
) -> None:
    hub.refusing = status, {"Retry-After": "300"}
    with pytest.raises(RefusalError) as error:
        origin(tmp_path).files()
    assert type(error.value) is kind
    refusal = error.value.refusal
    assert refusal.reason == reason
    assert str(status) in refusal.message and REPO in refusal.message and hub.url in refusal.message
    assert refusal.retry_after == (300 if kind is LaterError else None)


def test_a_download_does_not_sleep_as_long_as_the_hub_asks_but_leaves_that_to_the_operator(
    hub: FakeHub, tmp_path: Path
) -> None:
    place = origin(tmp_path)
    (file,) = place.files()
    hub.refusing = 429, {"Retry-After": "3600"}
    with pytest.raises(LaterError) as error:
        place.fetch(file, tmp_path / "config.json", lambda _: None)
    assert (error.value.refusal.reason, error.value.refusal.retry_after) == ("Throttled", 3600)


def test_a_page_in_place_of_the_hubs_answer_is_tried_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.refusing = 200, {}
    hub.page = b"<html>sign in</html>"
    with pytest.raises(LaterError) as error:
        origin(tmp_path).files()
    assert error.value.refusal.reason == "ServerFailed"


def test_a_hub_that_nobody_answers_for_is_unreachable_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(LaterError) as error:
        origin(tmp_path).files()
    assert error.value.refusal.reason == "Unreachable"
    assert "http://127.0.0.1:1" in error.value.refusal.message and REPO in error.value.refusal.message


@contextmanager
def answering(status: int, code: str, **headers: str) -> Iterator[str]:
    """A bucket that answers everything in this way; its URL."""
    body = f"<Error><Code>{code}</Code><Message>words</Message></Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A client of the bucket at a URL, which tries once."""
    monkeypatch.setattr(s3client, "ATTEMPTS", 1)
    (tmp_path / "keys").mkdir()
    for name in ("accessKeyId", "secretAccessKey"):
        (tmp_path / "keys" / name).write_text("key")

    def make(url: str) -> Any:
        return client_of(S3Location.model_validate(place(url)), tmp_path)

    return make


def place(url: str) -> dict[str, Any]:
    return {"bucket": "models", "path": "small", "endpoint": url, "credentialsSecretRef": {"name": "keys"}}


BUCKET = [
    (503, "SlowDown", "Throttled", LaterError), (429, "TooManyRequests", "Throttled", LaterError),
    (500, "InternalError", "ServerFailed", LaterError), (503, "ServiceUnavailable", "ServerFailed", LaterError),
    (400, "RequestTimeout", "ServerFailed", LaterError), (507, "XMinioStorageFull", "NoSpace", LaterError),
    (403, "AccessDenied", "BucketRefused", RefusalError), (400, "InvalidRequest", "BucketRefused", RefusalError),
    (404, "NoSuchBucket", "BucketRefused", RefusalError), (501, "NotImplemented", "BucketRefused", RefusalError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "reason", "kind"), BUCKET)
def test_a_bucket_that_is_busy_is_asked_again_later_at_every_call_and_one_that_refuses_is_not(
    client: Callable[[str], Any], tmp_path: Path, status: int, code: str, reason: str, kind: type[RefusalError]
) -> None:
    with answering(status, code, Retry_After="70") as url:
        found = client(url)
        store = S3Store(found, "models", "", tmp_path / "scratch")
        file = tmp_path / "file"
        file.write_text("x")
        calls: list[Callable[[], Any]] = [
            S3Origin(S3Location.model_validate(place(url)), found).files,
            lambda: store.read("index/a.json"),
            lambda: store.write("index/a.json", b"{}"),
            lambda: store.write_file("index/a.json", file),
        ]
        for call in calls:
            with pytest.raises(RefusalError) as error:
                call()
            assert (type(error.value), error.value.refusal.reason) == (kind, reason)
            assert "models" in error.value.refusal.message
            assert error.value.refusal.retry_after == (70 if kind is LaterError else None)


def test_a_bucket_that_nobody_answers_for_is_unreachable(client: Callable[[str], Any], tmp_path: Path) -> None:
    store = S3Store(client("http://127.0.0.1:1"), "models", "", tmp_path / "scratch")
    file = tmp_path / "file"
    file.write_text("x")
    for call in (lambda: store.read("a"), lambda: store.has("a"), lambda: store.write_file("a", file)):
        with pytest.raises(LaterError) as error:
            call()
        assert error.value.refusal.reason == "Unreachable"
        assert "models" in error.value.refusal.message
