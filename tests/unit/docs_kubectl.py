"""A kubectl command line, read as kubectl would: verbs, kinds and flags that there are, files that exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from lowbit.cli.main import parser
from lowbit.schema.crd import KINDS
from tests.unit.docs_pages import ROOT

OWN = {name for kind in KINDS for name in (kind.plural, kind.short, kind.name.lower())}
STOCK = {
    "pods", "pod", "jobs", "job", "deployment", "deployments", "events", "persistentvolumeclaims", "leases",
    "configmap", "crd", "secret", "services", "service", "nodes", "resourcequotas", "limitranges", "workloads",
}  # fmt: skip
WITH_VALUE = {
    "-n", "--namespace", "-l", "--selector", "-o", "--output", "-c", "--container", "--tail", "--type", "-p", "--patch",
    "--sort-by", "-L", "-f", "--filename", "--from-file", "--from-literal", "--for", "--timeout",
}  # fmt: skip
ALONE = {"-A", "--all-namespaces", "-w", "--watch", "--previous", "--follow"}
VERBS = {"get", "describe", "logs", "delete", "patch", "apply", "create", "explain", "rollout", "wait", "annotate"}
ROLLOUT = {"status", "restart", "history"}


class BadCommandError(Exception):
    """What kubectl would say no to."""


def check(text: str) -> None:
    """Raises BadCommandError, with what is wrong."""
    if shlex.split(text)[1] == "lowbit":
        check_plugin(shlex.split(text)[2:])
        return
    words, flags = split(shlex.split(text)[1:])
    if not words:
        return  # `kubectl --help` and the like
    verb, arguments = words[0], words[1:]
    if verb not in VERBS:
        raise BadCommandError(f"kubectl has no verb {verb} that is known here")
    if verb == "rollout":
        if not arguments or arguments[0] not in ROLLOUT:
            raise BadCommandError(f"rollout does one of {ROLLOUT}")
        arguments = arguments[1:]
    check_files(flags)
    if "-p" in flags:
        json.loads(flags["-p"])
    if verb == "logs":
        kinds = [word.split("/")[0] for word in arguments if "/" in word]
    elif verb == "explain":
        kinds = [arguments[0].split(".")[0]]
    else:
        kinds = [arguments[0].split("/")[0]] if arguments else []
    for kind in kinds:
        if not set(kind.split(",")) <= OWN | STOCK:
            raise BadCommandError(f"there is no kind {kind}")


def check_plugin(words: list[str]) -> None:
    """`kubectl lowbit` is our own command line. A command that is only named has to be one."""
    try:
        parser().parse_args(words if len(words) != 1 else [*words, "--help"])
    except SystemExit as ended:
        if ended.code:
            raise BadCommandError(f"lowbit does not understand {' '.join(words)}") from ended


def split(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Words and flags; --flag=value is a flag and its value."""
    rest, flags = [], {}
    queue = iter(words)
    for word in queue:
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            rest.append(word)
        elif name in WITH_VALUE:
            flags[name] = value if equals else next(queue, "")
        elif word in ALONE:
            flags[word] = ""
        else:
            raise BadCommandError(f"{word} is no flag that is known here")
    return rest, flags


def check_files(flags: dict[str, str]) -> None:
    """Files that are named must be there."""
    for flag in ("-f", "--filename", "--from-file"):
        path = flags.get(flag, "").rpartition("=")[2]
        if path and path != "-" and not re.search(r"[A-Z]{4}", path) and not (ROOT / Path(path)).exists():
            raise BadCommandError(f"there is no file {path}")
