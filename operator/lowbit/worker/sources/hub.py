"""A repository on the Hugging Face hub, or on a mirror (HF_ENDPOINT), at one commit.

huggingface_hub keeps no half-downloaded file from one process to the next. So this module writes the files itself, by
the library's resumable transfer, and checks each against the hash that the hub names.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any, Literal

from lowbit.api.references import HuggingFaceLocation
from lowbit.worker.errors.network import unreachable
from lowbit.worker.errors.servers import Answer, passing, retry_after, said
from lowbit.worker.errors.system import naming
from lowbit.worker.model.file_list import CHUNK, Advance, check_path, hash_file
from lowbit.worker.refuse import LaterError, RefusalError
from lowbit.worker.sources.base import RemoteFile, is_hidden, partial_path

RepositoryKind = Literal["model", "dataset"]
REPOSITORY = {"model": "repository", "dataset": "dataset"}
TOKEN = {"model": "spec.source.huggingFace", "dataset": "the dataset's huggingFace"}
COMMIT = re.compile(r"[0-9a-f]{40}")
GIT_PREFIX = "git:"
"""The hub identifies small files by their git blob hash, large ones by their SHA-256."""
TIMEOUT_SECONDS = 60.0
"""For the list of files; a download has the library's own."""
LONGEST_WAIT_SECONDS = 60.0
"""A pause that is waited for in the worker; after a longer one the operator makes the Job anew."""


class _Counting:
    """A file that reports each write; huggingface_hub uses it as the file itself."""

    def __init__(self, file: BufferedRandom, advance: Advance) -> None:
        self._file, self._advance = file, advance

    def write(self, data: bytes) -> int:
        self._advance(len(data))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class HubOrigin:
    """Every file of a repository at a commit."""

    def __init__(self, location: HuggingFaceLocation, secrets: Path, kind: RepositoryKind = "model") -> None:
        import huggingface_hub

        check_commit(location)
        self.repo, self.revision, self.kind = location.repo, location.revision, kind
        self.name = f"hub {REPOSITORY[kind]} {self.repo} at {self.revision[:12]}"
        self.token = read_token(location, secrets)
        self.api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=self.token or False)
        self.identity: str | None = f"{self.api.endpoint}/{self.repo}@{self.revision}"
        no_long_waits(self._asked)

    def files(self) -> list[RemoteFile]:
        with self._explaining():
            info = self.api.repo_info(
                self.repo, revision=self.revision, repo_type=self.kind, files_metadata=True, timeout=TIMEOUT_SECONDS
            )
        found = []
        for item in info.siblings or []:
            if not is_hidden(item.rfilename):
                version = item.lfs.sha256 if item.lfs else GIT_PREFIX + (item.blob_id or "")
                found.append(RemoteFile(check_path(item.rfilename), item.size or 0, version))
        return found

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        partial = partial_path(target)
        partial.touch()
        done = partial.stat().st_size
        if done > file.size:
            partial.write_bytes(b"")
            done = 0
        advance(done)
        url = hf_hub_url(self.repo, file.path, repo_type=self.kind, revision=self.revision, endpoint=self.api.endpoint)
        if done < file.size:
            with partial.open("r+b") as writer, naming(partial), self._explaining():
                writer.seek(done)
                http_get(
                    url, _Counting(writer, advance), resume_size=done,
                    headers=build_hf_headers(token=self.token or False),
                    expected_size=file.size, tqdm_class=_silent_bar(),
                )  # fmt: skip
        self._check(file, partial)
        partial.replace(target)

    def _check(self, file: RemoteFile, path: Path) -> None:
        """Compare with the hub's hash. A wrong file is removed, so that the next attempt starts over."""
        if file.version.startswith(GIT_PREFIX):
            expected, found = file.version.removeprefix(GIT_PREFIX), git_blob_hash(path)
        else:
            expected, found = file.version, hash_file(path)
        if expected and expected != found:
            path.unlink()
            raise LaterError(
                "ContentDiffers",
                f"{self.name}: {file.path} came with other content than the hub names",
                "if it stays so, look at the mirror or the proxy that it came through (platform.hubEndpoint)",
            )

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """What the hub refuses or cannot do, in words that say what to do."""
        from huggingface_hub.errors import HfHubHTTPError

        try:
            yield
        except HfHubHTTPError as error:
            status = error.response.status_code
            raise self._refused(status) or self._answered(error, status) from error
        except RefusalError:
            raise
        except Exception as error:
            # Who was asked is known only here; a full disk and a bug are named in the end.
            found = unreachable(error, self._asked) or self._misunderstood(error)
            if found is None:
                raise
            raise found from error

    def _refused(self, status: int) -> RefusalError | None:
        """The refusal of what may not be read, or is not there."""
        if status in (401, 403):
            return RefusalError(
                "AccessDenied",
                f"{self.name} may not be read ({status}): it is private or gated, or there is no such repository",
                f"set {TOKEN[self.kind]}.tokenSecretRef to a token whose owner has accepted the {self.kind}'s terms",
            )
        if status == 404:
            reason = "SourceMissing" if self.kind == "model" else "DatasetMissing"
            action = "check the repository's name and the commit hash"
            return RefusalError(reason, f"{self.name} does not exist", action)
        return None

    def _answered(self, error: Any, status: int) -> RefusalError:
        """The error of any other answer."""
        answer = Answer(status, error.response.headers, error.server_message or "")
        return passing(self._asked, answer, time.time()) or RefusalError(
            "HubRefused",
            f"{self._asked}: it answered {said(answer)}",
            "check platform.hubEndpoint, and the proxy before it",
        )

    def _misunderstood(self, error: Exception) -> LaterError | None:
        """The error of an answer that is cut off, or that is none of a hub's: a proxy's page, for instance."""
        if not isinstance(error, OSError | ValueError) or getattr(error, "errno", None) is not None:
            return None
        return LaterError(
            "ServerFailed",
            f"{self._asked}: its answer cannot be used: {' '.join(str(error).split())}",
            "check platform.hubEndpoint, and the proxy before it",
        )

    @property
    def _asked(self) -> str:
        return f"{self.api.endpoint}, asked for {self.name}"


