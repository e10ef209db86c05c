"""Models and manifests that the tests of the API share."""

from __future__ import annotations

from typing import Any

import yaml

from lowbit.api.base import Digest
from lowbit.api.documents import PrepareResult
from lowbit.api.facts import ModelFacts
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.facts import facts_of
from tests.api.manifests import ROOT, good

SMOLLM2: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
    "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "tie_word_embeddings": True,
}  # fmt: skip
QWEN_7B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
    "max_position_embeddings": 32768, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip


def digest_of(letter: str) -> Digest:
    return f"sha256:{letter * 64}"


def spec(name: str = "full") -> QuantizedModelSpec:
    """The spec of tests/api/good/<name>.yaml."""
    return QuantizedModelSpec.model_validate(good(name)["spec"])


def changed_spec(**parts: Any) -> QuantizedModelSpec:
    """The full spec with top-level fields (camelCase) set."""
    return QuantizedModelSpec.model_validate(good("full")["spec"] | parts)


def prepared(facts: ModelFacts | None = None) -> PrepareResult:
    """What prepare says of the full spec's model."""
    return PrepareResult(
        source=digest_of("a"),
        facts=facts or facts_of(QWEN_7B),
        datasets={
            "calibration/tickets": digest_of("b"),
            "calibration/general": digest_of("c"),
            "calibration/bucket": digest_of("d"),
            "evaluation/fidelity": digest_of("e"),
            "evaluation/domain": digest_of("f"),
        },
        artifacts={"2": digest_of("0")},
    )


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Every manifest of Lowbit's kinds in examples/, with its file's name."""
    return [
        (path.name, manifest)
        for path in sorted((ROOT / "examples").glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text())
        if isinstance(manifest, dict) and str(manifest.get("apiVersion", "")).startswith("lowbit.dev/")
    ]
