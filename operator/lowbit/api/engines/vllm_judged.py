"""Which arguments and variables of vLLM a manifest may use, and why not the others. Anything unknown is refused.

An argument stands here under its first long name; its other spellings (aliases, negations, underscores) follow it.
vllm_options.json has all that each version of vLLM knows, and a test that each stands here once.
"""

from __future__ import annotations

from typing import Final

OWN_ARGUMENTS: Final[dict[str, str]] = {
    "--model": "spec.source",
    "--tokenizer": "spec.source",
    "--revision": "spec.source.huggingFace.revision",
    "--hf-token": "spec.source.huggingFace.tokenSecretRef",
    "--served-model-name": "metadata.name",
    "--tensor-parallel-size": "spec.engine.vllm.tensorParallelSize",
    "--pipeline-parallel-size": "spec.engine.vllm.pipelineParallelSize",
    "--distributed-executor-backend": "spec.engine.vllm.executor",
    "--max-model-len": "spec.engine.vllm.maxModelLen",
    "--dtype": "spec.engine.vllm.dtype",
    "--gpu-memory-utilization": "spec.engine.vllm.gpuMemoryUtilization",
    "--quantization": "spec.candidates",
    "--max-logprobs": "spec.evaluation",
    "--logprobs-mode": "spec.evaluation",
    "--enable-prefix-caching": "spec.engine.vllm.prefixCaching",
    "--shutdown-timeout": "spec.serving.drainSeconds",
    "--api-key": "spec.serving.apiKeySecretRef",
    "--api-server-count": "spec.serving.replicas",
    "--host": "spec.serving",
    "--port": "spec.serving",
    "--uds": "spec.serving",
    "--root-path": "spec.serving",
    "--config": "spec.engine.vllm.args",
}
"""What Lowbit sets itself, and the field that says it. A platform cannot allow these."""

UNSEEN_ARGUMENTS: Final = (
    "--chat-template", "--chat-template-content-format", "--default-chat-template-kwargs",
    "--trust-request-chat-template", "--generation-config", "--override-generation-config", "--enable-lora",
    "--lora-modules", "--tokenizer-mode", "--response-role", "--tool-call-parser", "--enable-auto-tool-choice",
    "--reasoning-parser", "--reasoning-config", "--reasoning-effort-map", "--tool-strict-level",
    "--exclude-tools-when-tool-choice-none", "--cohere-format", "--cohere-is-reasoning-model",
    "--anthropic-disabled-thinking-effort",
)  # fmt: skip
"""What a candidate may not change: both models read the same token ids, greedily, so no suite would see it."""

