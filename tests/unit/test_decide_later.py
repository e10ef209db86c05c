"""What may pass is tried again for as long as it lasts, later each time; a bug is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from lowbit.api.documents import EXIT_CRASHED, EXIT_LATER, EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.jobs.later import JITTER, LONGEST_SECONDS, STALLED_FROM, pause
from lowbit.decide.reconcile import decide
from tests.unit.life import NAME, condition, status
from tests.unit.test_decide_failures import STAGES, reach
from tests.unit.world import World, spec_of_one


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return STAGES[request.param]


def busy(world: World, job: str, asked: int | None = None, reason: str = "Throttled") -> None:
    """The Job ends because a server was busy, or whatever the reason says."""
    refusal = Refusal(
        reason=reason, message="bucket models: it answered 429", action="ask for a higher limit", retry_after=asked
    )
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_LATER)


def uid(world: World, job: str) -> str:
    return str(world.objects["Job", job]["metadata"]["uid"])


def at_rest(world: World, *names: str) -> None:
    """Reconcile until nothing is done any more; nobody finishes a Job."""
    for _ in range(20):
        steps = [world.step(name) for name in names or (NAME,)]
        if not any(steps):
            return
    raise AssertionError("it does not come to rest")


def waits(world: World) -> float:
    """Seconds until the model is looked at again."""
    found = world.snapshot(NAME)
    assert found is not None
    seconds = decide(found, world.now).requeue_after
    assert seconds is not None
    return seconds


def tries(world: World, job: str, count: int, reason: str = "Throttled") -> Iterator[float]:
    """Fail the Job so often; the pause after each try."""
    for _ in range(count):
        busy(world, job, reason=reason)
        at_rest(world)
        seconds, before = waits(world), uid(world, job)
        yield seconds
        world.now += timedelta(seconds=seconds)
        at_rest(world)
        assert uid(world, job) != before


def test_a_busy_server_is_waited_for_at_every_stage_and_said_with_the_time_of_the_next_try(
    world: World, stage: str
) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    busy(world, job)
    before = uid(world, job)
    at_rest(world)
    assert condition(world, "Stalled") is None
    ready, failure = condition(world, "Ready"), status(world)["lastFailure"]
    assert (ready["status"], ready["reason"]) == ("False", "Throttled")
    assert (failure["job"], failure["attempts"]) == (job, 1)
    for words in ("it answered 429", "ask for a higher limit", failure["nextTry"], f"Job {job} is deleted"):
        assert words in ready["message"]
    assert ("Throttled", "bucket models: it answered 429") in world.events
    assert uid(world, job) == before, "not at once"
    world.now += timedelta(seconds=waits(world))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_the_pauses_grow_and_the_tries_go_on_for_hours(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    began = world.now
    pauses = list(tries(world, job, 12))
    for attempt, seconds in enumerate(pauses):
        grown = min(60 * 2**attempt, LONGEST_SECONDS)
        assert grown <= seconds <= grown * (1 + JITTER) + 1
    assert world.now - began > timedelta(hours=6)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert status(world)["lastFailure"]["attempts"] == 12


def test_at_rest_between_two_tries_nothing_is_written(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    busy(world, job)
    at_rest(world)
    for _ in range(5):
        world.now += timedelta(seconds=10)
        assert world.step(NAME) is False


def test_after_half_an_hour_it_is_stalled_so_that_somebody_looks_and_still_tried_again(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    for attempt, _ in enumerate(tries(world, job, STALLED_FROM + 1), start=1):
        stalled = condition(world, "Stalled")
        assert (stalled is not None) == (attempt >= STALLED_FROM)
        if stalled is not None:
            assert status(world)["lastFailure"]["nextTry"] in stalled["message"]
    world.settle(NAME)
    assert condition(world, "Stalled") is None
    assert condition(world, "Ready")["status"] == "True"


def test_since_when_it_fails_can_be_read(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    times = {status(world)["lastFailure"]["time"] for _ in tries(world, job, 4)}
    assert len(times) == 1


def test_never_sooner_than_the_server_asks(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    busy(world, job, asked=1800)
    at_rest(world)
    assert 1800 <= waits(world) <= 1800 * (1 + JITTER) + 1
    ends = datetime.fromisoformat(status(world)["lastFailure"]["nextTry"])
    assert (ends - world.now).total_seconds() >= 1800


def test_a_server_cannot_stop_a_model_for_days() -> None:
    assert pause("job", 1, "Throttled", 10**9) <= 6 * 3600 * (1 + JITTER) + 1


def test_what_failed_together_is_not_tried_again_together() -> None:
    pauses = {pause(f"chat-{number}-prepare-0123456789", 1, "Throttled", None) for number in range(100)}
    assert len(pauses) > 10
    assert max(pauses) - min(pauses) > 10


def test_two_that_share_a_job_wait_for_the_same_time_and_it_grows_for_both(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["quantize"])
    for _ in range(3):
        busy(world, job)
        at_rest(world)
        world.now += timedelta(seconds=waits(world))
        at_rest(world)
    world.apply_model("other", spec_of_one())
    busy(world, job)
    for _ in range(50):
        world.step("other")
        prepare = [name for name in world.names("Job") if name.startswith("other-prepare")]
        if prepare and not world.objects["Job", prepare[0]]["status"]:
            world.finish_job(prepare[0])
    at_rest(world, NAME, "other")
    one, other = status(world)["lastFailure"], status(world, "other")["lastFailure"]
    assert one["attempts"] == other["attempts"] == 4
    assert one["nextTry"] == other["nextTry"]


def test_somebody_who_deletes_the_job_need_not_wait_and_it_begins_anew(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    list(tries(world, job, 5))
    busy(world, job)
    at_rest(world)
    world.delete("Job", job)
    at_rest(world)
    assert ("Job", job) in world.objects
    busy(world, job)
    at_rest(world)
    assert status(world)["lastFailure"]["attempts"] == 1


def test_a_job_that_waits_for_its_next_try_does_not_expire_before(world: World) -> None:
    world.apply_model(NAME, spec_of_one(jobs={"ttlSeconds": 60}))
    job = reach(world, STAGES["prepare"])
    busy(world, job, asked=3600)
    at_rest(world)
    assert "ttlSecondsAfterFinished" not in world.objects["Job", job]["spec"]


def test_a_status_that_was_wiped_costs_no_try_and_no_pause(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    list(tries(world, job, 3))
    busy(world, job)
    at_rest(world)
    told, seconds, before = status(world)["lastFailure"], waits(world), uid(world, job)
    world.put(world.model(NAME) | {"status": {"stage": "Pending"}})
    at_rest(world)
    assert uid(world, job) == before
    assert waits(world) == seconds
    assert status(world)["lastFailure"]["attempts"] == told["attempts"] == 4


def test_a_full_disk_that_an_older_worker_has_told_of_is_tried_again(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["quantize"])
    full = Refusal(reason="NoSpace", message="full", action="grow it")
    world.finish_job(job, TerminationMessage(refusal=full), code=EXIT_REFUSED)
    at_rest(world)
    assert condition(world, "Stalled")["reason"] == "NoSpace"
    world.now += timedelta(seconds=waits(world))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_certificate_that_nobody_trusts_is_stalled_at_once_because_somebody_has_to_act(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    busy(world, job, reason="CertificateRefused")
    at_rest(world)
    assert condition(world, "Stalled")["reason"] == "CertificateRefused"
    world.now += timedelta(seconds=waits(world))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_crash_of_lowbits_own_code_is_not_tried_again(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    crash = Refusal(reason="WorkerCrashed", message="KeyError: 'digest' (at worker/prepare.py:1)", action="report it")
    world.finish_job(job, TerminationMessage(refusal=crash), code=EXIT_CRASHED)
    before = world.names("Job")
    world.settle(NAME)
    world.now += timedelta(days=1)
    world.settle(NAME)
    assert world.names("Job") == before
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "WorkerCrashed"
    assert "worker/prepare.py:1" in stalled["message"]
