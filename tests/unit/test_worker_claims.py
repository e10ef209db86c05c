"""What is read from a claim: links that stay on it, hub caches, and nothing outside, however links are swapped."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lowbit.api.references import PVCLocation
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.data.locate import locate
from lowbit.worker.model.file_list import scan, silent
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources import import_model
from lowbit.worker.sources.base import RemoteFile
from lowbit.worker.sources.pvc import PVCOrigin
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
REPOSITORY = "hub/models--org--small"
SECRET = "secret"


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    (tmp_path / "volumes" / "models").mkdir(parents=True)
    (tmp_path / "outside").write_text(SECRET)
    return tmp_path / "volumes"


def origin(volumes: Path, path: str | None) -> PVCOrigin:
    return PVCOrigin(PVCLocation(claim_name="models", path=path), volumes)


def cache(volumes: Path) -> Path:
    """A repository as huggingface_hub caches it; the folder of its one commit."""
    repository = volumes / "models" / REPOSITORY
    snapshot = repository / "snapshots" / COMMIT
    plain = inputs.write_model(volumes / "plain")
    (plain / "additional_chat_templates").mkdir()
    (plain / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in plain.rglob("*") if path.is_file())):
        blob, link = repository / "blobs" / f"{number:040x}", snapshot / path.relative_to(plain)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(path.read_bytes())
        link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


def imported(volumes: Path, path: str, store: Path) -> Path:
    """The model's folder in a store."""
    whole = PVCStore(store)
    found = import_model(whole, "sources", origin(volumes, path), inputs.silence())
    return whole.folder("sources", found.digest)


def refusal(volumes: Path, path: str | None, store: Path) -> RefusalError:
    with pytest.raises(RefusalError) as error:
        import_model(PVCStore(store), "sources", origin(volumes, path), inputs.silence())
    return error.value


def test_a_snapshot_of_a_hub_cache_is_read_like_the_files_that_it_links_to(volumes: Path, tmp_path: Path) -> None:
    cache(volumes)
    found = imported(volumes, f"{REPOSITORY}/snapshots/{COMMIT}", tmp_path / "store")
    assert scan(found) == scan(volumes / "plain")
    assert not any(path.is_symlink() for path in found.rglob("*"))


@pytest.mark.parametrize("main", [True, False])
def test_a_hub_caches_repository_is_refused_with_the_path_to_write(volumes: Path, tmp_path: Path, main: bool) -> None:
    snapshot = cache(volumes)
    (snapshot.parent / OTHER).mkdir()
    if not main:
        (snapshot.parent.parent / "refs" / "main").unlink()
        (snapshot.parent / OTHER).rmdir()
    error = refusal(volumes, REPOSITORY, tmp_path / "store").refusal
    assert error.reason == "NotASnapshot"
    assert f"path: {REPOSITORY}/snapshots/{COMMIT}" in error.action
    assert COMMIT in error.message


def test_a_cache_that_was_cut_off_is_refused_and_names_the_file(volumes: Path, tmp_path: Path) -> None:
    snapshot = cache(volumes)
    (snapshot / "config.json").resolve().unlink()
    error = refusal(volumes, f"{REPOSITORY}/snapshots/{COMMIT}", tmp_path / "store").refusal
    assert error.reason == "LinkBroken"
    assert "config.json" in error.message


def test_links_to_folders_and_a_linked_model_folder_are_followed_on_the_claim(volumes: Path, tmp_path: Path) -> None:
    model = inputs.write_model(volumes / "models" / "v1")
    (volumes / "models" / "templates").mkdir()
    (volumes / "models" / "templates" / "tools.jinja").write_text("{{ tools }}")
    (model / "additional_chat_templates").symlink_to("../templates")
    (volumes / "models" / "current").symlink_to("v1")
    found = imported(volumes, "current", tmp_path / "store")
    assert (found / "additional_chat_templates" / "tools.jinja").read_text() == "{{ tools }}"


def test_a_link_to_a_folder_above_is_read_once(volumes: Path) -> None:
    model = inputs.write_model(volumes / "models" / "v1")
    (model / "self").symlink_to(".")
    (model / "loop").symlink_to("loop")
    names = [file.path for file in origin(volumes, "v1").files()]
    assert len(names) < 30
    assert not [name for name in names if name.startswith("self/")]


