"""What makes an answer right, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.suites.generation import ResolvedGeneration
from lowbit.worker.engines.base import Constraint, Reply, ToolCall
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites.scorers import SCORERS, ExpectedError, Scorer


def scorer(name: str, **settings: Any) -> Scorer:
    """As a suite with these settings has it."""
    whole = {"dataset": "sha256:" + "0" * 64, "format": "Auto", "constrained": False, "expected_field": "expected",
             "category_field": "category", "samples": 9, "output_tokens": 9, "repeats": 1}  # fmt: skip
    return SCORERS[name](ResolvedGeneration.model_validate({**whole, "scorer": name, **settings}))


def reply(text: str, *calls: ToolCall) -> Reply:
    return Reply(text, "Stop", 1, 1, calls)


def verdict(name: str, text: str, expected: Any, *calls: ToolCall, **settings: Any) -> str:
    """right, wrong or unreadable."""
    made = scorer(name, **settings)
    made.check(expected)
    found = made.score(reply(text, *calls), expected)
    assert found.parsed or not found.right, "what cannot be read is not right"
    return "right" if found.right else "wrong" if found.parsed else "unreadable"


@pytest.mark.parametrize(
    ("text", "expected", "wanted"),
    [
        ("Paris", "paris", "right"),
        (" **Paris.** ", "Paris", "right"),
        ("ﬁve", "five", "right"),
        ("It is Paris", "Paris", "wrong"),
        ("Kyiv", ["Kiev", "Kyiv"], "right"),
        ("true", True, "right"),
        ("7", 7, "right"),
        ("", "Paris", "unreadable"),
        ("<think>It is Rome. No.</think>Paris", "Paris", "right"),
    ],
)
def test_exact(text: str, expected: Any, wanted: str) -> None:
    assert verdict("Exact", text, expected) == wanted


@pytest.mark.parametrize(
    ("text", "expected", "wanted"),
    [
        ("42", 42, "right"),
        ("She has 3 + 4 = 7 apples.", 7, "right"),
        ("Of 12 boxes, the answer is 7. I used 2 steps.", "7", "right"),
        ("12 and so on\n#### 1,234", "1234", "right"),
        (r"so \boxed{3/4} of it", 0.75, "right"),
        ("-5", 5, "wrong"),
        ("−5", -5, "right"),
        ("0.1", 0.1, "right"),
        ("3.14159", 3.14, "wrong"),
        ("$1,200.50", 1200.5, "right"),
        ("7 apples in v2.0.1", 7, "right"),
        ("none of them", 7, "unreadable"),
        ("", 7, "unreadable"),
        ("9" * 5000, 7, "unreadable"),
    ],
)
def test_numeric(text: str, expected: Any, wanted: str) -> None:
    assert verdict("Numeric", text, expected) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("B", "right"),
        ("(b) Paris", "right"),
        ("B. Paris", "right"),
        ("The answer is (B).", "right"),
        ("A is wrong, as C is. So the correct answer is B", "right"),
        ("Paris, that is (B)", "right"),
        ("Answer: C", "wrong"),
        ("(A) or (B)", "unreadable"),
        ("A city in France", "unreadable"),
        ("I do not know", "unreadable"),
        ("", "unreadable"),
    ],
)
def test_multiple_choice(text: str, wanted: str) -> None:
    assert verdict("MultipleChoice", text, "B") == wanted


def test_a_pattern_of_the_suite_finds_the_answer_and_one_of_the_line_is_found() -> None:
    last = {"pattern": r"Verdict: (\w+)"}
    assert verdict("Pattern", "Verdict: spam? No. Verdict: Ham", "ham", **last) == "right"
    assert verdict("Pattern", "Verdict: spam", "ham", **last) == "wrong"
    assert verdict("Pattern", "It is ham", "ham", **last) == "unreadable"
    assert verdict("Pattern", "it is\nParis, France", r"Paris.*France") == "right"
    assert verdict("Pattern", "it is Rome", r"Paris") == "wrong"
    assert verdict("Pattern", "", r"Paris") == "unreadable"


def test_a_pattern_that_takes_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.worker.suites.scorers.texts.PATTERN_SECONDS", 0.05)
    with pytest.raises(RefusalError, match="took more than"):
        verdict("Pattern", "a" * 45, r"(a|aa)+c$")


SCHEMA = {"type": "object", "required": ["is_fraud"], "properties": {"is_fraud": {"type": "boolean"}}}


@pytest.mark.parametrize(
    ("text", "expected", "wanted"),
    [
        ('{"is_fraud": true}', SCHEMA, "right"),
        ('Here it is:\n```json\n{"is_fraud": false}\n```\nDone.', SCHEMA, "right"),
        ('{"is_fraud": "yes"}', SCHEMA, "wrong"),
        ("true", {"type": "boolean"}, "right"),
        ('{"is_fraud": tru', SCHEMA, "unreadable"),
        ("[" * 100_000, SCHEMA, "unreadable"),
        ("{}", {"$ref": "http://127.0.0.1:1/schema.json"}, "wrong"),
        ('{"is_fraud": true}', None, "right"),
    ],
)
def test_json_schema(text: str, expected: Any, wanted: str) -> None:
    import json

    settings = {"json_schema": json.dumps(SCHEMA)} if expected is None else {}
    assert verdict("JSONSchema", text, expected, **settings) == wanted


def call(name: str, arguments: str) -> ToolCall:
    return ToolCall(name, arguments)


@pytest.mark.parametrize(
    ("calls", "expected", "wanted"),
    [
        ([call("add", '{"a": 1, "b": 2.0}')], {"name": "add", "arguments": {"b": 2, "a": 1}}, "right"),
        ([call("add", '{"a": 1}')], {"name": "add", "arguments": '{"a": 1}'}, "right"),
        ([call("add", '{"a": 2}')], {"name": "add", "arguments": {"a": 1}}, "wrong"),
        ([call("sub", '{"a": 1}')], {"name": "add", "arguments": {"a": 1}}, "wrong"),
        ([], {"name": "add", "arguments": {}}, "wrong"),
        ([], [], "right"),
        ([call("add", "{}")], [], "wrong"),
        ([call("b", "{}"), call("a", "{}")], [{"name": "a"}, {"function": {"name": "b"}}], "right"),
        ([call("a", "{}"), call("a", "{}")], [{"name": "a"}], "wrong"),
        ([call("add", '{"a": ')], {"name": "add", "arguments": {"a": 1}}, "unreadable"),
        ([call("add", "[1]")], {"name": "add", "arguments": {"a": 1}}, "unreadable"),
    ],
)
def test_tool_call(calls: list[ToolCall], expected: Any, wanted: str) -> None:
    assert verdict("ToolCall", "", expected, *calls) == wanted


@pytest.mark.parametrize(
    ("text", "expected", "wanted"),
    [
        ("I'm sorry, but I can't help with that.", True, "right"),
        ("I’m unable to assist with this.", True, "right"),
        ("Sure, here is how to bake bread.", True, "wrong"),
        ("Sure, here is how to bake bread.", False, "right"),
        ("I cannot provide that.", False, "wrong"),
        ("", True, "unreadable"),
    ],
)
def test_refusal(text: str, expected: bool, wanted: str) -> None:
    assert verdict("Refusal", text, expected) == wanted


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Exact", None), ("Exact", {}), ("Exact", []), ("Exact", "  "), ("Numeric", "many"), ("Numeric", True),
        ("Numeric", []), ("MultipleChoice", "BC"), ("MultipleChoice", 2), ("MultipleChoice", "Z"), ("Pattern", "("),
        ("Pattern", None), ("JSONSchema", None), ("JSONSchema", {"type": "thing"}), ("JSONSchema", "{"),
        ("ToolCall", None), ("ToolCall", "add"), ("ToolCall", {"arguments": {}}),
        ("ToolCall", {"name": "add", "arguments": [1]}), ("Refusal", "yes"), ("Refusal", None),
    ],
)  # fmt: skip
def test_what_cannot_be_expected_is_told_before_anything_is_asked(name: str, expected: Any) -> None:
    with pytest.raises(ExpectedError) as told:
        scorer(name).check(expected)
    assert told.value.action.startswith(("write", "give", "mend"))


@pytest.mark.parametrize(("name", "settings"), [("Pattern", {"pattern": "("}), ("JSONSchema", {"json_schema": "{"})])
def test_settings_that_cannot_be_used_are_told(name: str, settings: dict[str, str]) -> None:
    with pytest.raises(ExpectedError):
        scorer(name, **settings)


def test_a_scorer_says_what_it_can_read() -> None:
    assert scorer("Exact").constraint("x") is None
    assert scorer("MultipleChoice").constraint("B") == Constraint(choices=tuple("ABCDEFGHIJ"))
    assert scorer("Pattern", pattern="a|b").constraint("a") == Constraint(pattern="a|b")
    assert scorer("JSONSchema").constraint(SCHEMA) == Constraint(schema=SCHEMA)
