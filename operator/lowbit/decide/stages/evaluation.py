"""evaluate: the baseline first, then the candidate, then the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from lowbit.api.base import Digest
from lowbit.api.documents import EvaluateResult
from lowbit.api.engines import engine_of, field_path
from lowbit.api.modelevaluation import ModelEvaluation, ModelEvaluationStatus, Place
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.serving import Serving
from lowbit.api.stages import EVALUATE
from lowbit.api.status import ArtifactRecord, EvaluationSummary, Failure, Stage
from lowbit.decide.comparison import others
from lowbit.decide.conditions import Subject, condition
from lowbit.decide.engines import record_engine
from lowbit.decide.jobs.request import JobRequest
from lowbit.decide.jobs.run import latest, run
from lowbit.decide.nodes import engine_group
from lowbit.decide.others import own_job
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.owners import adopt, user
from lowbit.decide.remembered import NamedEvaluation, baseline_of, candidate_of, turns_of
from lowbit.decide.stages.artifact import prepare
from lowbit.decide.stages.gate import Pair, engine_moved, verdict
from lowbit.desired.common import OwnerReference
from lowbit.desired.context import Context, Evaluation
from lowbit.desired.evaluation import evaluation as evaluation_manifest
from lowbit.desired.placement import options_at
from lowbit.desired.topology import topology_of
from lowbit.naming.names import evaluate_job_name, evaluation_hash, second_attempt
from lowbit.resolve.freeze import frozen_platform
from lowbit.state.plan import Create, WriteStatus
from lowbit.state.snapshot import Observed, Snapshot


def judge_revision(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, revision: Observed[ModelRevision], record: ArtifactRecord
) -> StageResult:
    """Measure what is not measured yet; then write the verdict, once."""
    both = measured_pair(snapshot, clock, store, revision, record.digest)
    return both if isinstance(both, StageResult) else verdict(snapshot, clock, revision, both)


def measured_pair(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, revision: Observed[ModelRevision], artifact: Digest,
    place: Place | None = None,
) -> Pair | StageResult:  # fmt: skip
    """Both finished evaluations, or how far they are. place: where they are made again.

    What is measured in turn comes before the candidate's own evaluation, which compares all of it.
    """
    baseline = measured(
        EvaluationRequest(snapshot, clock, store, revision, baseline_of(revision, place), "EvaluatingBaseline")
    )
    if isinstance(baseline, StageResult):
        return baseline
    asked = EvaluationRequest(snapshot, clock, store, revision, candidate_of(revision, artifact, place), "Evaluating")
    turns = turns_of(revision, artifact, place)
    candidate = known(asked)
    if candidate is None:
        for turn in turns:
            step = measured(replace(asked, wanted=turn))
            if isinstance(step, StageResult):
                return replace(step, of_candidate=turn.spec.model.kind == "Artifact")
        candidate = in_engine(asked, snapshot.evaluations[asked.wanted.name])
    if isinstance(candidate, StageResult):
        return replace(candidate, of_candidate=True)
    in_turn = [seen for turn in turns if (seen := snapshot.evaluations.get(turn.name)) is not None]
    return engine_moved([baseline, *in_turn, candidate], revision, clock) or Pair(baseline, candidate)


@dataclass(frozen=True)
class EvaluationRequest:
    """An evaluation that a revision needs."""

    snapshot: Snapshot
    clock: Clock
    store: ModelStoreSpec
    revision: Observed[ModelRevision]
    wanted: NamedEvaluation
    stage: Stage

    @property
    def doing(self) -> str:
        """What goes on, for people."""
        name, spec, _ = self.wanted
        what = "the original" if spec.model.kind == "Source" else f"{self.revision.meta.name}'s artifact"
        start = f", start {spec.turn.start}" if spec.turn is not None else ""
        where = f", again on {spec.place.device or spec.place.node}" if spec.place is not None else ""
        return f"evaluating {what} in the engine ({name}{start}{where})"


def measured(asked: EvaluationRequest) -> Observed[ModelEvaluation] | StageResult:
    """The finished ModelEvaluation, or how far it is."""
    found = known(asked)
    return found if found is not None else in_engine(asked, asked.snapshot.evaluations[asked.wanted.name])


def known(asked: EvaluationRequest) -> Observed[ModelEvaluation] | StageResult | None:
    """The finished ModelEvaluation, or how far it is; None if it is there, and only an engine can give its result."""
    snapshot, revision = asked.snapshot, asked.revision
    name, spec, hash_ = asked.wanted
    seen = snapshot.evaluations.get(name)
    # One of something else, under this name, is told as NameTaken: the create is not carried out.
    if seen is None or evaluation_hash(seen.body.spec) != hash_:
        manifest = evaluation_manifest(revision.meta.namespace, [user(snapshot)], spec)
        return StageResult(
            asked.stage,
            "EvaluationCreated",
            asked.doing,
            actions=(Create(manifest),),
            intermediate=True,
            revision=revision.meta.name,
        )
    adoption = adopt(snapshot, "ModelEvaluation", seen.meta)
    if adoption or seen.meta.deleting:
        return StageResult(
            asked.stage,
            "EvaluationShared",
            asked.doing,
            actions=adoption,
            requeue_after=5.0,
            revision=revision.meta.name,
        )
    if seen.body.status.summary is not None:
        return seen
    # Prepare looks up what the manifest asks for, and not what is evaluated again.
    if spec.place is None and latest(snapshot, evaluate_job_name(name), hash_) is None:
        return in_store(snapshot, asked.clock, asked.store, seen)
    return None


def in_engine(asked: EvaluationRequest, seen: Observed[ModelEvaluation]) -> StageResult:
    """How far the evaluate Job is, and what it has left behind."""
    snapshot, revision, model = asked.snapshot, asked.revision, asked.snapshot.model.body.spec
    name, spec, hash_ = asked.wanted
    original = spec.model.kind == "Source"
    engine = model.original_engine if original else model.engine
    beside = others(snapshot, revision) if spec.place is None else ()
    options = options_at(model.jobs.evaluate, (model.serving or Serving()).pod, spec.place)
    request = JobRequest(
        name=evaluate_job_name(name), hash=hash_, kind=EVALUATE, stage=asked.stage,
        options=options, doing=asked.doing, revision=revision.meta.name,
        engine=model.original_field if original else field_path(model.engine),
        group=engine_group(
            spec.engine, engine_of(engine)[1].resources, options, frozen_platform(revision.body.spec, snapshot.platform)
        ),
        make=lambda run_: topology_of(spec.engine).evaluation(
            Context(revision.meta.namespace, asked.store, frozen_platform(revision.body.spec, snapshot.platform)),
            [user(snapshot)],
            Evaluation(name, spec, revision.body.spec, engine_of(engine)[1], beside), run_,
        ),
        beside=topology_of(spec.engine).beside_evaluation(
            seen.meta.namespace, OwnerReference("ModelEvaluation", name, seen.meta.uid), name
        ),
    )  # fmt: skip
    result = run(snapshot, asked.clock, request)
    if isinstance(result, StageResult):
        fact = record_engine(seen, latest(snapshot, request.name, hash_), asked.clock)
        return replace(result, fact=fact) if fact is not None else result
    evaluated = result.result(EvaluateResult)
    if evaluated is None or evaluated.evaluation != name:
        return no_result(request.name, asked.clock)
    reused = evaluated.reused
    image = measured_on(snapshot, request, reused=reused)
    where = MeasuredOn(image, None if reused else device_of(snapshot, request))
    return StageResult(
        asked.stage, "Evaluated", f"{name} is measured", revision=revision.meta.name,
        fact=record_summary(seen, evaluated.summary, where, asked.clock),
    )  # fmt: skip


def no_result(job: str, clock: Clock) -> StageResult:
    """A Job that has ended well, and says nothing."""
    failure = Failure(
        stage="Evaluate", reason="NoResult", message=f"Job {job} left no result behind.",
        action="Use a worker image of the operator's version, then delete the Job to try again.", time=clock.text,
    )  # fmt: skip
    return StageResult.failed(failure)


def in_store(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, seen: Observed[ModelEvaluation]
) -> StageResult | None:
    """Use what the store holds of an evaluation: prepare, on a CPU, finds it before an engine starts."""
    prepared = prepare(snapshot, clock, store)
    if isinstance(prepared, StageResult):
        return prepared
    summary = prepared.found_evaluations.get(seen.meta.name)
    if summary is None:
        return None
    fact = record_summary(seen, summary, MeasuredOn(), clock)
    return StageResult("Evaluating", "EvaluationFound", f"{seen.meta.name} is in the store", fact=fact)


class MeasuredOn(NamedTuple):
    """Where an engine has measured, as far as it is known."""

    image: str | None = None
    device: str | None = None


def record_summary(
    seen: Observed[ModelEvaluation], summary: EvaluationSummary, where: MeasuredOn, clock: Clock
) -> WriteStatus:
    """Write what came out into the evaluation's status."""
    complete = condition(
        Subject(seen.body.status.conditions, seen.meta.generation, clock),
        "Complete", "True", "Measured", "measured; the report is in the store",
    )  # fmt: skip
    status = ModelEvaluationStatus(
        observed_generation=seen.meta.generation, conditions=[complete], phase="Complete",
        engine_image_id=where.image, device=where.device, summary=summary,
    )  # fmt: skip
    meta = seen.meta
    return WriteStatus("ModelEvaluation", meta.name, meta.uid, meta.resource_version, status.wire())


def measured_on(snapshot: Snapshot, request: JobRequest, *, reused: bool) -> str | None:
    """The image of the engine that measured. What a pod found in the store was written by the first one, before it was
    killed.
    """
    jobs = [own_job(snapshot, name, request.hash) for name in (second_attempt(request.name), request.name)]
    images = [image for job in jobs if job is not None for image in job.engine_image_ids]
    if not images:
        return None
    return images[-1] if reused else images[0]


def device_of(snapshot: Snapshot, request: JobRequest) -> str | None:
    """The product of the devices that the engine measured on, if its node was read while it ran."""
    jobs = [own_job(snapshot, name, request.hash) for name in (second_attempt(request.name), request.name)]
    starts = [pod.engine_start for job in jobs if job is not None for pod in job.pods if pod.engine_start is not None]
    return starts[0].device if starts else None
