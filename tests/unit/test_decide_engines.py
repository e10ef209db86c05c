"""An engine's exit is reported at once with the end of its log; after the third it is given up. No wait is silent."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.decide.reconcile import decide
from tests.unit.life import NAME, condition, status
from tests.unit.test_decide_failures import STAGES, reach
from tests.unit.world import World, replica_set, spec_of_one

DYING = """\
(EngineCore pid=71) INFO 11-27 02:25:38 [auto_gptq.py:352] Using CPUWNA16LinearKernel for AutoGPTQLinearMethod
(EngineCore pid=71) ERROR 11-27 02:26:01 [core.py:1100] Traceback (most recent call last):
(EngineCore pid=71) ERROR 11-27 02:26:01 [core.py:1100] AttributeError: '_OpNamespace' '_C' object has no attribute \
'cpu_gemm_wna16'
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.
"""
ERROR = "AttributeError: '_OpNamespace' '_C' object has no attribute 'cpu_gemm_wna16'"
KERNEL = "CPUWNA16LinearKernel for AutoGPTQLinearMethod"


@pytest.fixture(params=["baseline", "candidate"])
def evaluating(request: pytest.FixtureRequest, world: World) -> str:
    """The name of the Job of an evaluation whose engine will end; its log has words."""
    world.log = lambda pod: DYING
    world.apply_model(NAME, spec_of_one())
    return reach(world, STAGES[request.param])


def engine(restarts: int, *, ready: bool = False, backs_off: bool = False, reason: str = "Error") -> dict[str, Any]:
    """The engine's container as the kubelet tells of it."""
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}
    state = waits if backs_off else {"running": {}}
    status = {"name": "engine", "restartCount": restarts, "ready": ready, "state": state}
    code = 137 if reason == "OOMKilled" else 1
    return status | ({"lastState": {"terminated": {"exitCode": code, "reason": reason}}} if restarts else {})


def seen(world: World, job: str, container: dict[str, Any], pod: str = "") -> None:
    """The state of the Job's pod is seen, and all that follows is done; the Job does not end by itself."""
    world.add_pod(pod or f"{job}-pod", job, "Running", [container])
    world.objects["Job", job]["status"] = {"active": 1}
    settle(world)


def settle(world: World) -> None:
    for _ in range(20):
        if not world.step(NAME):
            return
    raise AssertionError("no rest")


def test_an_engine_that_restarts_is_told_of_at_once_with_its_last_words(world: World, evaluating: str) -> None:
    seen(world, evaluating, engine(1))
    assert status(world)["reason"] == "EngineRestarted"
    for words in (f"Job {evaluating}", "1 time(s)", f"pod {evaluating}-pod", "exit code 1", ERROR):
        assert words in status(world)["progress"]["message"], words
        assert words in condition(world, "Ready")["message"], words
    assert condition(world, "Stalled") is None
    assert "Job is ended when it has ended 3 times" in status(world)["lastFailure"]["action"]
    assert [message for reason, message in world.events if reason == "EngineRestarted"] == [
        status(world)["lastFailure"]["message"]
    ], "one event"


def test_the_evaluation_keeps_the_engines_last_words_and_its_kernel(world: World, evaluating: str) -> None:
    seen(world, evaluating, engine(2, backs_off=True))
    termination = world.objects["ModelEvaluation", evaluating]["status"]["engineLastTermination"]
    assert termination["error"] == ERROR
    assert termination["kernels"] == [KERNEL]
    assert termination["count"] == 2
    assert termination["log"].splitlines()[-1].startswith("RuntimeError: Engine core initialization failed")
    assert world.objects["ModelEvaluation", evaluating]["status"]["phase"] == "Pending"


def test_the_third_time_it_is_stalled_and_its_job_is_ended(world: World, evaluating: str) -> None:
    for restarts in (1, 2):
        seen(world, evaluating, engine(restarts))
        assert condition(world, "Stalled") is None
    seen(world, evaluating, engine(3, backs_off=True))
    job = world.objects["Job", evaluating]
    assert job["spec"]["activeDeadlineSeconds"] == 1
    assert "ttlSecondsAfterFinished" not in job["spec"], "it stays, and with it the reason"
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "EngineCrashLoop"
    for words in ("has ended 3 time(s)", ERROR, f"delete Job {evaluating} to try again"):
        assert words in stalled["message"], words
    evaluation = world.objects["ModelEvaluation", evaluating]["status"]
    assert evaluation["phase"] == "Failed"
    assert evaluation["lastFailure"]["reason"] == "EngineCrashLoop"
    assert evaluation["engineLastTermination"]["count"] == 3


def test_the_reason_outlives_the_pods_and_the_status(world: World, evaluating: str) -> None:
    seen(world, evaluating, engine(3))
    told = condition(world, "Stalled")["message"]
    world.end_job(evaluating)
    world.engine_logs.clear()
    settle(world)
    assert condition(world, "Stalled")["message"] == told
    world.put(world.model(NAME) | {"status": {}})
    settle(world)
    assert condition(world, "Stalled")["message"] == told
    assert not world.step(NAME), "at rest nothing is written"


def test_a_job_that_was_given_up_is_made_again_when_it_is_deleted(world: World, evaluating: str) -> None:
    seen(world, evaluating, engine(3))
    world.end_job(evaluating)
    settle(world)
    world.delete("Job", evaluating)
    world.engine_logs.clear()
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    evaluation = world.objects["ModelEvaluation", evaluating]["status"]
    assert evaluation["phase"] == "Complete"
    assert "engineLastTermination" not in evaluation


