"""Models from the hub, volumes and buckets: complete, verified, resumed, and refused before the download."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.s3 import S3Server
from lowbit.api.references import HuggingFaceLocation, PVCLocation, S3Location
from lowbit.worker.model.file_list import scan
from lowbit.worker.refuse import LaterError, RefusalError
from lowbit.worker.sources import import_model
from lowbit.worker.sources.hub import HubOrigin
from lowbit.worker.sources.pvc import PVCOrigin
from lowbit.worker.sources.s3 import S3Origin, client_of
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs
from tests.unit.fake_hub import COMMIT, REPO, FakeHub
from tests.unit.tools import needs

LARGE = 3_000_000
CHUNK = 100_000


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = inputs.write_model(tmp_path / "repository")
    weights = inputs.safetensors({"model.embed_tokens.weight": ("BF16", [LARGE // 2], LARGE)})
    (folder / "model.safetensors").write_bytes(weights)
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    return folder


@pytest.fixture
def hub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub(repository) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def location(**changes: Any) -> HuggingFaceLocation:
    return HuggingFaceLocation.model_validate({"repo": REPO, "revision": COMMIT} | changes)


def digest_of(repository: Path) -> str:
    (repository / ".gitattributes").unlink(missing_ok=True)
    return scan(repository).digest


def test_a_repository_comes_whole_from_the_endpoint_that_is_set(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    store = PVCStore(tmp_path / "store")
    manifest = import_model(store, "sources", HubOrigin(location(), tmp_path), inputs.silence())
    assert manifest.digest == digest_of(repository)
    assert scan(store.folder("sources", manifest.digest)) == manifest


def test_a_commit_that_is_in_the_store_is_not_downloaded_again(hub: FakeHub, tmp_path: Path) -> None:
    store = PVCStore(tmp_path / "store")
    first = import_model(store, "sources", HubOrigin(location(), tmp_path), inputs.silence())
    count = len(hub.requests)
    assert import_model(store, "sources", HubOrigin(location(), tmp_path), inputs.silence()) == first
    assert len(hub.requests) == count


def test_a_dropped_connection_goes_on_where_it_was(
    hub: FakeHub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CHUNK)
    hub.drop_after = LARGE // 2
    manifest = import_model(PVCStore(tmp_path / "store"), "sources", HubOrigin(location(), tmp_path), inputs.silence())
    assert manifest.digest == digest_of(repository)
    assert [range_ for name, range_ in hub.requests if name == "model.safetensors"][-1] is not None


def test_a_killed_worker_resumes_the_file_that_it_was_downloading(
    hub: FakeHub, repository: Path, tmp_path: Path
) -> None:
    hub.stall_after = LARGE // 2
    program = f"""
import huggingface_hub.constants as constants
constants.DOWNLOAD_CHUNK_SIZE = {CHUNK}
from pathlib import Path
from lowbit.worker.sources import import_model
from lowbit.worker.sources.hub import HubOrigin
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs, test_worker_sources as tests
folder = Path({str(tmp_path)!r})
import_model(PVCStore(folder / "store"), "sources", HubOrigin(tests.location(), folder), inputs.silence())
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HF_ENDPOINT": hub.url}
    worker = subprocess.Popen([sys.executable, "-c", program], env=environment)
    assert hub.stalled.wait(60)
    partial = list((tmp_path / "store").rglob(".model.safetensors.partial"))
    while not partial or partial[0].stat().st_size < LARGE // 4:
        assert worker.poll() is None
        partial = list((tmp_path / "store").rglob(".model.safetensors.partial"))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert not (tmp_path / "store" / "sources").exists()
    hub.stall_after = None
    hub.release.set()
    manifest = import_model(PVCStore(tmp_path / "store"), "sources", HubOrigin(location(), tmp_path), inputs.silence())
    assert manifest.digest == digest_of(repository)
    begin = [range_ for name, range_ in hub.requests if name == "model.safetensors"][-1]
    assert begin is not None
    assert int(begin.removeprefix("bytes=").rstrip("-")) >= LARGE // 4


def test_what_differs_from_the_hubs_hash_is_thrown_away(hub: FakeHub, tmp_path: Path) -> None:
    hub.corrupt = True
    store = PVCStore(tmp_path / "store")
    with pytest.raises(LaterError, match="other content"):
        import_model(store, "sources", HubOrigin(location(), tmp_path), inputs.silence())
    hub.corrupt = False
    import_model(store, "sources", HubOrigin(location(), tmp_path), inputs.silence())


def test_the_token_is_read_from_its_file(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_secret\n")
    private = location(tokenSecretRef={"name": "hf", "key": "token"})
    import_model(PVCStore(tmp_path / "store"), "sources", HubOrigin(private, tmp_path), inputs.silence())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"revision": "f" * 40}, "SourceMissing"),
        ({"tokenSecretRef": {"name": "hf", "key": "nothing"}}, "SecretKeyMissing"),
    ],
)
def test_a_repository_that_cannot_be_had_is_refused_with_what_to_change(
    hub: FakeHub, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusalError) as error:
        import_model(PVCStore(tmp_path / "s"), "sources", HubOrigin(location(**changes), tmp_path), inputs.silence())
    assert error.value.refusal.reason == reason
    assert error.value.refusal.action


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_a_revision_that_may_change_is_refused_even_where_the_api_server_let_it_pass(
    tmp_path: Path, revision: str
) -> None:
    with pytest.raises(RefusalError) as error:
        HubOrigin(location().model_copy(update={"revision": revision}), tmp_path)
    assert error.value.refusal.reason == "BranchNotCommit"


