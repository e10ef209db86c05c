"""From a QuantizedModel and what prepare found to the immutable specs of its revisions and evaluations.

The operator, the prepare Job and ``lowbit plan`` share this code, so that they name the same objects.
"""

from __future__ import annotations

from lowbit.api.base import Digest
from lowbit.api.calibration import ResolvedCalibration, ResolvedDataset, calibration_key
from lowbit.api.documents import PrepareResult
from lowbit.api.engine import EngineChanges, EnvironmentVariable, Resources
from lowbit.api.engines import Engine, ResolvedEngine, engine_of, resolved_engine
from lowbit.api.evaluation import ResolvedGate, ResolvedSuite, Suite, starts_of, suite_of
from lowbit.api.modelevaluation import (
    EvaluatedModel,
    EvaluationProtocol,
    ModelEvaluationSpec,
    Place,
    StoppingGate,
    Turn,
)
from lowbit.api.modelrevision import ModelRevisionSpec, RevisionImages, RevisionPlatform, RevisionSource
from lowbit.api.platform import Containers, Platform, ServingContainers
from lowbit.api.problem import Refused
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import Recipe, ResolvedRecipe, recipe_of
from lowbit.api.suites.base import dataset_key
from lowbit.naming.canonical import digest
from lowbit.naming.names import evaluation_name, input_hash
from lowbit.resolve.checks import check_allowed, check_model, fitting_of

BEFORE = ServingContainers(
    engine=Resources(),
    fetch=Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "1Gi"}),
    guard=Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"}),
)
"""Requests and limits in serving pods of revisions that froze none: an upgrade restarts no engine."""


def freeze(name: str, spec: QuantizedModelSpec, platform: Platform, prepared: PrepareResult) -> list[ModelRevisionSpec]:
    """One revision spec per candidate, in order of preference. Raises Refused with every problem found."""
    problems = check_allowed(spec, platform) + check_model(spec, prepared.facts)
    if problems:
        raise Refused(problems)
    return [freeze_candidate(name, index, spec, platform, prepared) for index in range(len(spec.candidates))]


def freeze_candidate(
    name: str, index: int, spec: QuantizedModelSpec, platform: Platform, prepared: PrepareResult
) -> ModelRevisionSpec:
    """The revision spec of one candidate."""
    changes = spec.candidates[index].engine
    recipe = resolve_recipe(index, spec.candidates[index], spec, prepared)
    calibration = resolve_calibration(index, spec, prepared) if recipe_of(recipe)[0].calibrated else None
    return ModelRevisionSpec(
        quantized_model=name,
        candidate=index,
        candidates=len(spec.candidates),
        input_hash=input_hash(spec),
        store_ref=spec.store_ref,
        source=RevisionSource(digest=prepared.source, facts=prepared.facts),
        recipe=recipe,
        calibration=calibration,
        own_calibration=calibration is not None and spec.candidates[index].calibration is not None,
        protocol=resolve_protocol(spec, prepared),
        gates=[
            ResolvedGate(
                suite=s.name, maximum=s.gate.maximum, minimum=s.gate.minimum,
                non_inferiority=s.gate.non_inferiority, original=s.gate.original, confidence=s.gate.confidence,
            )
            for s in spec.evaluation.suites
        ],
        attempts=spec.evaluation.attempts,
        engine=resolve_engine(spec.engine, platform, changes),
        engine_changes=changes,
        baseline_engine=resolve_engine(spec.original_engine, platform)
        if changes is not None or spec.evaluation.baseline.engine is not None
        else None,
        images=RevisionImages(
            operator=platform.operator_image, worker=platform.worker_image, guard=platform.guard_image
        ),
        platform=RevisionPlatform(
            image_pull_policy=platform.image_pull_policy, image_pull_secrets=platform.image_pull_secrets,
            gpu_resource=platform.gpu_resource,
            run_as_user=platform.run_as_user, ca_bundle_config_map=platform.ca_bundle_config_map,
            containers=ServingContainers(
                engine=platform.containers.engine, fetch=platform.containers.fetch, guard=platform.containers.guard
            ),
        ),
        artifact_hash=artifact_hash(prepared.source, recipe, calibration),
    )  # fmt: skip


