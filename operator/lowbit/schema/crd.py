"""The CustomResourceDefinitions, made from the types. `lowbit crds FOLDER` writes them; a test keeps crds/ current."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from lowbit.api.base import GROUP, VERSION, Wire
from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStore
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModel
from lowbit.schema.rules_objects import OBJECT_RULES
from lowbit.schema.structural import DEFAULT, Converter, Schema, validation

HEADER: Final = "# Made from operator/lowbit/api by `lowbit crds crds`: change the types, not this file.\n"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; wide ones are seen with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""

    def manifest(self) -> dict[str, object]:
        written: dict[str, object] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        if self.description:
            written["description"] = self.description
        return written | ({"priority": 1} if self.wide else {})


def condition(kind: str, member: str = "status") -> str:
    """JSONPath of one condition."""
    return f'.status.conditions[?(@.type=="{kind}")].{member}'


AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True)
class Kind:
    """One resource."""

    type: type[Wire]
    plural: str
    short: str
    columns: tuple[Column, ...]
    written_by_people: bool
    scale: bool = False

    @property
    def name(self) -> str:
        return self.type.__name__

    @property
    def file(self) -> str:
        return f"{self.plural}.yaml"


KINDS: Final = (
    Kind(
        QuantizedModel,
        "quantizedmodels",
        "qm",
        (
            Column("Ready", condition("Ready"), description="Whether this generation is served (or has passed)"),
            Column("Stage", ".status.stage", description="Where it is on the way"),
            Column("%", ".status.progress.percent", "integer", description="How far the stage is"),
            Column("Verdict", ".status.verdict.verdict", description="The last verdict of the gate"),
            Column("Reason", ".status.reason", description="Why it is, or is not, ready"),
            AGE,
            Column("Available", condition("Available"), wide=True, description="Whether a passed revision answers"),
            Column("Current", ".status.current.name", wide=True, description="The revision that is served"),
            Column("Ratio", ".status.current.artifact.ratio", wide=True, description="How much smaller it is"),
            Column("Message", ".status.message", wide=True, description="The reason in words"),
        ),
        written_by_people=True,
        scale=True,
    ),
    Kind(
        ModelStore,
        "modelstores",
        "mstore",
        (
            Column("Ready", condition("Ready")),
            Column("Reason", condition("Ready", "reason")),
            Column("Claim", ".spec.pvc.claimName"),
            Column("Bucket", ".spec.s3.bucket"),
            Column("Capacity", ".status.capacity"),
            AGE,
            Column("Message", condition("Ready", "message"), wide=True),
        ),
        written_by_people=True,
    ),
    Kind(
        ModelRevision,
        "modelrevisions",
        "mrev",
        (
            Column("Model", ".spec.quantizedModel"),
            Column("Candidate", ".spec.candidate", "integer"),
            Column("Verdict", ".status.verdict.verdict"),
            Column("Ratio", ".status.artifact.ratio"),
            AGE,
            Column("Basis", ".status.verdict.basis", wide=True),
            Column("Evaluation", ".status.evaluation", wide=True),
            Column("Message", ".status.verdict.message", wide=True),
        ),
        written_by_people=False,
    ),
    Kind(
        ModelEvaluation,
        "modelevaluations",
        "meval",
        (
            Column("Of", ".spec.model.kind"),
            Column("Phase", ".status.phase"),
            Column("Baseline", ".spec.baseline"),
            AGE,
            Column("Kernel", ".status.summary.kernels[0]", wide=True),
            Column("Reason", condition("Complete", "reason"), wide=True),
        ),
        written_by_people=False,
    ),
)


def root_schema(kind: Kind, platform: Platform | None = None) -> Schema:
    """Schema of the whole object. apiVersion, kind and metadata are the API server's own."""
    converted = Converter(kind.type, rules=kind.written_by_people, platform=platform).convert()
    status = {key: value for key, value in converted["properties"]["status"].items() if key != "default"}
    schema: Schema = {
        "type": "object",
        "description": kind_description(kind),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": converted["properties"]["spec"],
            "status": without_defaults(status),
        },
    }
    rules = [
        validation(rule.cel, rule.message, None if rule.field.startswith("metadata") else rule.field)
        for rule in OBJECT_RULES[kind.type]
    ]
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def kind_description(kind: Kind) -> str:
    """What `kubectl explain` says first: the first line of the type's module."""
    text = sys.modules[kind.type.__module__].__doc__ or ""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


def without_defaults(node: Any) -> Any:
    """A schema without defaults, for a status: nobody writes one, and the API server must not fill in anything."""
    if isinstance(node, list):
        return [without_defaults(item) for item in node]
    if isinstance(node, dict):
        return {key: without_defaults(value) for key, value in node.items() if key != "default"}
    return node.partition(f" {DEFAULT}")[0] if isinstance(node, str) else node


def definition(kind: Kind, platform: Platform | None = None) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    subresources: dict[str, Any] = {"status": {}}
    if kind.scale:
        subresources["scale"] = {
            "specReplicasPath": ".spec.serving.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": ["lowbit"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "additionalPrinterColumns": [column.manifest() for column in kind.columns],
                    "schema": {"openAPIV3Schema": root_schema(kind, platform)},
                }
            ],
        },
    }


FLAT: Final = 300
"""Longest mapping, in characters, that is written as one line."""


class Unaliased(yaml.SafeDumper):
    """YAML without anchors, which kubectl reads but people do not."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        """Write a list of one flat item as one line, not two: most lists of rules have one."""
        node = super().represent_sequence(tag, sequence, flow_style)
        if len(node.value) == 1 and getattr(node.value[0], "flow_style", False):
            node.flow_style = True
        return node

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        """Write a short mapping as one line: half of such a file would be indentation."""
        node = super().represent_mapping(tag, mapping, flow_style)
        flat = all(getattr(value, "flow_style", True) for _, value in node.value)
        if flat and len(str(mapping)) <= FLAT:
            node.flow_style = True
        return node


def files(platform: Platform | None = None) -> Mapping[str, str]:
    """Every CustomResourceDefinition as YAML, by file name. platform: what it allows beside Lowbit's lists."""
    return {
        kind.file: HEADER
        + yaml.dump(
            definition(kind, platform),
            Dumper=Unaliased,
            sort_keys=False,
            width=10_000,
            allow_unicode=True,
            default_flow_style=None,
        )
        for kind in KINDS
    }
