"""candidates[].calibration: the same recipe on two sets of texts, made apart, compared and gated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.plan import plan as planned
from lowbit.desired.jobs.prepare import locations
from lowbit.resolve.freeze import freeze
from lowbit.schema.check import check_manifest
from lowbit.worker.data.datasets import Mounts, read_dataset
from lowbit.worker.prepare import prepare
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs
from tests.unit.life import NAME, condition, status
from tests.unit.world import World
from tests.unit.world import spec as world_spec

TALK = {"name": "talk", "configMap": {"name": "texts", "key": "calibration.jsonl"}}
OTHER = {"name": "talk", "configMap": {"name": "texts", "key": "other.jsonl"}}


def two_sets(**changes: Any) -> QuantizedModelSpec:
    """The same recipe twice: on the model's texts, and on others of the same name."""
    own = {"samples": 8, "datasets": [OTHER]} | changes
    return inputs.spec(candidates=[{"gptq": {"bits": 4}}, {"gptq": {"bits": 4}, "calibration": own}])


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    found = inputs.write_places(tmp_path)
    inputs.write_lines(tmp_path / "maps" / "texts" / "other.jsonl", inputs.texts(50, 10))
    return found


@pytest.fixture
def store(tmp_path: Path) -> PVCStore:
    return PVCStore(tmp_path / "store")


def test_two_candidates_may_give_one_name_to_different_texts(store: PVCStore, mounts: Mounts) -> None:
    spec = two_sets()
    result = prepare(inputs.prepare_document(spec), store, inputs.silence(), mounts=mounts)
    assert set(result.datasets) == {"calibration/talk", "calibration/1/talk", "evaluation/fidelity"}
    first, second = freeze("small", spec, Platform(), result)
    assert first.artifact_hash != second.artifact_hash
    assert first.calibration is not None
    assert second.calibration is not None
    digests = [each.calibration.datasets[0].digest for each in (first, second) if each.calibration]
    assert digests == [result.datasets["calibration/talk"], result.datasets["calibration/1/talk"]]
    own = read_dataset(store.dataset(digests[1]), "Auto", "talk")
    assert own[0].text == "This is the text with the number 50, and it is long enough."


def test_their_labels_tell_them_apart(store: PVCStore, mounts: Mounts) -> None:
    spec = two_sets()
    result = prepare(inputs.prepare_document(spec), store, inputs.silence(), mounts=mounts)
    assert [each.label for each in freeze("small", spec, Platform(), result)] == [
        "gptq-int4-g128", "gptq-int4-g128 on talk",
    ]  # fmt: skip


def test_without_one_of_its_own_a_candidate_has_the_hash_that_it_had(store: PVCStore, mounts: Mounts) -> None:
    alone = prepare(inputs.prepare_document(inputs.spec()), store, inputs.silence(), mounts=mounts)
    both = prepare(inputs.prepare_document(two_sets()), store, inputs.silence(), mounts=mounts)
    (before,) = freeze("small", inputs.spec(), Platform(), alone)
    assert freeze("small", two_sets(), Platform(), both)[0].artifact_hash == before.artifact_hash


def test_texts_of_a_candidate_that_are_evaluated_on_are_refused(
    store: PVCStore, mounts: Mounts, tmp_path: Path
) -> None:
    inputs.write_lines(tmp_path / "maps" / "texts" / "other.jsonl", [*inputs.texts(50, 10), *inputs.texts(101, 1)])
    with pytest.raises(RefusalError) as error:
        prepare(inputs.prepare_document(two_sets()), store, inputs.silence(), mounts=mounts)
    assert error.value.refusal.reason == "DataOverlap"
    assert "calibration dataset 1/talk" in error.value.refusal.message
    assert "candidates[1].calibration.overlap: Remove" in error.value.refusal.action


def test_they_are_left_out_where_the_candidate_says_so(store: PVCStore, mounts: Mounts, tmp_path: Path) -> None:
    inputs.write_lines(tmp_path / "maps" / "texts" / "other.jsonl", [*inputs.texts(50, 10), *inputs.texts(101, 1)])
    spec = two_sets(overlap="Remove")
    result = prepare(inputs.prepare_document(spec), store, inputs.silence(), mounts=mounts)
    assert result.removed == {"1/talk": 1}
    first, second = freeze("small", spec, Platform(), result)
    assert [each.calibration.datasets[0].removed for each in (first, second) if each.calibration] == [0, 1]


