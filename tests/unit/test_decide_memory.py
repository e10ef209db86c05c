"""What a model takes on each GPU stands in the status, and is never a reason to write one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit import world as worlds
from tests.unit.life import NAME, condition, status
from tests.unit.world import World, spec

H100 = {"vllm": {"gpu": "NVIDIA-H100-80GB-HBM3", "maxModelLen": 2048}}


@pytest.fixture(autouse=True)
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose cache is known."""
    known = {"attention_layers": 30, "cache_values": 384, "cache_heads": 3}
    monkeypatch.setattr(worlds, "FACTS", worlds.FACTS.model_copy(update=known))


def rows(world: World) -> dict[str, Any]:
    return {row["name"]: row for row in status(world).get("memory", [])}


def test_the_status_says_what_original_and_candidate_take(world: World) -> None:
    world.apply_model(NAME, spec(engine=H100))
    world.settle(NAME)
    found = rows(world)
    assert list(found) == ["original", status(world)["current"]["recipe"]]
    assert found["original"]["gpu"] == "NVIDIA-H100-80GB-HBM3"
    assert found["original"]["room"] == 72_000_000_000
    small = found[status(world)["current"]["recipe"]]
    assert small["weights"] < found["original"]["weights"]
    assert small["sequences"] > found["original"]["sequences"] > 0


def test_without_a_gpu_by_name_there_is_no_room_to_say(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    assert "room" not in rows(world)["original"]
    assert rows(world)["original"]["cache"] > 0


def test_another_gpu_of_the_manifest_is_told_and_starts_nothing(world: World) -> None:
    world.apply_model(NAME, spec(engine=H100))
    world.settle(NAME)
    jobs = world.names("Job")
    world.apply_model(NAME, spec(engine={"vllm": H100["vllm"] | {"gpu": "NVIDIA-L4"}}))
    world.settle(NAME)
    assert rows(world)["original"]["gpu"] == "NVIDIA-L4"
    assert world.names("Job") == jobs
    assert condition(world, "Ready")["status"] == "True"


@pytest.mark.parametrize("wiped", [True, False])
def test_at_rest_the_memory_alone_writes_no_status(world: World, wiped: bool) -> None:
    world.apply_model(NAME, spec(engine=H100))
    world.settle(NAME)
    if wiped:
        del world.model(NAME)["status"]["memory"]  # as an older Lowbit has left it
    before = world.model(NAME)["metadata"]["resourceVersion"]
    world.settle(NAME)
    assert world.model(NAME)["metadata"]["resourceVersion"] == before