ALLOWED_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "batching": (
        "--async-scheduling", "--disable-chunked-mm-input", "--enable-batch-sharded-sampling",
        "--enable-chunked-prefill", "--long-prefill-token-threshold", "--long-prefill-token-threshold-adaptive",
        "--max-num-active-seqs", "--max-num-batched-tokens", "--max-num-queued-reqs", "--max-num-queued-tokens",
        "--max-num-scheduled-tokens", "--max-num-seqs", "--performance-mode", "--prefill-schedule-interval",
        "--scheduler-reserve-full-isl", "--scheduling-policy", "--stream-interval",
    ),
    "memory": (
        "--block-size", "--cpu-offload-gb", "--cpu-offload-params", "--disable-hybrid-kv-cache-manager",
        "--disable-sliding-window", "--enable-cumem-allocator", "--kv-cache-dtype", "--kv-cache-dtype-skip-layers",
        "--kv-cache-memory-bytes", "--kv-offloading-size", "--kv-sharing-fast-prefill", "--mamba-block-size",
        "--mamba-cache-dtype", "--mamba-cache-mode", "--mamba-ssm-cache-dtype", "--num-gpu-blocks-override",
        "--numa-bind", "--numa-bind-cpus", "--numa-bind-nodes", "--offload-backend", "--offload-group-size",
        "--offload-num-in-group", "--offload-params", "--offload-prefetch-step", "--prefix-cache-retention-interval",
        "--watermark",
    ),
    "kernels": (
        "--attention-backend", "--attention-config", "--cudagraph-capture-sizes", "--dbo-decode-token-threshold",
        "--dbo-prefill-token-threshold", "--disable-cascade-attn", "--disable-custom-all-reduce",
        "--enable-dbo", "--enable-flashinfer-autotune", "--enable-mamba-cache-stochastic-rounding",
        "--enforce-eager", "--gdn-prefill-backend", "--ir-op-priority", "--jit-monitor-mode", "--jit-monitor-verbose",
        "--kda-decode-backend", "--kda-prefill-backend", "--kernel-config", "--linear-backend", "--mamba-backend",
        "--mamba-cache-philox-rounds", "--mamba-ssu-algorithm", "--max-cudagraph-capture-size", "--model-impl",
        "--moe-backend", "--monokernel", "--optimization-level", "--sparse-indexer-topk-backend", "--ubatch-size",
        "--use-fp64-gumbel",
    ),
    "experts": (
        "--all2all-backend", "--enable-ep-weight-filter", "--enable-eplb", "--enable-expert-parallel",
        "--eplb-config", "--expert-placement-strategy",
    ),
    "loading": (
        "--max-parallel-loading-workers", "--safetensors-load-strategy", "--safetensors-prefetch-block-size",
        "--safetensors-prefetch-num-threads", "--use-tqdm-on-load",
    ),
    "images": (
        "--interleave-mm-strings", "--language-model-only", "--limit-mm-per-prompt", "--mm-encoder-attn-backend",
        "--mm-encoder-attn-dtype", "--mm-encoder-tp-mode", "--mm-hasher-algorithm", "--mm-processor-cache-gb",
        "--mm-processor-cache-type", "--mm-processor-device", "--mm-shm-cache-max-object-size-mb",
        "--skip-mm-profiling", "--video-pruning-method", "--video-pruning-rate",
    ),
    "chat": (
        "--anthropic-disabled-thinking-effort", "--chat-template-content-format", "--cohere-format",
        "--cohere-is-reasoning-model", "--default-chat-template-kwargs", "--enable-auto-tool-choice",
        "--exclude-tools-when-tool-choice-none", "--generation-config", "--override-generation-config",
        "--reasoning-config", "--reasoning-effort-map", "--reasoning-parser", "--response-role", "--tokenizer-mode",
        "--tool-call-parser", "--tool-strict-level",
    ),
    "answers": (
        "--enable-force-include-usage", "--enable-per-request-metrics", "--enable-prompt-tokens-details",
        "--enable-request-id-headers", "--fingerprint-mode", "--fingerprint-value", "--return-tokens-as-token-ids",
        "--seed", "--sse-keep-alive-interval",
    ),
    "http": (
        "--allow-credentials", "--allowed-headers", "--allowed-methods", "--allowed-origins", "--disable-fastapi-docs",
        "--h11-max-header-count", "--h11-max-incomplete-event-size",
    ),
    "logs": (
        "--aggregate-engine-logging", "--cudagraph-metrics", "--custom-histogram-buckets",
        "--disable-access-log-for-endpoints", "--disable-log-stats", "--disable-uvicorn-access-log",
        "--enable-log-deltas", "--enable-log-outputs", "--enable-log-requests", "--enable-logging-iteration-details",
        "--enable-mfu-metrics", "--enable-server-load-tracking", "--fail-on-environ-validation", "--kv-cache-metrics",
        "--kv-cache-metrics-sample", "--log-level", "--max-log-len", "--show-hidden-metrics-for-version",
        "--uvicorn-log-level",
    ),
    "timeouts": ("--cpu-distributed-timeout-seconds", "--distributed-timeout-seconds"),
}  # fmt: skip
"""Arguments of a manifest, by what they are for. None names code, weights, files or another machine."""

