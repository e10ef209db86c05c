"""The prepare Job: puts source and datasets into the store, and runs the checks that need the model. Needs no GPU."""

from __future__ import annotations

from collections.abc import Iterator

from lowbit.api.base import Wire
from lowbit.api.documents import PrepareDocument
from lowbit.api.evaluation import datasets_of
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.platform import Platform
from lowbit.api.pods import Jobs
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import Recipe, recipe_of
from lowbit.api.references import ConfigMapLocation, HuggingFaceLocation, PVCLocation, S3Location
from lowbit.api.stages import PREPARE
from lowbit.desired.common import Manifest, OwnerReference, labels, resources
from lowbit.desired.context import Context, JobRun
from lowbit.desired.jobs.document import document_mount
from lowbit.desired.jobs.job import JobPod, job, worker_container, worker_variables
from lowbit.desired.volumes import (
    Mount,
    ca_bundle,
    config_map,
    data_claim,
    scratch,
    secret,
    store_access,
    store_mounts,
)
from lowbit.naming.names import DEFAULT_COMPARE, DOCUMENT_ANNOTATION, MODEL_LABEL, STAGE_LABEL

UNTOLD = ("proxy", "queue_name", "workload_priority_class_name", "max_gpu_jobs")
"""Settings that no worker reads: the proxy may hold a password, the others say when a Job starts."""
Location = HuggingFaceLocation | PVCLocation | S3Location | ConfigMapLocation


def prepare_job(context: Context, owner: OwnerReference, name: str, spec: QuantizedModelSpec, run: JobRun) -> Manifest:
    """The Job of the QuantizedModel `name`. Raises DocumentTooLarge."""
    platform, store = context.platform, context.store
    labels_ = labels(component="job") | {MODEL_LABEL: name, STAGE_LABEL: PREPARE.name}
    document = PrepareDocument(
        name=name,
        namespace=context.namespace,
        store=store_access(store, context.namespace),
        spec=spec.model_copy(
            update={
                "serving": None,
                "jobs": Jobs(),
                "evaluation": spec.evaluation.model_copy(update={"compare": DEFAULT_COMPARE}),
            }
        ),
        platform=platform.model_copy(update=dict.fromkeys(UNTOLD)),
    )
    mounts = [document_mount(), *scratch("worker"), *ca_bundle(platform), *input_mounts(spec, store)]
    env = worker_variables(platform, _network(platform), run.options.env)
    needs = resources(run.options.resources, platform.containers.prepare, memory_limit=run.memory_limit)
    container = worker_container("worker", platform.operator_image, platform, mounts, env, needs)
    return job(context, [owner], labels_, run, JobPod({DOCUMENT_ANNOTATION: document}, [container], mounts))


def input_mounts(spec: QuantizedModelSpec, store: ModelStoreSpec) -> list[Mount]:
    """The store, and every claim, ConfigMap and Secret that the manifest reads from, each once."""
    found = list(locations(spec))
    claims = {place.claim_name for place in found if isinstance(place, PVCLocation)}
    maps = {place.name for place in found if isinstance(place, ConfigMapLocation)}
    return [
        *(mount for mount in store_mounts(store) if mount.source.get("secret") is None),
        *(data_claim(name) for name in sorted(claims)),
        *(config_map(name) for name in sorted(maps)),
        *_secrets(found, store),
    ]


def locations(spec: QuantizedModelSpec) -> Iterator[Location]:
    """Every location in the manifest."""
    holders = [
        spec.source,
        *(place for candidate in spec.candidates for place in _reads(candidate)),
        *(dataset for calibration in spec.calibrations().values() for dataset in calibration.datasets),
        *(dataset for suite in spec.evaluation.suites for dataset in datasets_of(suite).values()),
    ]
    for holder in holders:
        for member in ("hugging_face", "pvc", "s3", "config_map"):
            place = getattr(holder, member, None)
            if place is not None:
                yield place


def _reads(candidate: Recipe) -> tuple[Wire, ...]:
    kind, member = recipe_of(candidate)
    return kind.reads(member)


def _secrets(found: list[Location], store: ModelStoreSpec) -> Iterator[Mount]:
    """One mount per Secret: whole if it holds S3 credentials, otherwise only the named keys."""
    keys: dict[str, set[str]] = {}
    whole: set[str] = set()
    if store.s3 is not None and store.s3.credentials_secret_ref is not None:
        whole.add(store.s3.credentials_secret_ref.name)
    for place in found:
        if isinstance(place, S3Location) and place.credentials_secret_ref is not None:
            whole.add(place.credentials_secret_ref.name)
        if isinstance(place, HuggingFaceLocation) and place.token_secret_ref is not None:
            keys.setdefault(place.token_secret_ref.name, set()).add(place.token_secret_ref.key)
    for name in sorted(whole | keys.keys()):
        yield secret(name, None if name in whole else keys[name])


def _network(platform: Platform) -> dict[str, str]:
    """Mirror and proxy; programs disagree on the case of the proxy's variables."""
    plain = {}
    if platform.hub_endpoint:
        plain["HF_ENDPOINT"] = platform.hub_endpoint
    for name, value in (
        ("https_proxy", platform.proxy),
        ("http_proxy", platform.proxy),
        ("no_proxy", platform.no_proxy),
    ):
        if value:
            plain |= {name: value, name.upper(): value}
    return plain
