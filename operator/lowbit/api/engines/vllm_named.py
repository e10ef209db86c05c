"""Options of vLLM that have a name in the manifest, beside those that Lowbit needs itself.

None has a default of Lowbit's: an option that is left out is not written, and vLLM decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, StringConstraints

from lowbit.api.base import DecimalString, Wire
from lowbit.api.engines.vllm_arguments import SINCE, lacks, spellings, value_of
from lowbit.api.engines.vllm_rules import NAME
from lowbit.api.engines.vllm_rules import names as spelled
from lowbit.api.problem import Problem
from lowbit.api.rule import NUMBER_CEL, Rule, listed

if TYPE_CHECKING:
    from lowbit.api.engines.vllm import VLLM, ResolvedVLLM

Parser = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]*$", max_length=63)]
"""A parser by vLLM's name for it; which there are depends on the version."""
Bounds = Annotated[list[DecimalString], Field(min_length=1, max_length=32)]
"""Upper bounds of a histogram's buckets, rising."""
CacheDtype = Literal["BFloat16", "Float16", "FP8", "FP8E4M3", "FP8E5M2"]

CACHE_DTYPES: Final[dict[str, str]] = {
    "BFloat16": "bfloat16", "Float16": "float16", "FP8": "fp8", "FP8E4M3": "fp8_e4m3", "FP8E5M2": "fp8_e5m2",
}  # fmt: skip
"""As vLLM writes them."""


class HistogramBuckets(Wire):
    """Upper bounds of the buckets of vLLM's histograms, by family. A family that is left out keeps vLLM's."""

    request_latency: Bounds | None = None
    """Seconds of a request, from end to end and in each phase: queue, prefill, decode."""
    time_to_first_token: Bounds | None = None
    """Seconds."""
    inter_token_latency: Bounds | None = None
    """Seconds between two tokens of an answer."""
    iteration_tokens: Bounds | None = None
    """Tokens of one step of the engine."""
    request_params_n: Bounds | None = None
    """Answers that a request asks for."""
    request_num_preemptions: Bounds | None = None
    """How often a request was preempted."""
    request_tokens: Bounds | None = None
    """Tokens of a request's prompt, and of its answer."""
    kv_cache_residency: Bounds | None = None
    """Seconds that blocks stay in the KV cache."""


class NamedOptions(Wire):
    """Options that can change an answer. They are frozen in a ModelRevision, and a change of one is judged anew."""

    kv_cache_dtype: CacheDtype | None = None
    """Type of the KV cache; by default the model's. FP8 halves the cache, and can cost quality in long and multi-turn
    texts: let a suite measure those."""
    max_num_seqs: int | None = Field(default=None, ge=1, le=65_536)
    """Requests that are computed at once, at most; the others wait. By default vLLM decides. It may be more than fit
    the KV cache: vLLM then pauses some of them."""
    prefix_caching: bool | None = None
    """Whether requests with the same beginning share its keys and values; by default vLLM decides. Measurements have
    it off in any case: their numbers would depend on the order of requests."""
    chunked_prefill: bool | None = None
    """Whether long prompts are computed in pieces, between the tokens of other requests; by default vLLM decides."""
    tool_call_parser: Parser | None = None
    """How tool calls are read from answers: hermes, llama3_json, mistral, qwen3_coder and others, as the model's card
    says. It turns automatic tool choice on (--enable-auto-tool-choice). By default clients cannot leave the choice of
    a tool to the model."""
    reasoning_parser: Parser | None = None
    """How reasoning is told from the answer: deepseek_r1, qwen3 and others, as the model's card says. By default it
    stays in the answer."""


CACHE_BITS: Final[tuple[tuple[str, float], ...]] = (
    ("auto", 16), ("bfloat16", 16), ("float16", 16), ("fp8", 8), ("int8", 8), ("int4", 4), ("nvfp4", 4),
)  # fmt: skip
"""Of a value of the KV cache, by the beginning of vLLM's name for its type."""
SMALLEST_BITS: Final = 2
"""Of a type that is not known (turboquant, octave): nothing is refused that might fit."""
EVERYTHING: Final = 2**60


