"""Where datasets come from: a file or a folder on a claim or in a bucket, and a repository of the hub at a commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hack.cluster.s3 import S3Server
from lowbit.api.calibration import CalibrationDataset
from lowbit.api.references import S3Location
from lowbit.worker.data import locate as places
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.data.hub_files import matches
from lowbit.worker.data.locate import locate
from lowbit.worker.data.prepared import read
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.s3 import client_of
from tests.unit.fake_hub import COMMIT, REPO, FakeHub
from tests.unit.tools import needs

LONG = "a text that is long enough, of the file"
CARD = """---
license: mit
configs:
- config_name: plain
  data_files: "data/*.jsonl"
- config_name: split
  default: true
  data_files:
  - {split: train, path: ["data/train-*", "more/**"]}
  - {split: test, path: data/test.jsonl}
- config_name: folder
  data_dir: other
---
# A dataset
"""
WITH_CARD = {
    "README.md": CARD, "data/train-1.jsonl": "", "data/test.jsonl": "", "more/deep/x.jsonl": "",
    "other/validation.jsonl": "", "load.py": "raise SystemExit",
}  # fmt: skip
BY_NAMES = {
    "en/train-00000-of-00002.jsonl": "", "en/train-00001-of-00002.jsonl": "", "en/test_sft-00000-of-00001.jsonl": "",
    "de/validation.jsonl": "", "LICENSE.txt": "", ".gitattributes": "",
}  # fmt: skip


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Files; one without content holds a text with its name."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content or json.dumps({"text": f"{LONG} {name}"}) + "\n")
    return folder


def mounts(folder: Path) -> Mounts:
    return Mounts(folder / "volumes", folder / "maps", folder / "secrets", folder / "scratch")


def dataset(**place: Any) -> CalibrationDataset:
    return CalibrationDataset.model_validate({"name": "d", **place})


def on_hub(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[str]:
    """Names of the files that a dataset on the hub is made of."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    place = dataset(huggingFace={"repo": REPO, "revision": COMMIT, **more})
    found = locate(place, "calibration dataset d", mounts(tmp_path))
    assert all(file.path.read_bytes() == (hub.folder / file.name).read_bytes() for file in found)
    return [file.name for file in found]


@pytest.mark.parametrize(
    ("files", "asked", "names"),
    [
        (WITH_CARD, {"split": "train"}, ["data/train-1.jsonl", "more/deep/x.jsonl"]),
        (WITH_CARD, {"config": "split", "split": "test"}, ["data/test.jsonl"]),
        (WITH_CARD, {"config": "plain"}, ["data/test.jsonl", "data/train-1.jsonl"]),
        (WITH_CARD, {"config": "folder"}, ["other/validation.jsonl"]),
        (WITH_CARD, {"path": "more"}, ["more/deep/x.jsonl"]),
        (WITH_CARD, {"path": "data/test.jsonl"}, ["data/test.jsonl"]),
        (BY_NAMES, {"split": "train"}, ["en/train-00000-of-00002.jsonl", "en/train-00001-of-00002.jsonl"]),
        (BY_NAMES, {"config": "en", "split": "test_sft"}, ["en/test_sft-00000-of-00001.jsonl"]),
        (BY_NAMES, {"config": "de"}, ["de/validation.jsonl"]),
        ({"all.csv": "text\nx\n"}, {}, ["all.csv"]),
        ({"all.csv": "text\nx\n"}, {"config": "default", "split": "train"}, ["all.csv"]),
    ],
)
def test_the_card_or_the_names_tell_which_files_are_a_config_and_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], asked: dict[str, str], names: list[str]
) -> None:
    with FakeHub(write(tmp_path / "hub", files), kind="dataset") as hub:
        assert on_hub(hub, tmp_path, monkeypatch, **asked) == names
        assert {name for name, _ in hub.requests} <= {*names, "README.md"}, "nothing else is fetched"


