"""A new recipe, suite or engine is one declaration: a toy that only this test knows goes through a whole life."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.plan import plan
from tests.unit.life import NAME, condition, status
from tests.unit.toys import toy_recipe
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
