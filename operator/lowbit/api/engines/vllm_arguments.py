"""Arguments of vLLM as its own parser reads them, against the list of those that a manifest may use.

vLLM's parser takes `_` for `-`, `--name=value`, `--name.key value` for JSON, aliases (`-tp`), negations
(`--no-enable-x`), and any unique beginning of a name. Lowbit asks for a whole name: what a beginning means changes with
the version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from lowbit.api.engines.vllm_judged import ALLOWED_ARGUMENTS, NOT_LISTED, OWN_ARGUMENTS, REFUSED_ARGUMENTS, WHY

TABLES = Path(__file__).with_name("vllm_options.json")
VALUE = re.compile(r"(?!-).*|-[0-9]+|-", re.DOTALL)
"""What the parser takes for a value: all that begins with no dash, and negative numbers."""
LEVEL = re.compile(r"-O=?[0-3]?")
"""-O3, -O=3, and -O before a 3: the optimization level."""
ALLOWED = frozenset(chain.from_iterable(ALLOWED_ARGUMENTS.values()))
REASONS: Mapping[str, str] = {name: reason for reason, names in REFUSED_ARGUMENTS.items() for name in names}


@dataclass(frozen=True)
class Options:
    """The options of one version of vLLM."""

    version: str
    names: Mapping[str, str]
    """Every spelling, and the first long name of its option."""
    taking: frozenset[str]
    """First long names of those that take a value."""


@dataclass(frozen=True)
class Offence:
    """An argument that a manifest may not use."""

    argument: str
    why: str
    instead: str


@cache
def known() -> Mapping[str, Options]:
    """Options by version, the newest last."""
    read = json.loads(TABLES.read_text(encoding="utf-8"))
    found = {}
    for version in sorted(read, key=_numbers):
        options: Mapping[str, Mapping[str, object]] = read[version]["options"]
        spelled = {str(name): first for first, option in options.items() for name in _names(option)}
        taking = frozenset(first for first, option in options.items() if option["values"] != "0")
        found[version] = Options(version, spelled, taking)
    return found


def version_of(image: str) -> str | None:
    """The version in an image's tag; None where it says none."""
    tag = re.search(r":v?([0-9]+\.[0-9]+\.[0-9]+)(?![0-9.])[^/:@]*(?:@[^/]*)?$", image)
    return tag[1] if tag is not None else None


def options_of(image: str) -> tuple[Options, bool]:
    """The options of an image's vLLM, and whether they are its very own; the newest known for an unknown version."""
    version, versions = version_of(image), known()
    if version is not None and version in versions:
        return versions[version], True
    return list(versions.values())[-1], False


SINCE: Mapping[str, str] = {"--custom-histogram-buckets": "0.32.0"}
"""Options that Lowbit has a field for and that older versions lack, with the first version known to have them."""


def lacks(image: str, option: str) -> bool:
    """Whether an image's vLLM is known to lack an option. An image whose tag says no version lacks nothing."""
    version = version_of(image)
    if version is None:
        return False
    if version in known():
        return option not in known()[version].names
    return option in SINCE and _numbers(version) < _numbers(SINCE[option])


def value_of(arguments: Sequence[str], option: str) -> str | None:
    """The last value that arguments give an option, as the parser takes it; None where they do not name it."""
    names, found = set(spellings([option])), None
    for index, argument in enumerate(arguments):
        if argument.startswith("-") and name_of(argument) in names:
            after = arguments[index + 1] if index + 1 < len(arguments) else ""
            found = argument.split("=", maxsplit=1)[1] if "=" in argument else after
    return found


def spellings(names: Collection[str]) -> list[str]:
    """Every spelling of these options in any version that is known, whole and with dashes."""
    return sorted({name for table in known().values() for name, first in table.names.items() if first in names})


def name_of(argument: str) -> str:
    """The name in an argument: without its value and keys, and with dashes as the parser reads them."""
    name = argument.split("=", maxsplit=1)[0].split(".", maxsplit=1)[0]
    return name.replace("_", "-")


def offences(arguments: Sequence[str], image: str, added: Collection[str] = ()) -> Iterator[Offence]:
    """Arguments that are refused, each with its reason. added: names that the platform allows."""
    options, exact = options_of(image)
    for index, argument in enumerate(arguments):
        name = name_of(argument)
        if VALUE.fullmatch(argument) or LEVEL.fullmatch(argument):
            if index == 0 and not argument.startswith("-"):
                yield Offence(argument, "it is a value, and no argument stands before it", "write --name=value")
            continue
        first = options.names.get(name)
        own = OWN_ARGUMENTS.get(first or name)
        if own is not None:
            yield Offence(argument, "Lowbit sets it itself", f"leave it out, and write {own} as you need it")
        elif name not in added and (first is None or first not in ALLOWED):
            yield _refused(argument, name, options, exact=exact)
        elif _lacks_value(argument, first, options) and index == len(arguments) - 1:
            yield Offence(argument, "its value is missing, and the parser would take Lowbit's next argument for it",
                          "write --name=value")  # fmt: skip


def _refused(argument: str, name: str, options: Options, *, exact: bool) -> Offence:
    whose = f"vLLM {options.version}" + ("" if exact else ", the newest that Lowbit knows, as the image's is not known")
    first = options.names.get(name)
    if first is not None:
        return Offence(argument, f"{WHY[REASONS[first]]} ({whose})", ASK)
    meant = sorted(full for full in options.names if name.startswith("-") and name[1:] and full.startswith(name))
    if meant:
        return Offence(argument, f"it is the beginning of {', '.join(meant[:3])}", "write the whole name")
    return Offence(argument, f"{NOT_LISTED} ({whose})", ASK)


def _lacks_value(argument: str, first: str | None, options: Options) -> bool:
    return "=" not in argument and ("." in argument or first in options.taking)


ASK = "leave it out, or ask the platform to allow it (platform.allowedEngineArguments of the chart)"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _names(option: Mapping[str, object]) -> list[str]:
    names = option["names"]
    assert isinstance(names, list)  # noqa: S101 - hack/engine_options.py writes it so
    return names
