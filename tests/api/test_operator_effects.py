"""Effects against a real API server: what was seen too late is never written over."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lowbit.api.termination import WorkerEnd
from lowbit.app.operator import utc_now
from lowbit.desired.common import OwnerReference
from lowbit.desired.group.token import token_secret
from lowbit.effects.events import EventSender
from lowbit.effects.execute import Outcome, execute
from lowbit.kube.client import Kube
from lowbit.kube.connect import configuration
from lowbit.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from lowbit.naming.names import GIVEN_UP_ANNOTATION, WORKER_END_ANNOTATION, token_name
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.plan import (
    Apply,
    Conclude,
    Create,
    Delete,
    End,
    Event,
    Keep,
    MakeToken,
    Plan,
    ScaleDown,
    SetOwners,
    WriteStatus,
)
from lowbit.state.snapshot import Owner
from tests.api.listed import listed
from tests.api.operator_process import Cluster, quantized_model
from tests.unit import desired_inputs

KEY = Key("default", "chat")


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    client = Kube(await configuration(str(cluster.server.kubeconfig)))
    yield client
    for kind in ("QuantizedModel", "ConfigMap"):
        for item in (await listed(client, kind, "default"))[0]:
            metadata = item["metadata"]
            await client.delete(kind, "default", metadata["name"], metadata["uid"])
    await client.close()


@pytest.fixture
def cache() -> Cache:
    return Cache()


def config_map(**data: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "lowbit", "lowbit.dev/quantizedmodel": "chat"}
    metadata = {"name": "child", "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def status_write(model: dict[str, Any], stage: str) -> WriteStatus:
    metadata = model["metadata"]
    status = {"stage": stage, "observedGeneration": 1, "conditions": []}
    return WriteStatus("QuantizedModel", "chat", metadata["uid"], metadata["resourceVersion"], status)


async def carry_out(
    plan: Plan, kube: Kube, cache: Cache, permitted: bool = True, events: EventSender | None = None
) -> Outcome:
    events = events or EventSender(kube, "test", utc_now)
    return await execute(plan, KEY, kube, cache=cache, events=events, permit=lambda: permitted)


async def test_creating_what_is_there_already_is_no_error_and_is_seen(kube: Kube, cache: Cache) -> None:
    await kube.create(config_map(a="first"))
    outcome = await carry_out(Plan(actions=(Create(config_map(a="second")),)), kube, cache)
    assert outcome.stale is None
    seen = cache.get("ConfigMap", "default", "child")
    assert seen is not None and seen["data"] == {"a": "first"}


async def test_an_apply_takes_away_only_what_it_had_set_itself(kube: Kube, cache: Cache) -> None:
    await carry_out(Plan(actions=(Apply(config_map(a="1", b="1")),)), kube, cache)
    cache.put(await kube.merge_patch("ConfigMap", "default", "child", {"data": {"theirs": "1"}}))
    # merge_patch is made as the manager lowbit, but by the operation Update: another owner to the API server
    await carry_out(Plan(actions=(Apply(config_map(a="2")),)), kube, cache)
    assert (await kube.get("ConfigMap", "default", "child"))["data"] == {"a": "2", "theirs": "1"}


async def test_an_apply_writes_over_nothing_that_was_not_seen(kube: Kube, cache: Cache) -> None:
    theirs = config_map(a="theirs")
    del theirs["metadata"]["labels"]
    await kube.create(theirs)
    outcome = await carry_out(Plan(actions=(Apply(config_map(a="1")),)), kube, cache)
    assert outcome.stale is not None and outcome.writes == 0
    assert cache.get("ConfigMap", "default", "child") is not None, "the next decision sees it"
    assert (await kube.get("ConfigMap", "default", "child"))["data"] == {"a": "theirs"}


async def test_an_apply_that_comes_late_changes_nothing_and_makes_nothing_again(kube: Kube, cache: Cache) -> None:
    """The next leader may have gone on since: then what it had seen is not what is there."""
    await carry_out(Plan(actions=(Apply(config_map(a="1")),)), kube, cache)
    stale = Cache()
    stale.put(await kube.get("ConfigMap", "default", "child"))
    await carry_out(Plan(actions=(Apply(config_map(a="2")),)), kube, cache)
    outcome = await carry_out(Plan(actions=(Apply(config_map(a="late")),)), kube, stale)
    assert outcome.stale is not None
    now = await kube.get("ConfigMap", "default", "child")
    assert now["data"] == {"a": "2"}
    fresh = stale.get("ConfigMap", "default", "child")
    assert fresh is not None and fresh["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]
    await kube.delete("ConfigMap", "default", "child", now["metadata"]["uid"])
    outcome = await carry_out(Plan(actions=(Apply(config_map(a="late")),)), kube, stale)
    assert outcome.stale is not None
    assert stale.get("ConfigMap", "default", "child") is None
    with pytest.raises(NotFound):
        await kube.get("ConfigMap", "default", "child")


async def test_a_stale_status_is_not_written_and_the_view_is_fresh_afterwards(kube: Kube, cache: Cache) -> None:
    seen = await kube.create(quantized_model("default", "chat"))
    cache.put(seen)
    newer = await kube.merge_patch("QuantizedModel", "default", "chat", {"metadata": {"annotations": {"a": "b"}}})
    outcome = await carry_out(Plan(status=status_write(seen, "Serving")), kube, cache)
    assert outcome.stale is not None
    assert "status" not in await kube.get("QuantizedModel", "default", "chat")
    fresh = cache.get("QuantizedModel", "default", "chat")
    assert fresh is not None and fresh["metadata"]["resourceVersion"] == newer["metadata"]["resourceVersion"]
    outcome = await carry_out(Plan(status=status_write(newer, "Serving")), kube, cache)
    assert outcome == Outcome(writes=1)


async def test_a_status_never_lands_on_a_new_object_of_the_same_name(kube: Kube, cache: Cache) -> None:
    old = await kube.create(quantized_model("default", "chat"))
    await kube.delete("QuantizedModel", "default", "chat", old["metadata"]["uid"])
    await kube.create(quantized_model("default", "chat"))
    outcome = await carry_out(Plan(status=status_write(old, "Serving")), kube, cache)
    assert outcome.stale is not None
    assert "status" not in await kube.get("QuantizedModel", "default", "chat")


async def test_a_status_write_removes_what_is_not_in_it_any_more(kube: Kube, cache: Cache) -> None:
    model = await kube.create(quantized_model("default", "chat"))
    first = status_write(model, "Serving")
    first = WriteStatus(
        first.kind, first.name, first.uid, first.resource_version, {**first.status, "endpoint": "http://x"}
    )
    await carry_out(Plan(status=first), kube, cache)
    model = await kube.get("QuantizedModel", "default", "chat")
    await carry_out(Plan(status=status_write(model, "Pending")), kube, cache)
    after = await kube.get("QuantizedModel", "default", "chat")
    assert "endpoint" not in after["status"]
    assert after["spec"] == model["spec"]
    assert after["metadata"]["generation"] == model["metadata"]["generation"]


async def test_owners_are_set_only_on_the_version_that_was_seen(kube: Kube, cache: Cache) -> None:
    model = await kube.create(quantized_model("default", "chat"))
    seen = await kube.create(config_map())
    owner = Owner("QuantizedModel", "chat", model["metadata"]["uid"])
    metadata = seen["metadata"]
    set_owners = SetOwners("ConfigMap", "child", metadata["uid"], metadata["resourceVersion"], (owner,))
    assert (await carry_out(Plan(actions=(set_owners,)), kube, cache)).stale is None
    assert (await carry_out(Plan(actions=(set_owners,)), kube, cache)).stale is not None
    (reference,) = (await kube.get("ConfigMap", "default", "child"))["metadata"]["ownerReferences"]
    assert reference["uid"] == model["metadata"]["uid"]
    assert "controller" not in reference


async def test_what_has_changed_since_it_was_seen_is_not_deleted(kube: Kube, cache: Cache) -> None:
    seen = await kube.create(config_map())
    newer = await kube.merge_patch("ConfigMap", "default", "child", {"data": {"a": "b"}})
    stale = Delete("ConfigMap", "child", seen["metadata"]["uid"], seen["metadata"]["resourceVersion"])
    assert (await carry_out(Plan(actions=(stale,)), kube, cache)).stale is not None
    fresh = Delete("ConfigMap", "child", newer["metadata"]["uid"], newer["metadata"]["resourceVersion"])
    assert (await carry_out(Plan(actions=(fresh,)), kube, cache)).stale is None
    assert cache.get("ConfigMap", "default", "child") is None
    assert (await carry_out(Plan(actions=(fresh,)), kube, cache)).stale is None


async def test_a_stale_action_ends_the_plan_before_its_status(kube: Kube, cache: Cache) -> None:
    model = await kube.create(quantized_model("default", "chat"))
    child = await kube.create(config_map())
    await kube.merge_patch("ConfigMap", "default", "child", {"data": {"a": "b"}})
    stale = Delete("ConfigMap", "child", child["metadata"]["uid"], child["metadata"]["resourceVersion"])
    outcome = await carry_out(Plan(actions=(stale,), status=status_write(model, "Serving")), kube, cache)
    assert outcome == Outcome(writes=1, stale=outcome.stale)
    assert "status" not in await kube.get("QuantizedModel", "default", "chat")


async def test_a_job_that_is_kept_has_no_time_to_live_any_more(kube: Kube, cache: Cache) -> None:
    manifest = desired_inputs.prepare()
    manifest["metadata"] = {"name": "failed", "namespace": "default"}
    seen = await kube.create(manifest)
    metadata = seen["metadata"]
    assert seen["spec"]["ttlSecondsAfterFinished"] > 0
    keep = Keep(metadata["name"], metadata["uid"], metadata["resourceVersion"])
    assert (await carry_out(Plan(actions=(keep,)), kube, cache)).stale is None
    kept = await kube.get("Job", "default", "failed")
    assert "ttlSecondsAfterFinished" not in kept["spec"]
    assert kept["spec"]["template"] == seen["spec"]["template"]
    assert (await carry_out(Plan(actions=(keep,)), kube, cache)).stale is not None
    await kube.delete("Job", "default", "failed", metadata["uid"])


async def test_only_the_replica_set_that_was_meant_is_scaled_down(kube: Kube, cache: Cache) -> None:
    labels = {"app": "chat"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "engine", "image": "x"}]}}
    made = await kube.create(
        {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "chat-1", "namespace": "default"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod},
        }
    )  # fmt: skip
    for name, uid in (("chat-1", "of-another"), ("chat-gone", "gone")):
        assert (await carry_out(Plan(actions=(ScaleDown(name, uid),)), kube, cache)).stale is None
    assert (await kube.get("ReplicaSet", "default", "chat-1"))["spec"]["replicas"] == 1
    await carry_out(Plan(actions=(ScaleDown("chat-1", made["metadata"]["uid"]),)), kube, cache)
    assert (await kube.get("ReplicaSet", "default", "chat-1"))["spec"]["replicas"] == 0
    await kube.delete("ReplicaSet", "default", "chat-1", made["metadata"]["uid"])


async def test_a_job_that_is_ended_has_no_time_left_and_says_why(kube: Kube, cache: Cache) -> None:
    manifest = desired_inputs.evaluate()
    manifest["metadata"] = {"name": "given-up", "namespace": "default", "annotations": {"a": "b"}}
    seen = await kube.create(manifest)
    metadata = seen["metadata"]
    end = End(metadata["name"], metadata["uid"], metadata["resourceVersion"], "why")
    assert (await carry_out(Plan(actions=(end,)), kube, cache)).stale is None
    ended = await kube.get("Job", "default", "given-up")
    assert ended["metadata"]["annotations"] == {"a": "b", GIVEN_UP_ANNOTATION: "why"}
    assert ended["spec"]["activeDeadlineSeconds"] == 1
    assert "ttlSecondsAfterFinished" not in ended["spec"]
    assert (await carry_out(Plan(actions=(end,)), kube, cache)).stale is not None
    await kube.delete("Job", "default", "given-up", metadata["uid"])


async def test_a_job_that_is_ended_after_its_worker_keeps_the_workers_end_and_its_time_to_live(
    kube: Kube, cache: Cache
) -> None:
    manifest = desired_inputs.evaluate()
    manifest["metadata"] = {"name": "lingers", "namespace": "default"}
    seen = await kube.create(manifest)
    metadata = seen["metadata"]
    record = WorkerEnd(exit_code=0, lived_on=("istio-proxy",), time="2026-01-01T00:00:00Z")
    conclude = Conclude(metadata["name"], metadata["uid"], metadata["resourceVersion"], record.text())
    assert (await carry_out(Plan(actions=(conclude,)), kube, cache)).stale is None
    ended = await kube.get("Job", "default", "lingers")
    assert WorkerEnd.model_validate_json(ended["metadata"]["annotations"][WORKER_END_ANNOTATION]) == record
    assert ended["spec"]["activeDeadlineSeconds"] == 1
    assert ended["spec"]["ttlSecondsAfterFinished"] == seen["spec"]["ttlSecondsAfterFinished"]
    await kube.delete("Job", "default", "lingers", metadata["uid"])


async def test_nothing_is_started_past_the_leases_end(kube: Kube, cache: Cache) -> None:
    outcome = await carry_out(Plan(actions=(Create(config_map()),)), kube, cache, permitted=False)
    assert outcome == Outcome(writes=0, halted=True)
    with pytest.raises(NotFound):
        await kube.get("ConfigMap", "default", "child")


async def test_the_same_event_twice_is_one_event_with_a_count(kube: Kube, cache: Cache) -> None:
    model = await kube.create(quantized_model("default", "chat"))
    sender = EventSender(kube, "test", utc_now)
    for _ in range(3):
        event = Event("Normal", "Preparing", "copying the source")
        await sender.send(event, "QuantizedModel", "default", "chat", model["metadata"]["uid"])
    events = (await listed(kube, "Event", "default"))[0]
    mine = [each for each in events if each["regarding"]["uid"] == model["metadata"]["uid"]]
    assert [each["series"]["count"] for each in mine] == [3]


async def test_an_event_is_sent_before_the_status_that_it_tells_of_and_once(kube: Kube, cache: Cache) -> None:
    """Whoever dies between the two, or writes too late, has told it; and the next try does not tell it again."""
    model = await kube.create(quantized_model("default", "chat"))
    cache.put(model)
    changed = await kube.merge_patch("QuantizedModel", "default", "chat", {"metadata": {"labels": {"a": "b"}}})
    sender = EventSender(kube, "test", utc_now)

    async def write(seen: dict[str, Any], stage: str) -> tuple[bool, list[int]]:
        plan = Plan(status=status_write(seen, stage), events=(Event("Normal", "Quantizing", "in 4 bits"),))
        outcome = await carry_out(plan, kube, cache, events=sender)
        events = (await listed(kube, "Event", "default"))[0]
        mine = [each for each in events if each["regarding"]["uid"] == model["metadata"]["uid"]]
        return outcome.stale is None, [each.get("series", {}).get("count", 1) for each in mine]

    assert await write(model, "Quantizing") == (False, [1])
    assert await write(changed, "Quantizing") == (True, [1])
    again = await kube.get("QuantizedModel", "default", "chat")
    assert await write(again, "Evaluating") == (True, [2])


async def test_the_errors_of_the_api_server_have_types(kube: Kube) -> None:
    created = await kube.create(config_map())
    with pytest.raises(AlreadyExists):
        await kube.create(config_map())
    with pytest.raises(NotFound, match="get ConfigMap default/absent"):
        await kube.get("ConfigMap", "default", "absent")
    with pytest.raises(Conflict):
        await kube.delete("ConfigMap", "default", "child", "not-its-uid")
    with pytest.raises(Invalid):
        await kube.create(config_map() | {"metadata": {"name": "Not A Name", "namespace": "default"}})
    assert created["metadata"]["uid"]


async def test_a_groups_token_is_made_once_and_is_nowhere_else(
    kube: Kube, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    owner = OwnerReference(
        "QuantizedModel", "chat", (await kube.create(quantized_model("default", "chat")))["metadata"]["uid"]
    )
    made = MakeToken(token_secret("default", owner))
    assert "stringData" not in made.manifest and "data" not in made.manifest
    await carry_out(Plan(actions=(made,)), kube, cache)
    name = token_name("chat")
    first = (await kube.get("Secret", "default", name))["data"]["token"]
    outcome = await carry_out(Plan(actions=(made,)), kube, cache)
    assert outcome.stale is None
    assert (await kube.get("Secret", "default", name))["data"]["token"] == first, "what is there stays"
    token = base64.b64decode(first).decode()
    assert len(token) >= 32
    assert token not in caplog.text and first not in caplog.text
    assert cache.get("Secret", "default", name) is None