REFUSED_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "code": (
        "--collect-detailed-traces", "--compilation-config", "--enable-layerwise-nvtx-tracing", "--io-processor-plugin",
        "--kv-offloading-backend", "--logits-processors", "--middleware", "--model-class-overrides",
        "--ray-workers-use-nsight", "--reasoning-parser-plugin", "--scheduler-cls", "--structured-outputs-config",
        "--tool-parser-plugin", "--trust-remote-code", "--worker-cls", "--worker-extension-cls",
    ),
    "weights": (
        "--allow-deprecated-quantization", "--code-revision", "--config-format", "--default-mm-loras", "--download-dir",
        "--enable-lora", "--enable-mixed-moe-lora-format", "--enable-moe-shared-loras", "--enable-tower-connector-lora",
        "--engram-config", "--fully-sharded-loras", "--hf-config-path", "--hf-overrides", "--ignore-patterns",
        "--load-format", "--lora-dtype", "--lora-modules", "--lora-target-modules", "--max-cpu-loras",
        "--max-lora-cls-labels", "--max-lora-rank", "--max-loras", "--model-loader-extra-config",
        "--per-request-spec-decode-metrics", "--pt-load-map-location", "--quantization-config", "--spec-method",
        "--spec-model", "--spec-tokens", "--specialize-active-lora", "--speculative-config", "--tokenizer-revision",
    ),
    "template": ("--chat-template",),
    "task": (
        "--convert", "--diffusion-config", "--enable-flash-late-interaction", "--mm-encoder-only", "--pooler-config",
        "--runner", "--skip-tokenizer-init",
    ),
    "files": (
        "--allowed-local-media-path", "--aux-output-config", "--enable-offline-docs", "--enable-trace-replay",
        "--log-config-file", "--logging-config", "--mm-encoder-fp8-scale-path", "--mm-encoder-fp8-scale-save-margin",
        "--mm-encoder-fp8-scale-save-path", "--profiler-config",
    ),
    "network": (
        "--allowed-media-domains", "--ec-manager-config", "--ec-transfer-config", "--enable-ssl-refresh", "--grpc",
        "--grpc-port", "--kv-events-config", "--kv-transfer-config", "--otlp-traces-endpoint", "--ssl-ca-certs",
        "--ssl-cert-reqs", "--ssl-certfile", "--ssl-ciphers", "--ssl-keyfile", "--tool-server",
        "--weight-transfer-config",
    ),
    "clients": (
        "--enable-mm-embeds", "--enable-prompt-embeds", "--enable-return-routed-experts", "--enable-scale-out",
        "--enable-sleep-mode", "--enable-tokenizer-info-endpoint", "--log-error-stack", "--prefix-caching-hash-algo",
        "--return-sampling-mask", "--sleep-mode-backend", "--sleep-mode-offload-cudagraph",
        "--sleep-preserve-parameter-names", "--tokens-only", "--trust-request-chat-template",
        "--trust-request-mm-kwargs",
    ),
    "processes": (
        "--cp-kv-cache-interleave-size", "--data-parallel-address", "--data-parallel-backend",
        "--data-parallel-external-lb", "--data-parallel-hybrid-lb", "--data-parallel-multi-port-external-lb",
        "--data-parallel-rank", "--data-parallel-rpc-port", "--data-parallel-size", "--data-parallel-size-local",
        "--data-parallel-start-rank", "--data-parallel-supervisor-port", "--dcp-comm-backend",
        "--dcp-kv-cache-interleave-size", "--dcp-q-replicate", "--decode-context-parallel-size", "--device-ids",
        "--disable-nccl-for-dp-synchronization",
        "--dp-supervisor-probe-failure-threshold", "--dp-supervisor-probe-interval-s",
        "--dp-supervisor-probe-timeout-s", "--dp-sync-interval", "--elastic-ep-max-dp-size", "--enable-elastic-ep",
        "--enable-fault-tolerance", "--enable-nccl-comm-suspend", "--fault-tolerance-config", "--headless",
        "--master-addr", "--master-port", "--nnodes", "--node-rank",
        "--prefill-context-parallel-size", "--watchdog-config",
    ),
    "unjudged": (
        "--additional-config", "--enable-hc-sp", "--enable-mamba-shared-prefix-checkpoint", "--enable-shm-tensor-arena",
        "--help", "--media-io-kwargs", "--mm-device-do-normalize", "--mm-ipc-gpu-memory-gb", "--mm-processor-kwargs",
        "--mm-tensor-ipc", "--prefix-match-unit", "--renderer-num-workers", "--replayssm-buffer-len",
        "--swa-bounded-replay", "--use-replayssm", "--watermark-config",
    ),
}  # fmt: skip
"""Arguments that only a platform can allow, by the reason in one word; WHY says it in a sentence."""

WHY: Final[dict[str, str]] = {
    "code": "it can make the engine run code that is no part of its image",
    "weights": "it can make the engine use weights, or a reading of them, that were not judged",
    "template": "it replaces the chat template that belongs to the model: put it into the model's own files",
    "task": "it makes the engine something else than a server of generated text",
    "files": "it lets the engine read or write files of its choice",
    "network": "it lets the engine talk to other machines, or around the guard",
    "clients": "it lets clients of the model do more than ask it",
    "processes": "it spreads the engine over processes or machines that Lowbit does not make",
    "unjudged": "nobody has judged it yet",
}
"""Why an argument is refused."""

NOT_LISTED: Final = "it is not on Lowbit's list"
"""Why an argument or a variable is refused that no table knows."""
