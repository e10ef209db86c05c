"""Once a revision serves, it is asked the prompts of the showcase through the guard. Nothing waits for that."""

from __future__ import annotations

from lowbit.api.documents import AskDocument, AskResult
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.serving import Serving
from lowbit.api.showcase import ServedShowcase
from lowbit.api.stages import ASK
from lowbit.api.status import Failure
from lowbit.decide.jobs.request import JobRequest
from lowbit.decide.jobs.run import run
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.owners import user
from lowbit.decide.remembered import ask_hash
from lowbit.decide.serving.serve import by_name
from lowbit.decide.serving.target import Target
from lowbit.desired.context import Context
from lowbit.desired.jobs.ask import ask_job
from lowbit.desired.volumes import store_access
from lowbit.naming.names import ask_job_name, second_attempt
from lowbit.resolve.freeze import frozen_platform
from lowbit.state.snapshot import Observed, Snapshot


def ask_served(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, target: Target
) -> ServedShowcase | StageResult | None:
    """What serves has answered, or how far the Job is; None if there is nothing to ask, or it was asked."""
    meta, spec = snapshot.model.meta, snapshot.model.body.spec
    serving = spec.serving
    if serving is None or target.source or not _is_asked(snapshot, target.revision):
        return None
    hash_, known = ask_hash(target.revision), snapshot.model.body.status.showcase
    if known is not None and known.key == hash_:
        return None
    revision = target.revision.body.spec
    platform = frozen_platform(revision, snapshot.platform)
    context = Context(meta.namespace, store, platform)
    request = JobRequest(
        name=ask_job_name(meta.name, hash_), hash=hash_, kind=ASK, stage=ASK.status, options=spec.jobs.prepare,
        doing=f"asking {target.label} the prompts of the showcase", revision=target.label,
        make=lambda run_: ask_job(
            context, user(snapshot), serving, _document(snapshot, store, target, serving), revision.images.operator,
            run_,
        ),
    )  # fmt: skip
    result = run(snapshot, clock, request)
    if isinstance(result, StageResult):
        return result
    asked = result.result(AskResult)
    if asked is not None and asked.showcase.key == hash_:
        return asked.showcase
    failure = Failure(
        stage=ASK.title, reason="NoResult", message=f"Job {request.name} left no answers behind.",
        revision=target.label, time=clock.text,
        action="Use an image of the operator's version, then delete the Job to try again.",
    )  # fmt: skip
    return StageResult.failed(failure)


def names_needed(snapshot: Snapshot) -> frozenset[str]:
    """Names of the Job that asks what the Deployment serves now, its second attempt included.

    What asked a former revision is given up: it would take the answers of the present one for those of the former.
    """
    revision = by_name(snapshot, snapshot.deployment.revision if snapshot.deployment is not None else None)
    if revision is None or not _is_asked(snapshot, revision):
        return frozenset()
    name = ask_job_name(snapshot.model.meta.name, ask_hash(revision))
    return frozenset((name, second_attempt(name)))


def _is_asked(snapshot: Snapshot, revision: Observed[ModelRevision]) -> bool:
    """Whether a revision is asked while it serves. What is pinned may have a showcase that the manifest has no more."""
    spec = snapshot.model.body.spec
    answers = spec.serving is not None and spec.serving.replicas > 0
    return answers and spec.evaluation.showcase is not None and revision.body.spec.protocol.showcase is not None


def _document(snapshot: Snapshot, store: ModelStoreSpec, target: Target, serving: Serving) -> AskDocument:
    meta, revision = snapshot.model.meta, target.revision
    showcase, reference = revision.body.spec.protocol.showcase, serving.api_key_secret_ref
    if showcase is None:
        raise ValueError(f"{revision.meta.name} has no showcase")
    return AskDocument(
        store=store_access(store, meta.namespace),
        url=f"http://{meta.name}.{meta.namespace}.svc",
        served_name=meta.name,
        engine=revision.body.spec.engine,
        api_key=f"{reference.name}/{reference.key}" if reference is not None else None,
        showcase=showcase,
        revision=target.label,
        key=ask_hash(revision),
        evaluation=revision.body.status.evaluation,
        baseline=revision.body.status.baseline,
    )
