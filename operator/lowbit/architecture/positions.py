"""How many tokens a model reads, as vLLM counts them: not always what max_position_embeddings says.

From vLLM 0.33: ModelArchConfigConvertorBase.derive_max_model_len_and_key and config/model.py's _get_and_verify_max_len,
which 0.32 has alike. The tokenizer's model_max_length counts only for pooling models, which Lowbit does not serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

LENGTHS: Final = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
"""Fields of a config.json that say a length; the smallest counts, but model_max_length wins."""
SCALED_ALREADY: Final = (
    "su",
    "longrope",
    "llama3",
    "yarn",
    "telechat3-yarn",
    "deepseek_yarn",
    "deepseek_llama_scaling",
)
"""Kinds of RoPE whose factor is in max_position_embeddings already. That of the others (linear, dynamic) is not."""
LONGROPE: Final = ("su", "longrope")
"""Read in their original length unless somebody asks for more: the long factors make short texts worse."""


class Positions(NamedTuple):
    """Tokens of prompt and answer together."""

    longest: int
    """The most that the engine takes."""
    default: int
    """What it takes if nobody says a length."""


UNLIMITED: Final = Positions(10_000_000, 2048)
"""What a config allows that says no length (BLOOM): whatever is asked for, and this if nobody asks."""


def count_positions(config: Mapping[str, Any]) -> Positions:
    """The positions of a decoder.

    config: that of the text part, as config.json has it or transformers' to_dict() gives it.
    """
    lengths = [int(config[name]) for name in LENGTHS if config.get(name) is not None]
    if not lengths:
        return UNLIMITED
    given = int(config.get("model_max_length") or min(lengths))
    ropes = list(_ropes(config))
    longest = int(given * _factor(ropes)) if "gemma3" not in str(config.get("model_type")) else given
    if any(_kind(rope) in LONGROPE for rope in ropes):
        return Positions(longest, int(config.get("original_max_position_embeddings") or longest))
    return Positions(longest, longest)


def _factor(ropes: list[Mapping[str, Any]]) -> float:
    """The factor that the engine applies itself; the last one, as all kinds of layers have the same."""
    factor = 1.0
    for rope in ropes:
        if _kind(rope) not in SCALED_ALREADY:
            factor = rope.get("factor", factor)
    return float(factor) if factor is not None else 1.0


def _ropes(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """RoPE's settings: one, or one for each kind of layer. transformers 5 writes rope_parameters for rope_scaling."""
    found = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(found, Mapping):
        return
    nested = [each for each in found.values() if isinstance(each, Mapping)]
    yield from nested or [found]


def _kind(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")
