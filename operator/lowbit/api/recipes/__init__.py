"""Recipes: what is made of the original. A tagged union with exactly one member, made from the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lowbit.api.base import Wire
from lowbit.api.calibration import Calibration
from lowbit.api.engine import EngineChanges
from lowbit.api.recipes.artifact import ArtifactKind
from lowbit.api.recipes.awq import AWQKind
from lowbit.api.recipes.base import RecipeKind
from lowbit.api.recipes.gptq import GPTQKind
from lowbit.api.tagged import Registry, Tagged, union

AnyRecipe = RecipeKind[Any, Any]

RECIPES: Registry[AnyRecipe] = Registry("recipe", GPTQKind(), AWQKind(), ArtifactKind())


class Candidate(Tagged):
    """Fields of every candidate."""

    common: ClassVar[frozenset[str]] = frozenset({"engine", "calibration"})
    engine: EngineChanges | None = None
    """What it changes in the engine; the original is measured without it."""
    calibration: Calibration | None = None
    """Texts for this candidate, in place of the model's calibration: the same recipe on two sets can be compared."""


if TYPE_CHECKING:

    class Recipe(Candidate):
        """One candidate. Exactly one member."""

    class ResolvedRecipe(Tagged):
        """A recipe with every default filled in. Exactly one member."""

else:
    Recipe = union(
        "Recipe", "One candidate. Exactly one member.", {k.name: (k.spec, k.description) for k in RECIPES}, Candidate
    )
    ResolvedRecipe = union(
        "ResolvedRecipe", "A recipe with every default filled in. Exactly one member.",
        {k.name: (k.resolved, k.description) for k in RECIPES}, Tagged,
    )  # fmt: skip


def recipe_of(recipe: Recipe | ResolvedRecipe) -> tuple[AnyRecipe, Wire]:
    """The kind of a recipe, and its settings."""
    name, member = recipe.member()
    return RECIPES[name], member


def label(recipe: ResolvedRecipe, changes: EngineChanges | None = None) -> str:
    """Short name of the recipe, with the engine's changes: "gptq-int4-g64 with --kv-cache-dtype=fp8"."""
    kind, member = recipe_of(recipe)
    return changed(kind.label(member), changes)


def changed(label: str, changes: EngineChanges | None) -> str:
    """A label with the engine's changes."""
    return f"{label} with {changes.words()}" if changes is not None and changes.words() else label


def calibrated(label: str, datasets: Sequence[str]) -> str:
    """A label with the datasets of a candidate's own calibration."""
    return f"{label} on {' and '.join(datasets)}" if datasets else label
