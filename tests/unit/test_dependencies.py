"""Each image installs what the code that it runs imports, and nothing that it does not."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from lowbit.worker.__main__ import RUNNERS
from tests.unit.docs_pages import ROOT

SOURCES = ROOT / "operator"
REQUIREMENTS = ROOT / "requirements"
DECLARATIONS: Mapping[str, Path] = {"operator": ROOT / "pyproject.toml", "worker": REQUIREMENTS / "worker.in"}
"""By image: the file that lists the packages asked for by name; its lock is requirements/<image>.txt."""
STAGES: Mapping[str, tuple[str, ...]] = {"operator": ("prepare", "fetch", "ask"), "worker": ("quantize", "evaluate")}
"""By image: the stages whose Jobs use it (desired/jobs)."""
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "operator": ("lowbit.app.__main__", "lowbit.cli.main", "lowbit.worker.__main__"),
    "worker": ("lowbit.worker.__main__",),
}
"""By image: the modules that its Containerfile starts or installs a command for."""
PACKAGE_OF: Mapping[str, str] = {"pythonjsonlogger": "python-json-logger", "yaml": "pyyaml"}
"""Packages whose module has another name."""
NOT_IMPORTED: Mapping[str, Mapping[str, str]] = {
    "operator": {},
    "worker": {
        "gguf": "transformers reads GGUF files with it (images/convert_gguf.py)",
        "setuptools": "torch compiles extensions with it; the version is the one that vLLM on CPUs pins",
        "tenacity": "lm-eval's local-completions wants it there, though every request goes through our client",
    },
}
"""By image: packages that are declared though our code does not import them, and why."""

IMAGES = sorted(DECLARATIONS)


def source_of(module: str) -> Path | None:
    """The file of one of our modules; None for a name that is no module (from a import b)."""
    path = SOURCES.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module imports anywhere in its file, and its parents, which Python imports with it."""
    file = source_of(module)
    assert file, f"there is no module {module}"
    found = {module.rpartition(".")[0]} - {""}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{file}: a relative import"
            assert not node.level, f"{file}: a relative import"
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return frozenset(found)


def modules_of(image: str) -> set[str]:
    """Every module of ours that can be imported in an image."""
    waiting = [*PROGRAMS[image], *(RUNNERS[stage].partition(":")[0] for stage in STAGES[image])]
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += [name for name in imports_of(module) if name.startswith("lowbit") and source_of(name)]
    return seen


def imported(image: str) -> dict[str, str]:
    """By package: one of our modules that imports it."""
    return {
        PACKAGE_OF.get(top, top.replace("_", "-")): module
        for module in modules_of(image)
        for top in {name.partition(".")[0] for name in imports_of(module)}
        if top != "lowbit" and top not in sys.stdlib_module_names
    }


def names(lines: list[str]) -> Iterator[str]:
    """The packages that requirements ask for, with those of the files that they include."""
    for line in lines:
        if line.startswith("-r "):
            yield from names((REQUIREMENTS / line.removeprefix("-r ")).read_text().splitlines())
        elif found := re.match(r"[A-Za-z0-9._-]+", line):
            yield re.sub(r"[._-]+", "-", found[0]).lower()


def declared(image: str) -> set[str]:
    file = DECLARATIONS[image]
    if file.suffix == ".toml":
        return set(names(tomllib.loads(file.read_text())["project"]["dependencies"]))
    return set(names(file.read_text().splitlines()))


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_imported_is_declared(image: str) -> None:
    missing = {package: module for package, module in imported(image).items() if package not in declared(image)}
    assert missing == {}, f"add it to {DECLARATIONS[image].name}, then: make lock"


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_declared_is_imported_or_has_a_reason(image: str) -> None:
    unused = declared(image) - set(imported(image))
    assert unused == set(NOT_IMPORTED[image]), f"take it out of {DECLARATIONS[image].name}, then: make lock"


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_declared_is_in_the_lock(image: str) -> None:
    lock = (REQUIREMENTS / f"{image}.txt").read_text().splitlines()
    assert declared(image) - set(names([line for line in lock if "==" in line])) == set(), "make lock"


def test_what_the_operator_needs_the_development_virtualenv_has() -> None:
    development = set(names((REQUIREMENTS / "dev.in").read_text().splitlines()))
    assert declared("operator") - development == set(), "add it to dev.in, then: make lock"


def test_every_stage_runs_in_an_image() -> None:
    assert sorted(stage for stages in STAGES.values() for stage in stages) == sorted(RUNNERS)


def test_every_module_is_imported_by_something_that_runs() -> None:
    files = [path.relative_to(SOURCES).with_suffix("") for path in SOURCES.rglob("*.py")]
    modules = {".".join(file.parts).removesuffix(".__init__") for file in files}
    assert modules - modules_of("operator") - modules_of("worker") == set(), "nothing that an image runs imports these"
