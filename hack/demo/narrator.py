"""What is to be said while the model is followed. Pure: the status and the time come in, lines go out."""

from __future__ import annotations

from typing import Any

from hack.cluster.progress import StepError
from hack.demo.cluster import MODEL

QUIET_SECONDS = 30.0
UNREADABLE_SECONDS = 60.0

Status = dict[str, Any]


class Narrator:
    """Says each stage and each failure once. Times are seconds of one clock that never goes back."""

    def __init__(self, *, log: bool) -> None:
        """log: nobody sees a live table. Then every new line is said, and after 30 quiet seconds the present one."""
        self.log = log
        self._line = self._stage = ""
        self._failure: Status | None = None
        self._stage_since = self._spoke = 0.0
        self._unreadable_since: float | None = None

    def lines(self, status: Status, now: float) -> list[str]:
        """What is new in the status, what failed first."""
        said = self._readable_again()
        failure, line, stage = status.get("lastFailure"), present(status), stage_of(status)
        if failure and failure != self._failure:
            said.append(failure_line(failure, earlier=not self._stage))
            self._failure = failure
        if stage != self._stage or (self.log and line != self._line):
            said.append(line)
        if stage != self._stage:
            self._stage, self._stage_since = stage, now
        self._line = line
        return self._or_life(said, f"{now - self._stage_since:.0f} s in {line}", now)

    def unreadable(self, why: str, now: float) -> list[str]:
        """What is to be said where the status could not be read. Raises StepError after 60 s of it in a row."""
        said = []
        if self._unreadable_since is None:
            self._unreadable_since = now
            said.append(f"{MODEL} cannot be read at the moment, the demo tries again: {why}")
        if now - self._unreadable_since >= UNREADABLE_SECONDS:
            raise StepError("follow", f"{MODEL} could not be read for {UNREADABLE_SECONDS:.0f} s: {why}")
        return self._or_life(said, f"{now - self._unreadable_since:.0f} s without an answer", now)

    def _readable_again(self) -> list[str]:
        if self._unreadable_since is None:
            return []
        self._unreadable_since = None
        return [f"{MODEL} can be read again"]

    def _or_life(self, said: list[str], life: str, now: float) -> list[str]:
        if not said and self.log and now - self._spoke >= QUIET_SECONDS:
            said = [life]
        if said:
            self._spoke = now
        return said


def stage_of(status: Status) -> str:
    """The stage; Pending before the operator has seen the model."""
    return str(status.get("stage") or "Pending")


def present(status: Status) -> str:
    """Stage, percent, the time that is left and the message, in one line."""
    progress = status.get("progress") or {}
    percent, eta = progress.get("percent"), progress.get("etaSeconds")
    parts = [
        stage_of(status),
        "" if percent is None else f"{percent} %",
        "" if eta is None else f"about {eta} s left",
        progress.get("message") or status.get("message") or "",
    ]
    return " · ".join(part for part in parts if part)


def failure_line(failure: Status, *, earlier: bool = False) -> str:
    """A failure with its reason, its time and what to do. earlier: from before anybody looked."""
    when = f"{'earlier, at' if earlier else 'at'} {failure.get('time', 'an unknown time')}"
    action = f" What to do: {failure['action']}" if failure.get("action") else ""
    return f"{failure.get('reason', 'Failed')} ({when}): {failure.get('message', '')}{action}"


def condition(model: dict[str, Any], *types: str) -> dict[str, Any] | None:
    """The first of these conditions that is True for the present generation."""
    status = model.get("status") or {}
    if status.get("observedGeneration") != model["metadata"]["generation"]:
        return None
    found = (each for each in status.get("conditions") or [] if each["type"] in types and each["status"] == "True")
    return next(found, None)


def not_served(model: dict[str, Any]) -> str:
    """Why the model is not served and what to do: the whole message of the condition Stalled."""
    stalled = condition(model, "Stalled")
    if stalled is None:
        return f"{MODEL} is not served: {(model.get('status') or {}).get('message')}"
    return f"{MODEL} is not served. {stalled.get('reason', 'Stalled')}: {stalled.get('message', '')}"
