"""A new recipe, suite or engine is one declaration: a toy that only this test knows goes through a whole life."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from lowbit.api.documents import PrepareResult
from lowbit.api.enginelog import error_in, kernels_in, last_lines
from lowbit.api.engines import ENGINES
from lowbit.api.evaluation import MinimumThreshold, Suite
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.suites import SUITES, metrics
from lowbit.cli.plan import plan
from lowbit.gate.bounds import METHODS
from lowbit.naming.names import evaluation_name
from lowbit.observe.cache import Cache
from lowbit.resolve.checks import check_candidates, check_suites
from lowbit.resolve.freeze import candidate_spec, freeze, turn_specs
from lowbit.schema.rules import measured_by, reachable
from lowbit.worker.engines import CLIENTS
from lowbit.worker.suites import RUNNERS, InterleavedRunner, LookingRunner
from tests.unit.life import NAME, condition, status
from tests.unit.measurements import Estimate, row
from tests.unit.toys import SMELL, ToyEngine, toy_engine, toy_quiz, toy_race, toy_recipe, toy_suite
from tests.unit.world import DATASET, FACTS, NAMESPACE, SOURCE, World, spec

DATASETS = ("calibration/general", "evaluation/fidelity")
TOY = spec(candidates=[{"toy": {"level": 5}}], calibration=None)


def test_a_toy_recipe_is_made_judged_and_served_without_a_change_of_any_other_file(world: World) -> None:
    with toy_recipe():
        world.apply_model(NAME, {name: value for name, value in TOY.items() if value is not None})
        world.settle(NAME)
        assert condition(world, "Ready")["status"] == "True"
        assert status(world)["current"]["recipe"] == "toy-5"
        (revision,) = (world.objects["ModelRevision", name] for name in world.names("ModelRevision"))
        assert revision["spec"]["recipe"] == {"toy": {"level": 5}}
        assert "calibration" not in revision["spec"]
        assert any(name.startswith("quantize-") for name in world.names("Job"))


def test_a_toy_recipe_is_planned_by_its_own_label() -> None:
    with toy_recipe():
        body = QuantizedModelSpec.model_validate({name: value for name, value in TOY.items() if value is not None})
        (revision,) = plan(NAME, body, Platform(), FACTS).revisions
        assert revision.recipe == "toy-5"


def test_what_is_in_no_registry_is_refused() -> None:
    with pytest.raises(ValidationError, match="toy"):
        QuantizedModelSpec.model_validate(TOY)


def test_a_toy_engine_measures_and_serves_without_a_change_of_any_other_file(world: World) -> None:
    with toy_engine():
        world.apply_model(NAME, spec(engine={"toy": {"speed": 7}}))
        world.settle(NAME)
        assert condition(world, "Ready")["status"] == "True"
        pods = [world.objects["Deployment", NAME]["spec"]["template"]["spec"]]
        pods += [
            world.objects["Job", name]["spec"]["template"]["spec"] for name in world.names("Job") if "eval-" in name
        ]
        engines = [
            each for pod in pods for each in (*pod["containers"], *pod["initContainers"]) if each["name"] == "engine"
        ]
        assert {tuple(each["command"]) for each in engines} == {("toy", "serve")}
        assert {tuple(each["args"]) for each in engines} == {
            (NAME, "--speed=7", "--measuring"), (NAME, "--speed=7", "--serving")
        }  # fmt: skip
        evaluations = [
            world.objects["ModelEvaluation", name]["spec"]["engine"] for name in world.names("ModelEvaluation")
        ]
        assert all(set(engine) == {"toy"} for engine in evaluations)


def test_every_engine_has_a_client_of_its_name_and_no_other_has() -> None:
    assert set(CLIENTS) == set(ENGINES.names())


def test_a_toy_engine_says_in_its_own_words_why_it_ended() -> None:
    log = "> Wand enchants rabbits\n> poof: the hat is empty\n"
    assert (kernels_in(log), error_in(log)) == ([], None)
    with toy_engine():
        assert (kernels_in(log), error_in(log)) == (["Wand for rabbits"], "poof: the hat is empty")
        assert last_lines(log) == "Wand enchants rabbits\npoof: the hat is empty"


def smelled(least: str) -> dict[str, Any]:
    """A model that is judged by its smell alone."""
    toy = {"dataset": {"configMap": {"name": "roses"}}, "loudness": 7}
    suites = [{"name": "roses", "toy": toy, "gate": {"minimum": [{"metric": "Smell", "value": least}]}}]
    return spec(evaluation={"suites": suites})


def test_a_toy_suite_is_measured_and_judged_without_a_change_of_any_other_file(world: World) -> None:
    with toy_suite():
        world.datasets, world.also = {"calibration/general", "evaluation/roses"}, {"Smell": 0.95}
        world.apply_model(NAME, smelled("0.9"))
        world.settle(NAME)
        assert condition(world, "Ready")["status"] == "True"
        assert status(world)["verdict"]["message"] == "Smell 0.95 (97.5 % lower bound 0.94) is at least 0.9"
        specs = [world.objects["ModelEvaluation", name]["spec"] for name in world.names("ModelEvaluation")]
        (suite,) = {json.dumps(each["protocol"]["suites"]) for each in specs}
        assert json.loads(suite)[0] | {"toy": None} == {"name": "roses", "version": 4, "toy": None}
        cache = Cache()
        for manifest in world.objects.values():
            cache.put(manifest)
        values = [scraped.values for scraped in cache.scraped("ModelEvaluation", NAMESPACE).values()]
        assert ("roses", "Smell", 0.95) in [value for each in values for value in each]


def raced(least: str) -> dict[str, Any]:
    """A model that is judged by a text suite, and by a race of two rounds."""
    race = {"name": "race", "race": {"rounds": 2}, "gate": {"minimum": [{"metric": "Lead", "value": least}]}}
    return spec(evaluation={"suites": [*spec()["evaluation"]["suites"], race]})


def test_a_toy_suite_whose_sides_take_turns_starts_both_engines_in_turn_and_is_judged_once(world: World) -> None:
    with toy_race():
        world.rows = [row("Lead", Estimate(0.95), "race")]
        world.apply_model(NAME, raced("0.9"))
        world.settle(NAME)
        assert condition(world, "Ready")["status"] == "True"
        turns = [
            (each["turn"]["start"], each["model"]["kind"])
            for kind, name in world.created
            if kind == "ModelEvaluation" and name.startswith("turn-")
            for each in [world.objects["ModelEvaluation", name]["spec"]]
        ]
        assert turns == [(1, "Source"), (1, "Artifact"), (2, "Source"), (2, "Artifact")]
        evaluations = [name for kind, name in world.created if kind == "ModelEvaluation"]
        jobs = [name for kind, name in world.created if kind == "Job" and name.startswith(("baseline", "turn", "eval"))]
        assert [name.partition("-")[0] for name in jobs] == ["baseline", *["turn"] * 4, "eval"]
        assert set(jobs) == set(evaluations)
        (verdict,) = [world.objects["ModelRevision", name]["status"] for name in world.names("ModelRevision")]
        assert verdict["evaluation"] == jobs[-1], "the candidate's own evaluation compares all of it"


def test_a_start_in_another_image_of_the_engine_is_compared_with_nothing(world: World) -> None:
    with toy_race():
        world.rows = [row("Lead", Estimate(0.95), "race")]
        world.engine_image = lambda job: f"engine@sha256:{2 if job.startswith('turn-') else 1}"
        world.apply_model(NAME, raced("0.9"))
        world.settle(NAME)
        assert condition(world, "Stalled")["reason"] == "EngineImageMoved"
        assert ("Deployment", NAME) not in world.objects


@pytest.mark.parametrize(
    ("lost", "measured"), [("", 0), ("turn-", 0), ("eval-", 1)], ids=["nothing", "the starts", "the comparison"]
)
def test_when_all_status_is_lost_only_what_the_store_lacks_is_measured_again(
    world: World, lost: str, measured: int
) -> None:
    """For a comparison that the store holds nothing races again; for one that it lacks the starts are found there."""
    with toy_race():
        world.rows = [row("Lead", Estimate(0.95), "race")]
        world.apply_model(NAME, raced("0.9"))
        world.settle(NAME)
        world.stored = {name: kept for name, kept in world.stored.items() if not lost or not name.startswith(lost)}
        before = world.evaluated
        for kind in ("ModelEvaluation", "ModelRevision", "Job"):
            for name in world.names(kind):
                world.delete(kind, name)
        world.settle(NAME)
        assert condition(world, "Ready")["status"] == "True"
        assert world.evaluated == before + measured


def test_a_race_lost_is_not_served(world: World) -> None:
    with toy_race():
        world.rows = [row("Lead", Estimate(0.5), "race")]
        world.apply_model(NAME, raced("0.9"))
        world.settle(NAME)
        assert condition(world, "Ready")["reason"] == "GateFailed"
        assert ("Deployment", NAME) not in world.objects


def test_candidates_with_other_engine_settings_have_starts_of_their_own() -> None:
    with toy_race():
        (plain, *_) = raced("0.9")["candidates"]
        changed = plain | {"engine": {"args": ["--kv-cache-dtype=fp8"]}}
        body = QuantizedModelSpec.model_validate(raced("0.9") | {"candidates": [plain, changed]})
        datasets = dict.fromkeys(("calibration/general", "evaluation/fidelity"), DATASET)
        prepared = PrepareResult(source=SOURCE, facts=FACTS, datasets=datasets)
        one, other = freeze(NAME, body, Platform(), prepared)
        assert one.artifact_hash == other.artifact_hash
        names = [{evaluation_name(turn) for turn in turn_specs(each, DATASET)} for each in (one, other)]
        assert not names[0] & names[1], "the original's start belongs to one pair"


def test_a_toy_race_is_planned_start_by_start() -> None:
    with toy_race():
        body = QuantizedModelSpec.model_validate(raced("0.9"))
        jobs = [job.name for job in plan(NAME, body, Platform(), FACTS).jobs if job.stage == "evaluate"]
        one = [*["turn-<hash>"] * 4, "eval-<hash>"]
        assert jobs == ["baseline-<hash>", *one, *one], "each of the two candidates races"


def test_every_runner_is_of_its_suites_pairing() -> None:
    for kind in SUITES:
        assert isinstance(RUNNERS[kind.name], InterleavedRunner) == (kind.pairing == "Interleaved")
        assert isinstance(RUNNERS[kind.name], LookingRunner) == (kind.looks > 1)


def quizzed(least: str) -> dict[str, Any]:
    """A model that is judged by a text suite, and by a quiz that is looked at three times."""
    quiz = {"name": "quiz", "quiz": {"questions": 30}, "gate": {"minimum": [{"metric": "Nearness", "value": least}]}}
    return spec(evaluation={"suites": [*spec()["evaluation"]["suites"], quiz]})


@pytest.mark.parametrize(("look", "error", "passes"), [(1, 0.01, True), (1, 0.05, False), (3, 0.04, True)])
def test_a_toy_suite_that_stops_early_is_judged_at_the_boundary_of_its_look(
    world: World, look: int, error: float, passes: bool
) -> None:
    """Ten deviations from the threshold pass at any look; two and a half at the last one, two not at the first."""
    with toy_quiz():
        world.rows = [row("Nearness", Estimate(9.1, error), "quiz").model_copy(update={"look": look, "looks": 3})]
        world.apply_model(NAME, quizzed("9"))
        world.settle(NAME)
        assert (condition(world, "Ready")["status"] == "True") == passes


@pytest.mark.parametrize(("look", "looks"), [(0, 3), (4, 3), (1, 0), (1, 6)])
def test_a_look_that_cannot_have_been_planned_never_passes(world: World, look: int, looks: int) -> None:
    with toy_quiz():
        world.rows = [row("Nearness", Estimate(9.9, 0.01), "quiz").model_copy(update={"look": look, "looks": looks})]
        world.apply_model(NAME, quizzed("9"))
        world.settle(NAME)
        assert condition(world, "Ready")["status"] != "True"
        assert "Nearness of suite quiz: " in condition(world, "Ready")["message"]


def test_a_new_threshold_of_a_suite_that_looks_measures_anew_and_of_another_does_not(world: World) -> None:
    with toy_quiz():
        world.rows = [row("Nearness", Estimate(9.5, 0.01), "quiz").model_copy(update={"look": 1, "looks": 3})]
        world.apply_model(NAME, quizzed("9"))
        world.settle(NAME)
        (first,) = [name for name in world.names("ModelEvaluation") if name.startswith("eval-")]
        (stopping,) = world.objects["ModelEvaluation", first]["spec"]["stopping"]
        assert (stopping["gate"]["suite"], stopping["candidates"]) == ("quiz", 2)
        (baseline,) = [name for name in world.names("ModelEvaluation") if name.startswith("baseline-")]
        assert "stopping" not in world.objects["ModelEvaluation", baseline]["spec"]
        other = quizzed("9")
        other["evaluation"]["suites"][0]["gate"]["maximum"][0]["value"] = "0.4"
        world.apply_model(NAME, other)
        world.settle(NAME)
        assert [name for name in world.names("ModelEvaluation") if name.startswith("eval-")] == [first]
        world.apply_model(NAME, quizzed("9.1"))
        world.settle(NAME)
        (second,) = {name for name in world.names("ModelEvaluation") if name.startswith("eval-")} - {first}
        assert [name for name in world.names("ModelEvaluation") if name.startswith("baseline-")] == [baseline]
        assert world.objects["ModelEvaluation", second]["spec"]["stopping"][0]["gate"]["minimum"][0]["value"] == "9.1"


def test_a_suite_without_looks_is_named_as_ever() -> None:
    body = QuantizedModelSpec.model_validate(spec())
    prepared = PrepareResult(source=SOURCE, facts=FACTS, datasets=dict.fromkeys(DATASETS, DATASET))
    (one, *_) = freeze(NAME, body, Platform(), prepared)
    assert candidate_spec(one, DATASET).stopping is None


def test_a_toy_suite_that_cannot_decide_asks_for_more_in_its_own_words(world: World) -> None:
    with toy_suite():
        world.datasets, world.also = {"calibration/general", "evaluation/roses"}, {"Smell": 0.901}
        world.apply_model(NAME, smelled("0.9"))
        world.settle(NAME)
        message = condition(world, "Ready")["message"]
        assert "noses would decide" in message
        assert "Raise evaluation.suites[].toy.loudness" in message


def test_a_toy_suite_is_planned_and_its_threshold_is_held_against_the_range_of_its_metric() -> None:
    with toy_suite():
        body = QuantizedModelSpec.model_validate(smelled("0.9"))
        assert plan(NAME, body, Platform(), FACTS).revisions
        assert not reachable(SMELL).holds(MinimumThreshold(metric="Smell", value="1.5"))  # type: ignore[misc]
        rule = measured_by(SUITES["fidelity"])
        wrong = smelled("0.9")["evaluation"]["suites"][0] | {
            "gate": {"maximum": [{"metric": "KLDivergence", "value": "1"}]}
        }
        assert measured_by(SUITES["toy"]).holds(Suite.model_validate(wrong)) is False  # type: ignore[misc]
        assert rule.holds(Suite.model_validate(wrong))  # type: ignore[misc]


def test_every_suite_has_a_runner_of_its_name_and_every_metric_a_way_to_bound_it() -> None:
    assert set(RUNNERS) == set(SUITES.names())
    assert {metric.bound for metric in metrics().values()} - {None} <= set(METHODS)
    every = [metric for kind in SUITES for metric in kind.metrics]
    assert len({metric.name for metric in every}) == len(set(every)), "a name means the same in every suite"


def test_an_engine_that_lacks_what_a_suite_needs_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyEngine, "capabilities", frozenset())
    with toy_engine():
        body = QuantizedModelSpec.model_validate(spec(engine={"toy": {}}))
        (problem,) = check_suites(body)
        assert problem.reason == "EngineLacks"
        assert "the engine toy has no PromptLogprobs, which a fidelity suite needs" in problem.message


def test_an_engine_that_does_not_load_what_a_recipe_makes_is_refused_before_anything_is_made() -> None:
    with toy_engine():
        body = QuantizedModelSpec.model_validate(spec(engine={"toy": {}}, candidates=[{"gptq": {}}, {"awq": {}}]))
        (problem,) = check_candidates(body, FACTS)
        assert (problem.field, problem.reason) == ("spec.candidates[1].awq", "FormatNotLoaded")
        assert problem.action == "use a recipe that makes one of gptq"
