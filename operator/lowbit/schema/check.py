"""The API server's judgement of a manifest, without an API server: the same paths and the same words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lowbit.api.base import API_VERSION, Wire
from lowbit.api.modelstore import ModelStore
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModel
from lowbit.schema.patterns import PATTERNS
from lowbit.schema.rules_objects import OBJECT_RULES, rules_of
from lowbit.schema.structural import LIST_KEYS

WRITTEN_BY_PEOPLE: Final[dict[str, type[QuantizedModel] | type[ModelStore]]] = {
    "QuantizedModel": QuantizedModel,
    "ModelStore": ModelStore,
}


@dataclass(frozen=True)
class Finding:
    """Something that the API server would refuse."""

    field: str
    """Path in the manifest: spec.engine.vllm.args."""
    message: str
    """What is wrong, and what to write instead."""


@dataclass(frozen=True)
class Checked:
    """Result of a check: findings or, if there are none, the parsed object."""

    name: str
    findings: tuple[Finding, ...]
    body: QuantizedModel | ModelStore | None = None


def check_manifest(manifest: Mapping[str, Any], platform: Platform | None = None) -> Checked:
    """Check one manifest of a kind that people write. platform: what it allows beside Lowbit's lists."""
    metadata = manifest.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
    kind = WRITTEN_BY_PEOPLE.get(str(manifest.get("kind")))
    if kind is None:
        written = " or ".join(WRITTEN_BY_PEOPLE)
        return Checked(name, (Finding("kind", f"{manifest.get('kind')!r} is nothing that people write: {written}"),))
    findings = [] if name else [Finding("metadata.name", "Required value: give it a name")]
    if manifest.get("apiVersion") != API_VERSION:
        findings.append(Finding("apiVersion", f"{manifest.get('apiVersion')!r} is not known: write {API_VERSION}"))
    spec_type = kind.model_fields["spec"].annotation
    assert isinstance(spec_type, type) and issubclass(spec_type, Wire)  # noqa: S101 - true for both kinds
    try:
        # Strict and through JSON, because the API server takes no "4" for 4 either.
        spec = spec_type.model_validate_json(json.dumps(manifest.get("spec", {}), default=str), strict=True)
    except ValidationError as error:
        findings += [schema_finding(detail, manifest) for detail in collapsed(error.errors())]
        return Checked(name, tuple(findings))
    body = kind.model_validate({"spec": spec})
    findings += list(broken_rules(spec, "spec", platform))
    if name:
        findings += [
            Finding(rule.field, rule.message) for rule in OBJECT_RULES[kind] if not rule.holds(name, body)
        ]  # fmt: skip
    return Checked(name, tuple(findings), None if findings else body)


def broken_rules(value: Wire, path: str, platform: Platform | None = None) -> Iterator[Finding]:
    """Rules that the value and its members break, and lists that hold a name twice."""
    for rule in rules_of(type(value), platform):
        if rule.holds is not None and not rule.holds(value):
            what = f" ({rule.offender(value)})" if rule.offender is not None else ""
            yield Finding(f"{path}.{rule.field}" if rule.field else path, rule.message + what)
    for attribute, field in type(value).model_fields.items():
        below = f"{path}.{field.alias or attribute}"
        member = getattr(value, attribute)
        if isinstance(member, Wire):
            yield from broken_rules(member, below, platform)
        elif isinstance(member, list):
            yield from duplicates(member, below)
            for index, item in enumerate(member):
                if isinstance(item, Wire):
                    yield from broken_rules(item, f"{below}[{index}]", platform)


def duplicates(items: list[Any], path: str) -> Iterator[Finding]:
    """Items of a map-like list with the same key, in the API server's words."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, Wire):
            return
        key = next(iter(type(item).model_fields))
        if key not in LIST_KEYS or not type(item).model_fields[key].is_required():
            return
        text = str(getattr(item, key))
        if text in seen:
            yield Finding(f"{path}[{index}]", f'Duplicate value: {{"{key}":"{text}"}}: give each a {key} of its own')
        seen.add(text)


def collapsed(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """One error per place: pydantic gives one for each member of a union (Auto or a number)."""
    by_place: dict[tuple[int | str, ...], ErrorDetails] = {}
    for error in errors:
        place = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith("literal[")))
        if place in by_place:
            expected = f"{by_place[place]['ctx']['expected']}, {error['ctx']['expected']}"
            error = {**error, "ctx": {"expected": expected}}  # noqa: PLW2901
        by_place[place] = {**error, "loc": place}
    return list(by_place.values())


SCHEMA_MESSAGES: Final = {
    "missing": "Required value",
    "greater_than_equal": "should be greater than or equal to {ge}",
    "less_than_equal": "should be less than or equal to {le}",
    "too_short": "should have at least {min_length} items",
    "string_too_short": "should be at least {min_length} chars long",
    "string_too_long": "may not be more than {max_length} bytes",
    "int_type": "must be of type integer",
    "int_parsing": "must be of type integer",
    "int_from_float": "must be of type integer",
    "string_type": "must be of type string",
    "bool_type": "must be of type boolean",
    "bool_parsing": "must be of type boolean",
    "list_type": "must be of type array",
    "model_type": "must be of type object",
    "model_attributes_type": "must be of type object",
    "dict_type": "must be of type object",
}
"""The API server's words for what pydantic finds."""


def schema_finding(error: ErrorDetails, manifest: Mapping[str, Any]) -> Finding:
    """One pydantic error in the API server's words, with a hint where the words alone do not say what to write."""
    path = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "string_pattern_mismatch":
        return Finding(path, PATTERNS.get(context["pattern"], error["msg"]))
    if kind == "extra_forbidden":
        return Finding(path, f'unknown field "{path}"{known_fields(error["loc"], manifest)}')
    if kind == "too_long":
        return Finding(path, f"must have at most {context['max_length']} items")
    if kind == "literal_error":
        values = ", ".join(f'"{value}"' for value in re.findall(r"[\w-]+", context["expected"]) if value != "or")
        return Finding(path, f"Unsupported value: {error['input']!r}: supported values: {values}")
    text = SCHEMA_MESSAGES.get(kind, error["msg"]).format(**context)
    quotes = ': write it in quotes, such as "0.15"' if kind == "string_type" and _is_number(error["input"]) else ""
    return Finding(
        path, f"{'Invalid value: ' + repr(error['input']) + ': ' if kind != 'missing' else ''}{text}{quotes}"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def known_fields(location: tuple[int | str, ...], manifest: Mapping[str, Any]) -> str:
    """The known fields in the place of an unknown one, for a message."""
    kind = WRITTEN_BY_PEOPLE[str(manifest["kind"])]
    current: Any = kind.model_fields["spec"].annotation
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
        current = wire_type(fields.get(part))
        if current is None:
            return ""
    return f"; known are {', '.join(field.alias or name for name, field in current.model_fields.items())}"


def wire_type(annotation: Any) -> type[Wire] | None:
    """The type of the objects in an annotation: X, X | None, list[X]."""
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        return annotation
    return next((found for argument in get_args(annotation) if (found := wire_type(argument))), None)
