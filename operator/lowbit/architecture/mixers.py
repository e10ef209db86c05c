"""The linear layers that mix tokens: attention, latent attention (MLA), mamba, linear attention, short convolutions."""

from __future__ import annotations

from lowbit.api.facts import LinearLayer, StateHeads
from lowbit.architecture.config import ModelConfig


def heads(config: ModelConfig) -> int:
    """Attention heads."""
    return int(config.text.num_attention_heads)


def key_value_heads(config: ModelConfig) -> int:
    """Heads of keys and values."""
    if config.model_type == "falcon" and not config.get("new_decoder_architecture", default=False):
        return 1 if config.get("multi_query", default=False) else heads(config)
    if config.model_type == "gpt_bigcode":
        return 1 if config.get("multi_query", default=False) else heads(config)
    nested = getattr(config.get("attn_config"), "kv_n_heads", None)  # mpt, dbrx
    found = config.get("num_key_value_heads", "num_kv_heads", default=nested)
    return found if isinstance(found, int) and found > 0 else heads(config)


def head_dim(config: ModelConfig) -> int:
    """Width of a head."""
    found = config.get("head_dim")
    return found if isinstance(found, int) and found > 0 else int(config.text.hidden_size) // heads(config)


def latent(config: ModelConfig) -> int:
    """Rank of the compressed keys and values (MLA); 0 for other attention."""
    rank = config.get("kv_lora_rank", default=0)
    return rank if isinstance(rank, int) else 0


def cache_values(config: ModelConfig) -> int:
    """Values that one attention layer keeps for one token."""
    if latent(config):
        return latent(config) + int(config.text.qk_rope_head_dim)
    return 2 * key_value_heads(config) * head_dim(config)


def attention(config: ModelConfig, count: int) -> list[LinearLayer]:
    """Attention of so many layers."""
    if latent(config):
        return latent_attention(config, count)
    hidden, wide = int(config.text.hidden_size), heads(config) * head_dim(config)
    key_value = key_value_heads(config) * head_dim(config)
    # Qwen3-Next and Qwen3.5 compute a gate for their output beside the query.
    query = wide * (2 if config.model_type.startswith(("qwen3_next", "qwen3_5")) else 1)
    return [
        LinearLayer(name="self_attn.q_proj", inputs=hidden, outputs=query, count=count),
        LinearLayer(name="self_attn.k_proj", inputs=hidden, outputs=key_value, count=count),
        LinearLayer(name="self_attn.v_proj", inputs=hidden, outputs=key_value, count=count),
        LinearLayer(name="self_attn.o_proj", inputs=wide, outputs=hidden, count=count, split="Inputs"),
    ]


def latent_attention(config: ModelConfig, count: int) -> list[LinearLayer]:
    """Multi-head latent attention (DeepSeek-V2)."""
    text, number = config.text, heads(config)
    hidden, rank = int(text.hidden_size), latent(config)
    nope, rope, value = int(text.qk_nope_head_dim), int(text.qk_rope_head_dim), int(text.v_head_dim)
    query_rank = config.get("q_lora_rank", default=0)
    query = number * (nope + rope)
    found = [
        LinearLayer(name="self_attn.kv_a_proj_with_mqa", inputs=hidden, outputs=rank + rope, count=count, split="None"),
        LinearLayer(name="self_attn.kv_b_proj", inputs=rank, outputs=number * (nope + value), count=count),
        LinearLayer(name="self_attn.o_proj", inputs=number * value, outputs=hidden, count=count, split="Inputs"),
    ]
    if not query_rank:
        return [*found, LinearLayer(name="self_attn.q_proj", inputs=hidden, outputs=query, count=count)]
    return [
        *found,
        LinearLayer(name="self_attn.q_a_proj", inputs=hidden, outputs=query_rank, count=count, split="None"),
        LinearLayer(name="self_attn.q_b_proj", inputs=query_rank, outputs=query, count=count),
    ]


def state(config: ModelConfig, count: int) -> list[LinearLayer] | None:
    """Layers with a state of fixed size; None if this kind is not known."""
    if config.get("linear_num_value_heads"):
        return gated_delta(config, count)
    if config.get("conv_L_cache"):
        return short_convolution(config, count)
    if config.get("mamba_dt_rank"):
        return mamba(config, count)
    if config.get("mamba_num_heads", "mamba_n_heads"):
        return mamba2(config, count)
    return None


