"""What serves: the same engine as was measured, behind the guard, verified, and soft to stop."""

from __future__ import annotations

import json
import re
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.api.documents import FetchDocument
from lowbit.api.engines.vllm import LOGGING_VARIABLE, MEASURING, VLLMKind
from lowbit.api.paths import BUSYBOX_PATH, ENGINE_LOGGING_PATH
from lowbit.desired.common import Manifest
from lowbit.desired.probes import grace_seconds, startup_probe
from lowbit.naming.names import REVISION_LABEL
from tests.unit import desired_inputs as inputs


def deployment(**more: object) -> Manifest:
    return inputs.of_kind(inputs.serve(**more), "Deployment")  # type: ignore[arg-type]


def added(served: list[Manifest], measured: list[Manifest]) -> list[Manifest]:
    """What only measuring has; all else has to be the same, in the same order."""
    assert [each for each in measured if each in served] == served
    return [each for each in measured if each not in served]


def test_the_engine_that_serves_is_the_engine_that_was_measured() -> None:
    served = inputs.container(deployment(), "engine")
    measured = inputs.container(inputs.evaluate(), "engine")
    for field in ("image", "command", "resources", "securityContext"):
        assert served[field] == measured[field], field
    assert added(served["env"], measured["env"]) == [{"name": LOGGING_VARIABLE, "value": ENGINE_LOGGING_PATH}]
    assert [mount["mountPath"] for mount in added(served["volumeMounts"], measured["volumeMounts"])] == [
        "/lowbit/logging",
        "/lowbit/log",
    ]
    common = len(measured["args"]) - len(MEASURING)
    assert measured["args"][common:] == list(MEASURING)
    assert served["args"][common:] == list(VLLMKind().serving(45).arguments)
    assert served["args"][:common] == measured["args"][:common]


def test_the_engine_listens_on_loopback_only_and_runs_as_asked() -> None:
    engine = inputs.container(deployment(), "engine")
    line = " ".join([*engine["command"], *engine["args"]])
    assert line.startswith(
        "vllm serve /lowbit/model --served-model-name support-chat --host 127.0.0.1 --port 8001"
        " --tensor-parallel-size 2 --dtype auto --max-model-len 4096 --gpu-memory-utilization 0.90 --enforce-eager"
    )
    assert engine["resources"]["limits"] == {"cpu": "64", "memory": "32Gi", "nvidia.com/gpu": "2"}
    assert "ports" not in engine
    env = {variable["name"]: variable["value"] for variable in engine["env"]}
    assert env["SHARED"] == "own"
    assert env["HF_HUB_OFFLINE"] == env["VLLM_NO_USAGE_STATS"] == "1"


def test_an_engine_on_cpus_asks_for_no_gpu() -> None:
    model = inputs.spec(engine={"vllm": {"device": "CPU"}})
    engine = inputs.container(deployment(model=model), "engine")
    assert "--gpu-memory-utilization" not in engine["args"]
    assert "nvidia.com/gpu" not in json.dumps(engine.get("resources", {}))


def test_every_start_verifies_the_digest_before_the_engine_runs() -> None:
    manifests = inputs.serve()
    init = inputs.of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["initContainers"]
    assert [container["name"] for container in init] == ["fetch", "guard"]
    document = FetchDocument.model_validate_json(inputs.document(inputs.of_kind(manifests, "Deployment"), "fetch"))
    assert document.model.digest == inputs.ARTIFACT
    assert document.model.kind == "Artifact"


def test_the_fallback_serves_the_verified_original() -> None:
    manifests = inputs.serve(artifact=None)
    document = FetchDocument.model_validate_json(inputs.document(inputs.of_kind(manifests, "Deployment"), "fetch"))
    assert document.model.digest == inputs.SOURCE
    template = inputs.pod_template(inputs.of_kind(manifests, "Deployment"))
    assert template["metadata"]["labels"][REVISION_LABEL] == "source"


