"""The properties of a CRD's spec, from the CRD itself: what is added to it is found here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from lowbit.schema.structural import DEFAULT
from tests.api.manifests import ROOT

Schema = dict[str, Any]
Path = tuple[str, ...]
"""Names of fields; ITEM for the items of a list, VALUE for the values of a map."""
ITEM, VALUE = "[]", "{}"
_MEMBER = re.compile(r"\(has\(self\.(\w+)\) \? 1 : 0\)")
_PATTERN = re.compile(r"(?:^|\|\| string\()self\)?\.matches\(r'(.*)'\)$")


@dataclass(frozen=True)
class Property:
    """One property of a spec: a field, the items of a list, or the values of a map."""

    path: Path
    schema: Schema
    required: bool = False
    """The API server refuses an object that has the parent and not this."""
    member: bool = False
    """One of several, of which there is exactly one."""
    beside: tuple[str, ...] = ()
    """All of those several, if it is a member."""
    keys: tuple[str, ...] = ()
    """Of a list's items: the fields in which no two may be the same."""

    def __str__(self) -> str:
        return "spec." + ".".join(self.path).replace(f".{ITEM}", ITEM).replace(f".{VALUE}", VALUE)


@cache
def spec_schema(plural: str) -> Schema:
    """The schema of the spec in crds/<plural>.yaml, with the defaults that stand in descriptions (inside of lists)."""
    crd = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for each in properties(schema):
        _, mark, told = each.schema.get("description", "").rpartition(f" {DEFAULT}")
        if mark:
            each.schema["default"] = json.loads(told.removesuffix("."))
    return schema


def properties(schema: Schema, path: Path = ()) -> Iterator[Property]:
    """Everything below a schema, parents before their children."""
    members = members_of(schema)
    for name, each in (schema.get("properties") or {}).items():
        yield Property((*path, name), each, name in schema.get("required", ()), name in members, members)
        yield from properties(each, (*path, name))
    for step, each in ((ITEM, schema.get("items")), (VALUE, schema.get("additionalProperties"))):
        if isinstance(each, dict):
            yield Property((*path, step), each, keys=tuple(schema.get("x-kubernetes-list-map-keys", ())))
            yield from properties(each, (*path, step))


def child(schema: Schema, step: str) -> Schema:
    """The schema one step down."""
    if step == ITEM:
        found: Schema = schema["items"]
    elif step == VALUE:
        found = schema["additionalProperties"]
    else:
        found = schema["properties"][step]
    return found


def members_of(schema: Schema) -> tuple[str, ...]:
    """The fields of which exactly one is to be set, as the schema's own rule says; none where it has no such rule."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if rule["rule"].endswith("== 1") and (found := _MEMBER.findall(rule["rule"])):
            return tuple(found)
    return ()


def pattern_of(schema: Schema) -> str | None:
    """The pattern that a string has to match."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if found := _PATTERN.search(rule["rule"]):
            return found[1]
    return schema.get("pattern")
