"""Why an operator ends by itself. It is started again, and begins with nothing seen."""

from __future__ import annotations


class PartEnded(Exception):  # noqa: N818
    """A part that runs for ever has ended without an error of its own."""


class HistoryLost(PartEnded):
    """The API server's data are older than what it has told before: etcd was restored. Nothing that was seen counts."""

    def __init__(self, witness: str) -> None:
        super().__init__(
            f"etcd was restored from an older snapshot: {witness} is older than it was before. What has been seen since "
            "the snapshot counts for nothing, and no watch would bring what comes now; start again"
        )
