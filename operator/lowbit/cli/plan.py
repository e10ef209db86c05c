"""What Lowbit would make of a manifest. Pure: from the parsed object and, if given, the model's facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lowbit.api.engine import Device
from lowbit.api.engines import ResolvedEngine, engine_of, field_path, resolved_engine
from lowbit.api.evaluation import Suite, suite_of
from lowbit.api.facts import ModelFacts
from lowbit.api.platform import Platform
from lowbit.api.pods import JobOptions
from lowbit.api.problem import Problem
from lowbit.api.quantity import human, quantity
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import Recipe, calibrated, changed, recipe_of
from lowbit.architecture.support import check_support
from lowbit.desired.topology import topology_of
from lowbit.gate.counts import check_counts
from lowbit.gate.sizes import Sizes, sizes
from lowbit.naming.names import input_hash, prepare_job_name
from lowbit.resolve.checks import check_allowed, check_model, check_quantized, fitting_of
from lowbit.resolve.freeze import resolve_engine
from lowbit.resolve.memory import (
    Needed,
    artifact_bytes,
    cache_bytes,
    check_host_memory,
    check_memory,
    gpu_memory,
    holder_of,
    host_bytes,
    needed,
)

NOT_CHECKED_WITHOUT_CONFIG: Final = (
    "whether the tensor parallel size divides the attention and key-value heads",
    "whether the group size divides every layer on each rank",
    "whether texts and maxModelLen fit the model's positions",
    "sizes and memory",
)
PER_TOKENS: Final = 1000
UNKNOWN_DIGEST: Final = "sha256:" + "0" * 64
"""Stands for a dataset that prepare has not seen yet."""
NEVER_CHECKED: Final = (
    "whether claims, buckets, ConfigMaps and Secrets are there (seen by the operator and the prepare Job)",
    "whether the original is safe and whole: safetensors only, no remote code (seen by the prepare Job)",
)


@dataclass(frozen=True)
class Estimate:
    """Sizes of one candidate, in bytes."""

    artifact: int
    """Files of the artifact."""
    device: Needed
    """On each GPU, for one sequence of maxModelLen tokens."""
    cache: int
    """Keys and values of PER_TOKENS tokens on each device."""


@dataclass(frozen=True)
class PlannedRevision:
    """One candidate."""

    candidate: int
    recipe: str
    when: str
    size: Estimate | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class PlannedJob:
    """One Job."""

    stage: str
    name: str
    when: str
    gpus: int
    memory_limit: str | None
    deadline_seconds: int
    image: str


@dataclass(frozen=True)
class PlanReport:
    """Everything that `lowbit plan` prints about one QuantizedModel."""

    name: str
    problems: tuple[Problem, ...]
    revisions: tuple[PlannedRevision, ...]
    jobs: tuple[PlannedJob, ...]
    serving: str
    gpus_at_once: int
    not_checked: tuple[str, ...]
    sizes: Sizes
    """What its gates need."""
    notes: tuple[str, ...] = field(default=())


def plan(name: str, spec: QuantizedModelSpec, platform: Platform, facts: ModelFacts | None) -> PlanReport:
    """The plan of one valid QuantizedModel."""
    jobs = planned_jobs(name, spec, platform)
    replicas = spec.serving.replicas if spec.serving else 0
    engine = resolve_engine(spec.engine, platform)
    serving_gpus = engine_gpus(engine) * replicas
    return PlanReport(
        name=name,
        problems=problems(spec, platform, facts),
        revisions=tuple(planned_revision(i, c, spec, facts) for i, c in enumerate(spec.candidates)),
        jobs=jobs,
        serving=f"{replicas} x {held_by(engine)}" if spec.serving else "nothing: Ready means passed",
        gpus_at_once=at_once(spec, serving_gpus, max(job.gpus for job in jobs)),
        not_checked=(() if facts else NOT_CHECKED_WITHOUT_CONFIG) + NEVER_CHECKED,
        sizes=sizes(spec),
        notes=(*notes(spec, facts), *memory_notes(spec, facts, platform)),
    )


def at_once(spec: QuantizedModelSpec, serving: int, job: int) -> int:
    """GPUs that are in use together: a comparison's Jobs run beside what serves."""
    beside = spec.evaluation.compare == "All" and len(spec.candidates) > 1
    return serving + job if beside else max(serving, job)


