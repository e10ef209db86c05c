"""Valid values from a schema. A property for which nothing here knows one fails: whoever adds it adds a line."""

from __future__ import annotations

import copy
from typing import Any

from tests.faults.properties.schema import ITEM, VALUE, Path, Schema, child, members_of, pattern_of

PATTERNS: dict[str, tuple[Any, ...]] = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": ("spare", "other"),
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": ("spare", "other.name"),
    r"^[-._a-zA-Z0-9]+$": ("token", "other.key"),
    r"^[A-Za-z0-9_.\-]+/[A-Za-z0-9_.\-]+$": ("owner/model", "owner/other"),
    r"^[0-9a-f]{40}$": ("a" * 40, "b" * 40),
    r"^\.?[A-Za-z0-9_=](\.?[A-Za-z0-9_/=+@~\-])*$": ("made/here", "made/there"),
    r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$": ("models", "others"),
    r"^https?://[^\s/]+(/[^\s]*)?$": ("http://s3:9000", "https://s3.example.com"),
    r"^sha256:[0-9a-f]{64}$": (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"),
    r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$": ("arc_easy", "arc_challenge"),
    r"^[a-z0-9][a-z0-9_.\-]*$": ("hermes", "qwen3"),
    r"^[0-9]+(\.[0-9]+)?$": ("0.5", "0.6"),
    r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$": ("6Gi", "8Gi"),
}
"""By the pattern that a string has to match."""
NAMED: dict[Path, tuple[Any, ...]] = {
    ("region",): ("eu", "us"),
    ("gpu",): ("NVIDIA-H100-80GB-HBM3", "80Gi"),
    ("image",): ("registry.example.com/vllm:v1", "registry.example.com/vllm:v2"),
    ("tolerations", ITEM): ({"key": "spare", "operator": "Exists"}, {"key": "other", "value": "yes"}),
    ("tolerations", ITEM, "key"): ("spare", "example.com/other"),
    ("tolerations", ITEM, "value"): ("yes", "no"),
    ("env", ITEM, "name"): ("OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    ("env", ITEM, "value"): ("1", "2"),
    ("args", ITEM): ("--max-num-seqs=32", "--max-num-seqs=16"),
    ("histogramBuckets",): ({"requestLatency": ["0.5"]}, {"timeToFirstToken": ["0.1", "0.2"]}),
    ("nodeSelector",): ({"pool": "gpu"},),
    ("nodeSelector", VALUE): ("gpu", "other"),
    ("annotations",): ({"team": "chat"},),
    ("annotations", VALUE): ("chat", "other"),
    ("affinity",): (
        {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    ),
    ("requests",): ({"memory": "1Gi"},),
    ("requests", VALUE): ("1", "2"),
    ("limits",): ({"memory": "4Gi"},),
    ("limits", VALUE): ("12Gi", "16Gi"),
    ("gate",): ({"maximum": [{"metric": "KLDivergence", "value": "0.2"}]},),
    ("maximum", ITEM, "value"): ("0.2", "1.3"),
    ("storeRef",): ("other",),
    ("column",): ("body", "question"),
    ("huggingFace", "config"): ("en", "de"),
    ("huggingFace", "split"): ("train", "test"),
    ("messages", ITEM, "content"): ("Hello!", "Good morning!"),
    ("prompts", ITEM, "text"): ("The quick brown fox", "The lazy dog"),
    ("generation", "pattern"): ("answer: (.+)", "#### (.+)"),
    ("generation", "jsonSchema"): ('{"type": "object"}', '{"type": "array"}'),
    ("expectedField",): ("right", "solution"),
    ("categoryField",): ("kind", "topic"),
    ("labels",): (["fraud", "fine"], ["yes", "no"]),
    ("labels", ITEM): ("doubtful", "other"),
    ("tasks", ITEM, "metric"): ("acc_norm", "exact_match"),
    ("tasks", ITEM, "filter"): ("strict-match", "flexible-extract"),
    ("classification", "field"): ("is_fraud", "class"),
}
"""By the end of the path: what no pattern tells."""
KEYS = ("spare", "other")
"""Of maps."""
RESOURCES = ("cpu", "memory", "ephemeral-storage")
"""Of maps of quantities."""


class NoValueError(Exception):
    """Nothing here knows a valid value."""


def known(path: Path, schema: Schema) -> tuple[Any, ...]:
    """Valid values of a leaf, or of what cannot be made from its parts."""
    for length in range(len(path), 0, -1):
        if path[-length:] in NAMED:
            return NAMED[path[-length:]]
    if "enum" in schema:
        return tuple(schema["enum"])
    if schema.get("type") == "boolean":
        return (True, False)
    if schema.get("type") == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)
        first = schema.get("default", low + 1)
        return tuple(each for each in (first, first + 1, first - 1) if low <= each <= high)
    return PATTERNS.get(pattern_of(schema) or "", ())


def others(path: Path, schema: Schema, present: Any) -> list[Any]:
    """Valid values of a leaf, other than the present one. Raises NoValueError."""
    found = list(known(path, schema))
    if schema.get("type") == "integer" and isinstance(present, int) and "enum" not in schema:
        found = [present + 1, present - 1]
        found = [each for each in found if schema.get("minimum", each) <= each <= schema.get("maximum", each)]
    found = [each for each in found if each != present]
    if not found:
        raise NoValueError(
            f"no other value is known for {'.'.join(path)} ({schema}): add one to PATTERNS or NAMED in {__name__}"
        )
    return found


def is_leaf(schema: Schema) -> bool:
    """Whether it has no parts of its own."""
    return not any(key in schema for key in ("properties", "items", "additionalProperties"))


def examples(path: Path, schema: Schema) -> list[Any]:
    """Small valid values of any property: of each member, where exactly one is to be set. Raises NoValueError."""
    if is_leaf(schema):
        return others(path, schema, None)
    if found := known(path, schema):
        return copy.deepcopy(list(found))
    if "items" in schema:
        return [[each] for each in examples((*path, ITEM), schema["items"])]
    if "properties" not in schema:
        return [{KEYS[0]: each} for each in examples((*path, VALUE), schema["additionalProperties"])]
    needed = {name: examples((*path, name), child(schema, name))[0] for name in schema.get("required", ())}
    members = members_of(schema)
    if not members:
        return [needed]
    return [needed | {name: each} for name in members for each in examples((*path, name), child(schema, name))]


def fill(path: Path, schema: Schema, value: Any) -> Any:
    """The value with every part that may be there: but for leaves that have no value, and other members."""
    if isinstance(value, list):
        return [fill((*path, ITEM), schema["items"], each) for each in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    filled = dict(value)
    members = members_of(schema)
    for name, each in schema["properties"].items():
        if name not in filled and name not in members and not is_leaf(each):
            filled[name] = examples((*path, name), each)[0] if "default" not in each else copy.deepcopy(each["default"])
        if name in filled:
            filled[name] = fill((*path, name), each, filled[name])
    return filled
