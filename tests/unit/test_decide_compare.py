"""evaluation.compare: All. Every candidate is made and measured; the first that passes serves, and waits for none."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_LATER, EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from tests.unit.life import NAME, condition, only_passed_is_served, served, status
from tests.unit.test_decide_failures import reach
from tests.unit.world import World, replica_set, spec

THREE = [{"gptq": {"bits": 4}}, {"gptq": {"bits": 8}}, {"awq": {}}]


def comparing(**changes: Any) -> dict[str, Any]:
    """Three candidates, all of which are compared."""
    whole = spec(candidates=THREE) | changes
    return whole | {"evaluation": whole["evaluation"] | {"compare": "All"}}


def rows(world: World) -> list[tuple[Any, ...]]:
    return [(row["name"], row.get("verdict")) for row in status(world)["comparison"]]


def revisions(world: World) -> list[dict[str, Any]]:
    found = [world.objects["ModelRevision", name] for name in world.names("ModelRevision")]
    return sorted(found, key=lambda each: int(each["spec"]["candidate"]))


def test_all_candidates_are_compared_and_the_first_that_passes_serves(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME, after=only_passed_is_served(world))
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Compared")["status"] == "True"
    assert served(world) == revisions(world)[0]["metadata"]["name"]
    assert rows(world) == [
        ("original", None), ("gptq-int4-g64", "Passed"), ("gptq-int8-g64", "Passed"), ("awq-int4-g64", "Passed"),
    ]  # fmt: skip


def test_each_row_has_size_verdict_and_what_decided(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    original, first, *_ = status(world)["comparison"]
    assert original["bytes"] == 269_060_552
    assert original["ratio"] == "1.00"
    assert original["evaluation"].startswith("baseline-")
    assert (first["bytes"], first["ratio"]) == (100, "2.83")
    assert first["evaluation"].startswith("eval-")
    assert first["decidedBy"]["metric"] == "KLDivergence"
    assert float(first["decidedBy"]["lower"]) < float(first["decidedBy"]["value"]) < float(first["decidedBy"]["upper"])
    assert (first["candidate"], first["revision"]) == (0, served(world))


def test_serving_does_not_wait_for_the_other_candidates(world: World) -> None:
    """The Deployment is there, and answers, before anything of the second candidate is."""
    world.apply_model(NAME, comparing())
    seen: list[tuple[int, str]] = []

    def look() -> None:
        if status(world):
            seen.append((len(revisions(world)), condition(world, "Ready")["status"]))

    world.settle(NAME, after=look)
    assert max(count for count, ready in seen if ready == "False") == 1
    first_ready = next(index for index, (_, ready) in enumerate(seen) if ready == "True")
    assert all(ready == "True" for _, ready in seen[first_ready:]), "and it stays Ready while the rest is compared"


def test_while_the_rest_is_compared_the_status_says_so(world: World) -> None:
    world.apply_model(NAME, comparing())
    reach_second(world)
    world.step(NAME)
    assert status(world)["stage"] == "Serving"
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Reconciling") is None
    compared = condition(world, "Compared")
    assert (compared["status"], compared["reason"]) == ("False", "Comparing")
    assert compared["message"].startswith("1 of 3 candidates are compared; quantizing chat-")
    assert status(world)["progress"]["message"].startswith("quantizing chat-")
    assert status(world)["candidate"]["recipe"] == "gptq-int8-g64"
    assert status(world)["current"]["recipe"] == "gptq-int4-g64"
    assert status(world)["verdict"]["verdict"] == "Passed"


def reach_second(world: World) -> str:
    """Until the second candidate's quantize Job is there; its name."""
    first = reach(world, "quantize-")
    for _ in range(60):
        world.step(NAME)
        jobs = [name for name in world.names("Job") if name.startswith("quantize-") and name != first]
        if jobs:
            return jobs[0]
        world.act()
    raise AssertionError("the second candidate is not made")


