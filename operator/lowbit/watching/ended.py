"""Reasons for the operator to exit by itself. Kubernetes restarts it, with an empty cache."""

from __future__ import annotations


class PartEnded(Exception):  # noqa: N818
    """A task that should run for ever has ended without an error."""


class HistoryLost(PartEnded):
    """etcd was restored to an older state, so everything cached is invalid."""

    def __init__(self, witness: str) -> None:
        super().__init__(
            f"etcd was restored from an older snapshot: {witness} is older than it was before. What has been seen "
            "since the snapshot counts for nothing, and no watch would bring what comes now; start again"
        )
