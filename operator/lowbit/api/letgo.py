"""What a Deployment remembers of serving pods that could not start: it outlives pods, status and operator."""

from __future__ import annotations

from pydantic import Field

from lowbit.api.base import Tolerant
from lowbit.api.status import Failure


class LetGo(Tolerant):
    """Why a Deployment was scaled to 0, or paused beside its old pods; how often. Value of LET_GO_ANNOTATION."""

    of: str
    """Hash of the Deployment that could not start. With another one it is tried at once."""
    attempts: int = Field(ge=1)
    """How often it could not."""
    at: str
    """When it was scaled to 0, or paused, last (RFC 3339)."""
    beside: bool = False
    """Old pods serve on: the Deployment is paused, and only the ReplicaSet of the new ones scaled to 0."""
    room: bool = False
    """Pods of a former template held what new ones wait for: these have not been tried yet."""
    failure: Failure
    """What kept its pods from starting."""

    def text(self) -> str:
        """As the annotation has it."""
        return self.model_dump_json(by_alias=True, exclude_none=True)
