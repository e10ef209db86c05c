"""One set of inputs for the tests of desired: a model that could exist, and every manifest that is made for it."""

from __future__ import annotations

from typing import Any, Literal

from lowbit.api.documents import AskDocument, PrepareResult
from lowbit.api.engines import engine_of
from lowbit.api.facts import ModelFacts
from lowbit.api.modelevaluation import EvaluatedModel, ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.paths import DOCUMENT_PATH
from lowbit.api.platform import Platform
from lowbit.api.pods import JobOptions
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.showcase import Showcase
from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.context import Context, Evaluation, JobRun, Served
from lowbit.desired.evaluation import evaluation
from lowbit.desired.jobs.ask import ask_job
from lowbit.desired.jobs.evaluate import evaluate_job
from lowbit.desired.jobs.prepare import prepare_job
from lowbit.desired.jobs.quantize import quantize_job
from lowbit.desired.revision import revision
from lowbit.desired.serving.all import serving
from lowbit.desired.volumes import store_access
from lowbit.naming.names import (
    ask_job_name,
    evaluate_job_name,
    evaluation_name,
    input_hash,
    prepare_job_name,
    quantize_job_name,
)
from lowbit.resolve.freeze import baseline_spec, candidate_spec, freeze

NAMESPACE = "models"
NAME = "support-chat"
OWNER = OwnerReference("QuantizedModel", NAME, "8a5d9a52-0000-4000-8000-000000000001", controller=True)
SHARER = OwnerReference("QuantizedModel", "other", "8a5d9a52-0000-4000-8000-000000000002")
ARTIFACT = "sha256:" + "a" * 64
SOURCE = "sha256:" + "b" * 64
DATASET = "sha256:" + "c" * 64

PVC = ModelStoreSpec.model_validate({"pvc": {"claimName": "models", "path": "lowbit/store"}})
S3 = ModelStoreSpec.model_validate(
    {"s3": {"bucket": "models", "endpoint": "http://s3.storage:7070", "credentialsSecretRef": {"name": "s3"}}}
)
STORES = {"pvc": PVC, "s3": S3}
PLATFORM = Platform(
    ca_bundle_config_map="bundle",
    proxy="http://proxy:3128",
    no_proxy=".svc",
    hub_endpoint="http://mirror/hub",
    priority_class_name="batch",
    engine_env={"VLLM_LOGGING_LEVEL": "INFO", "SHARED": "platform"},
    allowed_engine_env=["SHARED"],
)
FACTS = ModelFacts(
    architecture="LlamaForCausalLM",
    model_type="llama",
    hidden_size=4096,
    intermediate_size=14336,
    layers=32,
    attention_heads=32,
    key_value_heads=8,
    head_dim=128,
    vocab_size=128256,
    max_position_embeddings=8192,
    dtype="bfloat16",
    tied_embeddings=False,
    parameters=8_000_000_000,
    weight_bytes=16_000_000_000,
    tokenizer="d" * 64,
    chat_template=True,
)


def spec(**changes: Any) -> QuantizedModelSpec:
    """A QuantizedModel that uses every kind of place there is."""
    whole: dict[str, Any] = {
        "source": {
            "huggingFace": {"repo": "a/b", "revision": "0" * 40, "tokenSecretRef": {"name": "hub", "key": "token"}}
        },
        "candidates": [{"gptq": {"bits": 4}}, {"artifact": {"pvc": {"claimName": "models", "path": "made-elsewhere"}}}],
        "calibration": {
            "datasets": [
                {"name": "tickets", "pvc": {"claimName": "data", "path": "tickets.jsonl"}},
                {"name": "general", "configMap": {"name": "general"}},
                {"name": "far", "s3": {"bucket": "data", "path": "x", "credentialsSecretRef": {"name": "s3-data"}}},
            ]
        },
        "evaluation": {
            "suites": [
                {
                    "name": "fidelity",
                    "fidelity": {"dataset": {"pvc": {"claimName": "data", "path": "holdout.jsonl"}}},
                    "gate": {"maximum": [{"metric": "KLDivergence", "value": "0.1"}]},
                }
            ]
        },
        "engine": {
            "vllm": {
                "image": "engine:1",
                "tensorParallelSize": 2,
                "maxModelLen": 4096,
                "args": ["--enforce-eager"],
                "env": [{"name": "SHARED", "value": "own"}],
                "resources": {"limits": {"memory": "32Gi"}},
            }
        },
        "serving": {
            "replicas": 2,
            "drainSeconds": 45,
            "apiKeySecretRef": {"name": "chat", "key": "token"},
            "pod": {
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "nodeSelector": {"pool": "gpu"},
                "annotations": {"team": "chat"},
            },
        },
        "jobs": {"quantize": {"resources": {"limits": {"memory": "16Gi"}}, "nodeSelector": {"pool": "batch"}}},
    }
    return QuantizedModelSpec.model_validate(whole | changes)


def prepared() -> PrepareResult:
    """What prepare could have found."""
    names = ("calibration/tickets", "calibration/general", "calibration/far", "evaluation/fidelity")
    return PrepareResult(
        source=SOURCE,
        facts=FACTS,
        datasets=dict.fromkeys(names, DATASET),
        artifacts={"1": ARTIFACT},
        artifact_bytes={"1": 5},
    )


