"""What a worker leaves behind: the result of its stage, or why there is none."""

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
    """Out of any stage that ended with EXIT_REFUSED (or with another code, where it could still write)."""

    reason: str
    """One word in CamelCase: BranchNotCommit, RemoteCode, HeadsNotDivisible, ..."""
    message: str
    """What happened and why."""
    action: str
    """What to change."""


class _Message(Tolerant):
    """What a worker leaves behind: exactly one member.

    Where the JSON is longer than TERMINATION_LIMIT (many suites with long names), it is written as {"packed": ...},
    deflated and in base64, and reads back as if it had not been. What is longer even so is `logged`.
    """

    refusal: Refusal | None = None
    logged: LoggedResult | None = None
    """The result is in the worker's log: this message has no room for it."""

    @classmethod
    def of(cls, result: Wire) -> Self:
        """The message of a stage that has succeeded."""
        kind = next(kind for kind in STAGES if isinstance(result, kind.result))
        return cls.model_validate({kind.name: result})

    def result(self, type_: type[Result]) -> Result | None:
        """The result of that type, if it is what the worker has left."""
        return next((value for _, value in self if isinstance(value, type_)), None)

    @model_validator(mode="before")
    @classmethod
    def unpack(cls, value: Any) -> Any:
        """Raises ValueError where `packed` is not what text() writes."""
        if not isinstance(value, dict) or "packed" not in value:
            return value
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(base64.b64decode(str(value["packed"]), validate=True), UNPACKED_LIMIT)
        except zlib.error as error:
            raise ValueError(f"the packed message is damaged: {error}") from error
        if not stream.eof:
            raise ValueError(f"the packed message is cut off, or longer than {UNPACKED_LIMIT} bytes")
        return json.loads(data)

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