@pytest.mark.parametrize(
    ("files", "asked", "reason", "words"),
    [
        (BY_NAMES, {}, "SplitMissing", r"several splits; there are validation, test_sft, train"),
        (BY_NAMES, {"config": "fr"}, "SplitMissing", r"no config fr; there are de, en"),
        (WITH_CARD, {"config": "nothing"}, "SplitMissing", r"no config nothing; there are plain, split, folder"),
        (WITH_CARD, {"split": "dev"}, "SplitMissing", r"no split dev; there are train, test"),
        (WITH_CARD, {"path": "nothing"}, "DatasetMissing", "no data file nothing"),
        ({"load.py": "x", "data.zip": "x"}, {}, "NoDataFiles", r"a loading script \(load.py\), which is never run"),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    asked: dict[str, str],
    reason: str,
    words: str,
) -> None:
    with FakeHub(write(tmp_path / "hub", files), kind="dataset") as hub:
        with pytest.raises(RefusalError, match=words) as refused:
            on_hub(hub, tmp_path, monkeypatch, **asked)
        assert refused.value.refusal.reason == reason
        assert hub.requests in ([], [("README.md", None)]), "no data was fetched"


BOMB = "---\nconfigs:\n- config_name: a\n  data_files: &a0 [x, x]\n" + "".join(
    f"- config_name: c{n}\n  data_files: &a{n} [*a{n - 1}, *a{n - 1}, {{split: *a{n - 1}, path: *a{n - 1}}}]\n"
    for n in range(1, 60)
)  # fmt: skip


@pytest.mark.parametrize(
    "card", [BOMB + "---\n", "---\nconfigs: 3\n---\n", "---\n{\n---\n", "---\n" + "[" * 5000 + "\n---\n"]
)
def test_a_strangers_card_costs_no_time_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str
) -> None:
    """A list that holds itself many times has no end as text."""
    with FakeHub(write(tmp_path / "hub", {"README.md": card, "a.jsonl": ""}), kind="dataset") as hub:
        try:
            assert on_hub(hub, tmp_path, monkeypatch) == ["a.jsonl"]
        except RefusalError as refused:
            assert refused.refusal.reason == "SplitMissing"


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        ("data/train-*", ["data/train-1.parquet"], ["data/x/train-1.parquet", "train-1"]),
        ("**", ["a.jsonl", "b/c.jsonl"], []),
        ("**/*.csv", ["a.csv", "x/y/a.csv"], ["a.jsonl"]),
        ("./en/**/*[0-9].json", ["en/1.json", "en/x/2.json"], ["de/1.json", "en/x.json"]),
        ("*a" * 30 + "*/**/" * 30 + "b", [], ["a" * 200 + "/c" * 30]),
    ],
)
def test_patterns_of_a_card(pattern: str, right: list[str], wrong: list[str]) -> None:
    assert [matches(path, pattern) for path in (*right, *wrong)] == [True] * len(right) + [False] * len(wrong)


def test_the_token_of_the_secret_is_sent_and_one_that_is_missing_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub(write(tmp_path / "hub", {"a.jsonl": ""}), token="hf_x", kind="dataset") as hub:
        with pytest.raises(RefusalError, match="may not be read") as refused:
            on_hub(hub, tmp_path, monkeypatch)
        assert "dataset's huggingFace.tokenSecretRef" in refused.value.refusal.action
        write(tmp_path / "secrets" / "hub", {"token": "hf_x"})
        assert on_hub(hub, tmp_path, monkeypatch, tokenSecretRef={"name": "hub", "key": "token"}) == ["a.jsonl"]


def test_a_repository_that_is_not_there_is_a_missing_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeHub(write(tmp_path / "hub", {"a.jsonl": ""}), kind="model")
    with models as hub, pytest.raises(RefusalError, match="does not exist") as refused:
        on_hub(hub, tmp_path, monkeypatch)
    assert refused.value.refusal.reason == "DatasetMissing"


def test_more_than_is_read_is_refused_before_it_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_BYTES", 10)
    with FakeHub(write(tmp_path / "hub", {"a.jsonl": ""}), kind="dataset") as hub:
        with pytest.raises(RefusalError) as refused:
            on_hub(hub, tmp_path, monkeypatch)
        assert refused.value.refusal.reason == "DatasetTooLarge"
        assert hub.requests == []


