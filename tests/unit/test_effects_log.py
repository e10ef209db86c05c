"""What the operator did is in its log, in words, with the object that it is about."""

from __future__ import annotations

import pytest

from lowbit.effects.words import about, described
from lowbit.observe.keys import Key
from lowbit.state.plan import Action, Apply, Create, Delete, MakeToken, ScaleDown, SetOwners
from lowbit.state.snapshot import Owner

JOB = {"kind": "Job", "metadata": {"name": "quantize-0a1b2c3d4e"}}
OWNERS = (Owner("QuantizedModel", "chat", "1"), Owner("QuantizedModel", "twin", "2"))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Create(JOB), "created Job quantize-0a1b2c3d4e"),
        (Apply(JOB), "applied Job quantize-0a1b2c3d4e"),
        (Delete("Job", "old", "1", "2"), "deleted Job old"),
        (SetOwners("Job", "shared", "1", "2", OWNERS), "Job shared is now used by chat, twin"),
        (SetOwners("Job", "shared", "1", "2", ()), "Job shared is now used by nobody"),
        (ScaleDown("chat-1", "1"), "scaled ReplicaSet chat-1 to 0: its pods cannot start, and old ones serve on"),
        (MakeToken({"kind": "Secret", "metadata": {"name": "chat-group-token"}}), "Secret chat-group-token is there"),
    ],
)
def test_every_write_is_told_in_words(action: Action, words: str) -> None:
    assert described(action) == words


def test_a_line_names_the_object() -> None:
    assert about(Key("models", "chat"))["object"] == {"kind": "QuantizedModel", "namespace": "models", "name": "chat"}