def revision_spec(model: QuantizedModelSpec | None = None) -> ModelRevisionSpec:
    """The first candidate, frozen."""
    return freeze(NAME, model or spec(), PLATFORM, prepared())[0]


def context(store: ModelStoreSpec) -> Context:
    return Context(NAMESPACE, store, PLATFORM)


def run(name: str, options: JobOptions, memory_limit: str | None = None) -> JobRun:
    return JobRun(name, options, spec().jobs.ttl_seconds, memory_limit)


def prepare(
    store: ModelStoreSpec = PVC, *, model: QuantizedModelSpec | None = None, platform: Platform | None = None
) -> Manifest:
    model = model or spec()
    as_asked = run(prepare_job_name(NAME, input_hash(model)), model.jobs.prepare)
    return prepare_job(Context(NAMESPACE, store, platform or PLATFORM), OWNER, NAME, model, as_asked)


def quantize(
    store: ModelStoreSpec = PVC,
    *,
    memory_limit: str | None = None,
    name: str | None = None,
    model: QuantizedModelSpec | None = None,
) -> Manifest:
    options, frozen = (model or spec()).jobs.quantize, revision_spec(model)
    as_asked = run(name or quantize_job_name(frozen.artifact_hash), options, memory_limit)
    return quantize_job(context(store), [OWNER, SHARER], frozen, options.device, as_asked)


def evaluate(
    store: ModelStoreSpec = PVC, *, baseline: bool = False, model: QuantizedModelSpec | None = None
) -> Manifest:
    model, frozen = model or spec(), revision_spec(model)
    asked: ModelEvaluationSpec = baseline_spec(frozen) if baseline else candidate_spec(frozen, ARTIFACT)
    name = evaluation_name(asked)
    measured = Evaluation(name, asked, frozen, engine_of(model.engine)[1])
    return evaluate_job(context(store), [SHARER], measured, run(evaluate_job_name(name), model.jobs.evaluate))


def ask(store: ModelStoreSpec = PVC) -> Manifest:
    """The Job that asks what serves."""
    frozen, model = revision_spec(), spec()
    assert model.serving is not None
    document = AskDocument(
        store=store_access(store, NAMESPACE), url=f"http://{NAME}.{NAMESPACE}.svc", served_name=NAME,
        engine=frozen.engine, api_key="key/token",
        showcase=Showcase.model_validate({"prompts": [{"name": "hello", "text": "Hello"}]}),
        revision=f"{NAME}-0123456789", key="e" * 64,
    )  # fmt: skip
    as_asked = run(ask_job_name(NAME, document.key), model.jobs.prepare)
    return ask_job(context(store), OWNER, model.serving, document, frozen.images.operator, as_asked)


def serve(
    store: ModelStoreSpec = PVC, *, artifact: str | None = ARTIFACT, model: QuantizedModelSpec | None = None
) -> list[Manifest]:
    model = model or spec()
    assert model.serving is not None
    frozen = revision_spec(model)
    label = "source" if artifact is None else f"{NAME}-0123456789"
    kind: Literal["Source", "Artifact"] = "Source" if artifact is None else "Artifact"
    which = EvaluatedModel(kind=kind, digest=artifact or frozen.source.digest)
    served = Served(label, frozen, which, 5_000_000_000, model.serving, engine_of(model.engine)[1])
    return serving(context(store), OWNER, NAME, served, pod_monitor=True)


def everything(store: ModelStoreSpec = PVC) -> list[Manifest]:
    """All objects of one life."""
    frozen = revision_spec()
    return [
        prepare(store),
        revision(NAMESPACE, OWNER, frozen),
        quantize(store),
        evaluation(NAMESPACE, [SHARER], candidate_spec(frozen, ARTIFACT)),
        evaluate(store, baseline=True),
        evaluate(store),
        ask(store),
        *serve(store),
    ]


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    """The only manifest of that kind."""
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod_template(manifest: Manifest) -> Manifest:
    """The pod template of a Job or Deployment."""
    template: Manifest = manifest["spec"]["template"]
    return template


def document(manifest: Manifest, name: str = "worker") -> str:
    """The document that one container of a Job or Deployment finds at DOCUMENT_PATH, as the kubelet would write it."""
    folder, _, file = DOCUMENT_PATH.rpartition("/")
    template = pod_template(manifest)
    (mount,) = [each for each in container(manifest, name)["volumeMounts"] if each["mountPath"] == folder]
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == mount["name"]]
    (item,) = volume["downwardAPI"]["items"]
    assert item["path"] == file
    annotation = item["fieldRef"]["fieldPath"].removeprefix("metadata.annotations['").removesuffix("']")
    text: str = template["metadata"]["annotations"][annotation]
    return text


def container(manifest: Manifest, name: str) -> Manifest:
    """A container or init container by its name."""
    pod = pod_template(manifest)["spec"]
    (found,) = [c for c in [*pod.get("initContainers", []), *pod["containers"]] if c["name"] == name]
    return dict(found)
