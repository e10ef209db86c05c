"""The options of vLLM that people need every day stand by name; what has no name goes on through args."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.engine import EngineChanges
from lowbit.api.engines import Engine, resolved_engine, vllm_named
from lowbit.api.engines.vllm import VLLM, VLLMKind
from lowbit.api.engines.vllm_arguments import SINCE, known, options_of
from lowbit.api.engines.vllm_named import NAMED, HistogramBuckets
from lowbit.api.platform import Platform
from lowbit.naming.names import input_hash
from lowbit.resolve.checks import check_allowed
from lowbit.resolve.freeze import resolve_engine
from lowbit.schema.check import check_manifest
from tests.api.manifests import ROOT, good
from tests.unit.api_inputs import changed_spec
from tests.unit.life import NAME, condition, served
from tests.unit.world import World
from tests.unit.world import spec as life_spec

KIND = VLLMKind()
ALL: dict[str, Any] = {
    "kvCacheDtype": "FP8", "maxNumSeqs": 64, "prefixCaching": True, "chunkedPrefill": False,
    "toolCallParser": "hermes", "reasoningParser": "qwen3",
}  # fmt: skip
BUCKETS = {"timeToFirstToken": ["0.1", "0.25", "1"], "requestLatency": ["1", "10"]}
RENDERED = [
    "--kv-cache-dtype", "fp8", "--max-num-seqs", "64", "--enable-prefix-caching", "--no-enable-chunked-prefill",
    "--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3",
]  # fmt: skip


def engine(**fields: Any) -> Engine:
    return Engine.model_validate({"vllm": fields})


def rendered(changes: EngineChanges | None = None, **fields: Any) -> list[str]:
    """The arguments of an engine, without those of every engine."""
    kind, settings = resolved_engine(resolve_engine(engine(**fields), Platform(), changes))
    _, plain = resolved_engine(resolve_engine(engine(), Platform()))
    return list(kind.arguments("m", settings))[len(kind.arguments("m", plain)) :]


def findings(**fields: Any) -> dict[str, str]:
    """What the check of a manifest says, by field below spec.engine.vllm."""
    manifest = good("full")
    manifest["spec"]["engine"] = {"vllm": fields}
    return {
        each.field.removeprefix("spec.engine.vllm."): each.message
        for each in check_manifest(manifest).findings
        if each.field.startswith("spec.engine")
    }


def test_without_them_an_engine_is_started_as_before() -> None:
    assert rendered() == []
    _, resolved = resolved_engine(resolve_engine(engine(), Platform()))
    written = set(resolved.model_dump(by_alias=True, exclude_defaults=True))
    assert written == {"image", "device", "tensorParallelSize", "dtype", "gpuMemoryUtilization", "args", "env"}


def test_each_by_its_name_becomes_its_argument_before_those_of_args() -> None:
    assert rendered(**ALL, args=["--seed=1"]) == [*RENDERED, "--seed=1"]


def test_a_parser_of_tool_calls_turns_auto_tool_choice_on() -> None:
    assert rendered(toolCallParser="hermes") == ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]


@pytest.mark.parametrize("value", [True, False, None])
def test_while_measuring_prefix_caching_is_off_in_any_case(value: bool | None) -> None:
    kind, settings = resolved_engine(resolve_engine(engine(prefixCaching=value), Platform()))
    whole = [*kind.arguments("m", settings), *kind.measuring(settings).arguments]
    assert [each for each in whole if each.endswith("prefix-caching")][-1] == "--no-enable-prefix-caching"


@pytest.mark.parametrize("field", ALL)
def test_what_can_change_an_answer_is_judged_anew(field: str) -> None:
    named = changed_spec(engine={"vllm": {field: ALL[field]}})
    assert input_hash(named) != input_hash(changed_spec(engine={"vllm": {}}))


def test_buckets_are_served_without_a_new_verdict_and_no_measurement_sees_them() -> None:
    assert input_hash(changed_spec(engine={"vllm": {"histogramBuckets": BUCKETS}})) == input_hash(
        changed_spec(engine={"vllm": {}})
    )
    spec = VLLM.model_validate({"histogramBuckets": BUCKETS})
    resolved = KIND.resolve(spec, Platform(), [])
    assert "--custom-histogram-buckets" not in [*KIND.arguments("m", resolved), *KIND.measuring(resolved).arguments]
    said = '{"request_latency":[1,10],"time_to_first_token":[0.1,0.25,1]}'
    assert KIND.beside_answers(spec, resolved) == ("--custom-histogram-buckets", said)


@pytest.mark.parametrize(
    "image", ["vllm/vllm-openai:v0.31.2", "vllm/vllm-openai:0.9.1-x86", "r:5000/v:v0.11.0@sha256:0"]
)
def test_an_engine_without_buckets_gets_none_and_plan_admission_and_status_say_so(image: str) -> None:
    spec = VLLM.model_validate({"histogramBuckets": BUCKETS, "image": image})
    assert KIND.beside_answers(spec, KIND.resolve(spec, Platform(), [])) == ()
    (problem,) = check_allowed(changed_spec(engine={"vllm": {"histogramBuckets": BUCKETS, "image": image}}), Platform())
    assert (problem.field, problem.reason) == ("spec.engine.vllm.histogramBuckets", "OptionNotInEngine")
    assert "--custom-histogram-buckets" in problem.message and "leave it out" in problem.action
    assert "0.32.0" in findings(histogramBuckets=BUCKETS, image=image)["histogramBuckets"]
    by_platform = check_allowed(
        changed_spec(engine={"vllm": {"histogramBuckets": BUCKETS}}), Platform(engine_image=image)
    )
    assert [each.reason for each in by_platform] == ["OptionNotInEngine"]


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v0.32.0", "vllm/vllm-openai:v0.33.0", "x:v1.2.3", "own@sha256:0"])
def test_an_engine_with_buckets_or_of_unknown_version_gets_them(image: str) -> None:
    assert not check_allowed(changed_spec(engine={"vllm": {"histogramBuckets": BUCKETS, "image": image}}), Platform())
    assert not findings(histogramBuckets=BUCKETS, image=image)


def test_every_known_version_of_vllm_has_every_named_option() -> None:
    names = {option for each in NAMED for option in each.options} | {"--enable-prefix-caching"}
    assert all(names <= set(options_of(f"v:{version}")[0].names) for version in known())
    assert set(SINCE) <= names


BOTH = [
    ("kvCacheDtype", "FP8", "--kv-cache-dtype=fp8"), ("kvCacheDtype", "FP8", "--kv_cache_dtype=auto"),
    ("maxNumSeqs", 64, "--max-num-seqs=32"), ("chunkedPrefill", True, "--no-enable-chunked-prefill"),
    ("toolCallParser", "hermes", "--tool-call-parser=hermes"),
    ("toolCallParser", "hermes", "--enable-auto-tool-choice"),
    ("reasoningParser", "qwen3", "--reasoning-parser=qwen3"),
    ("histogramBuckets", BUCKETS, "--custom-histogram-buckets.request_latency=1"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "argument"), BOTH)
def test_the_same_by_name_and_by_args_is_refused_and_args_alone_go_on(field: str, value: Any, argument: str) -> None:
    assert f"write {field} alone" in findings(**{field: value}, args=[argument])[field]
    assert not findings(args=[argument])
    assert not findings(**{field: value}, args=["--seed=1"])


def test_prefix_caching_through_args_is_told_its_name() -> None:
    (problem,) = check_allowed(changed_spec(engine={"vllm": {"args": ["--enable-prefix-caching"]}}), Platform())
    assert "spec.engine.vllm.prefixCaching" in problem.action


def test_a_candidates_argument_replaces_the_named_option_for_it_alone() -> None:
    changes = EngineChanges(args=["--kv-cache-dtype=fp8"])
    assert rendered(changes, kvCacheDtype="BFloat16", maxNumSeqs=8) == ["--max-num-seqs", "8", "--kv-cache-dtype=fp8"]
    assert rendered(kvCacheDtype="BFloat16", maxNumSeqs=8)[:2] == ["--kv-cache-dtype", "bfloat16"]


def test_a_candidates_buckets_replace_the_named_ones() -> None:
    spec = VLLM.model_validate({"histogramBuckets": BUCKETS})
    changed = KIND.changed(spec, EngineChanges(args=["--custom-histogram-buckets={}"]))
    assert KIND.beside_answers(spec, KIND.resolve(changed, Platform(), [])) == ()


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"kvCacheDtype": "fp8"}, "kvCacheDtype", '"FP8"'),
        ({"maxNumSeqs": 0}, "maxNumSeqs", "greater than or equal to 1"),
        ({"prefixCaching": "on"}, "prefixCaching", "boolean"),
        ({"toolCallParser": "Hermes 2"}, "toolCallParser", "hermes"),
        ({"reasoningParser": "--x"}, "reasoningParser", "qwen3"),
        ({"histogramBuckets": {}}, "histogramBuckets", "leave it out"),
        ({"histogramBuckets": {"requestLatency": ["2", "1"]}}, "histogramBuckets", "rise"),
        ({"histogramBuckets": {"requestLatency": ["1", "1.0"]}}, "histogramBuckets", "rise"),
        ({"histogramBuckets": {"requestLatency": ["0", "1"]}}, "histogramBuckets", "above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_to_write(fields: dict[str, Any], field: str, words: str) -> None:
    assert words in findings(**fields)[field]


def test_the_families_are_those_of_vllm() -> None:
    assert set(HistogramBuckets.model_fields) == {
        "request_latency", "time_to_first_token", "inter_token_latency", "iteration_tokens", "request_params_n",
        "request_num_preemptions", "request_tokens", "kv_cache_residency",
    }  # fmt: skip


def test_an_example_reads_tool_calls() -> None:
    assert any("toolCallParser: hermes" in path.read_text() for path in (ROOT / "examples").glob("*.yaml"))


def engine_arguments(pod: dict[str, Any]) -> list[str]:
    """Arguments of the container `engine`, wherever it stands in the pod."""
    (found,) = (each for each in (*pod["containers"], *pod["initContainers"]) if each["name"] == "engine")
    return list(found["args"])


def test_buckets_reach_what_serves_and_start_no_job(world: World) -> None:
    world.apply_model(NAME, life_spec())
    world.settle(NAME)
    jobs, revision = world.names("Job"), served(world)
    world.apply_model(NAME, life_spec(engine={"vllm": {"histogramBuckets": BUCKETS}}))
    world.settle(NAME)
    arguments = engine_arguments(world.objects["Deployment", NAME]["spec"]["template"]["spec"])
    assert "--custom-histogram-buckets" in arguments
    assert (world.names("Job"), served(world)) == (jobs, revision)
    assert condition(world, "Ready")["status"] == "True"


def test_buckets_that_the_platforms_engine_lacks_start_nothing_and_leave_what_serves(world: World) -> None:
    world.apply_model(NAME, life_spec())
    world.settle(NAME)
    revision = served(world)
    old = {"image": "vllm/vllm-openai:v0.20.0", "histogramBuckets": BUCKETS}
    world.apply_model(NAME, life_spec(engine={"vllm": old}))
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "OptionNotInEngine"
    assert served(world) == revision


def test_what_serves_with_an_engine_without_buckets_does_without_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform's image was an older one when the revision was judged, and a revision keeps its image."""
    world.apply_model(NAME, life_spec())
    world.settle(NAME)
    before = world.objects["Deployment", NAME]["spec"]
    monkeypatch.setattr(vllm_named, "lacks", lambda image, option: option == "--custom-histogram-buckets")
    world.apply_model(NAME, life_spec(engine={"vllm": {"histogramBuckets": BUCKETS}}))
    world.settle(NAME)
    assert world.objects["Deployment", NAME]["spec"] == before
    assert condition(world, "Ready")["status"] == "True"
    assert "histogramBuckets is left out: the vLLM of" in condition(world, "Ready")["message"]
