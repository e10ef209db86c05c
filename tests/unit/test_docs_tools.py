"""The tools of a working day are set up for what is in the repository: Tilt, pre-commit, make, editors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from images.targets import TARGETS
from tests.unit.docs_pages import ROOT

TILTFILE = (ROOT / "Tiltfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def tilt_calls() -> list[ast.Call]:
    """Starlark of this sort is Python too."""
    return [node for node in ast.walk(ast.parse(TILTFILE)) if isinstance(node, ast.Call)]


def keyword(call: ast.Call, name: str) -> Any:
    return next((ast.literal_eval(each.value) for each in call.keywords if each.arg == name), None)


def named(name: str) -> list[ast.Call]:
    return [call for call in tilt_calls() if isinstance(call.func, ast.Name) and call.func.id == name]


def test_the_tiltfile_keeps_to_what_starlark_allows() -> None:
    tree = ast.parse(TILTFILE)
    refused = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.While, ast.Try, ast.With, ast.JoinedStr, ast.GeneratorExp)
    assert not [node for node in ast.walk(tree) if isinstance(node, refused)]


def test_tilt_builds_the_operator_from_what_its_image_is_made_of() -> None:
    (build,) = named("docker_build")
    assert (ROOT / keyword(build, "dockerfile")).is_file()
    assert set(keyword(build, "only")) == set(TARGETS["operator"].inputs)


def test_tilt_installs_the_chart_with_values_that_it_has() -> None:
    (chart,) = named("helm")
    assert (ROOT / ast.literal_eval(chart.args[0]) / "Chart.yaml").is_file()
    schema = (ROOT / "charts" / "lowbit" / "values.schema.json").read_text()
    for value in ("operatorImage", "workerImage", "engineImage"):
        assert value in TILTFILE
        assert f'"{value}"' in schema


def test_tilt_watches_folders_that_exist_and_runs_targets_that_exist() -> None:
    resources = named("local_resource")
    assert resources
    for resource in resources:
        assert all((ROOT / path).exists() for path in keyword(resource, "deps") or [])
        program, target = ast.literal_eval(resource.args[1]).split()
        assert program == "make"
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_pre_commit_fetches_nothing_and_takes_its_own_configuration() -> None:
    assert [repository["repo"] for repository in HOOKS] == ["local"]
    program = Path(sys.executable).with_name("pre-commit")
    subprocess.run([program, "validate-config", ROOT / ".pre-commit-config.yaml"], check=True)


@pytest.mark.parametrize("hook", HOOKS[0]["hooks"], ids=lambda hook: hook["id"])
def test_every_hook_runs_a_program_of_the_virtualenv_or_make(hook: dict[str, Any]) -> None:
    assert hook["language"] == "system"
    words = [word for word in hook["entry"].split() if word != "env" and "=" not in word]
    if words[0] == "make":
        assert re.search(rf"^{words[-1]}:", MAKEFILE, re.MULTILINE)
    else:
        assert Path(sys.executable).with_name(Path(words[0]).name).exists()
        assert words[0].startswith(".venv/bin/")


def test_the_hooks_check_what_make_lint_checks() -> None:
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    entries = " ".join(hook["entry"] for hook in HOOKS[0]["hooks"])
    for program in ("ruff format", "ruff check", "mypy", "lint-imports"):
        assert program in lint
        assert program in entries


def test_every_phony_target_is_one() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    assert set(phony.split()) == targets


def test_every_target_says_what_it_does() -> None:
    for line in re.findall(r"^[a-z][a-z-]*:.*$", MAKEFILE, re.MULTILINE):
        assert " ## " in line, line


def test_editors_find_the_source_roots_and_the_virtualenv() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    roots = tools["pytest"]["ini_options"]["pythonpath"]
    assert tools["pyright"]["extraPaths"] == tools["mypy"]["mypy_path"] == roots
    assert (tools["pyright"]["venvPath"], tools["pyright"]["venv"]) == (".", ".venv")