def no_long_waits(who: str) -> None:
    """Raise LaterError where the hub asks for a long pause: the library would sleep longer than a Job may take."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def look(response: Any) -> None:
        if (retry_after(response.headers, time.time()) or 0.0) > LONGEST_WAIT_SECONDS:
            found = passing(who, Answer(response.status_code, response.headers), time.time())
            if found is not None:
                raise found

    def make() -> Any:
        client = default_client_factory()
        client.event_hooks["response"].append(look)
        return client

    set_client_factory(make)


def check_commit(location: HuggingFaceLocation) -> None:
    """Refuse a branch or tag, or a shortened hash."""
    if not COMMIT.fullmatch(location.revision):
        raise RefusalError(
            "BranchNotCommit",
            f"revision {location.revision!r} of {location.repo} is not a full commit hash, and may change under you",
            "write the 40 hexadecimal digits of the commit (git ls-remote shows them)",
        )


def read_token(location: HuggingFaceLocation, secrets: Path) -> str | None:
    """The token from the mounted Secret, or None where none is named."""
    reference = location.token_secret_ref
    if reference is None:
        return None
    path = secrets / reference.name / reference.key
    if not path.is_file():
        raise RefusalError(
            "SecretKeyMissing",
            f"the Secret {reference.name} has no key {reference.key}",
            f"add the key {reference.key} with the hub's access token to the Secret {reference.name}",
        )
    return path.read_text().strip()


def git_blob_hash(path: Path) -> str:
    """The hash (hex) under which git keeps a file."""
    sha = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _silent_bar() -> type[Any]:
    """A progress bar that shows nothing: progress is reported in lines."""
    from huggingface_hub.utils import tqdm

    class SilentBar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

    return SilentBar
