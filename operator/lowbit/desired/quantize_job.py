"""The quantize Job: the artifact of one artifact hash, shared by all that need it."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.canonical import short
from lowbit.api.documents import QuantizeDocument
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.names import ARTIFACT_LABEL, DOCUMENT_ANNOTATION, STAGE_LABEL, quantize_job_name
from lowbit.api.platform import Platform
from lowbit.api.pods import QuantizeOptions
from lowbit.api.recipes import recipe_of
from lowbit.api.stages import QUANTIZE
from lowbit.desired.common import Manifest, OwnerReference, labels, resources
from lowbit.desired.document import document_mount
from lowbit.desired.jobs import job, worker_container
from lowbit.desired.volumes import (
    ca_bundle,
    scratch,
    store_access,
    store_mounts,
)


def quantize_job(
    namespace: str,
    owners: Sequence[OwnerReference],
    revision: ModelRevisionSpec,
    options: QuantizeOptions,
    ttl: int,
    store: ModelStoreSpec,
    platform: Platform,
    memory_limit: str | None = None,
    name: str | None = None,
) -> Manifest:
    """The Job. ttl is in seconds; memory_limit and name are those of a second attempt.

    Raises ValueError for a revision whose artifact was made elsewhere: there is nothing to quantize; and DocumentTooLarge.
    """
    kind, _ = recipe_of(revision.recipe)
    if not kind.made_here:
        raise ValueError(f"nothing is quantized for the recipe {kind.name}")
    job_name = name or quantize_job_name(revision.artifact_hash)
    labels_ = labels(component="job") | {ARTIFACT_LABEL: short(revision.artifact_hash), STAGE_LABEL: QUANTIZE.name}
    document = QuantizeDocument(
        store=store_access(store),
        source=revision.source.digest,
        facts=revision.source.facts,
        recipe=revision.recipe,
        calibration=revision.calibration,
        artifact_hash=revision.artifact_hash,
        device=options.device,
    )
    needs = resources(
        options.resources,
        gpus=1 if options.device == "GPU" else 0,
        gpu_resource=platform.gpu_resource,
        memory_limit=memory_limit,
    )
    mounts = [document_mount(), *scratch(), *ca_bundle(platform), *store_mounts(store)]
    container = worker_container(
        "worker", revision.images.worker, platform, mounts,
        plain={"HF_HUB_OFFLINE": "1"}, own=options.env, needs=needs,
    )  # fmt: skip
    return job(
        job_name, namespace, owners, labels_, options, ttl, platform,
        documents={DOCUMENT_ANNOTATION: document}, containers=[container], mounts=mounts,
    )  # fmt: skip
