"""The parser of `vllm serve` and the kubelet's expansion, as far as they decide what an argument does."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from lowbit.api.engines.vllm_arguments import TABLES

TABLE: dict[str, dict[str, Any]] = json.loads(TABLES.read_text())
VERSIONS = tuple(TABLE)


class ParserError(Exception):
    """The engine would not start."""


class Parser(argparse.ArgumentParser):
    """argparse with the options of one version; an error is raised, not printed."""

    def __init__(self, version: str) -> None:
        super().__init__(prog="vllm serve", add_help=False)
        self.add_argument("model_tag", nargs="?")
        for first, option in TABLE[version]["options"].items():
            action = "store_true" if option["values"] == "0" else "append"
            nargs = {} if option["values"] in ("0", "one") else {"nargs": option["values"]}
            self.add_argument(*option["names"], dest=first, action=action, **nargs)

    def error(self, message: str) -> Any:
        raise ParserError(message)


@cache
def parser_of(version: str) -> Parser:
    """The parser of one version."""
    return Parser(version)


def options_set(version: str, arguments: Sequence[str]) -> set[str]:
    """First long names of the options that these arguments set. Raises ParserError if vLLM would refuse them."""
    parsed = parser_of(version).parse_args(["/lowbit/model", *rewritten(arguments)])
    return {name for name, value in vars(parsed).items() if value not in (None, False) and name != "model_tag"}


def rewritten(arguments: Sequence[str]) -> list[str]:
    """What FlexibleArgumentParser.parse_args makes of arguments before argparse sees them (vLLM 0.33)."""
    found: list[str] = []
    for index, argument in enumerate(arguments):
        if argument.startswith("--"):
            key, equals, value = argument.partition("=")
            found.append(re.sub(r"(?<=--)[^.]*", lambda m: m[0].replace("_", "-"), key, count=1) + equals + value)
        elif argument.startswith("-O") and argument != "-O":
            found += ["--optimization-level", argument[3:] if argument[2] == "=" else argument[2:]]
        elif argument == "-O" and arguments[index + 1 : index + 2] and arguments[index + 1] in "0123":
            found.append("--optimization-level")
        else:
            found.append(argument)
    return _dotted(found)


def _dotted(arguments: list[str]) -> list[str]:
    """--name.key value as --name '{"key": value}', at the end."""
    kept: list[str] = []
    objects: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        key, equals, value = argument.partition("=")
        if not (argument.startswith("-") and "." in key):
            kept.append(argument)
            continue
        if not equals:
            try:
                value = next(rest)
            except StopIteration:
                raise ParserError(f"{argument} has no value") from None
        objects[key.split(".")[0]] = value
    return kept + [each for pair in objects.items() for each in pair]


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """What the kubelet makes of an argument or a variable: third_party/forked/golang/expansion of Kubernetes."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return environment.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replace, text)
