"""What is to be done: made by decide, carried out by effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lowbit.api.logged import LoggedResult
from lowbit.state.snapshot import Owner


@dataclass(frozen=True)
class Create:
    """Create an object that never changes afterwards (Job, guard's ConfigMap, ModelRevision, ModelEvaluation).

    Its name follows from its content, so AlreadyExists means that somebody saw more than this snapshot: no error.
    """

    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Apply:
    """Server-side apply of an object that Lowbit owns the declared fields of. Only made when something would change."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class SetOwners:
    """Replace the owner references of a shared object, under the precondition of its resourceVersion."""

    kind: str
    name: str
    uid: str
    resource_version: str
    owners: tuple[Owner, ...]


@dataclass(frozen=True)
class Delete:
    """Delete an object (background propagation) under the preconditions of its uid and resourceVersion."""

    kind: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Keep:
    """Let a finished Job stay, without a time to live: it remembers that its reason is a lasting one."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class End:
    """End a Job that comes to nothing: its pods are killed, it counts as failed, and stays with the reason on it."""

    name: str
    uid: str
    resource_version: str
    why: str
    """Value of GIVEN_UP_ANNOTATION."""


Action = Create | Apply | SetOwners | Delete | Keep | End


@dataclass(frozen=True)
class ReadLog:
    """Read the log of an engine that has ended."""

    pod: str
    ends: int
    """How often it has ended."""
    previous: bool
    """The container was started again: its last life's log is meant."""


@dataclass(frozen=True)
class ReadResult:
    """Read the result of a worker that its termination message had no room for."""

    pod: str
    logged: LoggedResult


@dataclass(frozen=True)
class WriteStatus:
    """Replace the status of one of Lowbit's own objects, under the precondition of its resourceVersion."""

    kind: Literal["QuantizedModel", "ModelRevision", "ModelEvaluation", "ModelStore"]
    name: str
    uid: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """Something that a person would want to know, on the QuantizedModel."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """One step. Actions in order, then the events, then the status; it is decided anew after every change."""

    actions: tuple[Action, ...] = ()
    status: WriteStatus | None = None
    """At most one: facts (evaluation, revision) before the QuantizedModel's."""
    events: tuple[Event, ...] = ()
    """Only sent when the status was written: so each is sent once."""
    requeue_after: float | None = None
    """Seconds after which to look again without a change (a Job's progress, a backoff)."""
    watch_progress: tuple[str, ...] = ()
    """Names of Jobs whose log is to be read for progress, at most every 30 seconds each."""
    read_logs: tuple[ReadLog | ReadResult, ...] = ()
    """Logs that are to be read once, beside everything else."""
