"""Engines that end and are started anew by the kubelet: what is told of them, and when they are given up.

An engine that has ended is told of once its log was read, so that a person reads at once why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from lowbit.api.documents import EXIT_LOST
from lowbit.api.enginelog import last_words
from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.status import EngineTermination, Failure
from lowbit.api.termination import Refusal
from lowbit.decide.outcome import Clock
from lowbit.naming.names import GIVEN_UP_ANNOTATION
from lowbit.state.plan import End, ReadLog, ReadStart, WriteStatus
from lowbit.state.snapshot import ContainerState, JobView, Observed, PodView

ENGINE = "engine"
OUT_OF_MEMORY = "OOMKilled"
CRASH_LOOP = "CrashLoopBackOff"
RESTARTS_THAT_LAST = 3
"""Report a crash loop from the third restart. The first two can be an accident; the kubelet restarts it."""
ORDERLY_EXITS = (None, 0, 137, 143)
"""Exit codes of an engine that ended with its pod."""


@dataclass(frozen=True)
class Ended:
    """An engine that has ended in one or several pods, as far as its logs were read."""

    pod: PodView
    """The newest of them."""
    count: int

    @property
    def engine(self) -> ContainerState:
        """The engine's container of the newest pod."""
        return container(self.pod, ENGINE) or ContainerState(ENGINE)

    @property
    def error(self) -> str | None:
        """The line of the log that says why."""
        return self.pod.engine_log.error if self.pod.engine_log else None

    @property
    def how(self) -> str:
        """How it ended last: "exit code 1 (Error): ValueError: ..."."""
        code = f"exit code {self.engine.exit_code}"
        if self.out_of_memory:
            return f"{code} ({OUT_OF_MEMORY})"
        if self.error:
            return f"{code}: {self.error}"
        log = self.pod.engine_log
        words = last_words((log.last_lines if log else "") or self.engine.message or "")
        told = f", which ends with: {words}" if words else ""
        if log is not None and log.unread:
            return f"{code}; its log could not be read ({log.unread}){told.replace('which', 'and', 1)}"
        return f"{code}; its log names no error{told}"

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel has killed it for its memory."""
        return self.engine.terminated_reason == OUT_OF_MEMORY


def container(pod: PodView, name: str) -> ContainerState | None:
    """A pod's container by its name."""
    return next((each for each in pod.containers if each.name == name), None)


def ends(pod: PodView) -> int:
    """How often a pod's engine has ended while it was needed. Ends by the drain of a node do not count."""
    engine = container(pod, ENGINE)
    if engine is None or pod.disrupted:
        return 0
    return engine.restarts + (1 if _died_last(pod, engine) else 0)


def _died_last(pod: PodView, engine: ContainerState) -> bool:
    """Whether the engine of a finished pod had ended before the pod did."""
    return pod.phase == "Failed" and not engine.running and engine.exit_code not in ORDERLY_EXITS


def unread(pods: Sequence[PodView]) -> tuple[ReadLog, ...]:
    """The logs of engines that have ended since they were read."""
    wanted = []
    for pod in pods:
        count, known = ends(pod), pod.engine_log
        engine = container(pod, ENGINE)
        if engine is not None and count > (known.ends if known else 0):
            wanted.append(ReadLog(pod.meta.name, count, previous=not _died_last(pod, engine)))
    return tuple(wanted)


def starts(pods: Sequence[PodView]) -> tuple[ReadStart, ...]:
    """Engines that measure, and of which nobody has read yet how they run. pods: the newest first."""
    wanted = []
    for pod in pods[:1]:
        engine = container(pod, ENGINE)
        if engine is not None and engine.running and engine.ready and pod.engine_start is None:
            wanted.append(ReadStart(pod.meta.name, pod.meta.uid, pod.node))
    return tuple(wanted)


def last_end(pods: Sequence[PodView]) -> Ended | None:
    """How the engine has ended last. pods: the newest first. Of a group those that did not only follow another one."""
    read = [pod for pod in pods if pod.engine_log is not None and ends(pod)]
    if not read:
        return None
    read = [pod for pod in read if not only_followed(pod)] or read
    return Ended(read[0], sum(pod.engine_log.ends for pod in read if pod.engine_log is not None))


def only_followed(pod: PodView) -> bool:
    """Whether the pod's engine has ended because another pod of its group had."""
    engine = container(pod, ENGINE)
    return engine is not None and engine.exit_code == EXIT_LOST


def sentence(ended: Ended, job: str | None = None) -> str:
    """What happened: to a Job's engine, or to one that serves."""
    pod = ended.pod.meta.name
    if job is None:
        return f"The engine in pod {pod} has ended {ended.count} time(s), last with {ended.how}"
    return f"The engine of Job {job} has ended {ended.count} time(s), last in pod {pod} with {ended.how}"


