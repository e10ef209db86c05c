"""The files that decide which tokens a text becomes: vocabulary, rules, special tokens and chat templates."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lowbit.worker.model.json_file import read_json

VOCABULARIES = (
    "*.tiktoken", "sentencepiece*.model", "spiece.model", "tekken.json", "tokenizer.json", "tokenizer.model*",
    "vocab.json", "vocab.txt",
)  # fmt: skip
"""A tokenizer has one of these."""
TOKENIZER_FILES = (
    *VOCABULARIES, "added_tokens.json", "additional_chat_templates/*", "chat_template.jinja", "chat_template.json",
    "merges.txt", "special_tokens_map.json", "tokenizer_config.json",
)  # fmt: skip
"""Patterns of everything that an engine or transformers may read."""
DEFAULT_TEMPLATE = "default"


def is_tokenizer_file(name: str) -> bool:
    """Whether a file of a model, by its path in the model's folder, belongs to the tokenizer."""
    return any(fnmatchcase(name, pattern) for pattern in TOKENIZER_FILES)


def is_vocabulary(name: str) -> bool:
    """Whether a file holds a tokenizer's vocabulary."""
    return any(fnmatchcase(name, pattern) for pattern in VOCABULARIES)


def tokenizer_files(folder: Path) -> list[str]:
    """Paths of the tokenizer's files below a folder, sorted."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(filter(is_tokenizer_file, names))


def tokenizer_hash(folder: Path) -> str:
    """SHA-256 (hex) over the tokenizer files and the chat templates."""
    sha = hashlib.sha256()
    for name in tokenizer_files(folder):
        content = (folder / name).read_bytes()
        sha.update(f"{name}\0{len(content)}\0".encode())
        sha.update(content)
    return sha.hexdigest()


def has_chat_template(folder: Path) -> bool:
    """Whether a tokenizer that is loaded from the folder has a chat template for a plain chat.

    As transformers looks for it: chat_template.jinja, else the one in tokenizer_config.json, where a list must have one
    that is called default. chat_template.json is a processor's, which no text is formatted with.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return bool(file.read_text(encoding="utf-8").strip())
    config = folder / "tokenizer_config.json"
    return config.is_file() and _has_default(read_json(config, "tokenizer").get("chat_template"))


def _has_default(template: Any) -> bool:
    if isinstance(template, list):
        return any(
            isinstance(each, dict) and each.get("name") == DEFAULT_TEMPLATE and bool(each.get("template"))
            for each in template
        )
    return isinstance(template, str) and bool(template.strip())
