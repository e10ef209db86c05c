"""Texts with a known relation: copies, near duplicates by five kinds of edit, and texts that have nothing in common.

Words come from a vocabulary with the skew of a language (Zipf), so that unrelated texts share their frequent words.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable
from itertools import accumulate, product

Edit = Callable[[random.Random, str], str]
SYLLABLES = (
    "ba",
    "cor",
    "den",
    "fi",
    "gar",
    "hul",
    "jen",
    "kol",
    "lam",
    "mi",
    "nor",
    "pel",
    "qua",
    "ris",
    "sto",
    "tun",
)
WORDS = tuple("".join(parts) for size in (1, 2, 3) for parts in product(SYLLABLES, repeat=size))[:4000]
WEIGHTS = list(accumulate(1 / (rank + 3) for rank in range(len(WORDS))))
SHORTEST, LONGEST = 4, 12
"""Sentences of a text."""


def sentence(chance: random.Random) -> str:
    """A sentence of 8 to 22 words, some with a comma."""
    words = chance.choices(WORDS, cum_weights=WEIGHTS, k=chance.randint(8, 22))
    commas = [word + "," if chance.random() < 0.1 else word for word in words[:-1]]
    return " ".join([*commas, words[-1]]).capitalize() + chance.choice("...?!")


def text(chance: random.Random) -> str:
    """A text of several sentences."""
    return " ".join(sentence(chance) for _ in range(chance.randint(SHORTEST, LONGEST)))


def case_and_punctuation(chance: random.Random, whole: str) -> str:
    """Other case, other marks, and marks where there were none."""
    changed = chance.choice([str.upper, str.lower, str.title])(whole)
    marks = str.maketrans({".": chance.choice(["!", ";", ""]), ",": chance.choice([" –", ";", ""])})
    return " ".join(f"“{word}”" if chance.random() < 0.1 else word for word in changed.translate(marks).split(" "))


def changed_words(chance: random.Random, whole: str) -> str:
    """Another word in each block of 15."""
    words = whole.split(" ")
    for start in range(0, len(words) - 14, 15):
        words[chance.randrange(start, start + 15)] = chance.choice(WORDS)
    return " ".join(words)


def more_around(chance: random.Random, whole: str) -> str:
    """A sentence or two before or after, of at most two fifths of the text."""
    more = " ".join(sentence(chance) for _ in range(2)).split(" ")[: len(whole.split(" ")) * 2 // 5]
    return chance.choice([f"{' '.join(more)} {whole}", f"{whole} {' '.join(more)}"])


def other_sentences(chance: random.Random, whole: str) -> str:
    """Sentences in another order, or without one of them."""
    sentences = re.split(r"(?<=[.?!]) ", whole)
    if chance.random() < 0.5:
        sentences.pop(chance.randrange(len(sentences)))
    else:
        chance.shuffle(sentences)
    return " ".join(sentences)


def white_space_and_markup(chance: random.Random, whole: str) -> str:
    """Line breaks, wide and invisible characters, HTML or Markdown."""
    wide = {ord(letter): chr(ord(letter) + 0xFEE0) for letter in "aeiou"}
    changed = whole.translate(wide) if chance.random() < 0.5 else whole
    spaces = ("  ", "\n", "\t", "\u00a0", " \u200b", "\u2003")
    words = [word + chance.choice(spaces) if chance.random() < 0.5 else f"{word} " for word in changed.split(" ")]
    marked = []
    for word in words:
        mark = chance.choice(
            ["**{}** ", "<b>{}</b> ", '<a href="https://example.com/x?y=1">{}</a> ', "{}\u00ad ", "_{}_ "]
        )
        marked.append(mark.format(word.strip()) if chance.random() < 0.15 else word)
    joined = "".join(marked)
    return f"<p>{joined}</p>" if chance.random() < 0.5 else html.escape(joined)


EDITS: dict[str, Edit] = {
    "case and punctuation": case_and_punctuation,
    "a changed word in every 15": changed_words,
    "a prefix or a suffix": more_around,
    "sentences in another order, or one less": other_sentences,
    "white space, Unicode and markup": white_space_and_markup,
}
