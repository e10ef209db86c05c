"""Which files of a dataset repository are a config and a split: by its card, or by the names of its files.

No loading script is run, and nothing is read but data files and the card (README.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from lowbit.api.problem import some
from lowbit.api.references import HuggingFaceDatasetLocation
from lowbit.data.files import is_data
from lowbit.worker.model.file_list import silent
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.base import Origin, RemoteFile

CARD = "README.md"
MOST_CARD_BYTES, MOST_CONFIGS = 4 * 2**20, 2000
SPLIT_WORDS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
SHARD = re.compile(r"(?:^|/)(?P<split>[A-Za-z0-9_.]+)-\d{5}-of-\d{5}[^/]*$")
"""data/train_sft-00000-of-00003.parquet is of the split train_sft."""


@dataclass(frozen=True)
class Part:
    """Files of one split of one config."""

    config: str
    split: str
    files: list[RemoteFile]


def chosen_files(origin: Origin, location: HuggingFaceDatasetLocation, folder: Path, what: str) -> list[RemoteFile]:
    """The data files of the path, or of the config and split. Raises RefusalError with the names to choose from.

    folder: where the card is fetched to.
    """
    files = origin.files()
    data = [file for file in files if is_data(file.path)]
    if location.path is not None:
        below = location.path.rstrip("/") + "/"
        exact = [file for file in files if file.path == location.path]
        return exact or in_path([file for file in data if file.path.startswith(below)], location, what)
    if not data:
        raise no_data(files, what)
    configs = card_configs(origin, files, folder)
    # Without a card a config is a folder; what has none is called default.
    folder_of_config = None if location.config == "default" else location.config
    parts = list(by_card(configs, data) if configs else by_names(data, folder_of_config))
    default = next((word(each["config_name"]) for each in configs if each.get("default") is True), None)
    parts = one_of(parts, "config", location.config or default, what)
    parts = one_of(parts, "split", location.split, what)
    return list({file.path: file for part in parts for file in part.files}.values())


def in_path(found: list[RemoteFile], location: HuggingFaceDatasetLocation, what: str) -> list[RemoteFile]:
    """The data files below a path, if there are any."""
    if not found:
        raise RefusalError(
            "DatasetMissing",
            f"{what}: the repository {location.repo} has no data file {location.path}, and none below it",
            "give the path of a data file in the repository, or of a folder of them",
        )
    return found


def no_data(files: Sequence[RemoteFile], what: str) -> RefusalError:
    """The refusal of a repository without data files."""
    names = [file.path for file in files]
    script = next((name for name in names if name.endswith(".py")), None)
    beside = f"it has a loading script ({script}), which is never run" if script else f"it has {some(names) or 'none'}"
    return RefusalError(
        "NoDataFiles",
        f"{what} has no data files (Parquet, Arrow, JSONL, JSON, CSV or text): {beside}",
        "use a commit of the branch refs/convert/parquet, which the hub makes of many datasets, or put the data on a "
        "volume or into a bucket",
    )


def one_of(parts: list[Part], field: str, wanted: str | None, what: str) -> list[Part]:
    """The parts of the config or split that is wanted, or of the only one."""
    names = list(dict.fromkeys(str(getattr(part, field)) for part in parts))
    chosen = wanted or (names[0] if len(names) == 1 else "default" if "default" in names else None)
    found = [part for part in parts if getattr(part, field) == chosen and part.files]
    if not found:
        said = f"no {field} {chosen}" if chosen else f"several {field}s"
        raise RefusalError(
            "SplitMissing",
            f"{what} has {said}; there are {some(names, 12) or 'none'}",
            f"write one of them in huggingFace.{field}",
        )
    return found


def card_configs(origin: Origin, files: Sequence[RemoteFile], folder: Path) -> list[Mapping[str, Any]]:
    """The configs that the card declares with data files; none if it declares none."""
    card = next((file for file in files if file.path == CARD and file.size <= MOST_CARD_BYTES), None)
    if card is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CARD).is_file():
        origin.fetch(card, folder / CARD, silent)
    text = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    found = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(?:\n|$)", text, re.DOTALL)
    try:
        about = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, RecursionError):
        return []
    listed = about.get("configs") if isinstance(about, dict) else None
    configs = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [
        {"config_name": "default", **each}
        for each in configs[:MOST_CONFIGS]
        if each.get("data_files") or each.get("data_dir")
    ]


def by_card(configs: Sequence[Mapping[str, Any]], data: Sequence[RemoteFile]) -> Iterator[Part]:
    """The parts that a card declares."""
    for config in configs:
        name, folder = word(config["config_name"]), word(config.get("data_dir")).strip("./")
        below = [file for file in data if not folder or file.path.startswith(f"{folder}/")]
        if not config.get("data_files"):
            yield from (Part(name, part.split, part.files) for part in by_names(below, None, name))
            continue
        for split, patterns in split_patterns(config["data_files"]):
            below_folder = [f"{folder}/{each}" if folder else each for each in patterns]
            yield Part(name, split, [file for file in data if any(matches(file.path, each) for each in below_folder)])


def split_patterns(declared: Any) -> Iterator[tuple[str, list[str]]]:
    """Split and patterns, in each of the ways in which a card may write them."""
    if isinstance(declared, dict):
        declared = [{"split": split, "path": path} for split, path in declared.items()]
    if isinstance(declared, str):
        declared = [declared]
    plain = words(declared)
    if plain:
        yield "train", plain
    for each in declared if isinstance(declared, list) else []:
        if isinstance(each, dict):
            split, paths = each.get("split", "train"), each.get("path")
            yield word(split) or "train", words(paths if isinstance(paths, list) else [paths])


def word(value: Any) -> str:
    """A text of the card; empty for anything else, which may be a list whose text has no end."""
    return value if isinstance(value, str) else ""


def words(values: Any) -> list[str]:
    """The texts in a list of the card."""
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []


def matches(path: str, pattern: str) -> bool:
    """Whether a path is of a card's pattern: * within a folder, ** for any folders. The time is bounded."""
    parts = path.split("/")
    reached = {0}
    for each in pattern.removeprefix("./").split("/"):
        if each == "**":
            reached = set(range(min(reached, default=len(parts) + 1), len(parts) + 1))
        else:
            reached = {here + 1 for here in reached if here < len(parts) and fnmatchcase(parts[here], each)}
    return len(parts) in reached


def by_names(data: Sequence[RemoteFile], config: str | None, name: str = "default") -> Iterator[Part]:
    """The parts that the names of folders and files tell. config: a folder of this name.

    If there is no such folder, a part without files for each folder that there is: names to choose from.
    """
    folders = sorted({folder for file in data for folder in file.path.split("/")[:-1]})
    if config is not None and config not in folders:
        yield from (Part(folder, "", []) for folder in folders)
        return
    splits: dict[str, list[RemoteFile]] = {}
    for file in data:
        if config is None or config in file.path.split("/")[:-1]:
            splits.setdefault(split_of(file.path), []).append(file)
    yield from (Part(config or name, split, files) for split, files in splits.items())


def split_of(path: str) -> str:
    """The split of a file: as its shards are named, or a word in its name or in its folders; else train."""
    shard = SHARD.search(path)
    if shard is not None and shard["split"] not in ("data", "part"):
        return shard["split"]
    for part in reversed(path.split("/")):
        for word in re.split(r"[^a-z]+", part.casefold()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return "train"
