"""Parts that every engine and every pod takes from a manifest."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lowbit.api.base import QuantityString, Wire

Device = Literal["GPU", "CPU"]


class EnvironmentVariable(Wire):
    """A plain environment variable. Secrets do not belong here."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    """Name of the variable."""
    value: str = Field(default="", max_length=4096)
    """Its value."""


Argument = Annotated[str, StringConstraints(max_length=1024)]


WORDS = 120
"""Characters of a candidate's changes in a status; the ModelRevision has all of them."""


class EngineChanges(Wire):
    """What a candidate changes in the engine: it is judged and served with this, and the original without it. For
    instance a KV cache in FP8: args: ["--kv-cache-dtype=fp8"]."""

    args: list[Argument] = Field(default_factory=list, max_length=16)
    """Arguments behind those of the engine. One whose option has a name there (kvCacheDtype) replaces it for this
    candidate. What Lowbit sets itself is refused."""
    env: list[EnvironmentVariable] = Field(default_factory=list, max_length=16)
    """Environment of the engine; a variable of the same name is replaced."""

    def words(self) -> str:
        """The changes in one short line, for people: --kv-cache-dtype=fp8, VLLM_X=1."""
        parts = [" ".join(self.args)] if self.args else []
        said = ", ".join(parts + [f"{each.name}={each.value}" for each in self.env])
        return said if len(said) <= WORDS else said[: WORDS - 1] + "…"


ACCELERATOR = re.compile(r"gpu(?!mem|cores)|/mig-|^amd\.com/|/(?:gaudi|tpu|neuron|npu|ascend|mlu|vcuda)", re.IGNORECASE)
"""In resource names of GPUs and other accelerators. gpumem and gpucores (HAMi) size a GPU that is asked for, too."""


class Resources(Wire):
    """Requests and limits of a container. GPUs are added from the device and the tensor parallel size, under the
    platform's resource name; one that is named here (nvidia.com/mig-1g.10gb, amd.com/gpu) is asked for in its place.
    What is left out of CPU and memory is the platform's default."""

    requests: dict[str, QuantityString] = Field(default_factory=dict, max_length=16)
    """Requested amounts by resource name."""
    limits: dict[str, QuantityString] = Field(default_factory=dict, max_length=16)
    """Limits by resource name."""

    @property
    def accelerators(self) -> dict[str, str]:
        """The GPUs and other accelerators that are named here, with their amounts."""
        return {
            name: each
            for name, each in (self.requests | self.limits).items()
            if "/" in name and ACCELERATOR.search(name)
        }
