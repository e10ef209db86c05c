"""fetch: before an engine starts, puts its model where it looks for it, and verifies the digest. Fails closed."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from lowbit.api.documents import FetchDocument, FetchResult
from lowbit.api.paths import BUSYBOX_PATH, MEMBER_PATH, MODEL_PATH
from lowbit.worker import member
from lowbit.worker.model.file_list import scan
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Kind, Store
from lowbit.worker.store.s3 import S3Store

BUSYBOX = Path("/bin/busybox")
"""In the operator's image; static, so that it runs in any other."""

KINDS: dict[str, Kind] = {"Source": "sources", "Artifact": "artifacts"}


def fetch(
    document: FetchDocument,
    store: Store,
    progress: Progress,
    *,
    folder: Path = Path(MODEL_PATH),
    tool: Path = Path(BUSYBOX_PATH),
) -> FetchResult:
    """Download the model if the store is a bucket (a volume is mounted there already), and hash every file again.

    Before that, install the tools that the engine's container runs.
    """
    lay_out(tool, Path(member.__file__))
    kind, digest = KINDS[document.model.kind], document.model.digest
    if isinstance(store, S3Store):
        progress.step(f"downloading {digest}")
        file_list = store.require(kind, digest)
        store.download(kind, digest, file_list, folder, _Bytes(progress.part(0.0, 0.7), file_list.size, "downloading"))
    progress.step(f"verifying {digest}")
    if not folder.is_dir():
        raise tampered(digest, f"there is no folder {folder}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found = scan(folder, _Bytes(progress.part(0.7, 1.0), size, "verifying"))
    if found.digest != digest:
        raise tampered(digest, f"they have the digest {found.digest}")
    return FetchResult(digest=digest, files=len(found.files), bytes=found.size)


def lay_out(tool: Path, program: Path) -> None:
    """Copy busybox to where the engine's probes expect it, and beside it the program of a group's members."""
    tool.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(BUSYBOX, tool)
    tool.chmod(0o755)
    shutil.copyfile(program, tool.with_name(PurePosixPath(MEMBER_PATH).name))


def tampered(digest: str, why: str) -> RefusalError:
    """The refusal of files that differ from the judged ones."""
    return RefusalError(
        "DigestMismatch",
        f"the model's files are not those that were judged as {digest}: {why}",
        "find out who changed the store; then remove this model's folder and manifest, so that it is made again",
    )


class _Bytes:
    """Reports bytes as progress."""

    def __init__(self, progress: Progress, total: int, message: str) -> None:
        self.progress, self.total, self.message, self.done = progress, max(total, 1), message, 0

    def __call__(self, size: int) -> None:
        self.done += size
        self.progress.report(
            self.done / self.total, f"{self.message}: {self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB"
        )
