"""Makes the example's calibration texts (calibration.jsonl) from sentences.txt.

The held-out texts (holdout.jsonl) are written by hand, on other subjects, and share no sentence with them.

    python3 examples/data/make.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEXTS = 100
CHATS_EVERY = 4
SEED = 20_26


def topics() -> dict[str, list[str]]:
    """Sentences by topic."""
    found: dict[str, list[str]] = {}
    topic = ""
    for line in (HERE / "sentences.txt").read_text().splitlines():
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


def main() -> None:
    """Write calibration.jsonl."""
    lines = chats_as_texts(calibration())
    (HERE / "calibration.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


if __name__ == "__main__":
    main()
