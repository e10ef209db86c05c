"""What is known of a type of model: whether quantizer and engine take it. `make matrix` makes support.json."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Final

from pydantic import Field

from lowbit.api.base import Tolerant
from lowbit.api.engines import engine_of
from lowbit.api.facts import ModelFacts
from lowbit.api.problem import Problem
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import RECIPES, recipe_of

ENGINE: Final = "vllm"
"""The engine that the table is about."""


class Known(Tolerant):
    """What a library lists as its own."""

    version: str
    names: frozenset[str]
    through: frozenset[str] = frozenset()
    """Classes of transformers that the engine runs as they are."""


class Ended(Tolerant):
    """How a tiny model of a type fared with one recipe, or as it is."""

    quantizes: bool | None = None
    loads: bool | None = None
    """In the CPU engine; None if there was nothing to load."""
    why: str = ""


class Tried(Tolerant):
    """How a tiny model of one type fared."""

    architecture: str
    original: Ended
    recipes: dict[str, Ended] = Field(default_factory=dict)
    needs: list[str] = Field(default_factory=list)
    """Packages that the worker's image lacks."""
    cpu_only: str = ""
    """Why it fails in the CPU engine alone: no reason to refuse it."""
    note: str = ""

    def of(self, recipe: str) -> Ended:
        """With a recipe; nothing is known of one that was not tried."""
        return self.recipes.get(recipe, Ended())


class Table(Tolerant):
    """Everything that is known, with the versions that it is known of."""

    quantizer: Known
    engine: Known
    tried: dict[str, Tried]


@cache
def table() -> Table:
    """The committed table."""
    text = resources.files("lowbit.architecture").joinpath("support.json").read_text(encoding="utf-8")
    return Table.model_validate_json(text)


def check_support(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Problems between the model's type, its recipes and the engine, as far as the table knows."""
    return [*_engine_problems(spec, facts, table()), *_recipe_problems(spec, facts, table())]


def _engine_problems(spec: QuantizedModelSpec, facts: ModelFacts, known: Table) -> list[Problem]:
    """The engine cannot load the original. An image that the manifest names may have another version."""
    kind, settings = engine_of(spec.engine)
    if kind.name != ENGINE or settings.image is not None:
        return []
    tried, version = known.tried.get(facts.model_type), known.engine.version
    if tried is not None and tried.original.loads is False and not tried.cpu_only:
        message = f"vLLM {version} cannot load a {facts.model_type} ({tried.original.why})"
    elif facts.architecture not in known.engine.names | known.engine.through and tried is None:
        message = f"vLLM {version} has no class {facts.architecture}"
    else:
        return []
    action = "use another model, or name an image whose vLLM has it (spec.engine.vllm.image)"
    return [Problem(f"spec.engine.{kind.name}", "EngineLacksModel", message, action)]


def _recipe_problems(spec: QuantizedModelSpec, facts: ModelFacts, known: Table) -> list[Problem]:
    """The quantizer cannot take the model apart, or the engine cannot load what it makes."""
    found = []
    for index, candidate in enumerate(spec.candidates):
        kind, _ = recipe_of(candidate)
        problem = _recipe_problem(kind.name, facts, known) if kind.made_here else None
        if problem is None:
            continue
        made = [each.name for each in RECIPES if each.made_here and each is not kind]
        others = [name for name in made if _recipe_problem(name, facts, known) is None]
        own = f"use {others[0]}" if others else "use another model"
        action = f"{own}, or an artifact that was made elsewhere (candidates: [{{artifact: ...}}])"
        found.append(replace(problem, field=f"spec.candidates[{index}].{kind.name}", action=action))
    return found


def _recipe_problem(recipe: str, facts: ModelFacts, known: Table) -> Problem | None:
    """What is known against a recipe, without field and action; None if nothing is."""
    whole, version = facts.whole_type or facts.model_type, known.quantizer.version
    own = known.tried.get(whole)
    # For some types it finds its way without a definition.
    if whole not in known.quantizer.names and not (own is not None and own.of(recipe).quantizes):
        return Problem("", "NotQuantizable", f"gptqmodel {version} has no definition of models of type {whole}", "")
    tried = own or known.tried.get(facts.model_type)
    if tried is None:
        return None
    ended = tried.of(recipe)
    if ended.quantizes is False:
        needs = f"; it needs {', '.join(tried.needs)}, which the worker's image lacks" if tried.needs else ""
        message = f"gptqmodel {version} cannot quantize a {whole} ({ended.why}){needs}"
        return Problem("", "NotQuantizable", message, "")
    # Where the CPU engine cannot even load the original, its word on the artifact counts for nothing.
    if ended.loads is False and tried.original.loads and not tried.cpu_only:
        message = f"vLLM {known.engine.version} cannot load what {recipe} makes of a {whole} ({ended.why})"
        return Problem("", "EngineCannotLoad", message, "")
    return None
