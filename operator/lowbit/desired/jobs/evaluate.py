"""The evaluate Job: the engine as serving will run it, as a native sidecar, and the evaluator beside it."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.documents import EvaluateDocument, FetchDocument, ReportedRevision, StoreAccess
from lowbit.api.engine import Resources
from lowbit.api.engines import resolved_engine
from lowbit.api.engines.base import EngineSettings
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.paths import ENGINE_LOGGING_PATH
from lowbit.api.platform import Platform
from lowbit.api.stages import EVALUATE
from lowbit.desired.common import Manifest, OwnerReference, labels, resources
from lowbit.desired.context import Context, Evaluation, JobRun
from lowbit.desired.engine import engine_container
from lowbit.desired.jobs.document import annotation_mount, document_mount
from lowbit.desired.jobs.job import JobPod, job, worker_container, worker_variables
from lowbit.desired.probes import startup_probe
from lowbit.desired.volumes import (
    Mount,
    ca_bundle,
    engine_log,
    model_mount,
    scratch,
    shared_memory,
    store_access,
    store_credentials,
    store_mounts,
    tools,
)
from lowbit.naming.names import (
    DOCUMENT_ANNOTATION,
    EVALUATION_LABEL,
    FETCH_ANNOTATION,
    LOGGING_ANNOTATION,
    STAGE_LABEL,
    evaluation_name,
)
from lowbit.resolve.freeze import baseline_spec, turn_specs

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
"""Variables of the evaluator: its libraries ask no hub, and write no bars between the lines of progress."""


def evaluate_job(context: Context, owners: Sequence[OwnerReference], evaluation: Evaluation, run: JobRun) -> Manifest:
    """The Job of one ModelEvaluation. Raises DocumentTooLarge."""
    platform, store = context.platform, context.store
    spec, revision, engine = evaluation.spec, evaluation.revision, evaluation.engine
    labels_ = labels(component="job") | {EVALUATION_LABEL: evaluation.name, STAGE_LABEL: EVALUATE.name}
    access = store_access(store, context.namespace)
    documents = {
        DOCUMENT_ANNOTATION: _document(evaluation, access),
        FETCH_ANNOTATION: FetchDocument(store=access, model=spec.model),
    }
    model = model_mount(store, spec.model)
    kind, settings = resolved_engine(spec.engine)
    only = kind.measuring(settings)
    mounts = engine_mounts(model, engine)
    if only.log_configuration is not None:
        mounts += [annotation_mount(LOGGING_ANNOTATION, ENGINE_LOGGING_PATH), engine_log()]
    fetch = fetch_mounts(model, store, platform)
    worker = [document_mount(), *scratch("worker"), *ca_bundle(platform), *store_mounts(store), engine_log().readable()]
    sidecar = engine_container(revision.quantized_model, spec.engine, engine.resources, platform, mounts, only=only) | {
        "restartPolicy": "Always",
        "startupProbe": startup_probe(spec.engine, revision.quantized_model, revision.source.facts.weight_bytes),
    }
    env = worker_variables(platform, OFFLINE, run.options.env)
    needs = resources(run.options.resources, platform.containers.evaluate, memory_limit=run.memory_limit)
    evaluator = worker_container("worker", revision.images.worker, platform, worker, env, needs)
    before = [fetch_container(revision.images.operator, platform, fetch), sidecar]
    made = job(context, owners, labels_, run, JobPod(documents, [evaluator], [*fetch, *mounts, *worker], before))
    if only.log_configuration is not None:
        made["spec"]["template"]["metadata"]["annotations"][LOGGING_ANNOTATION] = only.log_configuration
    return made


def engine_mounts(model: Mount, engine: EngineSettings) -> list[Mount]:
    """Mounts of the engine: its model (read-only), its own scratch and shared memory. No store, no document."""
    return [model.readable(), tools().readable(), *scratch("engine"), shared_memory(engine.shm_size)]


def fetch_mounts(model: Mount, store: ModelStoreSpec, platform: Platform) -> list[Mount]:
    """Mounts of fetch: the model's folder, which it fills from a bucket, and the tools that it lays out.

    Of a claim it sees the model alone: there is nothing else that it reads.
    """
    return [
        document_mount(FETCH_ANNOTATION),
        *scratch("fetch"),
        *ca_bundle(platform),
        *store_credentials(store),
        tools(),
        model,
    ]


def fetch_container(image: str, platform: Platform, mounts: Sequence[Mount]) -> Manifest:
    """The init container that verifies the model's digest: without a match the engine is not started."""
    needs = resources(Resources(), platform.containers.fetch)
    return worker_container("fetch", image, platform, mounts, worker_variables(platform), needs)


def _document(evaluation: Evaluation, access: StoreAccess) -> EvaluateDocument:
    spec, revision = evaluation.spec, evaluation.revision
    made = spec.model.kind == "Artifact"
    return EvaluateDocument(
        store=access,
        evaluation=evaluation.name,
        model=spec.model,
        source=revision.source.digest,
        source_bytes=revision.source.facts.weight_bytes,
        protocol=spec.protocol,
        engine=spec.engine,
        served_name=revision.quantized_model,
        baseline=spec.baseline,
        baseline_runtime=baseline_spec(revision, spec.place).runtime_key if spec.baseline is not None else None,
        turn=spec.turn,
        stopping=spec.stopping,
        place=spec.place,
        input_hash=revision.input_hash if made else None,
        left_behind=revision.source.facts.left_behind,
        removed={each.name: each.removed for each in revision.calibration.datasets if each.removed}
        if revision.calibration is not None and made
        else {},
        turns=[evaluation_name(each) for each in turn_specs(revision, spec.model.digest, spec.place)] if made else [],
        candidate=revision.label if evaluation.others and made else None,
        others=list(evaluation.others) if made and spec.turn is None else [],
        artifact_hash=revision.artifact_hash if made else None,
        reported=_reported(evaluation) if made and spec.turn is None else None,
    )


def _reported(evaluation: Evaluation) -> ReportedRevision:
    revision = evaluation.revision
    return ReportedRevision(
        label=revision.label,
        candidate=revision.candidate,
        candidates=revision.candidates,
        attempts=revision.attempts,
        gates=revision.gates,
        recipe=revision.recipe,
        calibration=revision.calibration,
    )
