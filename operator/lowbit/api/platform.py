"""What a platform sets for everyone: resolved once when a revision is made, and frozen in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from lowbit.api.base import OtherName, QueueName, Wire
from lowbit.api.engine import Resources
from lowbit.api.references import Endpoint

ArgumentName = Annotated[str, StringConstraints(pattern=r"^--?[A-Za-z0-9][A-Za-z0-9-]*$", max_length=128)]
InterfaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.,=^-]+$", max_length=128)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
ImagePrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", max_length=512)]
NO_MESH_ANNOTATIONS = {
    "linkerd.io/inject": "disabled",
    "consul.hashicorp.com/connect-inject": "false",
    "kuma.io/sidecar-injection": "disabled",
    "sidecar.istio.io/inject": "false",
}
NO_MESH_LABELS = {
    "sidecar.istio.io/inject": "false",
    "istio.io/dataplane-mode": "none",
    "kuma.io/sidecar-injection": "disabled",
}
"""How pods say that they stay out of the usual meshes. Istio and Kuma read labels, and annotations before that."""


SMALL = Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"cpu": "4", "memory": "1Gi"})
MIDDLE = Resources(requests={"cpu": "100m", "memory": "512Mi"}, limits={"cpu": "16", "memory": "32Gi"})
LARGE = Resources(requests={"cpu": "100m", "memory": "512Mi"}, limits={"cpu": "64", "memory": "256Gi"})
"""Requests that fit on any node, and limits that stop what has gone wrong."""


class ServingContainers(Wire):
    """Requests and limits of the containers of serving pods (engine and fetch are in evaluations, too), for what the
    manifest leaves out."""

    engine: Resources = LARGE
    fetch: Resources = SMALL
    """Verifies the model, before the engine starts."""
    guard: Resources = Resources(requests=SMALL.requests, limits={"cpu": "4", "memory": "512Mi"})


class Containers(ServingContainers):
    """Requests and limits of every container that Lowbit makes, for what the manifest leaves out."""

    prepare: Resources = MIDDLE
    quantize: Resources = LARGE
    evaluate: Resources = MIDDLE
    """The evaluator, beside the engine."""


class Platform(Wire):
    """Given to the operator as a YAML file (from the chart's values) and to ``lowbit plan`` by --platform."""

    operator_image: str = "lowbit/operator:0.1.0"
    """Runs prepare and verifies artifacts in serving pods; small."""
    worker_image: str = "lowbit/worker:0.1.0"
    """Quantizes and evaluates."""
    guard_image: str = "envoyproxy/envoy:v1.36.0"
    """Stock Envoy."""
    engine_image: str = "vllm/vllm-openai:v0.33.0"
    """Engine for QuantizedModels that name none."""
    engine_env: dict[str, str] = Field(default_factory=dict)
    """Environment of every engine, before the QuantizedModel's own."""
    allowed_engine_arguments: list[ArgumentName] = Field(default_factory=list, max_length=64)
    """Arguments that manifests may use beside Lowbit's list, each by its whole name: --middleware."""
    allowed_engine_env: list[VariableName] = Field(default_factory=list, max_length=64)
    """Environment variables that manifests may set for an engine, beside Lowbit's list."""
    allowed_job_env: list[VariableName] = Field(default_factory=list, max_length=64)
    """Environment variables that manifests may set for Jobs, beside Lowbit's list."""
    allowed_engine_images: list[ImagePrefix] = Field(default_factory=list, max_length=32)
    """Images that a manifest may name: whole, or a beginning that ends in / or : or @. Empty allows every image."""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: list[OtherName] = Field(default_factory=list, max_length=8)
    """Names of Secrets, in each namespace, for pulling images; of every pod whose options name none."""
    gpu_resource: str = "nvidia.com/gpu"
    """Resource name under which GPUs are asked for, unless the manifest names another one."""
    gpu: str | None = Field(default=None, max_length=63)
    """The GPU of the nodes, as their label nvidia.com/gpu.product names it, or its memory (80Gi), for QuantizedModels
    that name none."""
    group_interface: InterfaceName | None = None
    """The network interface by which the pods of a group reach each other; by default what NCCL and Gloo choose."""
    containers: Containers = Containers()
    """Requests and limits for what manifests leave out, so that a quota on them can be met."""
    hub_endpoint: Endpoint | None = None
    """HF_ENDPOINT: a mirror of the hub."""
    proxy: str | None = None
    """HTTPS_PROXY of prepare Jobs."""
    no_proxy: str | None = None
    """NO_PROXY of prepare Jobs."""
    ca_bundle_config_map: str | None = None
    """A ConfigMap (key ca.crt) in each namespace with the CA bundle that downloads trust."""
    priority_class_name: str | None = None
    """PriorityClass of Jobs that name none."""
    queue_name: QueueName | None = None
    """Kueue's LocalQueue, in each namespace, of Jobs with GPUs whose manifest names none."""
    workload_priority_class_name: QueueName | None = None
    """Kueue's WorkloadPriorityClass of Jobs in a queue whose manifest names none."""
    max_gpu_jobs: int | None = Field(default=None, ge=1, le=10_000)
    """How many Jobs with GPUs run at once in a namespace, of those in no queue. The others wait, suspended."""
    job_pod_annotations: dict[str, str] = Field(default_factory=lambda: dict(NO_MESH_ANNOTATIONS), max_length=64)
    """Annotations of the pods of Jobs. By default they keep a service mesh out: its proxy outlives the worker, and
    with it the Job."""
    job_pod_labels: dict[str, str] = Field(default_factory=lambda: dict(NO_MESH_LABELS), max_length=64)
    """Labels of the pods of Jobs, for the same purpose."""
    run_as_user: int = 65532
    """Numeric user of every pod."""
    service_monitor: bool = True
    """Make a PodMonitor for each served model where the cluster has that kind."""


def image_is_allowed(image: str, platform: Platform) -> bool:
    """Whether a manifest may name this image for its engine."""
    allowed = platform.allowed_engine_images
    return not allowed or any(
        image == each or (each.endswith(("/", ":", "@")) and image.startswith(each)) for each in allowed
    )
