"""JSONL datasets: locates them, reads them line by line, and stores them under the SHA-256 of their content."""

from __future__ import annotations

import gzip
import json
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowbit.api.calibration import CalibrationDataset, DatasetFormat
from lowbit.api.paths import CONFIG_MAPS_PATH, SCRATCH_PATH, SECRETS_PATH, VOLUMES_PATH
from lowbit.api.references import S3Location
from lowbit.api.suites.dataset import SuiteFile
from lowbit.worker.data.chats import Message, NoChatError, is_chat, messages_of, tools_of, words_of
from lowbit.worker.model.file_list import check_path, hash_file, silent
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.beneath import Beneath, OutsideError
from lowbit.worker.store import Store

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
"""First bytes of a file."""
CONVERT_PARQUET = "write it as JSONL: pandas.read_parquet(FILE).to_json(OTHER, orient='records', lines=True)"
LEAST_CHARACTERS = 20
"""Texts of at most this many characters are useless for calibration, and are dropped."""


@dataclass(frozen=True)
class Record:
    """One line: a text, or a chat (a list of messages with role and content)."""

    line: int
    """From 1."""
    text: str | None = None
    messages: tuple[Message, ...] | None = None
    tools: list[Any] | None = None
    """Those that a chat may call."""
    group: str | None = None
    """Lines of one group are not independent, such as parts of one document: they count as one unit."""

    @property
    def characters(self) -> int:
        """Length of the text, or of all contents of the chat."""
        if self.messages is None:
            return len(self.text or "")
        return sum(len(words_of(message)) for message in self.messages)

    @property
    def plain(self) -> str:
        """The text, or all contents of the chat, without differences that nobody sees."""
        texts = [self.text or ""] if self.messages is None else list(map(words_of, self.messages))
        return " ".join(_normal(texts))

    @property
    def key(self) -> str:
        """A text that is equal for equal records; white space and Unicode's forms do not count."""
        return json.dumps(_normal([self.text, self.messages, self.tools]), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Mounts:
    """Folders of the Job's mounts."""

    volumes: Path = Path(VOLUMES_PATH)
    config_maps: Path = Path(CONFIG_MAPS_PATH)
    secrets: Path = Path(SECRETS_PATH)
    scratch: Path = Path(SCRATCH_PATH)


def read_dataset(path: Path, format_: DatasetFormat, what: str) -> list[Record]:
    """Every line of a JSONL file. Raises RefusalError with the number of the first line that cannot be used."""
    records: list[Record] = []
    kind = format_
    for number, line in enumerate(read_lines(path, what), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise bad_line(what, number, f"is not JSON ({error})", "write one JSON value per line") from error
        if kind == "Auto":
            kind = tell_format(value, what, number)
        record = _text(value, what, number) if kind == "Text" else _chat(value, what, number)
        records.append(replace(record, group=_group(value, what, number)))
    if not records:
        raise RefusalError("EmptyDataset", f"{what} has no lines", "write one JSON value per line")
    return records


def tell_format(value: Any, what: str, line: int) -> DatasetFormat:
    """Text or Chat, from the fields of a line."""
    if isinstance(value, str) or (isinstance(value, dict) and "text" in value):
        return "Text"
    if is_chat(value):
        return "Chat"
    fields = ", ".join(sorted(value)[:8]) if isinstance(value, dict) else type(value).__name__
    raise bad_line(
        what, line, f"has neither a field text nor messages, conversations or instruction (found: {fields})",
        'write {"text": "..."} or {"messages": [{"role": "user", "content": "..."}]} per line',
    )  # fmt: skip


def _normal(value: Any) -> Any:
    """The value with each text as people see it: without differences in white space and in Unicode's forms."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split())
    if isinstance(value, Mapping):
        return {name: _normal(each) for name, each in value.items()}
    return [_normal(each) for each in value] if isinstance(value, list | tuple) else value


def distinct(records: list[Record]) -> list[Record]:
    """The first of all records that are equal but for white space and Unicode."""
    return list({record.key: record for record in reversed(records)}.values())[::-1]


def usable(records: list[Record]) -> list[Record]:
    """The records that are long enough to count, without duplicates."""
    return [record for record in distinct(records) if record.characters > LEAST_CHARACTERS]


def bad_line(what: str, line: int, problem: str, action: str) -> RefusalError:
    """The refusal of one line."""
    return RefusalError("BadDataset", f"{what}, line {line}: {problem}", action)


def no_chat_template(what: str) -> RefusalError:
    """The refusal of a dataset of chats, for a model without a chat template."""
    return RefusalError(
        "NoChatTemplate",
        f"{what} holds chats, and the model has no chat template",
        "give texts (a field `text` per line) instead of chats, or a source with chat_template.jinja",
    )


def locate(dataset: CalibrationDataset | SuiteFile, what: str, mounts: Mounts) -> Path:
    """A local copy of the dataset: what is read, checked and stored is one content. Raises RefusalError."""
    if dataset.config_map is not None:
        name, key = dataset.config_map.name, dataset.config_map.key
        action = f"add the key {key} to the ConfigMap {name}"
        return _copied(mounts.config_maps / name, key, mounts.scratch / "datasets" / "configmaps" / name, what, action)
    if dataset.pvc is not None:
        claim, path = dataset.pvc.claim_name, dataset.pvc.path or "."
        action = f"give the path of a JSONL or Parquet file on the claim {claim}; links on the way have to stay on it"
        return _copied(mounts.volumes / claim, path, mounts.scratch / "datasets" / "claims" / claim, what, action)
    if dataset.s3 is not None:
        return _download(dataset.s3, what, mounts)
    raise ValueError("a dataset is exactly one of pvc, s3 and configMap")


def _copied(root: Path, path: str, folder: Path, what: str, action: str) -> Path:
    """A copy of a file below root, whose links stay there, under the same path below folder."""
    target = folder / check_path(path) if path != "." else folder
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        Beneath(root).copy(path, target, silent)
    except OutsideError as error:
        raise RefusalError("PathOutside", f"{what}: {path} leads out of {root.name}", action) from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise RefusalError("DatasetMissing", f"{what} is not there, or not a file", action) from error
    return target


def import_dataset(store: Store, path: Path) -> str:
    """Put a dataset into the store; returns its digest."""
    digest = "sha256:" + hash_file(path)
    store.write_dataset(path, digest)
    return digest


def is_parquet(path: Path) -> bool:
    """Whether a file says that it is one."""
    return _begins(path, PARQUET)


def read_lines(path: Path, what: str) -> Iterator[str]:
    """The lines of a file, which may be compressed by gzip, as split() gives them. Raises RefusalError."""
    if is_parquet(path):
        raise RefusalError("BadDataset", f"{what} is a Parquet file, which only prepare reads", CONVERT_PARQUET)
    try:
        opened = gzip.open if _begins(path, GZIP) else open
        with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            line = "\n"
            for line in file:
                yield line.removesuffix("\n")
            if line.endswith("\n"):
                yield ""
    except UnicodeDecodeError as error:
        raise RefusalError("BadDataset", f"{what} is not UTF-8: {error}", "save it as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RefusalError("BadDataset", f"{what} is damaged: {error}", "compress it again") from error


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _group(value: Any, what: str, line: int) -> str | None:
    """The field `group`; numbers count as their text."""
    group = value.get("group") if isinstance(value, dict) else None
    if group is None or isinstance(group, str | int):
        return None if group is None else str(group)
    raise bad_line(what, line, "has a group that is neither text nor a number", 'write "group": "document-7"')


def _text(value: Any, what: str, line: int) -> Record:
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise bad_line(what, line, "has no text", 'write {"text": "..."} or a JSON string, or set format: Chat')
    return Record(line, text=text)


def _chat(value: Any, what: str, line: int) -> Record:
    try:
        return Record(line, messages=tuple(messages_of(value)), tools=tools_of(value))
    except NoChatError as error:
        action = 'write {"messages": [{"role": "user", "content": "..."}]}, or set format: Text'
        raise bad_line(what, line, str(error), action) from error


def _download(location: S3Location, what: str, mounts: Mounts) -> Path:
    import botocore.exceptions

    from lowbit.worker import s3client
    from lowbit.worker.sources.base import RemoteFile
    from lowbit.worker.sources.s3 import client_of, download

    client = client_of(location, mounts.secrets)
    key = location.path or ""
    with s3client.calling(location.bucket):
        try:
            head = client.head_object(Bucket=location.bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if s3client.is_missing(error):
                raise RefusalError(
                    "DatasetMissing",
                    f"{what}: there is no object {key} in bucket {location.bucket}",
                    "give the object's key",
                ) from error
            raise
    file = RemoteFile(key, head["ContentLength"], head["ETag"])
    target = mounts.scratch / "datasets" / "buckets" / location.bucket / key
    target.parent.mkdir(parents=True, exist_ok=True)
    download(client, location.bucket, key, file, target, silent)
    return target
