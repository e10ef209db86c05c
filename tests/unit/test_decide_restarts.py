"""A pod that dies while it serves: whoever is woken up reads which container ended, and how."""

from __future__ import annotations

import pytest

from lowbit.api.documents import EXIT_LATER, EXIT_REFUSED
from tests.unit.world import World, replica_set, spec

NAME = "chat"


def serving_pod(world: World, restarts: int, ended: dict[str, object] | None, *, backs_off: bool = False) -> None:
    """One pod of the Deployment whose engine is starting (again), or waits until it may."""
    template = world.objects["Deployment", NAME]["spec"]["template"]
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
    state = waits if backs_off else {"running": {}}
    engine = {"name": "engine", "restartCount": restarts, "ready": False, "state": state}
    if ended is not None:
        engine["lastState"] = {"terminated": ended}
    metadata = {"name": "chat-1", "labels": template["metadata"]["labels"], "ownerReferences": [replica_set(NAME)]}
    status = {"phase": "Running", "containerStatuses": [engine]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def not_ready(world: World) -> None:
    deployment = world.objects["Deployment", NAME]
    world.put(deployment | {"status": deployment["status"] | {"readyReplicas": 1, "availableReplicas": 1}})


@pytest.fixture
def served() -> World:
    world = World()
    world.add_store()
    world.apply_model(NAME, spec())
    world.settle(NAME)
    return world


def ready(world: World) -> dict[str, str]:
    conditions = world.model(NAME)["status"]["conditions"]
    return next(condition for condition in conditions if condition["type"] == "Ready")


def test_a_container_that_ended_while_it_served_is_named_with_how_it_ended(served: World) -> None:
    not_ready(served)
    serving_pod(served, 1, {"exitCode": 137, "reason": "OOMKilled"})
    served.settle(NAME)
    condition = ready(served)
    assert (condition["status"], condition["reason"]) == ("False", "ContainerRestarted")
    assert "1 of 2 pod(s) ready" in condition["message"]
    assert "container engine of pod chat-1 restarted 1 time(s), last: OOMKilled, 137" in condition["message"]


def test_a_pod_that_starts_for_the_first_time_is_a_rollout(served: World) -> None:
    not_ready(served)
    serving_pod(served, 0, None)
    served.settle(NAME)
    assert ready(served)["reason"] == "RollingOut"


@pytest.mark.parametrize(("restarts", "stalled"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_crash_or_two_wake_nobody_and_a_crash_loop_does(served: World, restarts: int, stalled: bool) -> None:
    not_ready(served)
    serving_pod(served, restarts, {"exitCode": 1, "reason": "Error"}, backs_off=True)
    served.settle(NAME)
    condition = ready(served)
    assert condition["reason"] == ("EngineCrashLoop" if stalled else "ContainerRestarted")
    assert "engine" in condition["message"] and "pod chat-1" in condition["message"]
    assert any(each["type"] == "Stalled" for each in served.model(NAME)["status"]["conditions"]) == stalled


def fetch_pod(world: World, code: int, restarts: int, reason: str) -> None:
    """One pod of the Deployment whose fetch ends again and again."""
    message = f'{{"refusal": {{"reason": "{reason}", "message": "the bucket answered 503", "action": "look at it"}}}}'
    ended = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
    fetch = {"name": "fetch", "restartCount": restarts, "ready": False, "state": waits, "lastState": ended}
    template = world.objects["Deployment", NAME]["spec"]["template"]
    metadata = {"name": "chat-1", "labels": template["metadata"]["labels"], "ownerReferences": [replica_set(NAME)]}
    status = {"phase": "Pending", "initContainerStatuses": [fetch]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


@pytest.mark.parametrize(
    ("code", "restarts", "reason"),
    [(EXIT_LATER, 1, "ContainerRestarted"), (EXIT_LATER, 3, "ServerFailed"), (EXIT_REFUSED, 0, "ServerFailed")],
)
def test_a_pod_that_cannot_fetch_its_model_says_why_in_plain_words(
    served: World, code: int, restarts: int, reason: str
) -> None:
    """At once what cannot pass, and what may pass once it does not."""
    not_ready(served)
    fetch_pod(served, code, restarts, "ServerFailed")
    served.settle(NAME)
    assert ready(served)["reason"] == reason
    if reason == "ServerFailed":
        assert "the bucket answered 503 look at it" in ready(served)["message"]
        assert ("starts it again" in ready(served)["message"]) == (code == EXIT_LATER)
