"""Checks that need the model's config: by prepare, before a GPU is requested, and by ``lowbit plan`` with a config."""

from __future__ import annotations

from dataclasses import replace

from pydantic.alias_generators import to_camel

from lowbit.api.engines import AnyEngine, Engine, engine_of, field_path
from lowbit.api.engines.base import Asked
from lowbit.api.evaluation import suite_of
from lowbit.api.facts import ModelFacts
from lowbit.api.platform import Platform
from lowbit.api.pods import JobOptions
from lowbit.api.problem import Problem
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import recipe_of
from lowbit.api.recipes.base import Fitting
from lowbit.api.stages import EVALUATE, PREPARE, QUANTIZE, StageKind
from lowbit.api.variables import JOB_VARIABLES, refused_variables


def check_engine(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Problems between the settings of each engine and the model."""
    found: list[Problem] = []
    for field, engine in engines_of(spec).items():
        kind, settings = engine_of(engine)
        found += _at(field, kind.problems(settings, facts))
    return found


def engines_of(spec: QuantizedModelSpec) -> dict[str, Engine]:
    """The engine of the candidates, and that of the original where it has its own; by their paths in the manifest."""
    return {field_path(spec.engine): spec.engine, spec.original_field: spec.original_engine}


def check_allowed(spec: QuantizedModelSpec, platform: Platform) -> list[Problem]:
    """Arguments, variables, images and options that a manifest may not use on this platform. Needs no model."""
    found: list[Problem] = []
    for field, engine in engines_of(spec).items():
        kind, settings = engine_of(engine)
        found += _at(field, kind.not_allowed(Asked(settings.image, settings.args, settings.env), platform))
        found += _at(field, kind.not_in_version(settings, platform))
    kind, settings = engine_of(spec.engine)
    for index, candidate in enumerate(spec.candidates):
        if (changes := candidate.engine) is not None:
            own = Asked(settings.image, changes.args, changes.env)
            problems = [each for each in kind.not_allowed(own, platform) if each.field != "image"]
            found += _at(f"spec.candidates[{index}].engine", problems)
    for stage in PREPARE, QUANTIZE, EVALUATE:
        options: JobOptions = getattr(spec.jobs, stage.name)
        found += check_job(stage, options, platform)
    return found


def check_job(stage: StageKind, options: JobOptions, platform: Platform) -> list[Problem]:
    """Variables that a manifest may not set for this stage's Job."""
    allowed = (*JOB_VARIABLES, *platform.allowed_job_env)
    return refused_variables(f"{stage.field}.env", options.env, allowed, "allowedJobEnv")


def _at(field: str, problems: list[Problem]) -> list[Problem]:
    return [replace(problem, field=f"{field}.{problem.field}") for problem in problems]


def check_candidates(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Problems between each candidate's recipe, the model and the engine."""
    fitting = fitting_of(spec, facts)
    engine, _ = engine_of(spec.engine)
    found: list[Problem] = []
    for index, candidate in enumerate(spec.candidates):
        kind, member = recipe_of(candidate)
        field = f"spec.candidates[{index}].{kind.name}"
        if kind.quant_methods and not engine.formats & set(kind.quant_methods):
            message = f"the engine {engine.name} does not load what {kind.name} makes"
            formats = ", ".join(sorted(engine.formats))
            found.append(Problem(field, "FormatNotLoaded", message, f"use a recipe that makes one of {formats}"))
        found += _at(field, kind.problems(member, fitting))
    return found


def fitting_of(spec: QuantizedModelSpec, facts: ModelFacts) -> Fitting:
    """The model and tensor parallel size, against which recipes are resolved and checked."""
    kind, settings = engine_of(spec.engine)
    return Fitting(facts, kind.ranks(settings))


def check_lengths(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Problems with texts that are longer than the model or an engine can read."""
    return [problem for field in engines_of(spec) for problem in _too_long(spec, facts, field)]


def _too_long(spec: QuantizedModelSpec, facts: ModelFacts, engine_field: str) -> list[Problem]:
    engine_limit = engine_of(engines_of(spec)[engine_field])[1].max_model_len
    field = f"{engine_field}.maxModelLen"
    problems = []
    if engine_limit and engine_limit > facts.max_position_embeddings:
        problems.append(
            Problem(
                field, "TooLong",
                f"{engine_limit} is more than the model's {facts.max_position_embeddings} positions",
                f"use at most {facts.max_position_embeddings}",
            )
        )  # fmt: skip
    limit = min(facts.length(engine_limit), facts.max_position_embeddings)
    for suite in spec.evaluation.suites:
        suite_kind, suite_settings = suite_of(suite)
        name = suite_kind.length_field
        longest = getattr(suite_settings, name) if name is not None else 0
        if name is not None and longest >= limit:
            problems.append(
                Problem(
                    f"spec.evaluation.suites[{suite.name}].{suite_kind.name}.{to_camel(name)}", "TooLong",
                    f"{longest} leaves no room for an answer in the engine's {limit} tokens",
                    f"use at most {limit - 1}, or raise {field}",
                )
            )  # fmt: skip
    return problems


def check_suites(spec: QuantizedModelSpec) -> list[Problem]:
    """Problems with suites that need an ability which an engine lacks."""
    problems = []
    for name, capabilities in {kind.name: kind.capabilities for kind in map(_kind, engines_of(spec).values())}.items():
        for suite in spec.evaluation.suites:
            kind, _ = suite_of(suite)
            missing = sorted(kind.needs - capabilities)
            if missing:
                problems.append(
                    Problem(
                        f"spec.evaluation.suites[{suite.name}].{kind.name}", "EngineLacks",
                        f"the engine {name} has no {', '.join(missing)}, which a {kind.name} suite needs",
                        "use another suite, or another engine",
                    )
                )  # fmt: skip
    return problems


def _kind(engine: Engine) -> AnyEngine:
    return engine_of(engine)[0]


def check_quantized(facts: ModelFacts) -> list[Problem]:
    """A source that is quantized already: nothing else matters then."""
    if facts.quantized is None:
        return []
    message = f"the source is quantized already ({facts.quantized}): there is no original to quantize or compare with"
    action = (
        "give the repository of the original; what is quantized elsewhere is a candidate of its own "
        "(candidates: [{artifact: ...}])"
    )
    return [Problem("spec.source", "AlreadyQuantized", message, action)]


def check_model(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Every problem between the manifest and the model."""
    engine = check_engine(spec, facts)
    recipes = [] if engine else check_candidates(spec, facts)
    return engine + recipes + check_lengths(spec, facts) + check_suites(spec)
