"""Facts from a model's config. Whatever depends on the model is checked against them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from lowbit.api.base import Tolerant

BYTES_PER_WEIGHT: Final = {"float32": 4, "bfloat16": 2, "float16": 2}

Split = Literal["Inputs", "Outputs", "None"]
"""How ranks share a linear layer: its inputs (row-parallel), its outputs (column-parallel), or not at all."""


class LinearLayer(Tolerant):
    """Linear layers of one kind in all decoder layers, and in all experts."""

    # Not the name first: a list whose items begin with one is a map, and a name may have several widths.
    inputs: int
    outputs: int
    name: str
    """Without the numbers of layer and expert: self_attn.q_proj, mlp.experts.down_proj."""
    count: int = 1
    split: Split = "Outputs"


class Coverage(Tolerant):
    """How many of a model's linear layers are quantized."""

    quantized: int
    linear: int
    """All of them, in all decoder layers and experts."""
    left: list[str] = Field(default_factory=list)
    """Kinds that were left as they are, the most frequent first."""


class StateHeads(Tolerant):
    """Heads, or groups of heads, of layers with a state of fixed size. A rank holds whole ones, each as many."""

    count: int
    what: str
    """For messages: "key heads of linear attention"."""


class ModelFacts(Tolerant):
    """Facts that prepare read from the original. Whatever depends on the model is checked against them."""

    architecture: str
    """As in config.json: LlamaForCausalLM."""
    model_type: str
    """transformers' name; that of the text part where a model has several parts."""
    whole_type: str | None = None
    """The whole model's, where it has several parts."""
    hidden_size: int
    layers: int
    """Decoder layers of all kinds."""
    intermediate_size: int = 0
    """Of the widest dense MLP; 0 if every layer holds experts."""
    attention_layers: int = 0
    """Those that keep keys and values of every token."""
    window_layers: int = 0
    """Those that keep keys and values of the last `window` tokens only."""
    window: int | None = None
    attention_heads: int
    key_value_heads: int
    head_dim: int
    state_heads: list[StateHeads] = Field(default_factory=list)
    """Of mamba and linear attention. Empty without, and where an older Lowbit read the facts."""
    cache_values: int = 0
    """Values that one attention layer keeps for one token, before ranks share them."""
    cache_heads: int = 1
    """Among how many ranks they can be shared: key-value heads; 1 for a latent (MLA) cache."""
    experts: int = 0
    """Routed experts of a layer; 0 without."""
    linear: list[LinearLayer] = Field(default_factory=list)
    """What is quantized. Empty where it is not known: an older Lowbit wrote no list."""
    vocab_size: int
    max_position_embeddings: int
    """Tokens that the engine takes at most, scaled as it counts them (architecture/positions.py)."""
    default_max_model_len: int | None = None
    """Tokens that it takes where the manifest says no maxModelLen; None for all of them."""
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
    coverage: Coverage | None = None
    """Of an artifact; None where its tensors were read by an older Lowbit, or not at all."""
    other_parts: list[str] = Field(default_factory=list)
    """Parts beside the text ("vision"): they are served, and no suite measures them."""
    left_behind: list[str] = Field(default_factory=list)
    """The first files beside the model that were not copied: other formats, code, a second set of the weights."""

    def length(self, asked: int | None) -> int:
        """Tokens that the engine takes; asked: the manifest's maxModelLen."""
        return asked or self.default_max_model_len or self.max_position_embeddings