@dataclass(frozen=True)
class Named:
    """An option with a name, and the arguments that say the same."""

    field: str
    attribute: str
    options: tuple[str, ...]
    """First long names."""


NAMED: Final = (
    Named("kvCacheDtype", "kv_cache_dtype", ("--kv-cache-dtype",)),
    Named("maxNumSeqs", "max_num_seqs", ("--max-num-seqs",)),
    Named("chunkedPrefill", "chunked_prefill", ("--enable-chunked-prefill",)),
    Named("toolCallParser", "tool_call_parser", ("--tool-call-parser", "--enable-auto-tool-choice")),
    Named("reasoningParser", "reasoning_parser", ("--reasoning-parser",)),
    Named("histogramBuckets", "histogram_buckets", ("--custom-histogram-buckets",)),
)
"""Not prefixCaching: Lowbit sets --enable-prefix-caching itself, so args can never say it."""
BUCKETS: Final = "--custom-histogram-buckets"


def arguments(resolved: ResolvedVLLM) -> list[str]:
    """Arguments of the options that are frozen. --no-enable-x is taken by every version."""
    said: list[str] = []
    if resolved.kv_cache_dtype is not None:
        said += ["--kv-cache-dtype", CACHE_DTYPES[resolved.kv_cache_dtype]]
    if resolved.max_num_seqs is not None:
        said += ["--max-num-seqs", str(resolved.max_num_seqs)]
    for option, value in ("prefix-caching", resolved.prefix_caching), ("chunked-prefill", resolved.chunked_prefill):
        if value is not None:
            said.append(f"--enable-{option}" if value else f"--no-enable-{option}")
    if resolved.tool_call_parser is not None:
        said += ["--enable-auto-tool-choice", "--tool-call-parser", resolved.tool_call_parser]
    if resolved.reasoning_parser is not None:
        said += ["--reasoning-parser", resolved.reasoning_parser]
    return said


def bucket_arguments(buckets: HistogramBuckets | None, resolved: ResolvedVLLM) -> tuple[str, ...]:
    """The buckets as vLLM takes them; nothing where its version has no such argument, or where args say them."""
    if buckets is None or lacks(resolved.image, BUCKETS) or value_of(resolved.args, BUCKETS) is not None:
        return ()
    families = {family: [_number(each) for each in bounds] for family, bounds in _families(buckets).items()}
    return (BUCKETS, json.dumps(families, sort_keys=True, separators=(",", ":")))


def without(spec: VLLM, args: Sequence[str]) -> VLLM:
    """The settings without the named options that these arguments say anew."""
    given = set(spelled(args))
    said = [each.attribute for each in NAMED if given & set(spellings(each.options))]
    return spec.model_copy(update=dict.fromkeys(said)) if said else spec


def cache_bits(spec: VLLM) -> float:
    """Bits of one value in the KV cache; by default those of 16-bit models."""
    said = value_of(spec.args, "--kv-cache-dtype") or CACHE_DTYPES.get(spec.kv_cache_dtype or "", "auto")
    return next((bits for beginning, bits in CACHE_BITS if said.startswith(beginning)), SMALLEST_BITS)


def at_once(spec: VLLM) -> int | None:
    """Requests that are computed at once, as far as the manifest says so."""
    said = value_of(spec.args, "--max-num-seqs") or ""
    return int(said) if said.isdecimal() else spec.max_num_seqs


def offloaded(spec: VLLM) -> int:
    """Bytes of weights that each GPU leaves to the host; as good as all of them where that cannot be told."""
    if value_of(spec.args, "--offload-group-size") or value_of(spec.args, "--offload-backend"):
        return EVERYTHING
    try:
        return int(float(value_of(spec.args, "--cpu-offload-gb") or 0) * 2**30)
    except ValueError:
        return EVERYTHING


