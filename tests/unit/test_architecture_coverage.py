"""How much of an artifact is quantized is counted: one that is not is no candidate."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.architecture.coverage import coverage


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]


def plain(name: str, *shape: int) -> list[Tensor]:
    return [Tensor(f"model.layers.{layer}.{name}.weight", shape or (64, 64)) for layer in range(2)]


def gptq(name: str) -> list[Tensor]:
    ends = {"qweight": (8, 64), "qzeros": (1, 8), "scales": (1, 64), "g_idx": (64,)}
    return [Tensor(f"model.layers.{layer}.{name}.{end}", shape) for layer in range(2) for end, shape in ends.items()]


REST = [
    Tensor("model.embed_tokens.weight", (100, 64)),
    Tensor("model.norm.weight", (64,)),
    *plain("input_layernorm", 64),
]


def test_every_layer_is_quantized() -> None:
    found = coverage([*gptq("self_attn.q_proj"), *gptq("mlp.down_proj"), *REST], 2)
    assert (found.quantized, found.linear, found.left) == (4, 4, [])


def test_what_was_left_is_named() -> None:
    found = coverage([*gptq("self_attn.q_proj"), *plain("mlp.down_proj"), *REST], 2)
    assert (found.quantized, found.linear, found.left) == (2, 4, ["mlp.down_proj"])


def test_an_original_has_none() -> None:
    found = coverage([*plain("self_attn.q_proj"), *plain("mlp.down_proj"), *REST], 2)
    assert (found.quantized, found.linear) == (0, 4)


def test_experts_in_one_tensor_count_as_so_many() -> None:
    found = coverage([*gptq("self_attn.q_proj"), *plain("mlp.experts.down_proj", 8, 64, 32), *REST], 2)
    assert (found.quantized, found.linear, found.left) == (2, 18, ["mlp.experts.down_proj"])


def test_compressed_tensors_and_fp8_count_as_well() -> None:
    packed = [Tensor(f"model.layers.0.self_attn.q_proj.{end}", (64, 8)) for end in ("weight_packed", "weight_scale")]
    fp8 = [Tensor(f"model.layers.0.mlp.up_proj.{end}", (64, 64)) for end in ("weight", "weight_scale_inv")]
    found = coverage([*packed, Tensor("model.layers.0.self_attn.q_proj.weight_shape", (2,)), *fp8], 2)
    assert (found.quantized, found.linear) == (2, 2)


def test_routers_and_layers_beyond_the_last_are_no_part_of_it() -> None:
    router = plain("mlp.gate", 8, 64)
    further = [Tensor("model.layers.2.self_attn.q_proj.weight", (64, 64))]
    assert coverage([*gptq("self_attn.q_proj"), *router, *further], 2).linear == 2
