"""Termination message of a worker: the result of its stage, or why there is none."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import create_model, model_validator

from lowbit.api.base import Tolerant, Wire
from lowbit.api.logged import LoggedResult
from lowbit.api.paths import TERMINATION_LIMIT, UNPACKED_LIMIT
from lowbit.api.stages import STAGES

Result = TypeVar("Result", bound=Wire)


class Refusal(Tolerant):
    """Why a stage failed. The exit code says whether it is tried again."""

    reason: str
    """One word in CamelCase: BranchNotCommit, RemoteCode, HeadsNotDivisible, ..."""
    message: str
    """What happened and why."""
    action: str
    """What to change."""
    retry_after: int | None = None
    """Seconds that the server asked to wait before the next try."""


class _Message(Tolerant):
    """A worker's termination message: exactly one member.

    JSON longer than TERMINATION_LIMIT (many suites with long names) is written as {"packed": ...}, deflated and in
    base64, and unpacked when it is read. A result that is still too long is `logged`.
    """

    refusal: Refusal | None = None
    logged: LoggedResult | None = None
    """The result is in the worker's log, because it does not fit into this message."""

    @classmethod
    def of(cls, result: Wire) -> Self:
        """The message of a stage that succeeded."""
        kind = next(kind for kind in STAGES if isinstance(result, kind.result))
        return cls.model_validate({kind.name: result})

    def result(self, type_: type[Result]) -> Result | None:
        """The result of that type; None if the message holds another."""
        return next((value for _, value in self if isinstance(value, type_)), None)

    @model_validator(mode="before")
    @classmethod
    def unpack(cls, value: Any) -> Any:
        """Unpack `packed`. Raises ValueError if text() did not write it."""
        if not isinstance(value, dict) or "packed" not in value:
            return value
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(base64.b64decode(str(value["packed"]), validate=True), UNPACKED_LIMIT)
        except zlib.error as error:
            raise ValueError(f"the packed message is damaged: {error}") from error
        if not stream.eof:
            raise ValueError(f"the packed message is cut off, or longer than {UNPACKED_LIMIT} bytes")
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("the packed message is nested too deep") from error

    def text(self) -> str:
        """The message as it is written: plain where it fits, else packed."""
        plain = self.model_dump_json(by_alias=True, exclude_none=True)
        if len(plain.encode()) <= TERMINATION_LIMIT:
            return plain
        return json.dumps({"packed": base64.b64encode(zlib.compress(plain.encode(), 9)).decode()})


if TYPE_CHECKING:

    class TerminationMessage(_Message):
        """One member for each stage's result, beside `refusal`."""

else:
    TerminationMessage = create_model(
        "TerminationMessage", __base__=_Message, **{kind.name: (kind.result | None, None) for kind in STAGES}
    )


class WorkerEnd(Tolerant):
    """How a worker ended whose pod did not end with it. Lowbit keeps it on the Job, which it ends itself."""

    exit_code: int
    message: TerminationMessage | None = None
    """None if it left nothing that can be read."""
    out_of_memory: str | None = None
    """The container that ran out of memory."""
    engine_image_ids: tuple[str, ...] = ()
    lived_on: tuple[str, ...] = ()
    """Containers that did not end with the worker, such as a mesh's proxy."""
    time: str
    """When the worker ended (RFC 3339)."""

    def text(self) -> str:
        """The annotation's value."""
        return self.model_dump_json(by_alias=True, exclude_none=True)
