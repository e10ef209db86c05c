"""The reference of every kind as Markdown, made from the types. `lowbit reference FOLDER` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lowbit.api.base import API_VERSION, Wire
from lowbit.schema.crd import KINDS, Kind, kind_description
from lowbit.schema.rules_objects import OBJECT_RULES, rules_of
from lowbit.schema.structural import subclasses

Schema = dict[str, Any]

HEADER: Final = (
    "<!-- Made from operator/lowbit/api by `lowbit reference docs/reference`: change the types instead. -->\n"
)


def files() -> Mapping[str, str]:
    """One page per kind and an index, by file name."""
    pages = {f"{kind.name.lower()}.md": page(kind) for kind in KINDS}
    index = [HEADER, "# Reference\n", f"API version `{API_VERSION}`.\n"]
    index += [f"- [{kind.name}]({kind.name.lower()}.md) (`{kind.short}`): {kind_description(kind)}" for kind in KINDS]
    return pages | {"README.md": "\n".join(index) + "\n"}


def page(kind: Kind) -> str:
    """Every type of one kind, in the order in which a reader meets them."""
    source = kind.type.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = source["$defs"]
    parts = [HEADER, f"# {kind.name}\n", kind_description(kind) + "\n"]
    parts += [f"`apiVersion: {API_VERSION}`, `kind: {kind.name}`, short name `{kind.short}`.\n"]
    parts += rules_section([rule.message for rule in OBJECT_RULES[kind.type]])
    for name in in_order(source, definitions):
        node = definitions[name]
        if "properties" in node:
            parts += section(name, node)
    return "\n".join(parts)


def in_order(node: Any, definitions: dict[str, Schema], seen: list[str] | None = None) -> list[str]:
    """Names of the types that a node leads to, depth first."""
    seen = [] if seen is None else seen
    for reference in references(node.get("properties", {})):
        if reference not in seen:
            seen.append(reference)
            in_order(definitions[reference], definitions, seen)
    return seen


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[-1]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def section(name: str, node: Schema) -> list[str]:
    """One type: what it is, a table of its fields, and what is refused."""
    required = node.get("required", [])
    cells = [
        (f"`{field}`", type_of(child), default_of(child, field in required), cell(child.get("description", "")))
        for field, child in node["properties"].items()
    ]
    rows = [f"| {' | '.join(each)} |" for each in cells]
    table = ["| Field | Type | Default | Description |", "|---|---|---|---|", *rows, ""]
    return [f"## {name}\n", cell(node.get("description", "")) + "\n", *table, *rules_section(messages_of(name))]


def messages_of(name: str) -> list[str]:
    kinds = {kind.__name__: kind for kind in subclasses(Wire)}
    return [rule.message for rule in rules_of(kinds[name])] if name in kinds else []


def rules_section(messages: list[str]) -> list[str]:
    return ["Refused, with these words:", "", *(f"- {cell(message)}" for message in messages), ""] if messages else []


def type_of(node: Schema) -> str:
    """The type in a reader's words, with its bounds."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in node:
        return " or ".join(type_of(member) for member in node["anyOf"] if member.get("type") != "null")
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        return f"list of {type_of(node['items'])}{bounds(node, 'minItems', 'maxItems')}"
    if node.get("type") == "object":
        values = node.get("additionalProperties")
        return f"map of {type_of(values)}" if isinstance(values, dict) else "object"
    return f"{node.get('type', 'any')}{bounds(node, 'minimum', 'maximum')}"


def bounds(node: Schema, low: str, high: str) -> str:
    """`, 1 to 8` where both are known."""
    match node.get(low), node.get(high):
        case None, None:
            return ""
        case None, most:
            return f", at most {most}"
        case least, None:
            return f", at least {least}"
        case least, most:
            return f", {least} to {most}"


def default_of(node: Schema, required: bool) -> str:
    if required:
        return "required"
    default = node.get("default")
    return "" if default is None or isinstance(default, (dict, list)) else f"`{json.dumps(default)}`"


def cell(text: str) -> str:
    """Text that a table takes."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()