def restarted(ended: Ended, stage: str, revision: str | None, clock: Clock, job: str | None = None) -> Failure:
    """The transient failure of an engine that is started anew."""
    limit = f" The Job is ended when it has ended {RESTARTS_THAT_LAST} times." if job is not None else ""
    return Failure(
        stage=stage, reason="EngineRestarted", message=f"{sentence(ended, job)}.", exit_code=ended.engine.exit_code,
        revision=revision, time=clock.text, action=f"It is started anew.{limit} All that it said: {whole_log(ended)}",
    )  # fmt: skip


def whole_log(ended: Ended) -> str:
    """The command that shows all that the engine said before it ended."""
    pod = ended.pod.meta
    return f"kubectl -n {pod.namespace} logs {pod.name} -c {ENGINE} --previous"


def more_memory(field_path: str) -> str:
    """What to do about an engine that ran out of memory. field_path: of the engine in the manifest."""
    return f"Raise {field_path}.resources.limits.memory, or lower {field_path}.maxModelLen."


def give_up(job: JobView, ended: Ended, field_path: str) -> tuple[Refusal, End]:
    """Why the Job of a crashing engine is ended, and the action. field_path: of the engine in the manifest."""
    change = f"Change {field_path} (image, args, env) as its words say, and apply it"
    action = more_memory(field_path).removesuffix(".") if ended.out_of_memory else change
    elsewhere = (
        f"or mend the cause elsewhere (the node's CPU, GPU or memory) and delete Job {job.meta.name} to try again."
    )
    reason = "OutOfMemory" if ended.out_of_memory else "EngineCrashLoop"
    refusal = Refusal(
        reason=reason,
        message=f"{sentence(ended, job.meta.name)}. The Job was ended.",
        action=f"{action}; {elsewhere}",
    )
    meta = job.meta
    return refusal, End(meta.name, meta.uid, meta.resource_version, refusal.model_dump_json(by_alias=True))


def given_up(job: JobView) -> Refusal | None:
    """Why Lowbit has ended a Job; None where it has not."""
    try:
        return Refusal.model_validate_json(job.meta.annotations[GIVEN_UP_ANNOTATION])
    except (KeyError, ValidationError):
        return None


def crash_loop(pod: PodView, startup_seconds: float, revision: str, field_path: str, clock: Clock) -> Failure | None:
    """The failure of an engine that serves and does not stay up.

    startup_seconds: what an engine may take to start. One that has lived longer had started, and is no crash loop.
    field_path: of the engine in the manifest.
    """
    ended = last_end((pod,))
    if ended is None or ended.engine.restarts < RESTARTS_THAT_LAST:
        return None
    engine = ended.engine
    if engine.reason != CRASH_LOOP and (engine.lived_seconds or 0.0) > startup_seconds:
        return None
    reason, mend = "EngineCrashLoop", "Mend what its words say; it is started anew meanwhile."
    if ended.out_of_memory:
        reason, mend = "OutOfMemory", more_memory(field_path)
    return Failure(
        stage="Serve", reason=reason, revision=revision, time=clock.text,
        message=f"The engine in pod {pod.meta.name} ends again and again, last with {ended.how}.",
        action=f"{mend} All that it said: {whole_log(ended)}",
    )  # fmt: skip


def record_engine(seen: Observed[ModelEvaluation], job: JobView | None, clock: Clock) -> WriteStatus | None:
    """Write into the ModelEvaluation how its engine has ended, and whether it was given up.

    Everything comes from the Job, so that all who share the evaluation write the same.
    """
    if job is None:
        return None
    old, meta = seen.body.status, seen.meta
    ended, refusal = last_end(job.pods), given_up(job)
    termination = _termination(ended) if ended is not None else old.engine_last_termination
    failure = old.last_failure
    if refusal is not None and (failure is None or failure.message != refusal.message):
        failure = Failure(
            stage="Evaluate", reason=refusal.reason, message=refusal.message, action=refusal.action, time=clock.text
        )
    phase = "Failed" if refusal is not None else "Pending" if old.phase == "Failed" else old.phase
    new = old.model_copy(
        update={"engine_last_termination": termination, "last_failure": failure, "phase": phase,
                "observed_generation": meta.generation}
    )  # fmt: skip
    changed = (new.engine_last_termination, new.last_failure, new.phase) != (
        old.engine_last_termination, old.last_failure, old.phase,
    )  # fmt: skip
    return WriteStatus("ModelEvaluation", meta.name, meta.uid, meta.resource_version, new.wire()) if changed else None


def _termination(ended: Ended) -> EngineTermination:
    log = ended.pod.engine_log
    return EngineTermination(
        pod=ended.pod.meta.name, count=ended.count, exit_code=ended.engine.exit_code,
        reason=ended.engine.terminated_reason, error=ended.error, kernels=list(log.kernels) if log else [],
        log=log.last_lines if log else "",
    )  # fmt: skip
