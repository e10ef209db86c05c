"""Makes the example's calibration texts (calibration.jsonl) from sentences.txt, two sets of prompts, and two tasks.

prompts.jsonl has short prompts by category (knowledge, code, creative), each with a regular expression that a fair
answer contains; longform.jsonl has prompts for long answers. Both come from the prompts that every evaluation asks
itself (operator/lowbit/worker/evaluate/prompts.txt). kinds.jsonl (from kinds.txt) and sequences.jsonl are rows of two
tasks for lm-evaluation-harness, which kinds.yaml and sequences.yaml describe. The held-out texts (holdout.jsonl) are
written by hand, on other subjects, and share no sentence with the calibration texts.

    python3 examples/data/make.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROMPTS = HERE.parents[1] / "operator/lowbit/worker/evaluate/prompts.txt"
LONG = "long"
SAYS_SOMETHING = r"(\w+\W+){40}"
"""What an answer that goes on for a while contains."""
TEXTS = 100
CHATS_EVERY = 4
SEED = 20_26
CHOICES = 4
STEPS = (1, 2, 5, 10)
STARTS = 40


def topics(file: str = "sentences.txt") -> dict[str, list[str]]:
    """The lines of a file by topic."""
    found: dict[str, list[str]] = {}
    topic = ""
    for line in (HERE / file).read_text().splitlines():
        if line.startswith("# "):
            topic = line[2:]
        elif line:
            found.setdefault(topic, []).append(line)
    return found


def calibration() -> list[dict[str, object]]:
    """TEXTS different texts about two topics each; every fourth is a chat."""
    chance = random.Random(SEED)  # noqa: S311 - the same texts each time
    subjects = topics()
    lines: list[dict[str, object]] = []
    for index in range(TEXTS):
        first, second = chance.sample(sorted(subjects), 2)
        parts = [" ".join(chance.sample(subjects[topic], 5)) for topic in (first, second)]
        if index % CHATS_EVERY:
            lines.append({"text": " ".join(parts)})
            continue
        messages = []
        for topic, answer in zip((first, second), parts, strict=True):
            messages.append({"role": "user", "content": f"Tell me a few things about {topic}."})
            messages.append({"role": "assistant", "content": answer})
        lines.append({"messages": messages})
    return lines


def chats_as_texts(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    """One format in a file: texts as the answer in a chat of one turn."""
    return [
        line
        if "messages" in line
        else {
            "messages": [
                {"role": "user", "content": "Write a short text about two subjects of your choice."},
                {"role": "assistant", "content": line["text"]},
            ]
        }
        for line in lines
    ]


def prompts() -> list[dict[str, object]]:
    """A question a line, with its category and what a fair answer contains."""
    category, lines = "", []
    for line in PROMPTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            category = line[2:]
            continue
        asked, _, pattern = line.partition(" => ")
        message = {"role": "user", "content": asked}
        lines.append({"messages": [message], "category": category, "expected": pattern or SAYS_SOMETHING})
    return lines


def kinds() -> list[dict[str, object]]:
    """A question a line: which kind a word names, of CHOICES; the right one is at any place."""
    chance = random.Random(SEED)  # noqa: S311 - the same each time
    known = {kind: " ".join(words).split() for kind, words in topics("kinds.txt").items()}
    lines: list[dict[str, object]] = []
    for kind, words in known.items():
        for word in words:
            choices = [kind, *chance.sample(sorted(set(known) - {kind}), CHOICES - 1)]
            chance.shuffle(choices)
            lines.append({"word": word, "choices": choices, "answer": choices.index(kind)})
    return lines


def sequences() -> list[dict[str, object]]:
    """Five numbers of a row that grows evenly, and the next one."""
    rows = [[start + step * place for place in range(6)] for step in STEPS for start in range(1, STARTS + 1)]
    return [{"shown": ", ".join(map(str, row[:-1])), "next": row[-1]} for row in rows]


def write(name: str, lines: list[dict[str, object]]) -> None:
    """A file of JSON lines."""
    (HERE / name).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def main() -> None:
    """Write every file."""
    write("calibration.jsonl", chats_as_texts(calibration()))
    write("prompts.jsonl", [line for line in prompts() if line["category"] != LONG])
    write("longform.jsonl", [line for line in prompts() if line["category"] == LONG])
    write("kinds.jsonl", kinds())
    write("sequences.jsonl", sequences())


if __name__ == "__main__":
    main()
