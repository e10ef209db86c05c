"""A store that fills up while it is written to: what a person is told, what stays visible, and how it goes on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lowbit.api.documents import EXIT_LATER
from lowbit.api.paths import TERMINATION_LIMIT
from lowbit.api.termination import TerminationMessage
from lowbit.worker import full as module
from lowbit.worker.__main__ import outcome
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.full import STORE, full, is_full
from lowbit.worker.model.file_list import scan
from lowbit.worker.prepare import prepare
from lowbit.worker.store.pvc import PVCStore
from tests.cluster.fixtures import need_root
from tests.unit import worker_inputs as inputs

SIZE = 512 * 1024
PAGE = 4096


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    need_root("a small file system")
    path = tmp_path / "volume"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return inputs.write_places(tmp_path)


def run(root: Path, mounts: Mounts) -> tuple[int, TerminationMessage]:
    """The stage as a Job's pod runs it."""
    document = inputs.prepare_document(inputs.spec())
    store = PVCStore(root)
    return outcome(lambda: TerminationMessage.of(prepare(document, store, inputs.silence(), mounts=mounts)))


def fill(volume: Path, leave: int) -> Path:
    """A file of somebody else's that leaves so many bytes."""
    filler = volume / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(volume).free - leave, 0)))
    return filler


def test_whenever_a_store_gets_full_it_is_said_and_nothing_half_is_visible_and_space_is_all_it_takes(
    volume: Path, mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLACES", {STORE: volume, "the pod's scratch volume": tmp_path})
    _, wanted = run(tmp_path / "elsewhere", mounts)
    refused = 0
    for pages in range(40):
        root = volume / f"store-{pages}"
        filler = fill(volume, leave=pages * PAGE)
        code, message = run(root, mounts)
        if code != 0:
            refused += 1
            assert code == EXIT_LATER, message
            assert message.refusal is not None and message.refusal.reason == "NoSpace"
            told = message.refusal.message
            assert "the store's volume is full" in told or "GB are free" in told
            assert "grow the store's claim" in message.refusal.action
            assert len(message.text().encode()) <= TERMINATION_LIMIT
            assert all(is_whole(path) for path in visible(root))
        filler.unlink()
        assert run(root, mounts) == (0, wanted)
        assert not list((root / "partial").glob("file-*")), "what could not be written takes no room from others"
        shutil.rmtree(root)
    assert 0 < refused < 40


def visible(root: Path) -> list[Path]:
    """Manifests, datasets and whatever else has the name that others look for."""
    return [path for path in root.rglob("*") if path.is_file() and "partial" not in path.relative_to(root).parts]


def is_whole(path: Path) -> bool:
    """Whether a file, and the model it stands for, is what its name says."""
    if path.parts[-3] == "manifests":
        return scan(path.parents[2] / path.parts[-2] / path.stem).to_json() == path.read_bytes()
    return path.stat().st_size > 0


def test_the_volume_that_the_error_names_is_the_one_that_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLACES", {STORE: tmp_path / "store", "the pod's scratch volume": tmp_path / "scratch"})
    for name in ("store", "scratch"):
        (tmp_path / name).mkdir()
    words = os.strerror(errno.ENOSPC)
    for name, told, action in (("store", STORE, "grow"), ("scratch", "the pod's scratch volume", "ephemeral-storage")):
        refusal = full(OSError(errno.ENOSPC, words, str(tmp_path / name / "file"))).refusal
        assert refusal.message.startswith(f"{told} is full")
        assert action in refusal.action


def test_a_full_disk_is_found_below_what_a_library_makes_of_it() -> None:
    error = ValueError("the artifact could not be saved")
    error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert is_full(error)
    assert not is_full(ValueError("something else"))
    assert not is_full(ConnectionError("gone"))
