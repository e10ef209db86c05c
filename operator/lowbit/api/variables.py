"""Which environment variables a manifest may set. Anything that is not on a list is refused.

A variable can load code (PYTHONPATH, LD_PRELOAD), send a token elsewhere (HF_ENDPOINT, a proxy) or replace an identity
(AWS_*). What belongs to everyone is the platform's, and what is secret has a field of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from lowbit.api.problem import Problem

SECRET_VARIABLES: Final = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY", "OPENAI_API_KEY",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
)  # fmt: skip
"""Variables that hold secrets, which have fields of their own. A rule of its own refuses them."""

COMPUTE_VARIABLES: Final = (
    "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING",
    "FORCE_COLOR", "GLOO_SOCKET_IFNAME", "KMP_AFFINITY", "KMP_BLOCKTIME", "MALLOC_ARENA_MAX", "MKL_NUM_THREADS",
    "NCCL_ALGO", "NCCL_BUFFSIZE", "NCCL_CUMEM_ENABLE", "NCCL_CUMEM_HOST_ENABLE", "NCCL_DEBUG", "NCCL_DEBUG_SUBSYS",
    "NCCL_IB_DISABLE", "NCCL_IB_HCA", "NCCL_IGNORE_CPU_AFFINITY", "NCCL_MAX_NCHANNELS", "NCCL_MIN_NCHANNELS",
    "NCCL_NET_GDR_LEVEL", "NCCL_NTHREADS", "NCCL_NVLS_ENABLE", "NCCL_P2P_DISABLE", "NCCL_P2P_LEVEL", "NCCL_PROTO",
    "NCCL_SHM_DISABLE", "NCCL_SOCKET_IFNAME", "NO_COLOR", "OMP_NUM_THREADS", "OMP_PLACES", "OMP_PROC_BIND",
    "OPENBLAS_NUM_THREADS", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF",
    "RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM", "TORCHDYNAMO_DISABLE", "TRANSFORMERS_VERBOSITY", "TZ",
)  # fmt: skip
"""Threads, memory and devices: for engines and Jobs alike. Of NCCL's, none names a file or a plugin."""

JOB_VARIABLES: Final = (
    *COMPUTE_VARIABLES,
    "GPTQMODEL_CPU_WORKERS", "GPTQMODEL_LOG_QUANT_STATS", "GPTQMODEL_LOG_TIMES", "GPTQMODEL_MAX_PACKERS",
    "GPTQMODEL_PACK_PY_THREADS", "GPTQMODEL_PACK_THREADS",
    "HF_HUB_DISABLE_XET", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_VERBOSITY",
    "HF_XET_HIGH_PERFORMANCE", "HF_XET_NUM_CONCURRENT_RANGE_GETS",
)  # fmt: skip
"""What a Job's own container may be given."""

INSTEAD: Final[dict[str, str]] = {
    "HF_ENDPOINT": "the platform sets the mirror (hubEndpoint)",
    "HTTP_PROXY": "the platform sets the proxy (proxy)",
    "HTTPS_PROXY": "the platform sets the proxy (proxy)",
    "ALL_PROXY": "the platform sets the proxy (proxy)",
    "NO_PROXY": "the platform sets it (noProxy)",
    "SSL_CERT_FILE": "the platform sets the bundle (caBundleConfigMap)",
    "REQUESTS_CA_BUNDLE": "the platform sets the bundle (caBundleConfigMap)",
    "AWS_CA_BUNDLE": "the platform sets the bundle (caBundleConfigMap)",
    "AWS_ENDPOINT_URL": "write the field endpoint of the s3 location",
    "AWS_REGION": "write the field region of the s3 location",
    "AWS_DEFAULT_REGION": "write the field region of the s3 location",
    "CUDA_VISIBLE_DEVICES": "Kubernetes gives the engine its devices: write tensorParallelSize",
    "VLLM_API_KEY": "write spec.serving.apiKeySecretRef",
}
"""What to use instead of some variables, by name in upper case."""


class Named(Protocol):
    """A variable of a manifest."""

    @property
    def name(self) -> str:
        """Its name."""


def refused_variables(field: str, variables: Sequence[Named], allowed: Collection[str], setting: str) -> list[Problem]:
    """A problem for each variable that is not allowed. setting: the platform's list that can allow more."""
    ask = f"leave it out, or ask the platform to allow it (platform.{setting} of the chart)"
    return [
        Problem(
            field, "VariableNotAllowed",
            f"the variable {each.name} is refused: it is not on Lowbit's list",
            f"leave it out: {INSTEAD[each.name.upper()]}" if each.name.upper() in INSTEAD else ask,
        )
        for each in variables
        if each.name not in allowed
    ]  # fmt: skip