def problems(spec: QuantizedModelSpec, platform: Platform, facts: ModelFacts | None) -> tuple[Problem, ...]:
    """What cannot work: of the manifest alone and, if the model's facts are given, between both."""
    alone = [*check_allowed(spec, platform), *check_counts(spec)]
    if facts is None:
        return tuple(alone)
    if quantized := check_quantized(facts):
        return (*alone, *quantized)
    memory = (*check_memory(spec, facts, platform), *check_host_memory(spec, facts))
    return (*alone, *check_support(spec, facts), *check_model(spec, facts), *memory)


def held_by(engine: ResolvedEngine) -> str:
    """What holds one engine, for people."""
    pods = topology_of(engine).pods(engine)
    one = f"{pods[0].gpus or 'no'} GPU"
    return one if len(pods) == 1 else f"({len(pods)} pods x {one})"


def engine_gpus(engine: ResolvedEngine) -> int:
    """GPUs of one engine, in all its pods."""
    return sum(pod.gpus for pod in topology_of(engine).pods(engine))


def gpus(device: Device, count: int) -> int:
    return count if device == "GPU" else 0


def when(index: int, spec: QuantizedModelSpec) -> str:
    if index == 0:
        return "first"
    if spec.evaluation.compare == "All":
        return f"after candidate {index - 1}; beside serving, once one has passed"
    return f"when candidate {index - 1} has not passed"


def planned_revision(index: int, recipe: Recipe, spec: QuantizedModelSpec, facts: ModelFacts | None) -> PlannedRevision:
    """One candidate with its label and sizes, as far as they are known."""
    kind, member = recipe_of(recipe)
    fitting = fitting_of(spec, facts) if facts is not None else None
    own = [each.name for each in recipe.calibration.datasets] if recipe.calibration is not None else []
    label = calibrated(changed(kind.draft_label(member, fitting), recipe.engine), own)
    artifact = kind.artifact_bytes(member, fitting) if fitting is not None else None
    if facts is None or fitting is None or artifact is None:
        return PlannedRevision(index, label, when(index, spec))
    holder = holder_of(field_path(spec.engine), spec.engine, recipe)
    split, tokens = holder.split, facts.length(holder.settings.max_model_len)
    size = Estimate(artifact, needed(facts, artifact, split, tokens), cache_bytes(facts, split, PER_TOKENS))
    return PlannedRevision(index, label, when(index, spec), size, round(facts.weight_bytes / artifact, 2))


def planned_jobs(name: str, spec: QuantizedModelSpec, platform: Platform) -> tuple[PlannedJob, ...]:
    """Every Job, in order, if nothing is in the store yet and each candidate but the last fails."""
    options = spec.jobs
    memory = engine_of(spec.engine)[1].resources.limits.get("memory")
    prepare = Takes("first", 0, platform.operator_image)
    jobs = [job("prepare", prepare_job_name(name, input_hash(spec)), options.prepare, prepare)]
    for index, candidate in enumerate(spec.candidates):
        made_before = any(_same_artifact(other, candidate) for other in spec.candidates[:index])
        if recipe_of(candidate)[0].made_here and not made_before:
            quantize = Takes(when(index, spec), gpus(options.quantize.device, 1), platform.worker_image)
            jobs.append(job("quantize", "quantize-<hash>", options.quantize, quantize))
        resolved = resolve_engine(spec.engine, platform, candidate.engine)
        engine = Takes(when(index, spec), engine_gpus(resolved), resolved_engine(resolved)[1].image)
        if index == 0:
            jobs.append(baseline_job(spec, platform))
        in_turn = ["turn"] * 2 * max(map(planned_starts, spec.evaluation.suites))
        jobs += [
            job("evaluate", f"{evaluation}-<hash>", options.evaluate, engine, memory)
            for evaluation in (*in_turn, "eval")
        ]
    if spec.evaluation.showcase is not None and spec.serving is not None:
        asks = Takes("once all replicas serve", 0, platform.operator_image)
        jobs.append(job("ask", f"{name}-ask-<hash>", options.prepare, asks))
    return tuple(jobs)


