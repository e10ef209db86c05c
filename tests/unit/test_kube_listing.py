"""A LIST as a stream of events: however it comes, what is there in the end is what was listed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.kube.errors import Unavailable
from lowbit.kube.listing import LAST, Part, take_stream

WHAT = "list Job in all namespaces"
HISTORIES = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=10)
"""Each: a name, and whether what is there goes (else it is changed). What is not there is made."""


def told(type_: str, name: str = "", version: int = 1, **metadata: Any) -> bytes:
    manifest = {"kind": "Job", "metadata": {"name": name, "resourceVersion": str(version), **metadata}}
    return json.dumps({"type": type_, "object": manifest}).encode() + b"\n"


def last(version: int = 9) -> bytes:
    return told("BOOKMARK", version=version, annotations={LAST: "true"})


async def in_pieces(stream: bytes, sizes: Sequence[int]) -> AsyncIterator[bytes]:
    """As the network cuts it."""
    for size in sizes:
        if stream:
            piece, stream = stream[:size], stream[size:]
            yield piece
    if stream:
        yield stream


async def listed(stream: bytes, sizes: Sequence[int] = ()) -> tuple[dict[str, str], str]:
    """Versions by name, and the resourceVersion of all."""
    there: dict[str, str] = {}

    def take(part: Part) -> None:
        for each in part.items:
            there[each["metadata"]["name"]] = each["metadata"]["resourceVersion"]
        for each in part.gone:
            there.pop(each["metadata"]["name"], None)

    return there, await take_stream(in_pieces(stream, sizes), WHAT, take)


@given(HISTORIES, st.integers(0, 10), st.lists(st.integers(1, 200), max_size=20))
async def test_however_far_behind_the_first_look_was_all_is_as_it_is_in_the_end(
    history: list[tuple[str, bool]], shown: int, sizes: list[int]
) -> None:
    first: dict[str, int] = {}
    there: dict[str, int] = {}
    events = []
    for version, (name, goes) in enumerate(history, 1):
        type_ = "ADDED" if name not in there else "DELETED" if goes else "MODIFIED"
        there[name] = version
        if version > shown:
            events.append(told(type_, name, version))
        if type_ == "DELETED":
            del there[name]
        if version <= shown:
            first = dict(there)
    look = [told("ADDED", name, version) for name, version in first.items()]
    stream = b"".join([*look, *events, last(99)])
    found, version_of_all = await listed(stream, sizes)
    assert found == {name: str(version) for name, version in there.items()}
    assert version_of_all == "99"


async def test_a_bookmark_on_the_way_is_not_the_end() -> None:
    stream = told("ADDED", "a") + told("BOOKMARK", version=5) + told("ADDED", "b", 6) + last(7)
    assert await listed(stream) == ({"a": "1", "b": "6"}, "7")


async def test_what_comes_after_the_end_is_not_taken() -> None:
    assert await listed(told("ADDED", "a") + last() + told("ADDED", "b", 10)) == ({"a": "1"}, "9")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (told("ADDED", "a"), "ended before all was told"),
        (b"", "ended before all was told"),
        (last()[:-1], "ended before all was told"),
        (b"<html>busy</html>\n", "not an event"),
        (b"[]\n", "not an event"),
        (b'{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n', "too old"),
        (b'{"type": "ERROR", "object": {"code": 422, "message": "wrong"}}\n', "wrong"),
        (b'{"type": "ERROR", "object": {"code": 500}}\n', "HTTP 500"),
    ],
)
async def test_what_is_no_whole_list_is_an_error_that_names_the_call(stream: bytes, said: str) -> None:
    with pytest.raises(Unavailable, match=f"{WHAT}.*{said}"):
        await listed(told("ADDED", "first") + stream)
