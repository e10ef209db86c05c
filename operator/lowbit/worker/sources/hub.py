"""A repository on the Hugging Face hub, or on a mirror (HF_ENDPOINT), at one commit.

huggingface_hub keeps no half-downloaded file from one process to the next. So this module writes the files itself, by
the library's resumable transfer, and checks each against the hash that the hub names.
"""

from __future__ import annotations

import hashlib
import os
import re
from io import BufferedRandom
from pathlib import Path
from typing import Any

from lowbit.api.references import HuggingFaceLocation
from lowbit.worker.model.file_list import CHUNK, Advance, check_path, hash_file
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.base import RemoteFile, is_hidden, partial_path

COMMIT = re.compile(r"[0-9a-f]{40}")
GIT_PREFIX = "git:"
"""The hub identifies small files by their git blob hash, large ones by their SHA-256."""


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

    def __init__(self, location: HuggingFaceLocation, secrets: Path) -> None:
        import huggingface_hub

        check_commit(location)
        self.repo, self.revision = location.repo, location.revision
        self.name = f"hub repository {self.repo} at {self.revision[:12]}"
        self.token = read_token(location, secrets)
        self.api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=self.token or False)
        self.identity: str | None = f"{self.api.endpoint}/{self.repo}@{self.revision}"

    def files(self) -> list[RemoteFile]:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            info = self.api.model_info(self.repo, revision=self.revision, files_metadata=True)
        except HfHubHTTPError as error:
            raise self._explain(error) from error
        found = []
        for item in info.siblings or []:
            if not is_hidden(item.rfilename):
                version = item.lfs.sha256 if item.lfs else GIT_PREFIX + (item.blob_id or "")
                found.append(RemoteFile(check_path(item.rfilename), item.size or 0, version))
        return found

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        partial = partial_path(target)
        partial.touch()
        done = partial.stat().st_size
        if done > file.size:
            partial.write_bytes(b"")
            done = 0
        advance(done)
        url = hf_hub_url(self.repo, file.path, revision=self.revision, endpoint=self.api.endpoint)
        if done < file.size:
            with partial.open("r+b") as writer:
                writer.seek(done)
                try:
                    http_get(
                        url, _Counting(writer, advance), resume_size=done,
                        headers=build_hf_headers(token=self.token or False),
                        expected_size=file.size, tqdm_class=_silent_bar(),
                    )  # fmt: skip
                except HfHubHTTPError as error:
                    raise self._explain(error) from error
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
            raise OSError(f"{self.name}: {file.path} came with other content than the hub names")

    def _explain(self, error: Exception) -> Exception:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            return RefusalError(
                "AccessDenied",
                f"{self.name} may not be read ({status}): it is private or gated, or there is no such repository",
                "set spec.source.huggingFace.tokenSecretRef to a token whose owner has accepted the model's terms",
            )
        if status == 404:
            return RefusalError(
                "SourceMissing", f"{self.name} does not exist", "check the repository's name and the commit hash"
            )
        return error


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