def test_at_rest_nothing_is_written(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    before = dict(world.objects)
    assert world.step(NAME) is False
    assert world.objects == before


def test_without_serving_the_rest_follows_on_passed(world: World) -> None:
    world.apply_model(NAME, comparing(serving=None))
    world.settle(NAME)
    assert status(world)["stage"] == "Passed"
    assert condition(world, "Compared")["status"] == "True"
    assert len(rows(world)) == 4


@pytest.mark.parametrize("verdict", ["Failed", "Inconclusive"])
def test_a_later_verdict_is_no_failure_of_the_model(world: World, verdict: str) -> None:
    first: list[str] = []

    def kl(name: str) -> float:
        first[:] = first or [name]
        return 0.05 if name == first[0] else {"Failed": 0.9, "Inconclusive": 0.15}[verdict]

    world.kl = kl
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert [verdict for _, verdict in rows(world)] == [None, "Passed", verdict, verdict]
    assert status(world)["verdict"]["verdict"] == "Passed"
    assert status(world)["evaluation"]["measurements"]
    assert "lastFailure" not in status(world)
    assert [reason for reason, _ in world.events if reason == f"Gate{verdict}"] == []


def test_later_candidates_are_no_attempts(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    assert [each["status"]["verdict"]["attempts"] for each in revisions(world)] == [1, 1, 1]
    changed = comparing()
    changed["evaluation"]["suites"][0]["gate"] = {"maximum": [{"metric": "KLDivergence", "value": "0.14"}]}
    world.apply_model(NAME, changed)
    world.settle(NAME)
    assert status(world)["verdict"]["attempts"] == 2, "one edit is one attempt, however many were compared"


def test_confidence_is_divided_over_the_declared_candidates(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    assert {each["status"]["verdict"]["confidence"] for each in revisions(world)} == {"0.983333"}


def test_a_later_candidate_that_cannot_be_made_is_told_in_its_row_and_the_next_one_follows(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    refusal = Refusal(reason="QuantizationFailed", message="it did not work", action="Use 4 bits.")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Compared")["status"] == "True"
    assert [(row.get("verdict"), row.get("failure")) for row in status(world)["comparison"]] == [
        (None, None), ("Passed", None), (None, "QuantizationFailed"), ("Passed", None),
    ]  # fmt: skip


def test_what_somebody_has_to_mend_stops_the_comparison_and_not_the_model(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    refusal = Refusal(reason="Damaged", message="the source is damaged", action="Restore it.")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Stalled") is None
    assert status(world)["stage"] == "Serving"
    compared = condition(world, "Compared")
    assert (compared["status"], compared["reason"]) == ("False", "Damaged")
    assert compared["message"] == "1 of 3 candidates are compared; the source is damaged Restore it."
    assert status(world)["lastFailure"]["reason"] == "Damaged"
    assert [reason for reason, _ in world.events if reason == "Damaged"], "an event says so once"


def test_what_may_pass_is_tried_again_after_growing_pauses(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    refusal = Refusal(reason="ServerBusy", message="the store is busy", action="Wait.")
    for attempt in (1, 2):
        world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_LATER)
        world.step(NAME)
        assert status(world)["lastFailure"]["attempts"] == attempt
        assert condition(world, "Ready")["status"] == "True"
        world.now += timedelta(seconds=200 * attempt)
        for _ in range(3):
            world.step(NAME)
    world.settle(NAME)
    assert condition(world, "Compared")["status"] == "True"


def test_an_edit_to_all_at_rest_keeps_what_serves_and_compares_the_rest(world: World) -> None:
    plain = spec(candidates=THREE)
    world.apply_model(NAME, plain)
    world.settle(NAME)
    assert "comparison" not in status(world)
    before, created = served(world), len(world.created)
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    assert served(world) == before
    assert len(rows(world)) == 4
    again = [kind for kind, name in world.created[created:] if kind in ("Deployment", "Job") and "prepare" not in name]
    assert again == ["Job"] * 4, "two candidates are quantized and evaluated; the baseline and the first are known"


def test_an_edit_back_gives_up_what_is_under_way(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    world.apply_model(NAME, spec(candidates=THREE))
    for _ in range(3):
        world.step(NAME)
    assert job not in world.names("Job")
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Compared") is None
    assert "comparison" not in status(world)
    assert len(revisions(world)) == 1


def test_an_edit_back_keeps_what_was_judged(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    world.apply_model(NAME, spec(candidates=THREE))
    world.settle(NAME)
    assert len(revisions(world)) == 3
    made = len(world.created)
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    assert len(world.created) == made
    assert len(rows(world)) == 4


def test_while_nothing_has_passed_the_rows_come_one_by_one(world: World) -> None:
    world.kl = lambda name: 0.9
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "GateFailed"
    assert condition(world, "Compared")["status"] == "True"
    assert [verdict for _, verdict in rows(world)] == [None, "Failed", "Failed", "Failed"]


def test_a_pinned_revision_stops_the_comparison(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    pinned = comparing(serving={"replicas": 2, "revision": served(world)})
    world.apply_model(NAME, pinned)
    world.finish_job(job)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    compared = condition(world, "Compared")
    assert compared["reason"] == "WaitingToCompare"
    assert "spec.serving.revision" in compared["message"], "a candidate is ready: it is not that which is waited for"


def test_a_name_that_is_taken_ends_the_comparison_and_stalls_nothing(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    known = world.objects["Job", job]
    world.put(known | {"metadata": known["metadata"] | {"labels": {}, "ownerReferences": []}})
    for _ in range(3):
        world.step(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Stalled") is None
    assert (condition(world, "Compared")["status"], condition(world, "Compared")["reason"]) == ("False", "NameTaken")


def test_a_pod_that_finds_no_node_gets_the_gpu_of_the_comparison(world: World) -> None:
    world.apply_model(NAME, comparing())
    job = reach_second(world)
    world.apply_model(NAME, comparing(serving={"replicas": 3}))
    world.step(NAME)
    pod_without_node(world)
    world.step(NAME)
    assert job not in world.names("Job")
    world.delete("Pod", "chat-1")
    world.settle(NAME)
    assert condition(world, "Compared")["status"] == "True", "it is made again once all pods answer"


def pod_without_node(world: World) -> None:
    labels = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu"
    nowhere = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    metadata = {"name": "chat-1", "labels": labels, "ownerReferences": [replica_set(NAME)]}
    status = {"phase": "Pending", "conditions": [nowhere]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def test_wiped_statuses_come_again_without_new_work(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    before, jobs = rows(world), [each for each in world.created if each[0] == "Job"]
    for kind, name in list(world.objects):
        if kind in ("QuantizedModel", "ModelRevision", "ModelEvaluation"):
            world.objects[kind, name]["status"] = {}
            world.put(world.objects[kind, name])
    world.settle(NAME)
    assert rows(world) == before
    new = [name for kind, name in world.created if kind == "Job"][len(jobs) :]
    assert [name for name in new if not name.startswith(f"{NAME}-prepare-")] == []
    assert served(world) == revisions(world)[0]["metadata"]["name"]


def test_the_job_of_a_later_candidate_knows_those_before_it(world: World) -> None:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    found = {}
    for kind, name in world.objects:
        if kind == "Job" and name.startswith(("eval-", "baseline-")):
            text = world.objects[kind, name]["spec"]["template"]["metadata"]["annotations"]["lowbit.dev/document"]
            document = json.loads(text)
            found[document.get("candidate")] = [each["name"] for each in document.get("others", [])]
    assert found == {
        None: [], "gptq-int8-g64": ["gptq-int4-g64"], "awq-int4-g64": ["gptq-int4-g64", "gptq-int8-g64"],
    }  # fmt: skip
