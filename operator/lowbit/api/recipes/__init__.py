"""Recipes: what is made of the original. A tagged union with exactly one member, made from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lowbit.api.base import Wire
from lowbit.api.recipes.artifact import ArtifactKind
from lowbit.api.recipes.awq import AWQKind
from lowbit.api.recipes.base import RecipeKind
from lowbit.api.recipes.gptq import GPTQKind
from lowbit.api.tagged import Registry, Tagged, union

AnyRecipe = RecipeKind[Any, Any]

RECIPES: Registry[AnyRecipe] = Registry("recipe", GPTQKind(), AWQKind(), ArtifactKind())

if TYPE_CHECKING:

    class Recipe(Tagged):
        """One candidate. Exactly one member."""

    class ResolvedRecipe(Tagged):
        """A recipe with nothing left open. Exactly one member."""

else:
    Recipe = union(
        "Recipe", "One candidate. Exactly one member.", {k.name: (k.spec, k.description) for k in RECIPES}, Tagged
    )
    ResolvedRecipe = union(
        "ResolvedRecipe", "A recipe with nothing left open. Exactly one member.",
        {k.name: (k.resolved, k.description) for k in RECIPES}, Tagged,
    )  # fmt: skip


def recipe_of(recipe: Recipe | ResolvedRecipe) -> tuple[AnyRecipe, Wire]:
    """The kind of a recipe, and its settings."""
    name, member = recipe.member()
    return RECIPES[name], member


def label(recipe: ResolvedRecipe) -> str:
    """The recipe in a word: gptq-int4-g64."""
    kind, member = recipe_of(recipe)
    return kind.label(member)
