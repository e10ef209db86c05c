"""What all types share: camelCase names on the wire, no unknown fields, and the few scalar types."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "lowbit.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "lowbit"

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
"""A SHA-256 as it is written in manifests: ``sha256:`` and 64 hexadecimal digits."""

DecimalString = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?$", max_length=20)]
"""A decimal number kept as text, because a float in an API object is not portable: "0.15"."""


def _quantity(value: object) -> object:
    """A whole number as text: people write `cpu: 4`, and Kubernetes accepts it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


QuantityString = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=20),
    BeforeValidator(_quantity),
]
"""A Kubernetes resource quantity: "500m", "16Gi", or a whole number."""

ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""The name of an object in the same namespace (a DNS label)."""

OtherName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253)
]
"""The name of an object that others make: a Secret, a ConfigMap, a claim (a DNS subdomain: dots are fine)."""

QueueName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=63)
]
"""The name of one of Kueue's LocalQueues or WorkloadPriorityClasses: it is the value of a label, so 63 characters."""

RelativePath = Annotated[
    str,
    StringConstraints(pattern=r"^\.?[A-Za-z0-9_=](\.?[A-Za-z0-9_/=+@~\-])*$", max_length=512),
    Field(examples=["models/smollm2"]),
]
"""A path below the root of a volume or bucket; never absolute, and ``..`` is refused."""


class Wire(BaseModel):
    """A type that crosses the wire: camelCase names, unknown fields refused, immutable once made."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    def wire(self) -> dict[str, object]:
        """The object as it is written to the API server: camelCase, without what was never set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Tolerant(Wire):
    """A wire type read back from a cluster, where a newer Lowbit may have written more fields."""

    model_config = ConfigDict(extra="ignore")


def decimal(text: str) -> Decimal:
    """The number in a DecimalString."""
    return Decimal(text)
