"""What to say of a write that the API server refuses.

The CRD's schema let it pass, but Kubernetes does not take it (an invalid node label, a request above its limit), or a
policy does not.
"""

from __future__ import annotations

from datetime import datetime

from lowbit.api.stages import FETCH
from lowbit.api.status import Failure
from lowbit.decide.others import stage_of
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.serving.serve import deployed
from lowbit.decide.status import Situation, events, quantized_model_status, write
from lowbit.state.plan import Apply, Create, Plan
from lowbit.state.snapshot import Snapshot


def refused(snapshot: Snapshot, plan: Plan, why: str, now: datetime) -> Plan:
    """The status, and nothing else: what is served goes on. plan: what was to be done; why: the API server's words."""
    clock, spec = Clock(now), snapshot.model.body.spec
    failure = Failure(
        stage=_stage(plan), reason="WriteRefused", message=f"The API server refuses it: {why}.", time=clock.text,
        action="Change what it names (spec.serving.pod, spec.jobs, spec.engine), or the policy that refuses it; "
        "it is tried again by itself.",
    )  # fmt: skip
    waiting = StageResult.failed(failure)
    served = deployed(snapshot, spec.serving) if spec.serving is not None else None
    status = quantized_model_status(snapshot, Situation(None, served, waiting, failure), clock)
    change = write(snapshot, status)
    return Plan(status=change, events=events(snapshot.model.body.status, status) if change is not None else ())


def _stage(plan: Plan) -> str:
    """The stage that the first thing that was to be made belongs to."""
    for action in plan.actions:
        if isinstance(action, (Create, Apply)):
            labels = action.manifest["metadata"].get("labels") or {}
            return stage_of(str(action.manifest["kind"]), labels).title
    return FETCH.title
