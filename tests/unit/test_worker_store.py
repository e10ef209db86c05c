"""The store, on a volume and in a bucket: what is visible is whole, whatever dies when."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hack.cluster.s3 import S3Server
from lowbit.api.references import PVCLocation
from lowbit.naming.store_keys import file_list_key, folder_key
from lowbit.worker.model.file_list import FileEntry, file_list_of, hash_file, parse, scan
from lowbit.worker.refuse import RefusalError
from lowbit.worker.s3client import make_client
from lowbit.worker.sources import import_model
from lowbit.worker.sources.pvc import PVCOrigin
from lowbit.worker.store import Store
from lowbit.worker.store.base import STALE_SECONDS
from lowbit.worker.store.pvc import PVCStore
from lowbit.worker.store.s3 import S3Store
from tests.unit import worker_inputs as inputs
from tests.unit.tools import needs

MOST_STEPS = 200
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
MakeStore = Callable[[Path], Store]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    needs("versitygw")
    with S3Server(access_key="test", secret_key="test-secret") as running:
        yield running


@pytest.fixture(params=["pvc", "s3"])
def make_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MakeStore:
    if request.param == "pvc":
        return lambda folder: PVCStore(folder / "store")
    server = request.getfixturevalue("server")
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "keys").mkdir()
    (secrets / "keys" / "accessKeyId").write_text("test\n")
    (secrets / "keys" / "secretAccessKey").write_text("test-secret\n")

    def make(folder: Path) -> Store:
        bucket = f"bucket-{hashlib.sha256(str(folder).encode()).hexdigest()[:20]}"
        server.create_bucket(bucket)
        return S3Store(make_client(server.url, None, "keys", secrets), bucket, "models", folder / "scratch")

    return make


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="lowbit-store-"))
    yield path
    shutil.rmtree(path)


def place(folder: Path) -> PVCOrigin:
    return PVCOrigin(PVCLocation(claim_name="models", path="small"), folder / "volumes")


def expected(folder: Path) -> str:
    return scan(inputs.write_model(folder / "volumes" / "models" / "small")).digest


def test_a_model_comes_back_byte_for_byte_under_its_digest(make_store: MakeStore, folder: Path) -> None:
    digest = expected(folder)
    store = make_store(folder)
    assert import_model(store, "sources", place(folder), inputs.silence()).digest == digest
    assert scan(store.folder("sources", digest)).digest == digest


def test_a_key_is_read_as_it_was_written_and_missing_is_none(make_store: MakeStore, folder: Path) -> None:
    store = make_store(folder)
    store.write("evaluations/a/result.json", b"{}")
    assert store.read("evaluations/a/result.json") == b"{}"
    assert store.read("evaluations/b/result.json") is None
    assert store.local("evaluations/b/result.json") is None


def test_a_dataset_comes_back(make_store: MakeStore, folder: Path) -> None:
    store = make_store(folder)
    path = inputs.write_lines(folder / "data.jsonl", inputs.texts(0, 3))
    digest = f"sha256:{hash_file(path)}"
    store.write_dataset(path, digest)
    store.write_dataset(path, digest)
    assert store.dataset(digest).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_no_key_leaves_the_store(make_store: MakeStore, folder: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a path below"):
        make_store(folder).read(key)


def test_a_model_that_the_store_does_not_hold_is_refused(make_store: MakeStore, folder: Path) -> None:
    with pytest.raises(RefusalError) as error:
        make_store(folder).folder("artifacts", "sha256:" + "0" * 64)
    assert error.value.refusal.reason == "NotInStore"


def test_a_changed_manifest_is_refused(make_store: MakeStore, folder: Path) -> None:
    store = make_store(folder)
    digest = expected(folder)
    import_model(store, "sources", place(folder), inputs.silence())
    other = file_list_of([FileEntry("config.json", 1, "0" * 64)])
    store.write(file_list_key("sources", digest), other.to_json())
    with pytest.raises(RefusalError) as error:
        store.file_list("sources", digest)
    assert error.value.refusal.reason == "Damaged"


def test_a_model_whose_file_was_cut_off_in_the_store_is_refused(make_store: MakeStore, folder: Path) -> None:
    store = make_store(folder)
    digest = expected(folder)
    import_model(store, "sources", place(folder), inputs.silence())
    store.write(f"{folder_key('sources', digest)}/model.safetensors", b"short")
    with pytest.raises(RefusalError) as error:
        store.folder("sources", digest)
    assert error.value.refusal.reason == "Damaged"


def test_work_that_would_fill_the_volume_is_refused_before_it_starts(make_store: MakeStore, folder: Path) -> None:
    with pytest.raises(RefusalError) as error:
        make_store(folder).check_space(10**18, "the model")
    assert error.value.refusal.reason == "NoSpace"
    assert "the model" in error.value.refusal.message


def visible_models_are_whole(store: Store, digest: str) -> bool:
    """Whether the model is visible; it is whole where it is."""
    if store.file_list("sources", digest) is None:
        return False
    assert scan(store.folder("sources", digest)).digest == digest
    return True


@SLOW
@given(at=st.integers(1, MOST_STEPS))
def test_killed_at_any_point_nothing_half_is_visible_and_the_next_attempt_completes(
    make_store: MakeStore, at: int
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="lowbit-crash-"))
    try:
        digest = expected(folder)

        def work(step: Callable[[], None]) -> None:
            progress = inputs.silence()
            progress.write_to(lambda _: step())
            progress.interval = 0.0
            import_model(make_store(folder), "sources", place(folder), progress)

        make_store(folder)
        finished = not inputs.run_and_die(work, at)
        assert visible_models_are_whole(make_store(folder), digest) or not finished
        import_model(make_store(folder), "sources", place(folder), inputs.silence())
        assert visible_models_are_whole(make_store(folder), digest)
    finally:
        shutil.rmtree(folder)


def test_the_crash_points_cover_the_whole_commit(make_store: MakeStore, folder: Path) -> None:
    expected(folder)

    def work(step: Callable[[], None]) -> None:
        import_model(make_store(folder), "sources", place(folder), inputs.silence())

    assert not inputs.run_and_die(work, MOST_STEPS)


@SLOW
@given(at=st.integers(1, 20))
def test_a_key_that_is_overwritten_is_old_or_new_when_the_writer_dies(make_store: MakeStore, at: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="lowbit-crash-"))
    try:
        make_store(folder).write("index/artifacts/a.json", b"old" * 1000)
        inputs.run_and_die(lambda step: make_store(folder).write("index/artifacts/a.json", b"new" * 2000), at)
        assert make_store(folder).read("index/artifacts/a.json") in (b"old" * 1000, b"new" * 2000)
    finally:
        shutil.rmtree(folder)


def test_two_that_write_the_same_model_at_once_both_succeed(folder: Path) -> None:
    digest = expected(folder)
    one, other = PVCStore(folder / "store"), PVCStore(folder / "store")
    first, second = one.workspace("import-a"), other.workspace("import-a")
    assert first != second
    for store, workspace in ((one, first), (other, second)):
        shutil.copytree(folder / "volumes" / "models" / "small", workspace, dirs_exist_ok=True)
        store.commit("sources", workspace, scan(workspace))
    assert visible_models_are_whole(one, digest)


def test_what_a_killed_commit_left_with_other_content_is_replaced(folder: Path) -> None:
    digest = expected(folder)
    left = folder / "store" / folder_key("sources", digest)
    left.mkdir(parents=True)
    (left / "config.json").write_text("half")
    store = PVCStore(folder / "store")
    import_model(store, "sources", place(folder), inputs.silence())
    assert visible_models_are_whole(store, digest)


def test_files_in_the_store_can_be_read_by_every_user(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        digest = expected(folder)
        store = PVCStore(folder / "store")
        import_model(store, "sources", place(folder), inputs.silence())
        store.write("evaluations/a/result.json", b"{}")
    finally:
        os.umask(before)
    files = [path for path in store.folder("sources", digest).rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    assert (folder / "store" / "evaluations" / "a" / "result.json").stat().st_mode & 0o777 == 0o644
    assert (folder / "store" / "evaluations" / "a").stat().st_mode & 0o777 == 0o755


def test_only_what_nobody_has_written_to_for_long_is_removed(folder: Path) -> None:
    store = PVCStore(folder)
    (store.workspace("import-a") / "half").write_text("x")
    now = (folder / "partial" / "import-a" / "half").stat().st_mtime
    assert store.remove_stale(now + STALE_SECONDS - 60) == []
    assert "import-a" in store.remove_stale(now + STALE_SECONDS + 60)
    assert not (folder / "partial" / "import-a").exists()


ENTRIES = st.builds(
    FileEntry,
    st.from_regex(r"[a-z]{1,8}(/[a-zé ]{1,8}){0,2}", fullmatch=True),
    st.integers(0, 10**12),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)


@given(st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry.path))
def test_a_manifest_reads_back_and_does_not_depend_on_the_order(entries: list[FileEntry]) -> None:
    file_list = file_list_of(entries)
    assert parse(file_list.to_json()) == file_list
    assert file_list_of(reversed(entries)).digest == file_list.digest


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[{"path": "../a", "size": 1, "sha256": ""}]', b"[ ]"])
def test_what_is_no_manifest_is_not_taken_for_one(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)


def test_the_names_below_a_folder_are_listed_and_none_where_there_is_none(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(tmp_path)
    assert store.names("attempts/x") == []
    for key in ("attempts/x/b.json", "attempts/x/a.json", "attempts/x/deep/c.json", "attempts/xy/d.json"):
        store.write(key, b"{}")
    assert store.names("attempts/x") == ["a.json", "b.json"]