def test_a_job_that_was_given_up_is_made_again_when_the_manifest_gives_its_engine_more(
    world: World, evaluating: str
) -> None:
    seen(world, evaluating, engine(3, reason="OOMKilled"))
    assert condition(world, "Stalled")["reason"] == "OutOfMemory"
    assert "spec.engine.vllm.resources.limits.memory" in condition(world, "Stalled")["message"]
    world.end_job(evaluating)
    world.engine_logs.clear()
    world.apply_model(NAME, spec_of_one(engine={"vllm": {"resources": {"limits": {"memory": "64Gi"}}}}))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_an_engine_that_has_come_up_again_is_waited_for_as_ever(world: World, evaluating: str) -> None:
    seen(world, evaluating, engine(1))
    seen(world, evaluating, engine(1, ready=True))
    assert status(world)["reason"] in ("Evaluating", "EvaluatingBaseline")
    assert ERROR not in condition(world, "Ready")["message"]
    assert status(world)["lastFailure"]["reason"] == "EngineRestarted", "it can be read in the morning"
    world.objects["Job", evaluating]["status"] = {}
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_deaths_in_several_pods_of_one_job_count_together(world: World, evaluating: str) -> None:
    for number in range(3):
        assert condition(world, "Stalled") is None
        seen(world, evaluating, engine(1, ready=True), f"{evaluating}-{number}")
    assert condition(world, "Stalled")["reason"] == "EngineCrashLoop"


def test_a_log_that_cannot_be_read_keeps_nothing_from_being_told(world: World, evaluating: str) -> None:
    world.log = lambda pod: None
    seen(world, evaluating, engine(1))
    assert "exit code 1; its log could not be read (the pod is gone)" in status(world)["progress"]["message"]
    seen(world, evaluating, engine(3))
    assert condition(world, "Stalled")["reason"] == "EngineCrashLoop"


def test_a_log_without_an_error_is_told_as_that(world: World, evaluating: str) -> None:
    world.log = lambda pod: ""
    seen(world, evaluating, engine(1))
    assert "exit code 1; its log names no error" in status(world)["progress"]["message"]


def test_the_end_of_a_log_without_an_error_is_in_the_failure(world: World, evaluating: str) -> None:
    world.log = lambda pod: "loading the weights\ndownloading from https://me:hunter2@hub.example\nKilled by a signal\n"
    seen(world, evaluating, engine(3))
    for words in ("its log names no error, which ends with", "Killed by a signal"):
        assert words in condition(world, "Stalled")["message"], words
    assert "hunter2" not in condition(world, "Stalled")["message"]


def test_the_last_words_in_the_pods_status_are_told_if_the_log_is_gone(world: World, evaluating: str) -> None:
    world.log = lambda pod: None
    died = engine(3)
    died["lastState"]["terminated"]["message"] = "loading the weights\nno kernel for this CPU\n"
    seen(world, evaluating, died)
    assert "could not be read (the pod is gone), and ends with: " in condition(world, "Stalled")["message"]
    assert "no kernel for this CPU" in condition(world, "Stalled")["message"]


def test_nothing_is_told_of_an_engine_that_a_drained_node_has_ended(world: World, evaluating: str) -> None:
    seen(world, evaluating, engine(0))
    pod = world.objects["Pod", f"{evaluating}-pod"]
    drained = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    changed = {"phase": "Failed", "conditions": [drained], "containerStatuses": [engine(1)]}
    world.put(pod | {"status": changed})
    settle(world)
    assert "lastFailure" not in status(world)


@pytest.fixture
def served(world: World) -> World:
    world.log = lambda pod: DYING
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    deployment = world.objects["Deployment", NAME]
    world.put(deployment | {"status": deployment["status"] | {"readyReplicas": 1, "availableReplicas": 1}})
    return world


def serving_pod(world: World, container: dict[str, Any], *, lived: str = "00:00:50") -> None:
    """A pod of the Deployment whose engine has lived from midnight until then."""
    labels = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    last = container["lastState"]["terminated"]
    last |= {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": f"2026-01-01T{lived}Z"}
    status = {"phase": "Running", "containerStatuses": [container]}
    metadata = {"name": "chat-1", "labels": labels, "ownerReferences": [replica_set(NAME)]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})
    settle(world)


def test_an_engine_that_dies_while_it_serves_is_told_of_with_its_last_words(served: World) -> None:
    serving_pod(served, engine(1))
    ready = condition(served, "Ready")
    assert ready["reason"] == "ContainerRestarted"
    assert ERROR in ready["message"]
    assert condition(served, "Stalled") is None
    failure = status(served)["lastFailure"]
    assert (failure["reason"], failure["stage"]) == ("EngineRestarted", "Serve")
    assert "kubectl -n models logs chat-1 -c engine --previous" in failure["action"]
    assert ("EngineRestarted", failure["message"]) in served.events


@pytest.mark.parametrize("backs_off", [True, False])
def test_the_third_restart_while_serving_is_stalled_whether_it_waits_or_tries_again(
    served: World, backs_off: bool
) -> None:
    serving_pod(served, engine(3, backs_off=backs_off))
    stalled = condition(served, "Stalled")
    assert stalled["reason"] == "EngineCrashLoop"
    assert ERROR in stalled["message"]
    before = served.events.copy()
    serving_pod(served, engine(4, backs_off=not backs_off))
    assert condition(served, "Stalled") == stalled
    assert served.events == before, "a crash loop is told of once"


def test_restarts_of_many_months_are_no_crash_loop(served: World) -> None:
    serving_pod(served, engine(3), lived="23:00:00")
    assert condition(served, "Stalled") is None
    assert condition(served, "Ready")["reason"] == "ContainerRestarted"


def test_logs_are_read_once_for_each_end_and_never_at_rest(served: World) -> None:
    serving_pod(served, engine(1))
    snapshot = served.snapshot(NAME)
    assert snapshot is not None
    assert decide(snapshot, served.now).read_logs == ()