@pytest.mark.parametrize("target", ["../../../outside", "{absolute}", "up/../../outside"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_leaves_the_claim_is_refused(volumes: Path, tmp_path: Path, target: str, kind: str) -> None:
    model = inputs.write_model(volumes / "models" / "v1")
    (model / "up").symlink_to("..")
    if kind == "folder":
        (tmp_path / "outside").unlink()
        inputs.write_model(tmp_path / "outside")
    link = model / ("added_tokens.json" if kind == "file" else "additional_chat_templates")
    link.symlink_to(target.format(absolute=tmp_path / "outside"))
    assert refusal(volumes, "v1", tmp_path / "store").refusal.reason == "LinkOutside"


@pytest.mark.parametrize("target", ["../..", "/"])
def test_a_model_folder_that_is_a_link_out_of_the_claim_is_refused(volumes: Path, tmp_path: Path, target: str) -> None:
    (volumes / "models" / "v1").symlink_to(target)
    assert refusal(volumes, "v1", tmp_path / "store").refusal.reason == "PathOutside"


def test_pipes_and_sockets_are_no_files_of_a_model(volumes: Path) -> None:
    model = inputs.write_model(volumes / "models" / "v1")
    os.mkfifo(model / "pipe")
    assert "pipe" not in [file.path for file in origin(volumes, "v1").files()]


@contextlib.contextmanager
def swapping(link: Path, *targets: str) -> Iterator[None]:
    """Somebody who points a link to each target in turn, as fast as it goes."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in targets:
                spare = link.with_name("spare")
                if target:
                    spare.symlink_to(target)
                else:
                    spare.write_text("inside")
                spare.replace(link)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


TRIES = 1500


@pytest.mark.parametrize("targets", [("inside", "../../outside"), ("", "../../outside"), ("inside", "")])
def test_a_link_that_is_swapped_while_it_is_read_never_gives_what_is_outside(
    volumes: Path, tmp_path: Path, targets: tuple[str, ...]
) -> None:
    folder = volumes / "models" / "v1"
    folder.mkdir()
    (folder / "inside").write_text("inside")
    (folder / "notes").symlink_to("inside")
    place, target = origin(volumes, "v1"), tmp_path / "copy"
    file, read, refused = RemoteFile("notes", 6), 0, 0
    with swapping(folder / "notes", *targets):
        for _ in range(TRIES):
            try:
                place.fetch(file, target, silent)
            except RefusalError as error:
                assert error.refusal.reason == "LinkOutside"
                refused += 1
            else:
                assert target.read_text() == "inside"
                read += 1
    assert read and (refused or "../../outside" not in targets)


def test_a_folder_on_the_way_that_is_swapped_never_leads_outside(volumes: Path, tmp_path: Path) -> None:
    for place_, text in (("models/v1", "inside"), ("elsewhere", SECRET)):
        (volumes / place_).mkdir()
        (volumes / place_ / "notes").write_text(text)
    (volumes / "models" / "current").symlink_to("v1")
    place, target = origin(volumes, "current"), tmp_path / "copy"
    with swapping(volumes / "models" / "current", "v1", "../elsewhere"):
        for _ in range(TRIES):
            with contextlib.suppress(RefusalError):
                place.fetch(RemoteFile("notes", 6), target, silent)
                assert target.read_text() == "inside"


def test_a_dataset_on_a_claim_is_read_once_and_never_from_outside(volumes: Path, tmp_path: Path) -> None:
    folder = volumes / "models"
    (folder / "inside").write_text("inside")
    (folder / "data.jsonl").symlink_to("inside")
    dataset = EvaluationDataset.model_validate({"pvc": {"claimName": "models", "path": "data.jsonl"}})
    mounts = Mounts(volumes=volumes, scratch=tmp_path / "scratch")
    with swapping(folder / "data.jsonl", "inside", "../../outside"):
        for _ in range(TRIES // 3):
            with contextlib.suppress(RefusalError):
                assert locate(dataset, "dataset x", mounts)[0].path.read_text() == "inside"
    (folder / "data.jsonl").unlink()
    (folder / "data.jsonl").symlink_to("inside")
    found = locate(dataset, "dataset x", mounts)[0].path
    (folder / "inside").write_text("changed since")
    assert found.read_text() == "inside"
