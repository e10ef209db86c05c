"""What a manifest may ask of vLLM: the lists of arguments and variables as rules, and as problems with each one named.

The rules know no version, because the API server cannot: they take a spelling that any known version has. The problems
know the image, and are told by `lowbit plan` and in the status.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from lowbit.api.engines.base import Asked
from lowbit.api.engines.vllm_arguments import ALLOWED, LEVEL, VALUE, name_of, offences, spellings
from lowbit.api.engines.vllm_judged import OWN_ARGUMENTS, UNSEEN_ARGUMENTS
from lowbit.api.engines.vllm_variables import ENGINE_VARIABLES
from lowbit.api.platform import Platform, image_is_allowed
from lowbit.api.problem import Problem
from lowbit.api.rule import Rule, listed
from lowbit.api.variables import SECRET_VARIABLES, refused_variables

NAME: Final = "a.split('=')[0].split('.')[0].replace('_', '-')"
"""CEL: the name in the argument a."""
NO_NAME: Final = r"!a.startsWith('-') || a.matches('^-([0-9]+|O=?[0-3]?)?$')"
"""CEL: a is a value, or an optimization level."""
OWN_SPELLINGS: Final = tuple(spellings(OWN_ARGUMENTS))
ALLOWED_SPELLINGS: Final = tuple(spellings(ALLOWED))
UNSEEN_SPELLINGS: Final = tuple(spellings(UNSEEN_ARGUMENTS))


def names(arguments: Sequence[str]) -> list[str]:
    """The names in a list of arguments; values and levels have none."""
    return [name_of(each) for each in arguments if not VALUE.fullmatch(each) and not LEVEL.fullmatch(each)]


def rules(platform: Platform) -> tuple[Rule, ...]:
    """Rules on args and env."""
    return _rules(tuple(platform.allowed_engine_arguments), tuple(platform.allowed_engine_env))


@cache  # asked once for every object in a manifest
def _rules(more_arguments: tuple[str, ...], more_variables: tuple[str, ...]) -> tuple[Rule, ...]:
    arguments = (*OWN_SPELLINGS, *ALLOWED_SPELLINGS, *more_arguments)
    variables = (*SECRET_VARIABLES, *ENGINE_VARIABLES, *more_variables)
    return (
        Rule(
            f"!has(self.args) || self.args.all(a, {NO_NAME} || !({NAME} in {listed(OWN_SPELLINGS)}))",
            "args holds an argument that Lowbit sets itself (model, port, key, parallel sizes, lengths, logprobs): use "
            "the fields of spec.engine.vllm and spec.serving, and leave it out here",
            lambda asked: not set(names(asked.args)) & set(OWN_SPELLINGS),
            "args",
        ),
        Rule(
            f"!has(self.args) || self.args.all(a, {NO_NAME} || {NAME} in "
            f"{listed(arguments, 'allowedEngineArguments')})",
            "args holds an argument that is not on the list of those that cannot make the engine run what was not "
            "judged, or not by its whole name: leave it out, write it whole, or ask the platform to allow it",
            lambda asked: set(names(asked.args)) <= set(arguments),
            "args",
            lambda asked: ", ".join(each for each in names(asked.args) if each not in arguments),
        ),
        Rule(
            f"!has(self.env) || self.env.all(e, e.name in {listed(variables, 'allowedEngineEnv')})",
            "env holds a variable that is not on the list of those that cannot open the engine to more than the judged "
            "model: leave it out, or ask the platform to allow it",
            lambda asked: {each.name for each in asked.env} <= set(variables),
            "env",
            lambda asked: ", ".join(each.name for each in asked.env if each.name not in variables),
        ),
    )


def image_rule(platform: Platform) -> Rule:
    """The rule on image, which allows every one unless the platform names some."""
    known = listed(platform.allowed_engine_images, "allowedEngineImages")
    ends = " || ".join(f"p.endsWith('{end}')" for end in "/:@")
    return Rule(
        f"!has(self.image) || {known}.size() == 1 || "
        f"{known}.exists(p, self.image == p || (({ends}) && self.image.startsWith(p)))",
        "image is none of those that the platform allows: leave it out to run the platform's, or ask for it",
        lambda vllm: vllm.image is None or image_is_allowed(vllm.image, platform),
        "image",
    )


CHANGE_RULES: Final = (
    Rule(
        f"!has(self.args) || self.args.all(a, {NO_NAME} || !({NAME} in {listed(UNSEEN_SPELLINGS)}))",
        "args holds an argument that no suite can see (templates, tools, reasoning, generation config): write it below "
        "spec.engine.vllm, where the original has it too",
        lambda changes: not set(names(changes.args)) & set(UNSEEN_SPELLINGS),
        "args",
    ),
)
"""Rules on what a candidate changes."""


def problems(asked: Asked, platform: Platform) -> list[Problem]:
    """Arguments and variables that are not allowed, and an image that is not. Fields are relative to the engine's."""
    image = asked.image or platform.engine_image
    found = [
        Problem("args", "ArgumentNotAllowed", f"{each.argument} is refused: {each.why}", each.instead)
        for each in offences(asked.args, image, platform.allowed_engine_arguments)
    ]
    found += refused_variables("env", asked.env, (*ENGINE_VARIABLES, *platform.allowed_engine_env), "allowedEngineEnv")
    if asked.image is not None and not image_is_allowed(asked.image, platform):
        allowed = ", ".join(platform.allowed_engine_images)
        message = f"{asked.image} is none of the images that the platform allows ({allowed})"
        found.append(Problem("image", "ImageNotAllowed", message, "leave it out to run the platform's, or ask for it"))
    return found