def test_a_rolling_change_takes_no_pod_away_before_its_successor_is_ready() -> None:
    strategy = deployment()["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_start_is_a_real_completion_and_readiness_is_not() -> None:
    engine = inputs.container(deployment(), "engine")
    assert "/v1/completions" in engine["startupProbe"]["exec"]["command"][-1]
    assert engine["readinessProbe"]["httpGet"]["path"] == "/health"
    assert engine["livenessProbe"]["httpGet"]["path"] == "/engine/health"
    patience = engine["livenessProbe"]["failureThreshold"] * engine["livenessProbe"]["periodSeconds"]
    assert patience >= 300


@settings(deadline=None)
@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_larger_model_has_no_less_time_to_start(one: int, other: int) -> None:
    engine = inputs.revision_spec().engine
    small, large = (startup_probe(engine, "m", size)["failureThreshold"] for size in sorted((one, other)))
    assert 0 < small <= large


@settings(deadline=None)
@given(st.integers(0, 3600))
def test_the_grace_period_holds_the_whole_drain(drain_seconds: int) -> None:
    model = inputs.spec(serving={"drainSeconds": drain_seconds})
    template = inputs.pod_template(deployment(model=model))
    assert template["spec"]["terminationGracePeriodSeconds"] == grace_seconds(drain_seconds) >= drain_seconds + 20


def test_programs_that_run_in_the_engines_container_ask_nothing_of_its_image() -> None:
    engine = inputs.container(deployment(), "engine")
    for hook in (engine["startupProbe"], engine["lifecycle"]["preStop"]):
        shell, flag, program = hook["exec"]["command"][0], hook["exec"]["command"][1:3], hook["exec"]["command"][3]
        assert (shell, flag) == (BUSYBOX_PATH, ["sh", "-c"])
        subprocess.run(["sh", "-n", "-c", program], check=True)
        words = {line.strip().split()[0] for line in re.split(r"\n|\$\(|\|\|?|&&|;", program) if line.strip()}
        own = {BUSYBOX_PATH, "[", "while", "case", "done", "do", "exit", "break", "esac"}
        assert {word for word in words if "=" not in word and "(" not in word} <= own


def test_the_service_and_the_budget_find_the_pods() -> None:
    manifests = inputs.serve()
    labels = inputs.pod_template(inputs.of_kind(manifests, "Deployment"))["metadata"]["labels"]
    selectors = [
        inputs.of_kind(manifests, "Service")["spec"]["selector"],
        inputs.of_kind(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        inputs.of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        inputs.of_kind(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"],
        inputs.of_kind(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert REVISION_LABEL not in selector


def test_only_the_guards_ports_can_be_reached_and_nothing_is_called() -> None:
    policy = inputs.of_kind(inputs.serve(inputs.PVC), "NetworkPolicy")["spec"]
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == [8000, 9090]
    assert "egress" not in policy
    assert "Egress" in policy["policyTypes"]


def test_with_a_bucket_the_pods_may_call_its_port_and_look_up_names() -> None:
    policy = inputs.of_kind(inputs.serve(inputs.S3), "NetworkPolicy")["spec"]
    assert [[port["port"] for port in rule["ports"]] for rule in policy["egress"]] == [[53, 53], [7070]]


def test_a_changed_drain_or_key_is_a_new_template_and_a_changed_replica_count_is_not() -> None:
    def template(**changes: object) -> object:
        base = {"replicas": 2, "drainSeconds": 45, "apiKeySecretRef": {"name": "chat", "key": "token"}}
        return inputs.pod_template(deployment(model=inputs.spec(serving=base | changes)))

    assert template() == template(replicas=7)
    assert template() != template(apiKeySecretRef=None)
    assert template() != template(drainSeconds=5)


def test_the_pods_account_is_their_own_unless_the_manifest_names_one() -> None:
    pod = inputs.pod_template(deployment())["spec"]
    assert pod["serviceAccountName"] == inputs.NAME
    assert inputs.of_kind(inputs.serve(), "ServiceAccount")["automountServiceAccountToken"] is False
    named = inputs.spec(serving={"pod": {"serviceAccountName": "cloud"}})
    assert inputs.pod_template(deployment(model=named))["spec"]["serviceAccountName"] == "cloud"
