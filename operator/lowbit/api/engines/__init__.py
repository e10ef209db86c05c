"""Engines: the server that runs a model, in evaluation and in serving alike. A tagged union, made from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lowbit.api.engines.base import EngineKind, EngineSettings, ResolvedSettings
from lowbit.api.engines.vllm import VLLMKind
from lowbit.api.tagged import Registry, Tagged, union

AnyEngine = EngineKind[Any, Any]

ENGINES: Registry[AnyEngine] = Registry("engine", VLLMKind())
DEFAULT = "vllm"

if TYPE_CHECKING:

    class Engine(Tagged):
        """Exactly one member."""

    class ResolvedEngine(Tagged):
        """An engine with every default filled in. Exactly one member."""

else:
    Engine = union("Engine", "Exactly one member.", {k.name: (k.spec, k.description) for k in ENGINES}, Tagged)
    ResolvedEngine = union(
        "ResolvedEngine", "An engine with every default filled in. Exactly one member.",
        {k.name: (k.resolved, k.description) for k in ENGINES}, Tagged,
    )  # fmt: skip


def engine_of(engine: Engine) -> tuple[AnyEngine, EngineSettings]:
    """The kind of an engine, and its settings."""
    name, member = engine.member()
    assert isinstance(member, EngineSettings)  # noqa: S101 - the registry makes it so
    return ENGINES[name], member


def resolved_engine(engine: ResolvedEngine) -> tuple[AnyEngine, ResolvedSettings]:
    """The kind of a resolved engine, and its settings."""
    name, member = engine.member()
    assert isinstance(member, ResolvedSettings)  # noqa: S101 - the registry makes it so
    return ENGINES[name], member


def field_path(engine: Engine | ResolvedEngine, field: str = "spec.engine") -> str:
    """Path of the engine in the manifest: spec.engine.vllm."""
    return f"{field}.{engine.member()[0]}"


def default_engine() -> Engine:
    """The engine of a manifest that names none."""
    return Engine.model_validate({DEFAULT: {}})
