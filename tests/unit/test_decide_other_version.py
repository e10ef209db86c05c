"""A worker of another version leaves a result that lacks something: it is said, and nobody tries for ever."""

from __future__ import annotations

from lowbit.api.documents import PrepareResult
from lowbit.api.termination import TerminationMessage
from tests.unit.world import World, spec


def test_a_result_of_prepare_that_lacks_a_dataset_stalls_and_says_what_to_do() -> None:
    world = World()
    world.add_store()
    world.apply_model("chat", spec())
    world.step("chat")
    (job,) = world.names("Job")
    whole = world.result("prepare", job).result(PrepareResult)
    assert whole is not None
    world.finish_job(job, TerminationMessage.of(whole.model_copy(update={"datasets": {}})))
    world.settle("chat")
    status = world.model("chat")["status"]
    assert status["lastFailure"]["reason"] == "NoResult"
    assert "calibration/general" in status["lastFailure"]["message"]
    assert "same version" in status["lastFailure"]["action"]
    assert any(condition["type"] == "Stalled" for condition in status["conditions"])