def test_a_private_repository_without_token_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    with pytest.raises(RefusalError) as error:
        import_model(PVCStore(tmp_path / "s"), "sources", HubOrigin(location(), tmp_path), inputs.silence())
    assert error.value.refusal.reason == "AccessDenied"
    assert "tokenSecretRef" in error.value.refusal.action


SPARE = (
    "modeling_own.py", "pytorch_model.bin", "original/consolidated.00.pth", "training_args.bin", "handler.py",
    "tf_model.h5", "onnx/model.onnx", "consolidated.safetensors", "adapter_model.safetensors",
)  # fmt: skip


def test_what_lies_beside_the_model_is_left_behind_and_told(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    """Other formats, code and a second set of the weights are never downloaded: nothing of them can run."""
    for name in SPARE:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("x")
    told: list[str] = []
    store = PVCStore(tmp_path / "store")
    origin = HubOrigin(location(), tmp_path)
    found = import_model(store, "sources", origin, inputs.silence(), lambda _a, _b, left: told.extend(left))
    assert set(told) == set(SPARE)
    assert not {file.path for file in found.files} & set(SPARE)
    assert not [request for request in hub.requests for name in SPARE if name in str(request)]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model-q4.gguf", "original/consolidated.00.pth"])
def test_a_model_without_whole_safetensors_is_refused_before_anything_is_downloaded(
    hub: FakeHub, repository: Path, tmp_path: Path, name: str
) -> None:
    (repository / "model.safetensors").unlink()
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text("x")
    with pytest.raises(RefusalError) as error:
        import_model(PVCStore(tmp_path / "store"), "sources", HubOrigin(location(), tmp_path), inputs.silence())
    assert error.value.refusal.reason == "NotSafetensors"
    assert name in error.value.refusal.message
    assert hub.requests == []


def test_a_link_that_leads_out_of_the_volume_is_refused(tmp_path: Path) -> None:
    folder = inputs.write_model(tmp_path / "models" / "small")
    (tmp_path / "secret").write_text("secret")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    place = PVCOrigin(PVCLocation(claim_name="models", path="small"), tmp_path)
    with pytest.raises(RefusalError) as error:
        import_model(PVCStore(tmp_path / "store"), "sources", place, inputs.silence())
    assert error.value.refusal.reason == "LinkOutside"


def test_a_folder_that_changed_between_two_attempts_comes_as_it_is_now(tmp_path: Path) -> None:
    folder = inputs.write_model(tmp_path / "models" / "small")
    place = PVCOrigin(PVCLocation(claim_name="models", path="small"), tmp_path)
    store = PVCStore(tmp_path / "store")
    first = import_model(store, "sources", place, inputs.silence())
    (folder / "generation_config.json").write_text('{"eos_token_id": 3}')
    second = import_model(store, "sources", place, inputs.silence())
    assert second.digest != first.digest
    assert second == scan(folder)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    needs("versitygw")
    with S3Server(access_key="test", secret_key="test-secret") as running:
        yield running


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path) -> S3Location:
    secrets = tmp_path / "secrets" / "keys"
    secrets.mkdir(parents=True)
    (secrets / "accessKeyId").write_text("test")
    (secrets / "secretAccessKey").write_text("test-secret")
    s3.create_bucket("models")
    return S3Location.model_validate(
        {"bucket": "models", "path": "small", "endpoint": s3.url, "credentialsSecretRef": {"name": "keys"}}
    )


def test_a_model_comes_from_a_bucket_whole(bucket: S3Location, repository: Path, tmp_path: Path) -> None:
    client = client_of(bucket, tmp_path / "secrets")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        client.upload_file(str(repository / name), "models", f"small/{name}")
    store = PVCStore(tmp_path / "store")
    manifest = import_model(store, "sources", S3Origin(bucket, client), inputs.silence())
    assert [file.path for file in manifest.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    content = (store.folder("sources", manifest.digest) / "model.safetensors").read_bytes()
    assert content == (repository / "model.safetensors").read_bytes()


def test_an_object_that_was_half_downloaded_goes_on_where_it_was(
    bucket: S3Location, repository: Path, tmp_path: Path
) -> None:
    client = client_of(bucket, tmp_path / "secrets")
    client.upload_file(str(repository / "model.safetensors"), "models", "small/model.safetensors")
    place = S3Origin(bucket, client)
    file = next(file for file in place.files() if file.path == "model.safetensors")
    content = (repository / "model.safetensors").read_bytes()
    target = tmp_path / "model.safetensors"
    (tmp_path / ".model.safetensors.partial").write_bytes(content[:1000])
    (tmp_path / ".model.safetensors.partial.version").write_text(file.version)
    advanced: list[int] = []
    place.fetch(file, target, advanced.append)
    assert target.read_bytes() == content
    assert advanced[0] == 1000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"bucket": "missing"}, "BucketRefused"), ({"path": "nothing"}, "SourceMissing")],
)
def test_a_bucket_that_cannot_be_read_is_refused(
    bucket: S3Location, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    place = S3Origin(bucket.model_copy(update=changes), client_of(bucket, tmp_path / "secrets"))
    with pytest.raises(RefusalError) as error:
        place.files()
    assert error.value.refusal.reason == reason