def not_in_version(spec: VLLM, image: str) -> list[Problem]:
    """Named options that the image's vLLM lacks. Fields are relative to the engine's."""
    return [
        Problem(
            each.field, "OptionNotInEngine", f"the vLLM of {image} has no {option}",
            "leave it out, or use an image whose vLLM has it" + (f" ({SINCE[option]})" if option in SINCE else ""),
        )
        for each in NAMED
        if getattr(spec, each.attribute) is not None
        for option in each.options
        if lacks(image, option)
    ]  # fmt: skip


def _families(buckets: HistogramBuckets) -> dict[str, list[str]]:
    return {str(family): bounds for family, bounds in buckets if bounds is not None}


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _rising(spec: VLLM) -> bool:
    found = _families(spec.histogram_buckets or HistogramBuckets()).values()
    values = [[Decimal(each) for each in bounds] for bounds in found]
    return all(bounds[0] > 0 and all(one < other for one, other in pairwise(bounds)) for bounds in values)


def _said_twice(named: Named) -> Rule:
    """A rule that an option is said by its name or by args, and not by both."""
    names, which = spellings(named.options), " and ".join(named.options)
    too = ", which turns automatic tool choice on by itself" if len(named.options) > 1 else ""
    return Rule(
        f"!has(self.{named.field}) || !has(self.args) || "
        f"self.args.all(a, !a.startsWith('-') || !({NAME} in {listed(names)}))",
        f"{named.field} and args both say {which}: write {named.field} alone{too}, and leave {which} out of args",
        lambda spec: getattr(spec, named.attribute) is None or not set(spelled(spec.args)) & set(names),
        named.field,
    )


FIELDS: Final = tuple(field.alias or name for name, field in HistogramBuckets.model_fields.items())
EVERY_FAMILY: Final = ", ".join(
    f"has(self.histogramBuckets.{each}) ? self.histogramBuckets.{each} : []" for each in FIELDS
)
"""CEL: the bounds of all families, in a list."""
RISE: Final = (
    "l.all(b, double(b) > 0.0) && l.map(b, double(b)).isSorted() && "
    "l.all(b, l.exists_one(c, double(c) == double(b)))"
)  # fmt: skip
"""CEL: the bounds l of one family rise."""
BEFORE_BUCKETS: Final = ":v?0[.]([0-9]|[12][0-9]|3[01])[.][0-9]+([^0-9./:@][^/:@]*)?(@[^/]*)?$"
"""Images whose tag says a version before SINCE[BUCKETS]. In the words of CEL and of Python alike."""

RULES: Final = (
    *map(_said_twice, NAMED),
    Rule(
        f"!has(self.histogramBuckets) || {' || '.join(f'has(self.histogramBuckets.{field})' for field in FIELDS)}",
        'histogramBuckets names no histogram: write timeToFirstToken: ["0.1", "0.5"], say, or leave it out',
        lambda spec: spec.histogram_buckets is None or bool(_families(spec.histogram_buckets)),
        "histogramBuckets",
    ),
    Rule(
        f"!has(self.histogramBuckets) || [{EVERY_FAMILY}].all(l, l.exists(b, !b.matches({NUMBER_CEL})) || ({RISE}))",
        'the bounds of a histogram are above 0 and rise: write ["0.1", "0.5", "1"], say, each once',
        _rising,
        "histogramBuckets",
    ),
    Rule(
        f"!has(self.histogramBuckets) || !has(self.image) || !self.image.matches('{BEFORE_BUCKETS}')",
        f"the image's vLLM has no {BUCKETS}, which comes with {SINCE[BUCKETS]}: leave histogramBuckets out, or use a "
        "newer image",
        lambda spec: spec.histogram_buckets is None or re.search(BEFORE_BUCKETS, spec.image or "") is None,
        "histogramBuckets",
    ),
)
"""Rules on the named options."""
