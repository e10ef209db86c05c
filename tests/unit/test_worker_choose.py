"""Which files of a repository are the model, and which shards are missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.worker.model.choose import choose
from lowbit.worker.refuse import RefusalError

COMMON = ["config.json", "tokenizer.json"]


def shards(count: int, stem: str = "model") -> list[str]:
    return [f"{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("files", "weights"),
    [
        (["model.safetensors"], ["model.safetensors"]),
        (shards(3), shards(3)),
        ([*shards(3), "consolidated.safetensors"], shards(3)),
        ([*shards(2), "model.safetensors"], shards(2)),
        (["model.safetensors", "original/model.safetensors"], ["model.safetensors"]),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
    ],
)
def test_one_set_of_the_weights_is_kept(files: list[str], weights: list[str]) -> None:
    chosen = choose([*COMMON, *files], "the model")
    assert [name for name in chosen.kept if name.endswith(".safetensors")] == weights
    assert sorted([*chosen.kept, *chosen.left_behind]) == sorted([*COMMON, *files])


@given(count=st.integers(2, 30), data=st.data())
def test_a_shard_that_is_missing_is_named(count: int, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(shards(count)))
    with pytest.raises(RefusalError) as error:
        choose([*COMMON, *(name for name in shards(count) if name != gone)], "the model")
    assert error.value.refusal.reason == "MissingWeights"
    assert gone in error.value.refusal.message
    assert f"{count - 1} of {count} shards" in error.value.refusal.message


def test_weights_in_a_folder_below_are_pointed_at() -> None:
    with pytest.raises(RefusalError) as error:
        choose([*COMMON, "snapshots/abc/model.safetensors"], "the model")
    assert error.value.refusal.reason == "NoSafetensors"
    assert "give the folder snapshots/abc" in error.value.refusal.action


def test_templates_in_a_folder_belong_to_the_model() -> None:
    names = [*COMMON, "model.safetensors", "additional_chat_templates/tool_use.jinja", "LICENSE", "tekken.json"]
    assert choose(names, "the model").left_behind == []