def state_heads(config: ModelConfig) -> list[StateHeads]:
    """What ranks share evenly in layers with a state, as vLLM does (mamba_mixer2.py, gdn/). Mamba 1 has no heads."""
    if config.get("linear_num_value_heads"):
        return [
            StateHeads(count=int(config.text.linear_num_key_heads), what="key heads of linear attention"),
            StateHeads(count=int(config.text.linear_num_value_heads), what="value heads of linear attention"),
        ]
    number = config.get("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    if config.get("mamba_dt_rank") or not number:
        return []
    found = [StateHeads(count=int(number), what="mamba heads")]
    groups = int(config.get("mamba_n_groups", "n_groups", "mamba_ngroups", default=1))
    # Every rank holds a copy of a single group.
    return [*found, StateHeads(count=groups, what="groups of mamba heads")] if groups > 1 else found


def gated_delta(config: ModelConfig, count: int) -> list[LinearLayer]:
    """Linear attention of Qwen3-Next and Qwen3.5. Its two projections to one value a head are left as they are."""
    text, hidden = config.text, int(config.text.hidden_size)
    value = int(text.linear_num_value_heads) * int(text.linear_value_head_dim)
    key = int(text.linear_num_key_heads) * int(text.linear_key_head_dim)
    return [
        LinearLayer(name="linear_attn.in_proj_qkv", inputs=hidden, outputs=2 * key + value, count=count),
        LinearLayer(name="linear_attn.in_proj_z", inputs=hidden, outputs=value, count=count),
        LinearLayer(name="linear_attn.out_proj", inputs=value, outputs=hidden, count=count, split="Inputs"),
    ]


def short_convolution(config: ModelConfig, count: int) -> list[LinearLayer]:
    """Gated short convolutions of LFM2."""
    hidden = int(config.text.hidden_size)
    return [
        LinearLayer(name="conv.in_proj", inputs=hidden, outputs=3 * hidden, count=count),
        LinearLayer(name="conv.out_proj", inputs=hidden, outputs=hidden, count=count, split="Inputs"),
    ]


def mamba(config: ModelConfig, count: int) -> list[LinearLayer]:
    """Mamba (Gu and Dao 2023), as Jamba has it."""
    text, hidden = config.text, int(config.text.hidden_size)
    inner, rank = int(text.mamba_expand) * hidden, int(text.mamba_dt_rank)
    return [
        LinearLayer(name="mamba.in_proj", inputs=hidden, outputs=2 * inner, count=count),
        LinearLayer(name="mamba.x_proj", inputs=inner, outputs=rank + 2 * int(text.mamba_d_state), count=count,
                    split="Inputs"),
        LinearLayer(name="mamba.dt_proj", inputs=rank, outputs=inner, count=count),
        LinearLayer(name="mamba.out_proj", inputs=inner, outputs=hidden, count=count, split="Inputs"),
    ]  # fmt: skip


def mamba2(config: ModelConfig, count: int) -> list[LinearLayer]:
    """Mamba-2 (Dao and Gu 2024), as Nemotron-H, Bamba, Falcon-H1 and Granite 4 have it."""
    hidden = int(config.text.hidden_size)
    number = int(config.get("mamba_num_heads", "mamba_n_heads"))
    width = config.get("mamba_head_dim", "mamba_d_head")
    inner = config.get("mamba_d_ssm")
    if not isinstance(inner, int):
        expanded = int(config.get("mamba_expand", "expand", default=2)) * hidden
        inner = number * width if isinstance(width, int) else expanded
    groups = int(config.get("mamba_n_groups", "n_groups", default=1))
    states = int(config.get("mamba_d_state", "ssm_state_size", default=128))
    return [
        LinearLayer(name="mamba.in_proj", inputs=hidden, outputs=2 * inner + 2 * groups * states + number, count=count),
        LinearLayer(name="mamba.out_proj", inputs=inner, outputs=hidden, count=count, split="Inputs"),
    ]