def frozen_platform(revision: ModelRevisionSpec, platform: Platform) -> Platform:
    """The platform's settings; those that show in pods are replaced by the revision's frozen ones.

    But not requests and limits: a Job never changes, so the present ones restart nothing.
    """
    return platform.model_copy(update=dict(revision.platform) | {"containers": platform.containers})


def serving_platform(revision: ModelRevisionSpec, platform: Platform, guard: Resources) -> Platform:
    """The same for what serves, with frozen requests and limits too. guard: what the manifest says of the guard."""
    frozen = revision.platform.containers
    if frozen is None:
        # As it was before there was such a setting: the manifest's resources of the guard replaced its defaults.
        frozen = BEFORE if guard == Resources() else BEFORE.model_copy(update={"guard": Resources()})
    return frozen_platform(revision, platform).model_copy(update={"containers": Containers(**dict(frozen))})


def resolve_recipe(index: int, recipe: Recipe, spec: QuantizedModelSpec, prepared: PrepareResult) -> ResolvedRecipe:
    """The recipe with every default filled in. Raises KeyError if prepare found no artifact that it needs."""
    kind, member = recipe_of(recipe)
    resolved = kind.resolve(member, fitting_of(spec, prepared.facts), prepared.artifacts.get(str(index)))
    return ResolvedRecipe.model_validate({kind.name: resolved})


def resolve_calibration(index: int, spec: QuantizedModelSpec, prepared: PrepareResult) -> ResolvedCalibration | None:
    """A candidate's calibration with each dataset under its digest."""
    asked = spec.calibration_of(index)
    if asked is None:
        return None
    whose = index if spec.candidates[index].calibration is not None else None
    keys = {d.name: calibration_key(d.name, whose) for d in asked.datasets}
    return ResolvedCalibration(
        samples=asked.samples,
        max_tokens=asked.max_tokens,
        seed=asked.seed,
        datasets=[
            ResolvedDataset(
                name=d.name,
                digest=prepared.datasets[keys[d.name]],
                weight=d.weight,
                format=d.format,
                removed=prepared.removed.get(keys[d.name].removeprefix("calibration/"), 0),
                broken=prepared.broken.get(keys[d.name].removeprefix("calibration/"), 0),
            )
            for d in asked.datasets
        ],
    )


def resolve_protocol(spec: QuantizedModelSpec, prepared: PrepareResult) -> EvaluationProtocol:
    """What must be equal on both sides of the comparison."""
    return EvaluationProtocol(
        suites=[resolve_suite(suite, prepared) for suite in spec.evaluation.suites],
        tokenizer=prepared.facts.tokenizer,
        speed=spec.evaluation.speed,
        showcase=spec.evaluation.showcase,
    )


def resolve_suite(suite: Suite, prepared: PrepareResult) -> ResolvedSuite:
    """The suite with each dataset under its digest."""
    kind, settings = suite_of(suite)
    digests = {field: prepared.datasets[dataset_key(suite.name, field)] for field in kind.datasets(settings)}
    resolved = kind.resolve(settings, digests)
    return ResolvedSuite.model_validate({"name": suite.name, "version": kind.version, kind.name: resolved})


def resolve_engine(engine: Engine, platform: Platform, changes: EngineChanges | None = None) -> ResolvedEngine:
    """The engine with every default filled in.

    The QuantizedModel's environment overrides the platform's; the candidate's overrides both.
    """
    kind, settings = engine_of(engine)
    if changes is not None:
        settings = kind.changed(settings, changes)
    own = {variable.name for variable in settings.env}
    env = [EnvironmentVariable(name=k, value=v) for k, v in sorted(platform.engine_env.items()) if k not in own]
    return ResolvedEngine.model_validate({kind.name: kind.resolve(settings, platform, env + settings.env)})


