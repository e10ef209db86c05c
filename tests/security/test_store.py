"""A store is shared and copied: what lies there says itself what it is of, and counts only if that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.documents import EvaluateDocument, PrepareResult
from lowbit.api.platform import Platform
from lowbit.naming.names import evaluation_name
from lowbit.naming.store_keys import artifact_index_key, dataset_key, facts_index_key, folder_key, result_key
from lowbit.resolve.freeze import baseline_spec, freeze
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.model.file_list import scan
from lowbit.worker.prepare import prepare
from lowbit.worker.quantize import find
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources import import_model
from lowbit.worker.sources.base import Origin, RemoteFile
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs
from tests.unit.evaluation_bench import CANDIDATE, ORIGINAL, Bench, make_bench
from tests.unit.fake_engine import FakeEngine
from tests.unit.measurements import summary_of

bench = pytest.fixture(make_bench)
OTHER = "sha256:" + "9" * 64

Change = dict[str, Any]
CHANGES: dict[str, Change] = {
    "name": {"evaluation": "eval-0123456789"},
    "model": {"model": {"kind": "Artifact", "digest": OTHER}},
    "protocol": {"protocol": {"tokenizer": "0" * 64}},
    "runtime": {"engine": {"vllm": {"image": "engine:2"}}},
    "baseline": {"baseline": "baseline-2"},
    "place": {"place": {"device": "NVIDIA-L4"}},
}
"""What a stored result may be of instead, by what the refusal says."""


def merged(known: Any, change: Any) -> Any:
    if isinstance(known, dict) and isinstance(change, dict):
        return known | {key: merged(known.get(key), value) for key, value in change.items()}
    return change


def plant(bench: Bench, name: str, change: Change) -> None:
    """Another result under the name of this one. Its protocolKey claims what is asked for."""
    known = json.loads(bench.store.read(result_key(name)) or b"")
    bench.store.write(result_key(name), json.dumps(merged(known, change)).encode())


async def refused(bench: Bench, document: EvaluateDocument, engine: FakeEngine) -> str:
    with pytest.raises(RefusalError) as error:
        await bench.run(engine, document)
    assert engine.requests == 0, "nothing is measured over it"
    assert error.value.refusal.reason == "OtherResult"
    assert "find out who writes to the store" in error.value.refusal.action
    return error.value.refusal.message


@pytest.mark.parametrize("what", CHANGES)
async def test_a_result_of_something_else_under_the_name_is_refused(bench: Bench, what: str) -> None:
    await bench.both()
    plant(bench, "eval-1", CHANGES[what])
    said = await refused(bench, bench.document(baseline="baseline-1"), FakeEngine(CANDIDATE))
    assert "eval-1" in said and f"{what} " in said


@pytest.mark.parametrize("what", ["name", "model", "protocol", "runtime", "baseline", "place"])
async def test_a_baseline_of_something_else_is_compared_with_nothing(bench: Bench, what: str) -> None:
    await bench.run(FakeEngine(ORIGINAL), bench.document())
    change = {"model": {"model": {"kind": "Source", "digest": OTHER}}}.get(what, CHANGES[what])
    plant(bench, "baseline-1", change)
    said = await refused(bench, bench.document(baseline="baseline-1"), FakeEngine(CANDIDATE))
    assert "baseline-1" in said and f"{what} " in said


async def test_samples_of_another_model_under_the_key_are_refused(bench: Bench) -> None:
    """measured/<key> of the original, copied to where the candidate's would lie: it would seem to be without a loss."""
    await bench.both()
    folders = {name: bench.store.root / "measured" / bench.stored(name).suites["fidelity"] for name in
               ("baseline-1", "eval-1")}  # fmt: skip
    for file in folders["baseline-1"].iterdir():
        (folders["eval-1"] / file.name).write_bytes(file.read_bytes())
    (bench.store.root / result_key("eval-1")).unlink()
    with pytest.raises(RefusalError, match="of something else than its folder's name says"):
        await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1"))


async def test_samples_that_were_exchanged_under_their_marker_are_refused(bench: Bench) -> None:
    await bench.both()
    original, candidate = (
        bench.store.root / "measured" / bench.stored(name).suites["fidelity"] / "samples.npz"
        for name in ("baseline-1", "eval-1")
    )
    candidate.write_bytes(original.read_bytes())
    (bench.store.root / result_key("eval-1")).unlink()
    with pytest.raises(RefusalError, match=r"not the one that suite\.json was written for"):
        await bench.run(FakeEngine(CANDIDATE), bench.document(baseline="baseline-1"))


