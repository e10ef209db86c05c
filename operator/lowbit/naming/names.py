"""Names and labels. Every name follows from what the object is, so that a create is idempotent."""

from __future__ import annotations

from collections.abc import Mapping

from lowbit.api.base import GROUP, Wire
from lowbit.api.engine import Resources
from lowbit.api.engines import Engine, engine_of
from lowbit.api.engines.base import EngineSettings
from lowbit.api.evaluation import Compare
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.pods import Jobs
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.naming.canonical import digest, short

MAX_MODEL_NAME = 42
"""Longest name of a QuantizedModel: 63 less the longest suffix (-prepare-, a hash, and -2 of a second attempt)."""

DEFAULT_COMPARE: Compare = "FirstPassing"
DEFAULT_SHM_SIZE: str = EngineSettings().shm_size
_NO_RESOURCES, _NO_JOBS = Resources(), Jobs()

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "lowbit"
MANAGED_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
MODEL_LABEL = f"{GROUP}/quantizedmodel"
REVISION_LABEL = f"{GROUP}/revision"
STAGE_LABEL = f"{GROUP}/stage"
EVALUATION_LABEL = f"{GROUP}/evaluation"
ARTIFACT_LABEL = f"{GROUP}/artifact"
INPUT_ANNOTATION = f"{GROUP}/input-hash"
"""On a Job: the whole hash that the end of its name is short for. A name is not enough to believe its result."""
SETTINGS_ANNOTATION = f"{GROUP}/settings"
"""On a Job: hash of its options (memory, deadline, node), which no other hash covers."""
MADE_FOR_ANNOTATION = f"{GROUP}/made-for"
"""On a Job: the QuantizedModel whose options it runs with."""
ATTEMPT_ANNOTATION = f"{GROUP}/attempt"
"""On a Job that was made again after a pause: which try it is, from 2."""
GIVEN_UP_ANNOTATION = f"{GROUP}/given-up"
"""On a Job that Lowbit has ended: why, as a Refusal in JSON."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
WORKLOAD_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
"""On Jobs and Deployments: what Kueue reads."""
JOB_UID_LABEL = "kueue.x-k8s.io/job-uid"
"""On Kueue's Workload: the Job that it is of."""
QUEUE_ANNOTATION = f"{GROUP}/queue"
"""On a Job that was made for a queue: which, and with which priority. The label may be somebody else's default."""
GPU_SLOT_ANNOTATION = f"{GROUP}/gpu-slot"
"""On a Job that waits, suspended, until fewer Jobs with GPUs run: its place among them, an RFC 3339 time."""
WORKER_END_ANNOTATION = f"{GROUP}/worker-end"
"""On a Job that Lowbit has ended after its worker, because other containers lived on: a WorkerEnd in JSON."""
LET_GO_ANNOTATION = f"{GROUP}/let-go"
"""On a Deployment whose pods could not start and were scaled to 0: a LetGo in JSON."""
APPLIED_ANNOTATION = f"{GROUP}/applied"
"""On serving objects: hash of all declared fields. It reveals fields that are no longer declared."""
DOCUMENT_ANNOTATION = f"{GROUP}/document"
"""On a pod: the document that its worker reads."""
FETCH_ANNOTATION = f"{GROUP}/fetch-document"
"""On a pod: the document that its fetch reads."""
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
"""On the pods of an Indexed Job, by Kubernetes: the number of each."""
GROUP_LABEL = f"{GROUP}/group"
"""On the followers of a leader's pod: the name of their StatefulSet."""
LEADER_ANNOTATION = f"{GROUP}/leader-address"
"""On the followers of a leader's pod: its address, which they were told."""
LOGGING_ANNOTATION = f"{GROUP}/engine-logging"
"""On an evaluation's pod: logging configuration of its engine."""


PRODUCT_LABELS = ("nvidia.com/gpu.product", "amd.com/gpu.product-name", "gpu.intel.com/product", "lowbit.dev/device")
"""On nodes: the product of their devices. The last one is for people, where nothing else labels the nodes."""


