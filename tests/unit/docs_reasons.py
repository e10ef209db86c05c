"""Every reason that Lowbit can write into a condition, a lastFailure or a ModelStore's status, read out of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

LOWBIT = Path(__file__).resolve().parents[2] / "operator" / "lowbit"
FOLDERS = ("decide", "worker", "data", "api", "resolve", "gate", "architecture")
NAMES = ("reason", "reason_")
RETURNING = ("explain",)
"""Functions that return reason and message."""
REASON = re.compile(r"[A-Z][a-z]+[A-Za-z]*")


def reasons() -> dict[str, str]:
    """Each reason, with the file that writes it. One that is put together (f"{title}Failed") is not seen."""
    files = [path for folder in FOLDERS for path in sorted((LOWBIT / folder).rglob("*.py"))]
    trees = {path: ast.parse(path.read_text()) for path in files}
    places = {name: place for tree in trees.values() for name, place in places_in(tree)}
    found: dict[str, str] = {}
    for path, tree in trees.items():
        own = places | dict(places_in(tree))
        for reason in in_tree(tree, own):
            found.setdefault(reason, str(path.relative_to(LOWBIT)))
    return found


def places_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Functions and classes that are given a reason, and where it stands among their positional arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            parameters = [each.arg for each in node.args.args]
            yield from place_of(node.name, parameters)
        elif isinstance(node, ast.ClassDef):
            fields = [
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            ]
            made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            yield from place_of(node.name, [each.arg for each in made[0].args.args[1:]] if made else fields)


def place_of(name: str, parameters: list[str]) -> Iterator[tuple[str, int]]:
    yield from ((name, parameters.index(known)) for known in NAMES if known in parameters)


def in_tree(tree: ast.AST, places: Mapping[str, int]) -> Iterator[str]:
    """Words in the place of a reason: an argument, a keyword, a variable of that name, or what explain() returns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from in_call(node, places)
        elif isinstance(node, ast.Assign):
            yield from in_assignment(node)
        elif isinstance(node, ast.FunctionDef) and node.name in RETURNING:
            yield from in_returns(node)


def in_call(call: ast.Call, places: Mapping[str, int]) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    place = places.get(name)
    if place is not None and len(call.args) > place:
        yield from words(call.args[place])
    for keyword in call.keywords:
        if keyword.arg in NAMES:
            yield from words(keyword.value)


def in_assignment(assignment: ast.Assign) -> Iterator[str]:
    """reason = ..., and reason, message, action = ..."""
    for target in assignment.targets:
        if isinstance(target, ast.Name) and target.id in NAMES:
            yield from words(assignment.value)
        if isinstance(target, ast.Tuple) and isinstance(assignment.value, ast.Tuple):
            for name, value in zip(target.elts, assignment.value.elts, strict=False):
                if isinstance(name, ast.Name) and name.id in NAMES:
                    yield from words(value)


def in_returns(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            yield from words(node.value.elts[0])


def words(node: ast.expr) -> Iterator[str]:
    """Constants in CamelCase, in either branch of a choice."""
    if isinstance(node, ast.JoinedStr):
        return
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and REASON.fullmatch(child.value):
            yield child.value
