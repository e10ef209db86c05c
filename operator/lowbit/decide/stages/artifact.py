"""prepare and quantize: from a manifest to a frozen revision, and from a revision to its artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lowbit.api.documents import PrepareResult, QuantizeResult
from lowbit.api.modelrevision import ModelRevision, ModelRevisionSpec
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.problem import Refused
from lowbit.api.recipes import label, recipe_of
from lowbit.api.recipes.artifact import ResolvedArtifact
from lowbit.api.stages import PREPARE, QUANTIZE, StageKind
from lowbit.api.status import ArtifactRecord, Failure
from lowbit.decide.jobs.request import JobRequest
from lowbit.decide.jobs.run import latest, run
from lowbit.decide.nodes import group
from lowbit.decide.outcome import Clock, StageResult, failure_of_problems
from lowbit.decide.owners import controller, user
from lowbit.decide.remembered import input_hash, is_named_by_content
from lowbit.desired.context import Context
from lowbit.desired.jobs.prepare import prepare_job
from lowbit.desired.jobs.quantize import quantize_job
from lowbit.desired.revision import revision as revision_manifest
from lowbit.naming.names import prepare_job_name, quantize_job_name
from lowbit.resolve.checks import check_allowed
from lowbit.resolve.freeze import freeze, frozen_platform
from lowbit.state.plan import Create, WriteStatus
from lowbit.state.snapshot import Observed, Snapshot


def not_allowed(snapshot: Snapshot, clock: Clock) -> StageResult | None:
    """Refuse what the manifest may not ask of engine and Jobs; a revision that is there already is not asked again."""
    problems = check_allowed(snapshot.model.body.spec, snapshot.platform)
    return StageResult.failed(failure_of_problems(PREPARE.title, problems, clock)) if problems else None


def prepare(snapshot: Snapshot, clock: Clock, store: ModelStoreSpec) -> PrepareResult | StageResult:
    """What prepare found, or how far it is."""
    meta, spec = snapshot.model.meta, snapshot.model.body.spec
    hash_ = input_hash(snapshot.model)
    request = JobRequest(
        name=prepare_job_name(meta.name, hash_), hash=hash_, kind=PREPARE, stage=PREPARE.status,
        doing=f"copying source and datasets of {meta.name} into the store and checking them", options=spec.jobs.prepare,
        make=lambda run_: prepare_job(
            Context(meta.namespace, store, snapshot.platform), user(snapshot), meta.name, spec, run_
        ),
    )  # fmt: skip
    result = run(snapshot, clock, request)
    if isinstance(result, StageResult):
        return result
    prepared = result.result(PrepareResult)
    return prepared or _broken(PREPARE, f"Job {request.name} left no result of prepare behind.", clock)


def create_revision(snapshot: Snapshot, clock: Clock, candidate: int, prepared: PrepareResult) -> StageResult:
    """Freeze one candidate into a revision."""
    meta, spec = snapshot.model.meta, snapshot.model.body.spec
    try:
        frozen = freeze(meta.name, spec, snapshot.platform, prepared)[candidate]
    except Refused as refused:
        return StageResult.failed(failure_of_problems(PREPARE.title, refused.problems, clock))
    except KeyError as missing:
        # What prepare has found is written by the worker's version, and read by ours.
        return _broken(PREPARE, f"The result of prepare lacks {missing}.", clock)
    manifest = revision_manifest(meta.namespace, controller(snapshot), frozen)
    return StageResult(
        "Preparing", "RevisionCreated",
        f"candidate {candidate + 1} of {len(spec.candidates)}: {frozen.label}",
        actions=(Create(manifest),), intermediate=True,
    )  # fmt: skip


def artifact(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, revision: Observed[ModelRevision]
) -> ArtifactRecord | StageResult:
    """The revision's artifact: known, found, or being made. A GPU is asked for only when the store lacks it."""
    if revision.body.status.artifact is not None:
        return revision.body.status.artifact
    known = _known(snapshot, revision.body.spec) or _made(snapshot, clock, store, revision)
    if isinstance(known, StageResult):
        return known
    return StageResult(
        "Quantizing", "ArtifactReady", f"artifact {known.digest} is in the store", revision=revision.meta.name,
        fact=record_artifact(revision, known),
    )  # fmt: skip


def record_artifact(revision: Observed[ModelRevision], known: ArtifactRecord) -> WriteStatus:
    """Write the artifact into the revision's status."""
    status = revision.body.status.model_copy(
        update={"artifact": known, "failure": None, "observed_generation": revision.meta.generation}
    )
    meta = revision.meta
    return WriteStatus("ModelRevision", meta.name, meta.uid, meta.resource_version, status.wire())


def _known(snapshot: Snapshot, spec: ModelRevisionSpec) -> ArtifactRecord | None:
    if not recipe_of(spec.recipe)[0].made_here:
        return None
    others: Sequence[Observed[ModelRevision]] = (
        *snapshot.revisions,
        *snapshot.shared_revisions.get(spec.artifact_hash, ()),
    )
    for other in others:
        body = other.body
        same = body.spec.artifact_hash == spec.artifact_hash and body.spec.store_ref == spec.store_ref
        if same and body.status.artifact is not None and is_named_by_content(other):
            return body.status.artifact
    return None


def _made(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, revision: Observed[ModelRevision]
) -> ArtifactRecord | StageResult:
    spec, model = revision.body.spec, snapshot.model.body.spec
    name = quantize_job_name(spec.artifact_hash)
    kind, member = recipe_of(spec.recipe)
    if not kind.made_here or latest(snapshot, name, spec.artifact_hash) is None:
        prepared = prepare(snapshot, clock, store)
        if isinstance(prepared, StageResult):
            return prepared
        if isinstance(member, ResolvedArtifact):
            return _outside(prepared, spec, member)
        if spec.artifact_hash in prepared.found:
            return prepared.found[spec.artifact_hash]
    options = model.jobs.quantize
    request = JobRequest(
        name=name, hash=spec.artifact_hash, kind=QUANTIZE, stage=QUANTIZE.status, options=options,
        doing=f"quantizing {revision.meta.name} to {label(spec.recipe)}", revision=revision.meta.name,
        group=group(
            (1 if options.device == "GPU" else 0,), options.resources, options, frozen_platform(spec, snapshot.platform)
        ),
        make=lambda run_: quantize_job(
            Context(revision.meta.namespace, store, frozen_platform(spec, snapshot.platform)),
            [user(snapshot)], spec, options.device, run_,
        ),
    )  # fmt: skip
    result = run(snapshot, clock, request)
    if isinstance(result, StageResult):
        return replace(result, of_candidate=True)
    made = result.result(QuantizeResult)
    return made.artifact if made else _broken(QUANTIZE, f"Job {name} left no result of quantize behind.", clock)


def _outside(prepared: PrepareResult, spec: ModelRevisionSpec, made: ResolvedArtifact) -> ArtifactRecord:
    size = prepared.artifact_bytes.get(str(spec.candidate), 0)
    source = spec.source.facts.weight_bytes
    ratio = f"{source / size:.2f}" if size else "0"
    coverage = prepared.artifact_coverage.get(str(spec.candidate))
    return ArtifactRecord(digest=made.digest, bytes=size, source_bytes=source, ratio=ratio, coverage=coverage)


def _broken(stage: StageKind, message: str, clock: Clock) -> StageResult:
    action = "Use a worker image of the same version as the operator, then delete the Job to try again."
    failure = Failure(stage=stage.title, reason="NoResult", message=message, action=action, time=clock.text)
    return StageResult.failed(failure)
