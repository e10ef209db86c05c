"""`kubectl get quantizedmodel NAME -o yaml | lowbit show -`: the comparison of all candidates, as a table."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from lowbit.cli.main import main
from tests.unit.life import NAME
from tests.unit.test_api_plan import run
from tests.unit.test_decide_compare import comparing
from tests.unit.world import World, spec


def show(tmp_path: Path, manifest: Any) -> tuple[int, str]:
    path, out = tmp_path / "qm.yaml", io.StringIO()
    path.write_text(yaml.safe_dump(manifest))
    return main(["show", str(path)], out), out.getvalue()


@pytest.fixture
def compared(world: World) -> dict[str, Any]:
    world.apply_model(NAME, comparing())
    world.settle(NAME)
    return world.model(NAME)


def test_every_candidate_is_shown_beside_the_original(compared: dict[str, Any], tmp_path: Path) -> None:
    code, text = show(tmp_path, compared)
    assert code == 0
    for part in ("original", "gptq-int4-g64", "gptq-int8-g64", "awq-int4-g64", "2.83", "Passed", "at most 0.15"):
        assert part in text


def test_a_list_of_models_is_shown_one_by_one(compared: dict[str, Any], tmp_path: Path) -> None:
    code, text = show(tmp_path, {"kind": "List", "items": [compared, compared]})
    assert code == 0
    assert text.count("QuantizedModel chat: all candidates") == 2


def test_where_nothing_is_compared_it_says_what_to_write(world: World, tmp_path: Path) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    code, text = show(tmp_path, world.model(NAME))
    assert code == 0
    assert "evaluation.compare: All" in text


def test_a_file_without_a_model_says_so(tmp_path: Path) -> None:
    assert show(tmp_path, {"kind": "ConfigMap"})[0] == 2


def test_the_plan_says_that_later_candidates_are_made_beside_serving(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    manifest = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "metadata": {"name": "chat"},
                "spec": comparing()}  # fmt: skip
    path.write_text(yaml.safe_dump(manifest))
    code, text = run("plan", path)
    assert code == 0
    assert "beside serving" in text
    assert "GPUs at most at once: 3" in text, "two that serve, and a Job's"
