"""What a manifest can set in the environment of engines and Jobs, and that the kubelet replaces nothing in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lowbit.api.engines.vllm_judged import OWN_ARGUMENTS
from lowbit.api.engines.vllm_variables import ENGINE_VARIABLES
from lowbit.api.platform import Platform
from lowbit.api.variables import JOB_VARIABLES, SECRET_VARIABLES
from lowbit.schema.check import check_manifest
from tests.api.manifests import changed, good
from tests.security.parser import TABLE, expanded
from tests.unit.life import NAME, condition
from tests.unit.world import World, spec

DANGEROUS = (
    "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT", "PYTHONWARNINGS", "LD_PRELOAD", "LD_LIBRARY_PATH",
    "LD_AUDIT", "PATH", "HOME", "HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "https_proxy", "ALL_PROXY",
    "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE",
    "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_REGION", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_CACHE", "HF_MODULES_CACHE", "NCCL_NET_PLUGIN",
    "NCCL_TUNER_PLUGIN", "NCCL_CONF_FILE", "NCCL_DEBUG_FILE", "TORCH_EXTENSIONS_DIR", "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR", "CXX", "CC", "BASH_ENV", "GPTQMODEL_TORCH_EXTENSIONS_DIR",
    "GPTQMODEL_MACHETE_PRECOMPILED_LIBRARY", "GIT_SSH_COMMAND", "KUBERNETES_SERVICE_HOST", "MKL_VML_LIB",
    "OMP_TOOL_LIBRARIES", "GCONV_PATH", "GLIBC_TUNABLES",
)  # fmt: skip
OF_VLLM = (
    "VLLM_PLUGINS", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION", "VLLM_SERVER_DEV_MODE",
    "VLLM_MODEL_REDIRECT_PATH", "VLLM_USE_MODELSCOPE", "VLLM_NCCL_SO_PATH", "VLLM_CUDART_SO_PATH",
    "VLLM_RUST_FRONTEND_PATH", "VLLM_LOGGING_CONFIG_PATH", "VLLM_LOGGING_STREAM", "VLLM_CACHE_ROOT",
    "VLLM_LORA_RESOLVER_CACHE_DIR", "VLLM_TEST_FORCE_LOAD_FORMAT", "VLLM_TUNED_CONFIG_FOLDER", "VLLM_HOST_IP",
    "VLLM_PORT", "VLLM_DP_MASTER_IP", "CUDA_VISIBLE_DEVICES", "S3_ENDPOINT_URL", "VLLM_MEDIA_URL_ALLOW_REDIRECTS",
    "VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "VLLM_TRACE_FUNCTION", "VLLM_MLA_X", "vllm_plugins",
)  # fmt: skip
PLACES: dict[str, Callable[[Any], Any]] = {
    "spec.engine": lambda env: {"vllm": {"env": env}},
    "spec.candidates.0.engine": lambda env: {"env": env},
}
JOBS = ("spec.jobs.prepare", "spec.jobs.quantize", "spec.jobs.evaluate")


def findings(place: str, value: Any, platform: Platform | None = None) -> list[str]:
    return [each.message for each in check_manifest(changed(good("smallest"), {place: value}), platform).findings]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", DANGEROUS + OF_VLLM)
def test_an_engine_is_given_no_variable_that_opens_it(place: str, name: str) -> None:
    (message,) = findings(place, PLACES[place]([{"name": name, "value": "x"}]))
    assert f"({name})" in message


@pytest.mark.parametrize("place", JOBS)
@pytest.mark.parametrize("name", (*DANGEROUS, "VLLM_PLUGINS"))
def test_a_job_is_given_no_variable_that_turns_it(place: str, name: str) -> None:
    (message,) = findings(place, {"env": [{"name": name, "value": "x"}]})
    assert f"({name})" in message


def test_the_lists_hold_no_secret_and_only_what_some_engine_reads() -> None:
    known = {name for table in TABLE.values() for name in table["variables"]}
    assert not {*ENGINE_VARIABLES, *JOB_VARIABLES} & {*SECRET_VARIABLES, *DANGEROUS, *OF_VLLM}
    assert {name for name in ENGINE_VARIABLES if name.startswith("VLLM_")} <= known
    assert len(set(ENGINE_VARIABLES)) == len(ENGINE_VARIABLES)


def test_a_platform_adds_variables() -> None:
    platform = Platform(allowed_engine_env=["VLLM_HOST_IP"], allowed_job_env=["HF_HOME"])
    assert findings("spec.engine", {"vllm": {"env": [{"name": "VLLM_HOST_IP"}]}}, platform) == []
    assert findings("spec.jobs.prepare", {"env": [{"name": "HF_HOME"}]}, platform) == []
    assert findings("spec.jobs.prepare", {"env": [{"name": "VLLM_HOST_IP"}]}, platform)


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("registry.example.com/vllm/engine:1", True), ("registry.example.com/vllm-evil/engine:1", False),
        ("docker.io/evil:1", False), ("vllm/vllm-openai:v0.33.0", True), ("vllm/vllm-openai:v0.33.0-evil", False),
        ("registry.example.com.evil.org/vllm/engine", False), ("ghcr.io/us/engine@sha256:1", True),
    ],
)  # fmt: skip
def test_a_platform_names_the_images_that_engines_may_have(image: str, allowed: bool) -> None:
    places = ["registry.example.com/vllm/", "vllm/vllm-openai:v0.33.0", "ghcr.io/us/engine@"]
    found = findings("spec.engine", {"vllm": {"image": image}}, Platform(allowed_engine_images=places))
    assert (not found) is allowed
    assert findings("spec.engine", {"vllm": {"image": image}}) == []


OPEN: dict[str, Any] = {
    "engine": {"engine": {"vllm": {"args": ["--worker-cls=evil.Worker"]}}},
    "engine's variable": {"engine": {"vllm": {"env": [{"name": "PYTHONPATH", "value": "/evil"}]}}},
    "candidate": {"candidates": [{"gptq": {"bits": 4}, "engine": {"args": ["--middleware", "evil.app"]}}]},
    "Job": {"jobs": {"quantize": {"env": [{"name": "LD_PRELOAD", "value": "/evil.so"}]}}},
}


@pytest.mark.parametrize("what", OPEN)
def test_what_comes_past_the_api_server_starts_nothing(world: World, what: str) -> None:
    world.apply_model(NAME, spec(**OPEN[what]))
    world.settle(NAME)
    assert world.names("Job") == set()
    assert world.names("ModelRevision") == set()
    assert condition(world, "Stalled")["reason"] in ("ArgumentNotAllowed", "VariableNotAllowed")
    world.apply_model(NAME, spec())
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_variable_that_is_added_later_reaches_no_job(world: World) -> None:
    world.apply_model(NAME, spec())
    for _ in range(20):
        world.step(NAME)
        if world.names("ModelRevision"):
            break
        for name in world.names("Job"):
            world.finish_job(name)
    before = world.names("Job")
    world.apply_model(NAME, spec(jobs={"quantize": {"env": [{"name": "LD_PRELOAD", "value": "/evil.so"}]}}))
    world.settle(NAME)
    assert world.names("Job") == before
    assert condition(world, "Stalled")["reason"] == "VariableNotAllowed"


VARIABLES = {"A": "--worker-cls=evil", "HOME": "/tmp/lowbit", "HF_HUB_OFFLINE": "1"}


@pytest.mark.parametrize("text", ["$(A)", "x$(A)", "$$(A)", "$", "$$", "$(A", "a$b", "$$$(A)", "$(HF_HUB_OFFLINE)"])
def test_the_engine_gets_arguments_and_variables_as_they_are_written(world: World, text: str) -> None:
    """The kubelet would replace $(NAME) by a variable of the container, so that `$(A)` became an argument."""
    variable = [{"name": "NCCL_DEBUG", "value": text}]
    engine = {"vllm": {"args": [f"--fingerprint-value={text}"], "env": variable}}
    world.apply_model(NAME, spec(engine=engine, jobs={"quantize": {"env": variable}}))
    world.settle(NAME)
    jobs = [world.objects["Job", name]["spec"]["template"]["spec"] for name in world.names("Job")]
    pods = [*jobs, world.objects["Deployment", NAME]["spec"]["template"]["spec"]]
    containers = [each for pod in pods for each in (*pod["containers"], *pod.get("initContainers", []))]
    engines = [each for each in containers if each["name"] == "engine"]
    assert len(engines) == 3
    for each in engines:
        assert f"--fingerprint-value={text}" in [expanded(argument, VARIABLES) for argument in each["args"]]
    env = [each for container in containers for each in container.get("env", [])]
    set_to = [each["value"] for each in env if each["name"] == "NCCL_DEBUG"]
    assert len(set_to) == 4
    assert {expanded(each, VARIABLES) for each in set_to} == {text}


def test_every_own_argument_names_a_field() -> None:
    assert all(field.startswith(("spec.", "metadata.")) for field in OWN_ARGUMENTS.values())
