"""A new recipe, suite or engine is one declaration: a toy that only this test knows goes through a whole life."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowbit.api.engines import ENGINES
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.plan import plan
from lowbit.worker.engines import CLIENTS
from tests.unit.life import NAME, condition, status
from tests.unit.toys import toy_engine, toy_recipe
from tests.unit.world import FACTS, World, spec

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