def test_broken_lines_of_a_candidates_texts_are_counted_for_it_alone(
    store: PVCStore, mounts: Mounts, tmp_path: Path
) -> None:
    inputs.write_lines(tmp_path / "maps" / "texts" / "other.jsonl", [*inputs.texts(50, 10), {"other": "field"}])
    result = prepare(inputs.prepare_document(two_sets()), store, inputs.silence(), mounts=mounts)
    assert result.broken == {"1/talk": 1}
    both = freeze("small", two_sets(), Platform(), result)
    assert [each.calibration.datasets[0].broken for each in both if each.calibration] == [0, 1]


def test_too_few_texts_name_the_candidates_field(store: PVCStore, mounts: Mounts) -> None:
    with pytest.raises(RefusalError, match=r"spec\.candidates\[1\]\.calibration\.samples to at most 10") as error:
        prepare(inputs.prepare_document(two_sets(samples=64)), store, inputs.silence(), mounts=mounts)
    assert error.value.refusal.reason == "TooFewTexts"


def test_prepare_mounts_what_a_candidates_calibration_reads() -> None:
    own = {"datasets": [{"name": "talk", "pvc": {"claimName": "domain", "path": "a.jsonl"}}]}
    spec = inputs.spec(candidates=[{"gptq": {"bits": 4}, "calibration": own}])
    assert "domain" in [getattr(place, "claim_name", None) for place in locations(spec)]


def test_the_plan_makes_two_artifacts_and_names_both() -> None:
    report = planned("small", two_sets(), Platform(), None)
    assert [job.stage for job in report.jobs].count("quantize") == 2
    assert report.revisions[1].recipe.endswith(" on talk")


def findings(**changes: Any) -> list[str]:
    manifest = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "metadata": {"name": "chat"},
                "spec": world_spec(**changes)}  # fmt: skip
    return [finding.message for finding in check_manifest(manifest).findings]


OWN = {"datasets": [{"name": "domain", "configMap": {"name": "domain"}}]}


def test_where_every_candidate_has_its_own_the_model_needs_none() -> None:
    both = [{"gptq": {"bits": 4}, "calibration": OWN}, {"awq": {}, "calibration": OWN}]
    assert findings(candidates=both, calibration=None) == []
    assert findings(candidates=[*both, {"gptq": {"bits": 8}}], calibration=None) != []


def test_one_recipe_on_two_sets_is_not_twice_the_same() -> None:
    assert findings(candidates=[{"gptq": {"bits": 4}}, {"gptq": {"bits": 4}, "calibration": OWN}]) == []
    twice = {"gptq": {"bits": 4}, "calibration": OWN}
    assert "identical" in " ".join(findings(candidates=[twice, twice]))


def test_a_candidate_that_reads_none_refuses_it() -> None:
    artifact = {"artifact": {"pvc": {"claimName": "made"}}, "calibration": OWN}
    assert "remove it from this candidate" in " ".join(findings(candidates=[artifact]))


def test_a_suite_may_not_read_what_a_candidate_is_calibrated_on() -> None:
    same = {"datasets": [{"name": "same", "configMap": {"name": "holdout"}}]}
    assert "held out" in " ".join(findings(candidates=[{"gptq": {"bits": 4}, "calibration": same}]))


def test_both_are_made_judged_and_compared(world: World) -> None:
    world.datasets = world.datasets | {"calibration/1/domain"}
    candidates = [{"gptq": {"bits": 4}}, {"gptq": {"bits": 4}, "calibration": OWN}]
    whole = world_spec(candidates=candidates)
    world.apply_model(NAME, whole | {"evaluation": whole["evaluation"] | {"compare": "All"}})
    world.settle(NAME)
    assert condition(world, "Compared")["status"] == "True"
    assert [row["name"] for row in status(world)["comparison"]] == [
        "original", "gptq-int4-g64", "gptq-int4-g64 on domain",
    ]  # fmt: skip