def baseline_job(spec: QuantizedModelSpec, platform: Platform) -> PlannedJob:
    """The Job that measures the original, in its own engine where it has one."""
    resolved = resolve_engine(spec.original_engine, platform)
    takes = Takes(when(0, spec), engine_gpus(resolved), resolved_engine(resolved)[1].image)
    memory = engine_of(spec.original_engine)[1].resources.limits.get("memory")
    return job("evaluate", "baseline-<hash>", spec.jobs.evaluate, takes, memory)


def _same_artifact(one: Recipe, other: Recipe) -> bool:
    return one.member() == other.member() and one.calibration == other.calibration


def planned_starts(suite: Suite) -> int:
    """How often each model's engine is started in turn for a suite."""
    kind, settings = suite_of(suite)
    resolved = kind.resolve(settings, dict.fromkeys(kind.datasets(settings), UNKNOWN_DIGEST))
    return kind.starts(resolved) if kind.pairing == "Interleaved" else 0


class Takes(NamedTuple):
    """When a Job is made, and what it needs."""

    when: str
    gpus: int
    image: str


def job(stage: str, name: str, options: JobOptions, takes: Takes, limit: str | None = None) -> PlannedJob:
    """One Job. limit: the engine's memory limit, if any; otherwise the stage's is shown."""
    memory = limit or options.resources.limits.get("memory")
    return PlannedJob(stage, name, takes.when, takes.gpus, memory, options.deadline_seconds, takes.image)


def notes(spec: QuantizedModelSpec, facts: ModelFacts | None) -> tuple[str, ...]:
    """Remarks that are no problems."""
    found = ["Jobs whose result the store already holds are not made; the baseline is shared by all that ask for it."]
    if facts is None:
        return tuple(found)
    if spec.calibrations() and any(recipe_of(candidate)[0].calibrated for candidate in spec.candidates):
        found.append(host_memory(spec, facts))
    if not facts.linear:
        found.append(f"Sizes are not known from the configuration of a {facts.model_type}: prepare reads the tensors.")
    if facts.other_parts:
        parts = ", ".join(facts.other_parts)
        found.append(f"Beside the text the model has {parts}: it stays as it is, and no suite measures it.")
    return tuple(found)


def memory_notes(spec: QuantizedModelSpec, facts: ModelFacts | None, platform: Platform) -> list[str]:
    """What original and candidates take on each GPU, and how many requests of full length fit there at once."""
    if facts is None:
        return []
    original = holder_of(spec.original_field, spec.original_engine)
    found = [gpu_memory("original", facts.weight_bytes, original, facts, platform)]
    for index, candidate in enumerate(spec.candidates):
        holder = holder_of(field_path(spec.engine), spec.engine, candidate)
        size = artifact_bytes(spec, facts, index)
        found.append(gpu_memory(f"candidate {index}", size or 0, holder, facts, platform))
    said = [each for each in found if each is not None]
    at_once = original.kind.at_once(original.settings)
    few = [each.sequences for each in said if each.sequences is not None]
    words = [f"{each.words()[0].upper()}{each.words()[1:]}" for each in said]
    if at_once is not None and few and min(few) < at_once:
        words.append(f"maxNumSeqs is {at_once}: requests that do not fit the cache together wait for each other.")
    return words


def host_memory(spec: QuantizedModelSpec, facts: ModelFacts) -> str:
    """What the quantize Job takes of its node, and whether its limit allows that."""
    wanted, limit = host_bytes(spec, facts), spec.jobs.quantize.resources.limits.get("memory")
    said = f"The quantize Job needs about {human(wanted)} of host memory"
    if limit is not None and quantity(limit) < wanted:
        return f"{said}, and spec.jobs.quantize.resources.limits.memory is {limit}: raise it, or it may be killed."
    return f"{said}."
