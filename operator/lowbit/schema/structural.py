"""From a pydantic type to the structural schema that a CustomResourceDefinition takes.

Differences from JSON Schema: no $ref, no anyOf with null (what may be absent is not required), no additionalProperties
beside properties (the API server prunes, and strict validation refuses), no floats, and lists with keys.

Inside the items of a list there are no defaults: Argo CD and others merge a list as one value, and would take what the
API server has filled in for a change of somebody's, for ever. The types have the default, and the description says it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel

from lowbit.api.base import Wire
from lowbit.api.platform import Platform
from lowbit.api.tagged import Tagged
from lowbit.schema.patterns import PATTERNS
from lowbit.schema.rules_objects import rules_of

Schema = dict[str, Any]

COPIED: Final = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")
LIST_KEYS: Final = ("name", "type", "metric")
"""A list of objects whose first member is one of these, and is required, is a map by it: no duplicates, easy merges."""
DEFAULT: Final = "Default: "
"""Before the default of a field inside of a list, in its description."""
QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"


class Converter:
    """Converts one type's JSON Schema; `rules` says whether people write it (CEL and its messages) or Lowbit does."""

    def __init__(self, model: type[BaseModel], *, rules: bool, platform: Platform | None = None) -> None:
        self.source = model.model_json_schema(by_alias=True)
        self.definitions: dict[str, Schema] = self.source.get("$defs", {})
        self.rules = rules
        self.platform = platform
        self.lists = 0
        """How many lists the present node is inside of."""

    def convert(self) -> Schema:
        """The structural schema of the whole type."""
        return self.schema(self.source)

    def schema(self, node: Schema) -> Schema:
        """One node, everything below it included."""
        node = self.resolved(node)
        out: Schema = {}
        if "description" in node:
            out["description"] = " ".join(node["description"].split())
        if "anyOf" in node:
            out |= self.int_or_string(node["anyOf"])
        elif node.get("pattern") == QUANTITY:
            out |= self.quantity(node)
        elif node.get("type") == "object":
            out |= self.object(node)
        else:
            out |= self.scalar_or_list(node)
        if "const" in node:
            out["enum"] = [node["const"]]
        if self.is_worth_filling_in(node):
            out |= self.filled_in(node, out)
        return out

    def filled_in(self, node: Schema, out: Schema) -> Schema:
        """The default for the API server; inside of a list for readers only."""
        if not self.lists:
            return {"default": self.default(node)}
        if "description" not in out or isinstance(node["default"], dict):
            return {}
        return {"description": f"{out['description']} {DEFAULT}{json.dumps(node['default'])}."}

    def resolved(self, node: Schema) -> Schema:
        """The node with its reference followed and `or null` taken away; its own description and default win."""
        kept = {key: value for key, value in node.items() if key in ("description", "default")}
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            return self.resolved({**self.definitions[name], "x-type": name, **kept})
        if "anyOf" in node:
            members = [member for member in node["anyOf"] if member.get("type") != "null"]
            if len(members) == 1:
                return self.resolved({**members[0], **kept})
        return node

    def is_worth_filling_in(self, node: Schema) -> bool:
        """Whether the API server should write the default. Empty ones ({}, [], "") say nothing."""
        default = node.get("default")
        if not isinstance(default, dict):
            return default not in (None, [], "")
        if self.is_union(node):
            return True
        return any(self.is_worth_filling_in(self.resolved(child)) for child in node.get("properties", {}).values())

    def default(self, node: Schema) -> Any:
        """The default that the API server writes. Of an object only the union's member: members have defaults too."""
        default = node["default"]
        if not isinstance(default, dict):
            return default
        return {member: {} for member, value in default.items() if value is not None} if self.is_union(node) else {}

    def is_union(self, node: Schema) -> bool:
        """Whether it is a tagged union, of which one member has to be set."""
        return str(node.get("x-type")) in {kind.__name__ for kind in subclasses(Tagged)}

    def object(self, node: Schema) -> Schema:
        if "properties" not in node:
            return self.map(node)
        out: Schema = {"type": "object"}
        if node.get("required"):
            out["required"] = list(node["required"])
        out["properties"] = {name: self.schema(child) for name, child in node["properties"].items()}
        return out | self.validations(str(node.get("x-type", node.get("title", ""))))

    def map(self, node: Schema) -> Schema:
        values = node.get("additionalProperties")
        if not isinstance(values, dict):
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        out: Schema = {"type": "object", "additionalProperties": self.schema(values)}
        if "maxProperties" in node:
            out["maxProperties"] = node["maxProperties"]
        return out

    def scalar_or_list(self, node: Schema) -> Schema:
        out: Schema = {key: node[key] for key in COPIED if key in node}
        if out.get("type") == "number":
            raise TypeError(f"a float in an API object is not portable: {node}")
        if out.get("type") == "array":
            self.lists += 1
            out["items"] = self.schema(node["items"])
            self.lists -= 1
            out |= list_kind(out["items"])
        if self.rules and "pattern" in out:
            pattern = out.pop("pattern")
            out["x-kubernetes-validations"] = [validation(f"self.matches(r'{pattern}')", PATTERNS[pattern])]
        return out

    def quantity(self, node: Schema) -> Schema:
        """4 or "4" or "500m"."""
        out: Schema = {"x-kubernetes-int-or-string": True, "maxLength": node["maxLength"]}
        if not self.rules:
            return out | {"pattern": QUANTITY}
        rule = f"type(self) == int || string(self).matches(r'{QUANTITY}')"
        return out | {"x-kubernetes-validations": [validation(rule, PATTERNS[QUANTITY])]}

    def int_or_string(self, members: list[Schema]) -> Schema:
        """A union of words and whole numbers, both as enumerations."""
        values = [value for member in members for value in member.get("enum", [member.get("const")])]
        if {type(value) for value in values} != {int, str}:
            raise TypeError(f"no structural schema for {members}")
        # The length tells the API server how little a rule that compares two of them costs.
        longest = max(len(value) for value in values if isinstance(value, str))
        return {"x-kubernetes-int-or-string": True, "maxLength": longest, "enum": values}

    def validations(self, name: str) -> Schema:
        known = {kind.__name__: kind for kind in subclasses(Wire)}
        rules = rules_of(known[name], self.platform) if name in known else []
        if not self.rules:
            rules = [rule for rule in rules if rule.holds is None]
        found = [validation(rule.cel, rule.message, rule.field) for rule in rules]
        return {"x-kubernetes-validations": found} if found else {}


def validation(rule: str, message: str, field: str | None = None) -> Schema:
    """One CEL rule as a CustomResourceDefinition holds it."""
    return {"rule": rule, "message": message} | ({"fieldPath": f".{field}"} if field else {})


def list_kind(items: Schema) -> Schema:
    """listType map if the items have names; otherwise nothing, which means atomic."""
    first = next(iter(items.get("properties", {})), None)
    if first in LIST_KEYS and first in items.get("required", []):
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [first]}
    return {}


def subclasses(kind: type[Wire]) -> set[type[Wire]]:
    """The type and all its subclasses that have been imported so far."""
    return {kind} | {deeper for below in kind.__subclasses__() for deeper in subclasses(below)}
