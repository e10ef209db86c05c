"""Facts from a model's config. Whatever depends on the model is checked against them."""

from __future__ import annotations

from pydantic import Field

from lowbit.api.base import Tolerant


class ModelFacts(Tolerant):
    """Facts that prepare read from the original. Whatever depends on the model is checked against them."""

    architecture: str
    """As in config.json: LlamaForCausalLM."""
    model_type: str
    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    dtype: str
    """bfloat16, float16 or float32."""
    tied_embeddings: bool
    parameters: int
    """Number of weights, from the safetensors headers."""
    weight_bytes: int
    """Size of the safetensors files."""
    tokenizer: str
    """SHA-256 (hex) over the tokenizer files and the chat template."""
    chat_template: bool
    """Whether there is a chat template."""
    quantized: str | None = None
    """How its weights are quantized already ("fp8", "gptq"); None for an original."""
    left_behind: list[str] = Field(default_factory=list)
    """The first files beside the model that were not copied: other formats, code, a second set of the weights."""
