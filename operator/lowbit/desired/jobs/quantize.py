"""The quantize Job: the artifact of one artifact hash, shared by all that need it."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.documents import QuantizeDocument
from lowbit.api.engine import Device
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.recipes import recipe_of
from lowbit.api.stages import QUANTIZE
from lowbit.desired.common import Gpus, Manifest, OwnerReference, labels, resources
from lowbit.desired.context import Context, JobRun
from lowbit.desired.jobs.document import document_mount
from lowbit.desired.jobs.job import JobPod, job, worker_container, worker_variables
from lowbit.desired.volumes import (
    ca_bundle,
    scratch,
    store_access,
    store_mounts,
)
from lowbit.naming.canonical import short
from lowbit.naming.names import ARTIFACT_LABEL, DOCUMENT_ANNOTATION, STAGE_LABEL


def quantize_job(
    context: Context, owners: Sequence[OwnerReference], revision: ModelRevisionSpec, device: Device, run: JobRun
) -> Manifest:
    """The quantize Job of a revision.

    Raises DocumentTooLarge, and ValueError if the artifact was made elsewhere: there is nothing to quantize.
    """
    platform, store = context.platform, context.store
    kind, _ = recipe_of(revision.recipe)
    if not kind.made_here:
        raise ValueError(f"nothing is quantized for the recipe {kind.name}")
    labels_ = labels(component="job") | {ARTIFACT_LABEL: short(revision.artifact_hash), STAGE_LABEL: QUANTIZE.name}
    document = QuantizeDocument(
        store=store_access(store, context.namespace),
        source=revision.source.digest,
        facts=revision.source.facts,
        recipe=revision.recipe,
        calibration=revision.calibration,
        artifact_hash=revision.artifact_hash,
        device=device,
    )
    needs = resources(
        run.options.resources,
        platform.containers.quantize,
        gpus=Gpus(1 if device == "GPU" else 0, platform.gpu_resource),
        memory_limit=run.memory_limit,
    )
    mounts = [document_mount(), *scratch("worker"), *ca_bundle(platform), *store_mounts(store)]
    env = worker_variables(platform, {"HF_HUB_OFFLINE": "1"}, run.options.env)
    container = worker_container("worker", revision.images.worker, platform, mounts, env, needs)
    return job(context, owners, labels_, run, JobPod({DOCUMENT_ANNOTATION: document}, [container], mounts))
