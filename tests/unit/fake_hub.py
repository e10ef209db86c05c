"""A hub on loopback that speaks as much of the Hugging Face API as a download needs, and can stop in the middle."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "org/small"


class FakeHub:
    """Serves a folder as one repository at COMMIT. Large files (LFS) are those that end in .safetensors."""

    def __init__(self, folder: Path, token: str | None = None, kind: str = "model") -> None:
        self.folder, self.token, self.kind = folder, token, kind
        self.requests: list[tuple[str, str | None]] = []
        """Path and Range header of each download."""
        self.stall_after: int | None = None
        """Send so many bytes of each large file, then no more until released."""
        self.drop_after: int | None = None
        """Send so many bytes of each large file, then close the connection; once."""
        self.corrupt = False
        self.refusing: tuple[int, dict[str, str]] | None = None
        """Answer every request with this status and these headers, and with page."""
        self.page = b'{"error": "busy"}'
        self.stalled, self.release = threading.Event(), threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send(request, 401, b"{}", body)
        if self.refusing is not None:
            return self.send(request, self.refusing[0], self.page, body, self.refusing[1])
        path = request.path.split("?")[0]
        if path == f"/api/{self.kind}s/{REPO}/revision/{COMMIT}":
            return self.send(request, 200, json.dumps(self.info()).encode(), body)
        below = "" if self.kind == "model" else f"/{self.kind}s"
        found = re.fullmatch(f"{below}/{REPO}/resolve/{COMMIT}/(.+)", path)
        if found and (self.folder / found[1]).is_file():
            return self.send_file(request, found[1], body)
        return self.send(request, 404, b"{}", body)

    def info(self) -> dict[str, Any]:
        siblings = []
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            entry: dict[str, Any] = {
                "rfilename": path.relative_to(self.folder).as_posix(), "size": len(content), "blobId": blob,
            }  # fmt: skip
            if path.suffix == ".safetensors":
                sha = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        return {"id": REPO, "sha": COMMIT, "siblings": siblings}

    def send(
        self, request: BaseHTTPRequestHandler, status: int, content: bytes, body: bool,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if body:
            request.wfile.write(content)

    def send_file(self, request: BaseHTTPRequestHandler, name: str, body: bool) -> None:
        content = (self.folder / name).read_bytes()
        if self.corrupt:
            content = content[:-1] + b"!"
        range_ = request.headers.get("Range")
        if body:
            self.requests.append((name, range_))
        start = int(range_.removeprefix("bytes=").rstrip("-")) if range_ else 0
        rest = content[start:]
        request.send_response(206 if range_ else 200)
        request.send_header("Content-Length", str(len(rest)))
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if range_:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        if body:
            self.send_body(request, name, rest)

    def send_body(self, request: BaseHTTPRequestHandler, name: str, content: bytes) -> None:
        large = name.endswith(".safetensors")
        if large and self.stall_after is not None:
            request.wfile.write(content[: self.stall_after])
            request.wfile.flush()
            self.stalled.set()
            self.release.wait()
            request.close_connection = True
            return
        if large and self.drop_after is not None:
            request.wfile.write(content[: self.drop_after])
            self.drop_after = None
            request.close_connection = True
            return
        request.wfile.write(content)

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