def artifact_hash(source: Digest, recipe: ResolvedRecipe, calibration: ResolvedCalibration | None) -> str:
    """Hash of an artifact's inputs. Evaluation and serving are not in it."""
    version = recipe_of(recipe)[0].version
    return digest("artifact", {"source": source, "recipe": recipe, "calibration": calibration, "version": version})


def baseline_spec(revision: ModelRevisionSpec, place: Place | None = None) -> ModelEvaluationSpec:
    """The evaluation of the original, in the engine that is asked for. place: where it is evaluated again."""
    original = EvaluatedModel(kind="Source", digest=revision.source.digest)
    whole = _evaluation(revision, engine_at(revision, revision.original_engine, place), original, None)
    return whole if place is None else whole.model_copy(update={"place": place})


def candidate_spec(revision: ModelRevisionSpec, artifact: Digest, place: Place | None = None) -> ModelEvaluationSpec:
    """The evaluation of the revision's artifact, compared with its baseline. place: where it is evaluated again."""
    made = EvaluatedModel(kind="Artifact", digest=artifact)
    baseline = evaluation_name(baseline_spec(revision, place))
    whole = _evaluation(revision, engine_at(revision, revision.engine, place), made, baseline)
    return whole.model_copy(update={"stopping": stopping_gates(revision) or None, "place": place})


def engine_at(revision: ModelRevisionSpec, engine: ResolvedEngine, place: Place | None) -> ResolvedEngine:
    """The engine with the image of a place. An original whose engine has another image than the candidate's keeps it.

    Args:
        revision: What is evaluated.
        engine: The revision's engine, or its original's.
        place: Where it is evaluated again; None for the first time.
    """
    kind, settings = resolved_engine(engine)
    if place is None or place.image is None or settings.image != resolved_engine(revision.engine)[1].image:
        return engine
    return engine.model_copy(update={kind.name: settings.model_copy(update={"image": place.image})})


def stopping_gates(revision: ModelRevisionSpec) -> list[StoppingGate]:
    """Gates of the suites that look several times: what a candidate's samples of those depend on."""
    looking = {suite.name for suite in revision.protocol.suites if suite_of(suite)[0].looks > 1}
    return [
        StoppingGate(gate=gate, candidates=revision.candidates, attempts=revision.attempts)
        for gate in revision.gates
        if gate.suite in looking
    ]


def turn_specs(revision: ModelRevisionSpec, artifact: Digest, place: Place | None = None) -> list[ModelEvaluationSpec]:
    """Fresh starts of both engines, for suites whose sides take turns: original 1, candidate 1, original 2, ..."""
    starts = max(map(starts_of, revision.protocol.suites), default=0)
    if not starts:
        return []
    original, made = baseline_spec(revision, place), candidate_spec(revision, artifact, place)
    return [
        side.model_copy(update={"baseline": made.baseline, "turn": turn_with(other, number + 1), "stopping": None})
        for number in range(starts)
        for side, other in ((original, made), (made, original))
    ]


def turn_with(other: ModelEvaluationSpec, number: int) -> Turn:
    """A start in turn with the other model, in that model's engine."""
    return Turn(start=number, other=other.model.digest, other_runtime=other.runtime_key)


def _evaluation(
    revision: ModelRevisionSpec, engine: ResolvedEngine, model: EvaluatedModel, baseline: str | None
) -> ModelEvaluationSpec:
    return ModelEvaluationSpec(
        store_ref=revision.store_ref,
        model=model,
        protocol=revision.protocol,
        protocol_key=digest("protocol", revision.protocol),
        engine=engine,
        runtime_key=digest("runtime", engine),
        baseline=baseline,
    )
