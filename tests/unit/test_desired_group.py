"""What a group of pods is made of: in evaluation and in serving the same members, who only talk to each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lowbit.api.engines import engine_of
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.context import Evaluation, Served
from lowbit.desired.group.followers import Leader
from lowbit.desired.topology import EnginePod, topology_of
from lowbit.naming.names import MAX_MODEL_NAME, evaluation_name, followers_name
from lowbit.resolve.freeze import candidate_spec
from lowbit.worker.member import Member
from tests.unit import desired_inputs as inputs
from tests.unit.desired_inputs import of_kind

LEADER = Leader("support-chat-5d8f7c-abcde", "uid-leader", "10.0.0.7")
PROCESS = {"pipelineParallelSize": 3, "tensorParallelSize": 2}
RAY = PROCESS | {"executor": "Ray"}
BOTH = pytest.mark.parametrize("engine", [PROCESS, RAY], ids=["processes", "Ray"])


def model_of(engine: dict[str, Any]) -> QuantizedModelSpec:
    return inputs.spec(engine={"vllm": engine})


def evaluation_job(engine: dict[str, Any]) -> Manifest:
    model = model_of(engine)
    frozen = inputs.revision_spec(model)
    asked = candidate_spec(frozen, inputs.ARTIFACT)
    measured = Evaluation(evaluation_name(asked), asked, frozen, engine_of(model.engine)[1])
    run = inputs.run(f"{measured.name}-2", model.jobs.evaluate)
    return topology_of(frozen.engine).evaluation(inputs.context(inputs.PVC), [inputs.SHARER], measured, run)


def followers(engine: dict[str, Any]) -> Manifest | None:
    model = model_of(engine)
    frozen = inputs.revision_spec(model)
    assert model.serving is not None
    artifact = EvaluatedModel(kind="Artifact", digest=inputs.ARTIFACT)
    served = Served("support-chat-0123456789", frozen, artifact, 5, model.serving, engine_of(model.engine)[1])
    return topology_of(frozen.engine).followers(inputs.context(inputs.PVC), inputs.NAME, served, LEADER)


def some_followers(engine: dict[str, Any]) -> Manifest:
    made = followers(engine)
    assert made is not None
    return made


def engine_in(manifest: Manifest) -> Manifest:
    pod = manifest["spec"]["template"]["spec"]
    (found,) = [each for each in (*pod["initContainers"], *pod["containers"]) if each["name"] == "engine"]
    return dict(found)


def leaders(engine: dict[str, Any]) -> Manifest:
    return of_kind(inputs.serve(model=model_of(engine)), "Deployment")


def told(container: Manifest) -> dict[str, Any]:
    assert container["command"] == ["python3", "-I", "/lowbit/tools/member.py"]
    (text,) = container["args"]
    whole: dict[str, Any] = json.loads(text.replace("$$", "$"))
    return whole


def engine_arguments(container: Manifest, of: str) -> list[str]:
    """What vLLM itself is told, without what differs between the members."""
    line: list[str] = told(container)[of][-1]
    return line


def variables(container: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@BOTH
def test_a_group_has_a_pod_for_each_stage_with_the_gpus_of_its_ranks(engine: dict[str, Any]) -> None:
    frozen = inputs.revision_spec(model_of(engine)).engine
    assert topology_of(frozen).pods(frozen) == (
        EnginePod("leader", 2), EnginePod("follower", 2), EnginePod("follower", 2)
    )  # fmt: skip
    for made in (leaders(engine), some_followers(engine), evaluation_job(engine)):
        assert engine_in(made)["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_ray_makes_a_group_of_one_pod_as_well_which_has_no_followers() -> None:
    frozen = inputs.revision_spec(model_of({"executor": "Ray"})).engine
    assert topology_of(frozen).pods(frozen) == (EnginePod("leader", 1),)
    assert followers({"executor": "Ray"}) is None
    assert told(engine_in(leaders({"executor": "Ray"})))["size"] == 1


@BOTH
def test_what_is_judged_runs_as_what_serves_but_for_measuring_and_draining(engine: dict[str, Any]) -> None:
    judged, serving = evaluation_job(engine), leaders(engine)
    ends = ("--shutdown-timeout", "45", "--no-enable-prefix-caching", "--max-logprobs", "100")
    for of in ("lead", "follow"):
        one, other = (told(engine_in(each))[of] for each in (judged, serving))
        assert [[word for word in line if word not in ends] for line in one] == [
            [word for word in line if word not in ends] for line in other
        ]
    assert told(engine_in(some_followers(engine))) == told(engine_in(serving)) | {"leader": LEADER.address}


@BOTH
def test_members_are_numbered_and_know_their_own_addresses(engine: dict[str, Any]) -> None:
    ranks = {
        "0": variables(engine_in(leaders(engine)))["LOWBIT_RANK"],
        "apps.kubernetes.io/pod-index": variables(engine_in(some_followers(engine)))["LOWBIT_RANK"],
        "batch.kubernetes.io/job-completion-index": variables(engine_in(evaluation_job(engine)))["LOWBIT_RANK"],
    }
    for label, rank in ranks.items():
        assert rank == "0" or rank["fieldRef"]["fieldPath"] == f"metadata.labels['{label}']"
    assert some_followers(engine)["spec"]["ordinals"] == {"start": 1}
    for made in (leaders(engine), some_followers(engine), evaluation_job(engine)):
        for name in ("LOWBIT_POD_IP", "VLLM_HOST_IP"):
            assert variables(engine_in(made))[name] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_the_program_reads_what_it_is_told() -> None:
    text = json.dumps(told(engine_in(some_followers(PROCESS))))
    member = Member.read(text, {"LOWBIT_RANK": "2", "LOWBIT_POD_IP": "10.0.0.9"})
    assert (member.rank, member.size, member.leader, member.address) == (2, 3, "10.0.0.7", "10.0.0.9")
    assert "--headless" in member.programs[-1]


def test_a_dollar_in_an_argument_stays_one_and_quotes_break_nothing() -> None:
    made = leaders(PROCESS | {"args": ["--override-generation-config", '{"a": "$(LOWBIT_RANK) \'x\'"}']})
    assert '{"a": "$(LOWBIT_RANK) \'x\'"}' in engine_arguments(engine_in(made), "lead")
    assert "$$(LOWBIT_RANK)" in engine_in(made)["args"][0]


def test_vllms_processes_are_told_by_arguments_and_ray_by_its_own_cluster() -> None:
    process, ray = (told(engine_in(leaders(engine))) for engine in (PROCESS, RAY))
    assert "--nnodes" in process["lead"][0] and "mp" in process["lead"][0]
    assert process["follow"] == [[*process["lead"][0], "--headless"]]
    head, served = ray["lead"]
    assert head[:3] == ["ray", "start", "--head"]
    assert head[head.index("--include-dashboard") + 1] == "false"
    assert head[head.index("--num-gpus") + 1] == "2"
    assert served[served.index("--distributed-executor-backend") + 1] == "ray"
    (worker,) = ray["follow"]
    assert worker[:4] == ["ray", "start", "--address", "@LEADER@:6379"] and "--block" in worker


def test_ray_asks_for_the_models_token_and_nobody_else_does() -> None:
    for made in (leaders(RAY), some_followers(RAY), evaluation_job(RAY)):
        found = variables(engine_in(made))
        assert found["RAY_AUTH_MODE"] == "token"
        assert found["RAY_AUTH_TOKEN"] == {"secretKeyRef": {"name": "support-chat-group-token", "key": "token"}}
    for made in (leaders(PROCESS), some_followers(PROCESS), evaluation_job(PROCESS)):
        assert "RAY_AUTH_TOKEN" not in variables(engine_in(made))


def test_a_manifests_variables_change_no_address_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["VLLM_HOST_IP", "LOWBIT_RANK", "LOWBIT_POD_IP"]
    allowed = [*inputs.PLATFORM.allowed_engine_env, *names]
    monkeypatch.setattr(inputs, "PLATFORM", inputs.PLATFORM.model_copy(update={"allowed_engine_env": allowed}))
    env = [{"name": name, "value": "6.6.6.6"} for name in names]
    assert variables(engine_in(leaders(PROCESS | {"env": env}))) == variables(engine_in(leaders(PROCESS)))


def test_the_platform_names_the_network_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NCCL_SOCKET_IFNAME" not in variables(engine_in(leaders(PROCESS)))
    monkeypatch.setattr(inputs, "PLATFORM", inputs.PLATFORM.model_copy(update={"group_interface": "eth1"}))
    found = variables(engine_in(leaders(PROCESS)))
    assert (found["NCCL_SOCKET_IFNAME"], found["GLOO_SOCKET_IFNAME"]) == ("eth1", "eth1")
    assert Platform.model_validate({"groupInterface": "eth1"}).group_interface == "eth1"


@BOTH
def test_an_evaluation_is_one_job_whose_pods_find_each_other_by_name(engine: dict[str, Any]) -> None:
    job = evaluation_job(engine)
    spec, name = job["spec"], job["metadata"]["name"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    subdomain = spec["template"]["spec"]["subdomain"]
    assert told(engine_in(job))["leader"] == f"{name}-0.{subdomain}"
    owner = OwnerReference("ModelEvaluation", subdomain, "uid-e")
    topology = topology_of(inputs.revision_spec(model_of(engine)).engine)
    service, policy = topology.beside_evaluation(inputs.NAMESPACE, owner, subdomain)
    labels = spec["template"]["metadata"]["labels"]
    assert service["metadata"]["name"] == subdomain
    assert service["spec"]["publishNotReadyAddresses"], "they look for each other before anything answers"
    assert service["spec"]["selector"].items() <= labels.items()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": policy["spec"]["podSelector"]}]}]


def test_what_is_no_leader_of_a_job_is_ready_when_the_group_is_complete() -> None:
    program = engine_in(evaluation_job(PROCESS))["startupProbe"]["exec"]["command"][-1]
    assert program.startswith('if [ "$LOWBIT_RANK" != 0 ]; then [ -e /lowbit/scratch/group-formed ]; exit; fi\n')
    assert "/v1/completions" in program


@BOTH
def test_a_members_start_may_take_as_long_as_it_takes_others_to_come(engine: dict[str, Any]) -> None:
    alone = leaders({"tensorParallelSize": 2})
    grouped = leaders(engine)
    seconds = [
        probe["failureThreshold"] * probe["periodSeconds"]
        for probe in (engine_in(each)["startupProbe"] for each in (alone, grouped))
    ]
    assert seconds[1] >= seconds[0] + 1800
    assert grouped["spec"]["progressDeadlineSeconds"] >= alone["spec"]["progressDeadlineSeconds"] + 1800


@BOTH
def test_followers_go_with_their_leader_and_no_service_leads_to_them(engine: dict[str, Any]) -> None:
    made = some_followers(engine)
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Pod", "name": LEADER.name, "uid": LEADER.uid, "controller": True}
    assert (made["spec"]["replicas"], made["spec"]["podManagementPolicy"]) == (2, "Parallel")
    labels = made["spec"]["template"]["metadata"]["labels"]
    manifests = inputs.serve(model=model_of(engine))
    for kind in ("Service", "PodMonitor", "PodDisruptionBudget"):
        spec = of_kind(manifests, kind)["spec"]
        selector = spec["selector"].get("matchLabels", spec["selector"])
        assert not selector.items() <= labels.items(), kind
    assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (fetch,) = made["spec"]["template"]["spec"]["initContainers"]
    assert fetch["name"] == "fetch", "each verifies what it loads"


@BOTH
def test_only_the_group_talks_to_itself(engine: dict[str, Any]) -> None:
    policy = of_kind(inputs.serve(model=model_of(engine)), "NetworkPolicy")["spec"]
    every = policy["podSelector"]
    assert every["matchExpressions"][0]["values"] == ["serving", "serving-member"]
    guard, own = policy["ingress"]
    assert [each["port"] for each in guard["ports"]] == [8000, 9090]
    assert own == {"from": [{"podSelector": every}]}
    assert policy["egress"] == [{"to": [{"podSelector": every}]}]


def test_the_longest_name_fits() -> None:
    assert len(followers_name("x" * MAX_MODEL_NAME, "uid")) <= 52


def test_the_followers_wait_in_the_queue_of_their_leaders() -> None:
    model = inputs.spec(engine={"vllm": PROCESS}, serving={"replicas": 1, "queueName": "serving"})
    frozen = inputs.revision_spec(model)
    assert model.serving is not None
    artifact = EvaluatedModel(kind="Artifact", digest=inputs.ARTIFACT)
    served = Served("support-chat-0123456789", frozen, artifact, 5, model.serving, engine_of(model.engine)[1])
    made = topology_of(frozen.engine).followers(inputs.context(inputs.PVC), inputs.NAME, served, LEADER)
    assert made is not None and made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "serving"
    assert evaluation_job(PROCESS)["spec"].get("suspend") is None