def product_of(labels: Mapping[str, str]) -> str | None:
    """The product that a node's labels name, or None."""
    return next((labels[label] for label in PRODUCT_LABELS if labels.get(label)), None)


def input_hash(spec: QuantizedModelSpec) -> str:
    """Hash of what a revision is made from: without serving, jobs, evaluation.compare, and the engine's CPU and memory.

    Platform settings are not in it, so that a changed platform default starts nothing by itself.
    """
    evaluation = spec.evaluation
    if (own := evaluation.baseline.engine) is not None:
        baseline = evaluation.baseline.model_copy(update={"engine": _answering(own)})
        evaluation = evaluation.model_copy(update={"baseline": baseline})
    evaluation = evaluation.model_copy(update={"compare": DEFAULT_COMPARE})
    update = {"serving": None, "jobs": _NO_JOBS, "engine": _answering(spec.engine), "evaluation": evaluation}
    return digest("input", spec.model_copy(update=update))


def _answering(engine: Engine) -> Engine:
    """The engine without what changes no answer: its CPU, its memory, the GPU that it is checked against, and more."""
    kind, settings = engine_of(engine)
    beside = {name: kind.spec.model_fields[name].get_default() for name in kind.beside}
    update = {"resources": _NO_RESOURCES, "shm_size": DEFAULT_SHM_SIZE, "gpu": None} | beside
    same = settings.model_copy(update=update)
    return engine.model_copy(update={kind.name: same})


class _Digest(Wire):
    """Stands for the original in a hash: facts follow from it, and a newer Lowbit reads more of them."""

    digest: str


def revision_name(spec: ModelRevisionSpec) -> str:
    """<QuantizedModel>-<hash>."""
    hashed = spec.model_copy(update={"source": _Digest(digest=spec.source.digest)})
    return f"{spec.quantized_model}-{short(digest('revision', hashed))}"


def evaluation_name(spec: ModelEvaluationSpec) -> str:
    """eval-<hash>, baseline-<hash> for an original, or turn-<hash>: shared by all in the namespace that ask for it."""
    prefix = "turn" if spec.turn is not None else "baseline" if spec.baseline is None else "eval"
    return f"{prefix}-{short(evaluation_hash(spec))}"


def evaluation_hash(spec: ModelEvaluationSpec) -> str:
    """The whole hash of an evaluation, which its name is short for."""
    return digest("evaluation", spec)


def prepare_job_name(model: str, hash_: str) -> str:
    """The prepare Job of one QuantizedModel for one input hash."""
    return f"{model}-prepare-{short(hash_)}"


def ask_hash(revision: str, spec: ModelRevisionSpec) -> str:
    """Hash of what is asked, and of whom; the name of the revision follows from everything that serves."""
    return digest("ask", {"revision": revision, "showcase": spec.protocol.showcase})


def ask_job_name(model: str, hash_: str) -> str:
    """The Job that asks what serves the prompts of the showcase."""
    return f"{model}-ask-{short(hash_)}"


def quantize_job_name(artifact_hash: str) -> str:
    """The quantize Job of one artifact, shared by all that need it."""
    return f"quantize-{short(artifact_hash)}"


def followers_name(model: str, leader_uid: str) -> str:
    """The StatefulSet of the followers of a leader's pod. It may have 52 characters, for the label of its revision."""
    return f"{model}-{short(digest('group', leader_uid))[:8]}"


def token_name(model: str) -> str:
    """The Secret with the token by which the members of a model's groups know each other."""
    return f"{model}-group-token"


def evaluate_job_name(evaluation: str) -> str:
    """The evaluate Job of one ModelEvaluation has its name."""
    return evaluation


def second_attempt(job: str) -> str:
    """Name of the only retry of a Job that was killed, or that ran out of memory and may have more."""
    return f"{job}-2"


def first_attempt(job: str) -> str:
    """Name of the Job that this one retries; its own name if it is no retry."""
    return job.removesuffix("-2")
