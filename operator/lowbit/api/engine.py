"""Parts that every engine and every pod takes from a manifest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import QuantityString, Wire

Device = Literal["GPU", "CPU"]


class EnvironmentVariable(Wire):
    """A plain environment variable. Secrets do not belong here."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    """Name of the variable."""
    value: str = Field(default="", max_length=4096)
    """Its value."""


class Resources(Wire):
    """Requests and limits of a container. GPUs are added from the device and the tensor parallel size."""

    requests: dict[str, QuantityString] = Field(default_factory=dict, max_length=16)
    """Requested amounts by resource name."""
    limits: dict[str, QuantityString] = Field(default_factory=dict, max_length=16)
    """Limits by resource name."""
