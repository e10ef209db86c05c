"""Names follow from hashes, and no newer Lowbit changes a hash by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.base import Wire
from lowbit.api.engines import resolved_engine
from lowbit.api.modelevaluation import Place
from lowbit.api.platform import Platform
from lowbit.api.pods import Jobs
from lowbit.api.problem import Refused
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import label
from lowbit.api.recipes.artifact import ResolvedArtifact
from lowbit.api.recipes.gptq import GPTQ
from lowbit.api.serving import Serving
from lowbit.cli.facts import facts_of
from lowbit.naming import names
from lowbit.naming.canonical import canonical, digest, short
from lowbit.resolve import freeze as freezing
from tests.api.manifests import good
from tests.unit.api_inputs import SMOLLM2, changed_spec, digest_of, prepared, spec

GOLDEN = Path(__file__).parent / "golden" / "hashes.json"


def hashes() -> dict[str, str]:
    """Every kind of hash, of fixed inputs."""
    revisions = freezing.freeze("support-chat", spec(), Platform(), prepared())
    baseline = freezing.baseline_spec(revisions[0])
    return {
        "input of the smallest": names.input_hash(spec("smallest")),
        "input of the full": names.input_hash(spec()),
        **{f"artifact of candidate {r.candidate}": r.artifact_hash for r in revisions},
        **{f"revision of candidate {r.candidate}": names.revision_name(r) for r in revisions},
        "baseline": names.evaluation_name(baseline),
        "protocol": baseline.protocol_key,
        "runtime": baseline.runtime_key,
        "evaluation": names.evaluation_name(freezing.candidate_spec(revisions[0], digest_of("1"))),
    }


def test_the_golden_hashes_hold() -> None:
    """A change here starts Jobs in every cluster that is upgraded: a breaking change, made on purpose or not at all."""
    assert hashes() == json.loads(GOLDEN.read_text())


def test_a_field_that_says_its_default_changes_no_hash() -> None:
    written = QuantizedModelSpec.model_validate(spec("smallest").wire())
    assert names.input_hash(written) == names.input_hash(spec("smallest"))


def test_a_newer_types_new_field_changes_no_hash() -> None:
    class NewerGPTQ(GPTQ):
        smoothing: str = "None"

    assert digest("recipe", NewerGPTQ()) == digest("recipe", GPTQ())
    assert digest("recipe", NewerGPTQ(smoothing="Half")) != digest("recipe", GPTQ())


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), max_size=6))
def test_the_order_of_keys_changes_no_hash(value: dict[str, Any]) -> None:
    assert digest("x", value) == digest("x", dict(reversed(value.items())))


@given(st.text(min_size=1), st.text(min_size=1))
def test_equal_values_of_two_kinds_have_two_hashes(one: str, other: str) -> None:
    assert (digest(one, {}) == digest(other, {})) == (one == other)


def test_canonical_leaves_out_what_is_equal_to_its_default() -> None:
    assert canonical(GPTQ(bits=4)) == {}
    assert canonical({"recipe": GPTQ(bits=8)}) == {"recipe": {"bits": 8}}


def test_serving_jobs_and_engine_memory_start_nothing() -> None:
    base = good("full")["spec"]
    vllm = base["engine"]["vllm"] | {"resources": {"limits": {"memory": "99Gi"}}, "shmSize": "9Gi"}
    other = changed_spec(serving={"replicas": 7}, jobs={"ttlSeconds": 61}, engine={"vllm": vllm})
    assert other.serving == Serving(replicas=7) and other.jobs == Jobs(ttl_seconds=61)
    assert names.input_hash(other) == names.input_hash(spec())


@pytest.mark.parametrize(
    "change",
    [{"candidates": [{"gptq": {"bits": 8}}]}, {"storeRef": "other"}, {"engine": {"vllm": {"args": ["--seed=1"]}}}],
    ids=lambda change: next(iter(change)),
)
def test_what_a_revision_is_made_from_is_in_the_input_hash(change: dict[str, Any]) -> None:
    assert names.input_hash(changed_spec(**change)) != names.input_hash(spec())


def test_a_platform_default_is_in_no_input_hash_but_in_the_revision() -> None:
    one, other = Platform(), Platform(worker_image="lowbit/worker:2")
    first = freezing.freeze("m", spec(), one, prepared())[0]
    second = freezing.freeze("m", spec(), other, prepared())[0]
    assert first.input_hash == second.input_hash
    assert names.revision_name(first) != names.revision_name(second)
    assert first.artifact_hash == second.artifact_hash


def test_two_models_share_artifact_and_baseline() -> None:
    one = freezing.freeze("one", spec(), Platform(), prepared())[0]
    other = freezing.freeze("other", changed_spec(serving=None), Platform(), prepared())[0]
    assert one.artifact_hash == other.artifact_hash
    assert freezing.baseline_spec(one) == freezing.baseline_spec(other)
    assert names.revision_name(one) != names.revision_name(other)


def test_what_is_evaluated_again_elsewhere_has_names_of_its_own() -> None:
    one = freezing.freeze("m", spec(), Platform(), prepared())[0]
    image = "docker.io/vllm/vllm-openai@" + digest_of("2")
    places = [None, Place(device="NVIDIA-L4"), Place(node="node-1"), Place(device="NVIDIA-L4", image=image)]
    originals = [freezing.baseline_spec(one, place) for place in places]
    made = [freezing.candidate_spec(one, digest_of("1"), place) for place in places]
    assert len({names.evaluation_name(each) for each in (*originals, *made)}) == 8
    assert [each.baseline for each in made] == [names.evaluation_name(each) for each in originals]
    assert len({each.runtime_key for each in made[:3]}) == 1, "the engine is the same"
    assert {resolved_engine(each.engine)[1].image for each in (originals[3], made[3])} == {image}
    assert made[3].runtime_key != made[0].runtime_key


def test_an_original_with_another_engine_image_keeps_it_where_it_is_evaluated_again() -> None:
    own = good("full")["spec"]["evaluation"] | {"baseline": {"engine": {"vllm": {"image": "other/engine:1"}}}}
    one = freezing.freeze("m", changed_spec(evaluation=own), Platform(), prepared())[0]
    place = Place(device="NVIDIA-L4", image="docker.io/vllm/vllm-openai@" + digest_of("2"))
    assert resolved_engine(freezing.baseline_spec(one, place).engine)[1].image == "other/engine:1"


def test_a_new_threshold_needs_no_new_measurement() -> None:
    evaluation = good("full")["spec"]["evaluation"]
    evaluation["suites"][0]["gate"]["maximum"][0]["value"] = "0.2"
    one = freezing.freeze("m", spec(), Platform(), prepared())[0]
    other = freezing.freeze("m", changed_spec(evaluation=evaluation), Platform(), prepared())[0]
    assert freezing.baseline_spec(one) == freezing.baseline_spec(other)
    assert names.revision_name(one) != names.revision_name(other)


def test_auto_is_frozen_as_a_number() -> None:
    revision = freezing.freeze("m", spec(), Platform(), prepared())[0]
    assert label(revision.recipe) == "gptq-int4-g128"


def test_an_artifact_made_elsewhere_needs_no_calibration() -> None:
    revision = freezing.freeze("m", spec(), Platform(), prepared())[2]
    assert revision.recipe.member() == ("artifact", ResolvedArtifact(digest=digest_of("0")))
    assert revision.calibration is None


def test_the_models_own_environment_wins_over_the_platforms() -> None:
    platform = Platform(engine_env={"VLLM_LOGGING_LEVEL": "INFO", "B": "b"})
    env = resolved_engine(freezing.resolve_engine(spec().engine, platform))[1].env
    assert {variable.name: variable.value for variable in env} == {"VLLM_LOGGING_LEVEL": "DEBUG", "B": "b"}


def test_a_model_that_does_not_fit_is_refused_with_every_problem() -> None:
    vllm = {"tensorParallelSize": 2, "maxModelLen": 9000}
    with pytest.raises(Refused) as refused:
        freezing.freeze("m", changed_spec(engine={"vllm": vllm}), Platform(), prepared(facts_of(SMOLLM2)))
    assert {problem.reason for problem in refused.value.problems} == {"HeadsNotDivisible", "TooLong"}


def test_the_longest_name_leaves_room_for_every_child() -> None:
    model = "m" * names.MAX_MODEL_NAME
    revision = freezing.freeze(model, spec(), Platform(), prepared())[0]
    children = [names.second_attempt(names.prepare_job_name(model, revision.input_hash)), names.revision_name(revision)]
    children += [f"{model}-guard-{short(revision.input_hash)}"]
    assert all(len(child) <= 63 for child in children)


def test_every_type_round_trips() -> None:
    for revision in freezing.freeze("m", spec(), Platform(), prepared()):
        assert type(revision).model_validate(revision.wire()) == revision
    assert isinstance(spec(), Wire)


@pytest.mark.parametrize("name", ["smallest", "full"])
def test_an_object_in_which_the_api_server_wrote_defaults_has_the_hash_of_one_without(name: str) -> None:
    """CRDs of before filled in defaults inside of lists, and objects in etcd have them: nothing is computed anew."""
    plain = spec(name)
    filled = QuantizedModelSpec.model_validate(plain.wire())
    assert len(json.dumps(plain.wire())) > len(json.dumps(good(name)["spec"]))
    assert filled == plain
    assert names.input_hash(filled) == names.input_hash(plain)


def test_an_object_in_which_the_api_server_wrote_defaults_makes_the_same_revisions() -> None:
    filled = QuantizedModelSpec.model_validate(spec().wire())
    one, other = (freezing.freeze("chat", each, Platform(), prepared()) for each in (spec(), filled))
    assert [names.revision_name(each) for each in one] == [names.revision_name(each) for each in other]
