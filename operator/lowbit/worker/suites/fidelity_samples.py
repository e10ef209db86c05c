"""Samples of a fidelity suite, and how they lie in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.worker.suites.base import Arrays
from lowbit.worker.suites.scoring import Booleans, Floats, Integers, Lists

Stored = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class LeftOut:
    """Counts of a dataset: its lines, and those that are no samples."""

    lines: int
    duplicates: int
    short: int


@dataclass(frozen=True)
class Units:
    """What the texts are, by the dataset."""

    groups: Integers
    """[texts]: number of the group; each text has its own where the dataset names none."""
    turns: Integers
    """[texts]: how often a user speaks; 0 for a text that is no chat."""

    @classmethod
    def unknown(cls, count: int) -> Units:
        """Of texts that are independent, and no chats."""
        return cls(np.arange(count), np.zeros(count, dtype=np.int64))


@dataclass(frozen=True)
class AnswerSamples:
    """One model on the answers that the original has generated."""

    texts: list[list[int]]
    """Prompt and answer."""
    prompts: list[int]
    """Length of each prompt."""
    groups: Integers
    """[answers]: group of the text that each comes from."""
    read: Lists
    """At all tokens of the answers, one answer after another: read by prefill kernels."""
    decoded: Lists
    """The same while decoding. The tokens' own logprobs are NaN where the model is not finite, else 0."""
    by_decode: Booleans
    """[positions]: whether decode kernels gave the row of `decoded`. The first token of a request has another."""

    @property
    def lengths(self) -> Integers:
        """[answers]: tokens of each."""
        pairs = zip(self.texts, self.prompts, strict=True)
        return np.array([len(text) - prompt for text, prompt in pairs], dtype=np.int64)


@dataclass(frozen=True)
class SuiteSamples:
    """Samples of one model and one suite."""

    texts: list[list[int]]
    """Token ids; the first token of each is read but not scored."""
    top: int
    """Number of likely tokens that were requested at each position."""
    lists: Lists
    """Lists of all scored positions, text after text."""
    left_out: LeftOut
    """What the dataset had besides."""
    units: Units
    floor: Floats | None = None
    """[positions]: divergence of the original from itself in a second reading; None if it was not read twice."""
    answers: AnswerSamples | None = None
    """None if none were asked for, or the engine does not tell token ids."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What people see of the texts that differ most, by the text's number; on a candidate only."""

    @property
    def lengths(self) -> Integers:
        """[texts]: scored positions of each."""
        return np.array([len(text) - 1 for text in self.texts], dtype=np.int64)


def pack(samples: SuiteSamples) -> Arrays:
    """Arrays: tokens [all tokens], lengths [texts], ids and logprobs [positions, w], tokenLogprobs [positions],
    leftOut [3], groups and turns [texts]; floor [positions], answers' own and words, where there are any.

    Positions are the scored ones: every token but the first of each text.
    """
    found: Arrays = {
        **pack_texts(samples.texts),
        "ids": samples.lists.ids,
        "logprobs": samples.lists.logprobs,
        "tokenLogprobs": samples.lists.token_logprobs,
        "leftOut": np.array(astuple(samples.left_out), dtype=np.int64),
        "groups": samples.units.groups.astype(np.int32),
        "turns": samples.units.turns.astype(np.int32),
    }
    if samples.floor is not None:
        found["floor"] = samples.floor.astype(np.float32)
    if samples.words:
        found["words"] = np.frombuffer(json.dumps(samples.words, sort_keys=True).encode(), dtype=np.uint8)
    return found | (_pack_answers(samples.answers) if samples.answers is not None else {})


def unpack(arrays: Stored, top: int) -> SuiteSamples:
    """The inverse of pack. Samples of an older Lowbit lack what comes after leftOut."""
    texts = unpack_texts(arrays)
    scored = np.array([token for text in texts for token in text[1:]], dtype=np.int32)
    lists = Lists(arrays["ids"], arrays["logprobs"], scored, arrays["tokenLogprobs"])
    floor = arrays["floor"].astype(np.float64) if "floor" in arrays else None
    units = Units(arrays["groups"], arrays["turns"]) if "groups" in arrays else Units.unknown(len(texts))
    _check(lists, len(scored))
    if len(units.groups) != len(texts) or (floor is not None and len(floor) != len(scored)):
        raise ValueError("the numbers do not fit the texts")
    words = json.loads(arrays["words"].tobytes()) if "words" in arrays else {}
    answers = _unpack_answers(arrays) if "answerTokens" in arrays else None
    return SuiteSamples(texts, top, lists, LeftOut(*arrays["leftOut"].tolist()), units, floor, answers, words)


def pack_texts(texts: list[list[int]], tokens: str = "tokens", lengths: str = "lengths") -> Arrays:
    """All tokens one after another, and how many each text has."""
    return {
        tokens: np.array([token for text in texts for token in text], dtype=np.int32),
        lengths: np.array([len(text) for text in texts], dtype=np.int32),
    }


def unpack_texts(arrays: Stored, tokens: str = "tokens", lengths: str = "lengths") -> list[list[int]]:
    """The inverse of pack_texts. Raises ValueError if the two do not fit together."""
    if int(arrays[lengths].sum()) != len(arrays[tokens]) or len(arrays[lengths]) == 0:
        raise ValueError("the texts do not fit their lengths")
    return [part.tolist() for part in np.split(arrays[tokens], np.cumsum(arrays[lengths])[:-1])]


def _pack_answers(answers: AnswerSamples) -> Arrays:
    return {
        **pack_texts(answers.texts, "answerTokens", "answerLengths"),
        "answerPrompts": np.array(answers.prompts, dtype=np.int32),
        "answerGroups": answers.groups.astype(np.int32),
        "answerIds": answers.read.ids,
        "answerLogprobs": answers.read.logprobs,
        "answerTokenLogprobs": answers.read.token_logprobs,
        "decodedIds": answers.decoded.ids,
        "decodedLogprobs": answers.decoded.logprobs,
        "decodedFinite": answers.decoded.token_logprobs,
        "byDecode": answers.by_decode,
    }


def _unpack_answers(arrays: Stored) -> AnswerSamples:
    texts, prompts = unpack_texts(arrays, "answerTokens", "answerLengths"), arrays["answerPrompts"].tolist()
    if not len(texts) == len(prompts) == len(arrays["answerGroups"]):
        raise ValueError("the answers do not fit their prompts")
    pairs = zip(texts, prompts, strict=True)
    tokens = np.array([token for text, prompt in pairs for token in text[prompt:]], dtype=np.int32)
    read = Lists(arrays["answerIds"], arrays["answerLogprobs"], tokens, arrays["answerTokenLogprobs"])
    decoded = Lists(arrays["decodedIds"], arrays["decodedLogprobs"], tokens, arrays["decodedFinite"])
    for lists in read, decoded:
        _check(lists, len(arrays["byDecode"]))
    return AnswerSamples(texts, prompts, arrays["answerGroups"], read, decoded, arrays["byDecode"])


def _check(lists: Lists, count: int) -> None:
    if not count == len(lists) == len(lists.ids) == len(lists.logprobs) == len(lists.token_logprobs):
        raise ValueError("the numbers do not fit the texts")
