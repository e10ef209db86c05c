"""From what the kubelet and the controllers write to what decide reads."""

from __future__ import annotations

from typing import Any

from lowbit.observe.jobviews import job_view, parse_termination
from lowbit.observe.readings import Readings
from lowbit.observe.views import deployment_view, last_progress, pod_view
from tests.unit.world import job_controller

REFUSAL = '{"refusal": {"reason": "RemoteCode", "message": "auto_map", "action": "Remove it."}}'


def pod(
    name: str, phase: str, *containers: dict[str, Any], created: str = "2026-01-01T00:00:00Z", **status: Any
) -> Any:
    metadata: dict[str, Any] = {"name": name, "namespace": "team", "uid": name, "creationTimestamp": created}
    metadata["ownerReferences"] = [job_controller("j", "j")]
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase, "containerStatuses": containers, **status}}


def ended(name: str, code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}


def job(**status: Any) -> dict[str, Any]:
    return {"kind": "Job", "metadata": {"name": "j", "namespace": "team", "uid": "j"}, "status": status}


def test_the_newest_finished_pod_speaks_for_its_job() -> None:
    old = pod("old", "Failed", ended("worker", 64, REFUSAL), created="2026-01-01T00:00:00Z")
    new = pod("new", "Failed", ended("worker", 1, "Traceback"), created="2026-01-01T00:01:00Z")
    running = pod("run", "Running", {"name": "worker", "state": {"running": {}}}, created="2026-01-01T00:02:00Z")
    view = job_view(job(), [old, running, new], Readings())
    assert [each.meta.name for each in view.pods] == ["run", "new", "old"]
    assert (view.state, view.exit_code, view.termination) == ("Running", 1, None)
    assert job_view(job(), [old], Readings()).termination == parse_termination(REFUSAL)


def test_an_init_container_that_failed_speaks_where_the_worker_never_ran() -> None:
    failed = pod("p", "Failed", {"name": "worker", "state": {"waiting": {"reason": "PodInitializing"}}})
    failed["status"]["initContainerStatuses"] = [ended("fetch", 64, REFUSAL)]
    view = job_view(job(), [failed], Readings())
    assert view.exit_code == 64
    assert view.termination is not None and view.termination.refusal is not None


def test_an_engine_that_ran_out_of_memory_and_was_restarted_is_noticed() -> None:
    engine = {
        "name": "engine",
        "restartCount": 1,
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    failed = pod("p", "Failed", ended("worker", 65), initContainerStatuses=[engine])
    view = job_view(job(), [failed], Readings())
    assert view.out_of_memory
    assert {each.name: each.restarts for each in view.pods[0].containers}["engine"] == 1


def test_a_job_ends_when_its_conditions_say_so() -> None:
    complete = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T01:00:00Z"}
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
    going = {"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy"}
    assert job_view(job(conditions=[complete], completionTime="x"), [], Readings()).state == "Succeeded"
    assert job_view(job(conditions=[going]), [], Readings()).state == "Pending"
    view = job_view(job(conditions=[failed]), [], Readings())
    assert (view.state, view.failure_reason, view.failure_message) == ("Failed", "DeadlineExceeded", "too long")


def test_a_pod_that_fits_nowhere_and_one_that_is_evicted_say_so() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    assert pod_view(pod("p", "Pending", conditions=[unscheduled])).unschedulable == "0/1 nodes"
    view = pod_view(pod("p", "Failed", conditions=[disrupted], reason="Evicted"))
    assert view.disrupted and view.reason == "Evicted" and view.unschedulable is None


def test_in_a_crash_loop_the_containers_last_words_are_kept() -> None:
    crashing = {
        "name": "fetch",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
        "lastState": {"terminated": {"exitCode": 64, "message": REFUSAL}},
    }
    (container,) = pod_view(pod("p", "Pending", crashing)).containers
    assert (container.reason, container.exit_code, container.message) == ("CrashLoopBackOff", 64, REFUSAL)


def test_a_deployment_tells_its_revision_and_when_it_is_stuck() -> None:
    labels = {"lowbit.dev/revision": "chat-1"}
    stuck = {"type": "Progressing", "status": "False", "message": "deadline exceeded"}
    manifest = {
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "team", "uid": "d"},
        "spec": {"template": {"metadata": {"labels": labels}}},
        "status": {"conditions": [stuck], "availableReplicas": 1},
    }
    view = deployment_view(manifest)
    assert (view.revision, view.stalled, view.available) == ("chat-1", "deadline exceeded", 1)


def test_the_last_progress_line_is_found_among_lines_for_people() -> None:
    lines = [
        '{"lowbit": "progress", "stage": "prepare", "percent": 10, "message": "a", "time": 1}',
        '{"lowbit": "progress", "stage": "prepare", "percent": 20, "message": "b", "time": 2}',
        '{"other": true}',
        "a word for people",
        '{"lowbit": "progr',
    ]
    found = last_progress("\n".join(lines))
    assert found is not None and found.percent == 20
    assert last_progress("nothing") is None
    assert parse_termination("Traceback (most recent call last)") is None