async def test_a_dataset_that_was_exchanged_is_not_evaluated_on(bench: Bench) -> None:
    bench.store.write(dataset_key(bench.dataset), b'{"text": "w1 w2 w3"}\n' * 20)
    with pytest.raises(RefusalError, match="has other content"):
        await bench.run(FakeEngine(ORIGINAL), bench.document())


@pytest.fixture
def store(tmp_path: Path) -> PVCStore:
    return PVCStore(tmp_path / "store")


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return inputs.write_places(tmp_path)


def prepared(store: PVCStore, mounts: Mounts) -> PrepareResult:
    return prepare(inputs.prepare_document(inputs.spec()), store, inputs.silence(), mounts=mounts)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"evaluation": "baseline-0123456789"},
        {"model": {"kind": "Source", "digest": OTHER}},
        {"protocol": {"tokenizer": "0" * 64}},
        {"engine": {"vllm": {"image": "engine:2"}}},
        "no JSON",
    ],
)
def test_prepare_finds_no_result_of_something_else(store: PVCStore, mounts: Mounts, change: Change | str) -> None:
    asked = baseline_spec(freeze("small", inputs.spec(), Platform(), prepared(store, mounts))[0])
    name = evaluation_name(asked)
    whole = StoredResult(
        evaluation=name, summary=summary_of(), seconds=1, model=asked.model, protocol=asked.protocol,
        protocol_key=asked.protocol_key, engine=asked.engine,
    ).model_dump(mode="json", by_alias=True, exclude_none=True)  # fmt: skip
    text = json.dumps(merged(whole, change)) if isinstance(change, dict) else change
    store.write(result_key(name), text.encode())
    assert set(prepared(store, mounts).found_evaluations) == ({name} if change == {} else set())


def test_an_index_of_another_artifact_is_none(store: PVCStore, mounts: Mounts) -> None:
    """Copied to another hash it would stand for an artifact that was made of something else."""
    revision = freeze("small", inputs.spec(), Platform(), prepared(store, mounts))[0]
    workspace = store.workspace("made")
    (workspace / "config.json").write_text("{}")
    file_list = scan(workspace)
    store.commit("artifacts", workspace, file_list)
    record = file_list.as_artifact(100).wire()
    index = {"of": "f" * 64, "artifact": record, "quantize": {"artifact": record, "seconds": 1, "peakBytes": 1}}
    for text in (json.dumps(index), json.dumps(index | {"of": None}), "[]", "no JSON", "{"):
        store.write(artifact_index_key(revision.artifact_hash), text.encode())
        assert prepared(store, mounts).found == {}
        assert find(store, revision.artifact_hash) is None
    store.write(artifact_index_key(revision.artifact_hash), json.dumps(index | {"of": revision.artifact_hash}).encode())
    assert list(prepared(store, mounts).found) == [revision.artifact_hash]


def test_facts_of_another_model_are_none(store: PVCStore, mounts: Mounts) -> None:
    first = prepared(store, mounts)
    facts = first.facts.model_copy(update={"tokenizer": "0" * 64, "attention_heads": 1})
    index = {"of": OTHER, "facts": facts.wire()}
    store.write(facts_index_key(first.source), json.dumps(index).encode())
    assert prepared(store, mounts).facts.tokenizer == first.facts.tokenizer


FILES = ("config.json", "model.safetensors", "tokenizer.json")


class Fixed(Origin):
    """A place whose content never changes, like a commit on the hub."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = self.identity = name
        self._content = content

    def files(self) -> list[RemoteFile]:
        return [RemoteFile(name, len(self._content)) for name in FILES]

    def fetch(self, file: RemoteFile, target: Path, advance: Any) -> None:
        target.write_bytes(self._content)


def test_an_import_of_another_place_is_not_taken_for_this_one(store: PVCStore) -> None:
    """index/sources/<hash of the place> of one model, copied to where another one's is."""
    good, bad = Fixed("good/model at 1", b"good"), Fixed("bad/model at 1", b"bad")
    lists = [import_model(store, "sources", each, inputs.silence()) for each in (good, bad)]
    files = {path.name: path for path in (store.root / "index" / "sources").iterdir()}
    digests = {name: json.loads(path.read_text())["digest"] for name, path in files.items()}
    (of_good,) = [name for name, found in digests.items() if found == lists[0].digest]
    (of_bad,) = [name for name, found in digests.items() if found == lists[1].digest]
    files[of_good].write_bytes(files[of_bad].read_bytes())
    assert import_model(store, "sources", good, inputs.silence()).digest == lists[0].digest


def test_a_source_that_was_exchanged_is_not_quantized(store: PVCStore, mounts: Mounts) -> None:
    """Of the same size: only its hash tells."""
    source = prepared(store, mounts).source
    file = store.root / folder_key("sources", source) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(RefusalError, match=r"model\.safetensors has other content"):
        store.folder("sources", source)
