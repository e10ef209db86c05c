"""Tiny models of every type that people use: two layers, 128 wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BASE: Final[Mapping[str, Any]] = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1,
    "pad_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
HEADS: Final = {"head_dim": 32}
LATENT: Final = {
    "kv_lora_rank": 512, "q_lora_rank": 64, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "qk_head_dim": 192,
    "v_head_dim": 128, "num_key_value_heads": 4, "head_dim": 64,
}  # fmt: skip
ROUTED: Final = {"num_experts_per_tok": 2, "moe_intermediate_size": 128}
DEEPSEEK: Final = LATENT | ROUTED | {
    "n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
    "routed_scaling_factor": 1.0,
}  # fmt: skip
DELTA: Final = HEADS | {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
MAMBA2: Final = {
    "mamba_n_heads": 8, "mamba_d_head": 32, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_expand": 2,
    "mamba_chunk_size": 16,
}  # fmt: skip
WINDOW: Final = {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}
PER_TYPE: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "apertus": ("ApertusForCausalLM", {}),
    "arcee": ("ArceeForCausalLM", {}),
    "bamba": ("BambaForCausalLM", MAMBA2 | {"attn_layer_indices": [1]}),
    "bloom": ("BloomForCausalLM", {"tie_word_embeddings": True}),
    "cohere": ("CohereForCausalLM", {"tie_word_embeddings": True}),
    "cohere2": ("Cohere2ForCausalLM", HEADS | WINDOW | {"tie_word_embeddings": True}),
    "deepseek_v2": ("DeepseekV2ForCausalLM", DEEPSEEK | {"topk_method": "greedy"}),
    "deepseek_v3": ("DeepseekV3ForCausalLM", DEEPSEEK | {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}),
    "dots1": ("Dots1ForCausalLM", HEADS | ROUTED | {"n_routed_experts": 4, "n_shared_experts": 1,
                                                    "first_k_dense_replace": 1}),
    "ernie4_5": ("Ernie4_5ForCausalLM", HEADS),
    "ernie4_5_moe": ("Ernie4_5_MoeForCausalLM", ROUTED | {"moe_num_experts": 4, "moe_k": 2, "moe_num_shared_experts": 1,
                                                          "moe_layer_start_index": 1, "moe_layer_end_index": 1}),
    "exaone4": ("Exaone4ForCausalLM", HEADS | WINDOW),
    "falcon": ("FalconForCausalLM", {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 512}),
    "falcon_h1": ("FalconH1ForCausalLM", HEADS | MAMBA2 | {"mamba_d_ssm": 256}),
    "gemma": ("GemmaForCausalLM", HEADS | {"tie_word_embeddings": True}),
    "gemma2": ("Gemma2ForCausalLM", HEADS | WINDOW | {"tie_word_embeddings": True, "query_pre_attn_scalar": 32}),
    "gemma3_text": ("Gemma3ForCausalLM", HEADS | WINDOW | {"tie_word_embeddings": True, "query_pre_attn_scalar": 32}),
    "glm": ("GlmForCausalLM", HEADS),
    "glm4": ("Glm4ForCausalLM", HEADS),
    "glm4_moe": ("Glm4MoeForCausalLM", HEADS | ROUTED | {"n_routed_experts": 4, "n_shared_experts": 1,
                                                         "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}),
    "gpt2": ("GPT2LMHeadModel", {"n_inner": 512, "tie_word_embeddings": True}),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", {"n_inner": 512, "multi_query": True, "tie_word_embeddings": True}),
    "gpt_neox": ("GPTNeoXForCausalLM", {}),
    "gpt_oss": ("GptOssForCausalLM", HEADS | WINDOW | {"num_local_experts": 4, "num_experts_per_tok": 2,
                                                       "intermediate_size": 128}),
    "gptj": ("GPTJForCausalLM", {"n_inner": 512, "rotary_dim": 16}),
    "granite": ("GraniteForCausalLM", {}),
    "granitemoe": ("GraniteMoeForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "granitemoehybrid": ("GraniteMoeHybridForCausalLM", MAMBA2 | {
        "num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 128,
        "layer_types": ["mamba", "attention"]}),
    "hunyuan_v1_dense": ("HunYuanDenseV1ForCausalLM", HEADS),
    "jamba": ("JambaForCausalLM", {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 4,
                                   "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1,
                                   "mamba_d_state": 16, "mamba_dt_rank": 16, "use_mamba_kernels": False}),
    "lfm2": ("Lfm2ForCausalLM", {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False,
                                  "conv_dim": 128, "conv_dim_out": 128, "block_dim": 128, "block_ff_dim": 256}),
    "lfm2_moe": ("Lfm2MoeForCausalLM", ROUTED | {"layer_types": ["conv", "full_attention"], "num_experts": 4,
                                                 "num_dense_layers": 1}),
    "llama": ("LlamaForCausalLM", {}),
    "llama4_text": ("Llama4ForCausalLM", HEADS | {"num_local_experts": 4, "num_experts_per_tok": 1,
                                                  "intermediate_size": 128, "intermediate_size_mlp": 256,
                                                  "attention_chunk_size": 128}),
    "minimax_m2": ("MiniMaxM2ForCausalLM", HEADS | {"num_local_experts": 4, "num_experts_per_tok": 2,
                                                    "intermediate_size": 128, "rotary_dim": 16,
                                                    "use_routing_bias": True, "scoring_func": "sigmoid"}),
    "ministral3": ("Ministral3ForCausalLM", HEADS),
    "mistral": ("MistralForCausalLM", {}),
    "mixtral": ("MixtralForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "mpt": ("MptForCausalLM", {"expansion_ratio": 2}),
    "nemotron": ("NemotronForCausalLM", HEADS),
    "nemotron_h": ("NemotronHForCausalLM", HEADS | {
        "layers_block_type": ["linear_attention", "full_attention", "mlp"], "num_hidden_layers": 3,
        "mamba_num_heads": 8, "mamba_head_dim": 32, "ssm_state_size": 16, "n_groups": 1, "chunk_size": 16}),
    "olmo2": ("Olmo2ForCausalLM", {}),
    "olmo3": ("Olmo3ForCausalLM", WINDOW),
    "olmoe": ("OlmoeForCausalLM", {"num_experts": 4, "num_experts_per_tok": 2}),
    "opt": ("OPTForCausalLM", {"ffn_dim": 256, "word_embed_proj_dim": 128, "tie_word_embeddings": True}),
    "phi": ("PhiForCausalLM", {"partial_rotary_factor": 0.5}),
    "phi3": ("Phi3ForCausalLM", {}),
    "phimoe": ("PhimoeForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen2_moe": ("Qwen2MoeForCausalLM", ROUTED | {"num_experts": 4, "shared_expert_intermediate_size": 128}),
    "qwen3": ("Qwen3ForCausalLM", HEADS),
    "qwen3_moe": ("Qwen3MoeForCausalLM", HEADS | ROUTED | {"num_experts": 4}),
    "qwen3_5_text": ("Qwen3_5ForCausalLM", DELTA),
    "qwen3_next": ("Qwen3NextForCausalLM", DELTA | ROUTED | {"num_experts": 4, "shared_expert_intermediate_size": 128}),
    "seed_oss": ("SeedOssForCausalLM", HEADS),
    "smollm3": ("SmolLM3ForCausalLM", {}),
    "stablelm": ("StableLmForCausalLM", {}),
    "starcoder2": ("Starcoder2ForCausalLM", {"tie_word_embeddings": True}),
    "zamba2": ("Zamba2ForCausalLM", {"layers_block_type": ["mamba", "hybrid"], "mamba_d_state": 16, "n_mamba_heads": 8,
                                     "mamba_headdim": 32, "mamba_ngroups": 1, "attention_head_dim": 64,
                                     "num_mem_blocks": 1, "adapter_rank": 16, "chunk_size": 16}),
}  # fmt: skip
"""Model type -> class, and what the type needs beside BASE."""
SAMPLE: Final = ("llama", "phi3", "qwen3_moe")
"""The types of `make test`."""


def settings(model_type: str) -> dict[str, Any]:
    """The members of the tiny model's config.json."""
    architecture, own = PER_TYPE[model_type]
    return {**BASE, **own, "model_type": model_type, "architectures": [architecture]}