def test_a_folder_on_a_claim_is_all_data_files_in_it(tmp_path: Path) -> None:
    files = {"texts/b.jsonl": "", "texts/a/c.csv": "text\nx\n", "texts/README.md": "# x", "texts/.hidden.jsonl": ""}
    write(tmp_path / "volumes" / "data", files)
    place = dataset(pvc={"claimName": "data", "path": "texts"})
    assert [file.name for file in locate(place, "d", mounts(tmp_path))] == ["a/c.csv", "b.jsonl"]
    whole = dataset(pvc={"claimName": "data"})
    assert [file.name for file in locate(whole, "d", mounts(tmp_path))] == ["texts/a/c.csv", "texts/b.jsonl"]
    found = read("calibration", "d", place, mounts(tmp_path))
    assert [record.text for record in found.records] == ["x", f"{LONG} texts/b.jsonl"]


def test_what_a_dataset_was_read_from_stays_when_another_one_names_the_same_file(tmp_path: Path) -> None:
    """prepare stores what it has read and checked, and somebody may write to the claim meanwhile."""
    claim = write(tmp_path / "volumes" / "data", {"d.jsonl": "", "texts/d.jsonl": ""})
    for path in ("d.jsonl", "texts"):
        place = dataset(pvc={"claimName": "data", "path": path})
        before = read("calibration", "one", place, mounts(tmp_path))
        write(claim, {"d.jsonl": '{"text": "changed"}', "texts/d.jsonl": '{"text": "changed"}'})
        assert [record.text for record in read("evaluation", "two", place, mounts(tmp_path)).records] == ["changed"]
        assert before.path is not None
        assert str(before.records[0].text) in before.path.read_text()
        write(claim, {"d.jsonl": "", "texts/d.jsonl": ""})


def test_tables_of_datasets_with_names_alike_are_not_mixed_up(tmp_path: Path) -> None:
    """The dataset 0-a of the model's calibration, and a of the first candidate's own."""
    for number in (1, 2):
        path = tmp_path / "volumes" / "data" / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([{"text": f"{LONG} {number}"}]), path)
    found = [
        read("calibration", name, dataset(pvc={"claimName": "data", "path": path}), mounts(tmp_path)).path
        for name, path in (("0-a", "1.parquet"), ("0/a", "2.parquet"))
    ]
    assert [json.loads(path.read_text())["text"] for path in found if path] == [f"{LONG} 1", f"{LONG} 2"]


def test_a_folder_without_data_and_a_link_out_of_the_claim_are_refused(tmp_path: Path) -> None:
    claim = write(tmp_path / "volumes" / "data", {"texts/README.md": "# x", "linked/a.jsonl": ""})
    with pytest.raises(RefusalError, match="folder without data files"):
        locate(dataset(pvc={"claimName": "data", "path": "texts"}), "d", mounts(tmp_path))
    (tmp_path / "outside.jsonl").write_text("{}")
    (claim / "linked" / "b.jsonl").symlink_to("../../../outside.jsonl")
    with pytest.raises(RefusalError, match=r"linked/b.jsonl leads out of data"):
        locate(dataset(pvc={"claimName": "data", "path": "linked"}), "d", mounts(tmp_path))


def test_a_prefix_in_a_bucket_is_all_data_files_below_it_and_a_key_is_one(tmp_path: Path) -> None:
    needs("versitygw")
    write(tmp_path / "secrets" / "keys", {"accessKeyId": "key", "secretAccessKey": "secret"})
    with S3Server(access_key="key", secret_key="secret") as server:
        server.create_bucket("texts")
        where = {"bucket": "texts", "endpoint": server.url, "credentialsSecretRef": {"name": "keys"}}
        client = client_of(S3Location.model_validate(where), tmp_path / "secrets")
        for name in ("set/b.jsonl", "set/a/c.txt", "set/README.md", "other.jsonl"):
            client.put_object(Bucket="texts", Key=name, Body=f'{{"text": "{LONG} {name}"}}'.encode())

        def names(path: str) -> list[str]:
            found = locate(dataset(s3={**where, "path": path}), "dataset d", mounts(tmp_path))
            assert all(LONG in file.path.read_text() for file in found)
            return [file.name for file in found]

        assert names("set") == ["a/c.txt", "b.jsonl"]
        client.put_object(Bucket="texts", Key="set/", Body=b"")
        assert names("set/") == ["a/c.txt", "b.jsonl"], "an empty object of that name is how consoles make a folder"
        assert names("set/b.jsonl") == ["b.jsonl"]
        with pytest.raises(RefusalError, match="there is no object nothing"):
            names("nothing")
