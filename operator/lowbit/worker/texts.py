"""Held-out texts as token ids, by the original's tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowbit.api.evaluation import ResolvedSuite
from lowbit.worker.datasets import read_dataset
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store, folder_key
from lowbit.worker.tokens import token_ids

LEAST_TOKENS = 2
"""The first token has no logprob: a text of one token measures nothing."""
WEIGHTS = (".safetensors",)


def load_tokenizer(store: Store, source: str, folder: Path) -> Any:
    """The original's tokenizer, from its small files only; they are linked into folder. Raises RefusalError."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in store.require("sources", source).files:
        if file.path.endswith(WEIGHTS):
            continue
        local = store.local(f"{folder_key('sources', source)}/{file.path}")
        target = folder / file.path
        if local is not None and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(local.resolve())
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RefusalError(
            "NoTokenizer",
            f"the tokenizer of the original {source} cannot be loaded: {error}",
            "use a source with tokenizer.json and tokenizer_config.json that transformers loads without remote code",
        ) from error


def tokenize_suite(suite: ResolvedSuite, dataset: Path, tokenizer: Any, longest: int | None) -> list[list[int]]:
    """The token ids of a suite's first texts, each cut at maxTokens (and at what the engine takes, longest tokens).

    Texts of fewer than two tokens are left out. Raises RefusalError where fewer than two texts are left.
    """
    limit = suite.max_tokens if longest is None else min(suite.max_tokens, longest)
    samples: list[list[int]] = []
    for record in read_dataset(dataset, suite.format, f"the dataset of suite {suite.name}"):
        ids = token_ids(f"the dataset of suite {suite.name}", record, tokenizer)[:limit]
        if len(ids) >= LEAST_TOKENS:
            samples.append(ids)
        if len(samples) == suite.samples:
            break
    if len(samples) < 2:
        raise RefusalError(
            "TooFewTexts",
            f"suite {suite.name} has {len(samples)} texts of at least {LEAST_TOKENS} tokens, and needs two",
            "give the suite a dataset with more, longer texts",
        )
    return samples
