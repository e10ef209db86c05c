"""A model that two pods hold together, by vLLM's own processes: judged so, served so, and back after a loss."""

from __future__ import annotations

import pytest

from lowbit.api.documents import EXIT_LOST
from tests.e2e.groups import FOLLOWERS, LEADERS, container, engine, kill, last_exit, one, ready
from tests.e2e.lab import Lab, condition
from tests.e2e.load import clients

LITTLE = {"requests": {"cpu": "100m"}}
"""Three groups and a Job ask for no more than two cores have."""
BOTH = {"0", "1"}
INDEX = "batch.kubernetes.io/job-completion-index"


def test_two_pods_hold_one_engine_in_evaluation_and_in_serving_and_come_back_when_one_is_killed(lab: Lab) -> None:
    lab.apply_model("pair", engine=engine(pipelineParallelSize=2), candidates=[{"gptq": {"bits": 8, "groupSize": 64}}])
    lab.wait("the original is measured by two pods", lambda: measuring(lab) == BOTH)
    status = lab.wait_ready("pair")
    assert status["verdict"]["verdict"] == "Passed"
    for job in lab.objects("jobs", "lowbit.dev/stage=evaluate"):
        assert (job["spec"]["completions"], job["spec"]["completionMode"]) == (2, "Indexed")
        assert any(each["type"] == "Complete" for each in job["status"]["conditions"]), lab.picture()
    leader, follower = one(lab, LEADERS), one(lab, FOLLOWERS)
    assert ready(leader) and ready(follower)
    assert lab.ask("pair")
    kill_one_under_load(lab)
    lab.kubectl("delete", "quantizedmodel", "pair", "--wait=true")
    lab.wait_gone("pair")


def measuring(lab: Lab) -> set[str]:
    """Numbers of the pods of evaluations."""
    pods = lab.objects("pods", "lowbit.dev/stage=evaluate")
    return {each["metadata"]["labels"].get(INDEX, "none") for each in pods}


def kill_one_under_load(lab: Lab) -> None:
    with clients(lab.service("pair"), "pair", {}) as answers:
        lab.wait("the clients are answered", lambda: answers.good > 5)
        kill(lab, FOLLOWERS)
        lab.wait("the leader has ended with it", lambda: container(one(lab, LEADERS)).get("restartCount", 0) > 0)
        assert last_exit(one(lab, LEADERS)) == EXIT_LOST
        lab.wait("the group is back", lambda: ready(one(lab, LEADERS)) and ready(one(lab, FOLLOWERS)))
        lab.wait("it is ready", lambda: condition(lab.get("qm", "pair"), "Ready"))
        enough = answers.good + 5
        lab.wait("the clients are answered again", lambda: answers.good > enough)


@pytest.mark.long
def test_where_one_of_two_groups_is_lost_the_other_answers_and_a_change_loses_no_request(lab: Lab) -> None:
    def apply(group: int) -> None:
        candidates = [{"gptq": {"bits": 8, "groupSize": group}}]
        lab.apply_model(
            "pair",
            engine=engine(pipelineParallelSize=2, resources=LITTLE),
            candidates=candidates,
            jobs={"quantize": {"device": "CPU", "resources": LITTLE}},
            serving={"replicas": 2, "drainSeconds": 20},
        )

    apply(64)
    old = lab.wait_ready("pair", 40)["current"]["name"]
    assert len(lab.objects("statefulsets")) == len(lab.objects("pods", LEADERS)) == 2
    kill(lab, FOLLOWERS)
    lab.wait("one group is lost", lambda: [ready(each) for each in lab.objects("pods", LEADERS)].count(True) == 1)
    assert lab.ask("pair")
    lab.wait("both are back", lambda: condition(lab.get("qm", "pair"), "Ready"))
    with clients(lab.service("pair"), "pair", {}) as answers:
        lab.wait("the clients are answered", lambda: answers.good > 5)
        apply(32)
        status = lab.wait_ready("pair", 40)
        enough = answers.good + 10
        lab.wait("the new groups answer", lambda: answers.good > enough)
    assert not answers.failures, answers.failures[:5]
    assert status["current"]["name"] != old
    lab.wait("the followers of the old groups are gone", lambda: len(lab.objects("statefulsets")) == 2)
