"""The ask Job: a client of what serves, with the prompts of the showcase. Needs no GPU and no engine of its own."""

from __future__ import annotations

from lowbit.api.documents import AskDocument
from lowbit.api.serving import Serving
from lowbit.api.stages import ASK
from lowbit.desired.common import Manifest, OwnerReference, labels, resources
from lowbit.desired.context import Context, JobRun
from lowbit.desired.jobs.document import document_mount
from lowbit.desired.jobs.job import JobPod, job, worker_container, worker_variables
from lowbit.desired.volumes import ca_bundle, scratch, secret, store_mounts
from lowbit.naming.names import DOCUMENT_ANNOTATION, MODEL_LABEL, STAGE_LABEL


def ask_job(
    context: Context, owner: OwnerReference, serving: Serving, document: AskDocument, image: str, run: JobRun
) -> Manifest:
    """The Job of the QuantizedModel that serves. image: the operator's. Raises DocumentTooLarge."""
    platform, store = context.platform, context.store
    labels_ = labels(component="job") | {MODEL_LABEL: document.served_name, STAGE_LABEL: ASK.name}
    mounts = [document_mount(), *scratch("worker"), *ca_bundle(platform), *store_mounts(store)]
    reference = serving.api_key_secret_ref
    taken = [
        mount for mount in mounts if reference and mount.source.get("secret", {}).get("secretName") == reference.name
    ]
    if reference is not None and not taken:
        mounts.append(secret(reference.name, [reference.key]))
    env = worker_variables(platform, None, run.options.env)
    needs = resources(run.options.resources, platform.containers.prepare, memory_limit=run.memory_limit)
    container = worker_container("worker", image, platform, mounts, env, needs)
    return job(context, [owner], labels_, run, JobPod({DOCUMENT_ANNOTATION: document}, [container], mounts))
