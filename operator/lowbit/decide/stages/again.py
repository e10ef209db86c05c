"""What serves is evaluated again where its engines run as none that was judged. Nothing waits for that.

It goes on beside what serves, as a comparison does, and gives its GPUs back where a pod that is to serve fits on no
node.
"""

from __future__ import annotations

from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.status import JudgedAgain, VerdictRecord
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.serving.stale import Again, Stale
from lowbit.decide.serving.target import Target
from lowbit.decide.stages.evaluation import measured_pair
from lowbit.decide.stages.gate import Pair, judged
from lowbit.state.plan import WriteStatus
from lowbit.state.snapshot import Observed, Snapshot


def judge_again(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, target: Target, stale: Stale | None
) -> StageResult | None:
    """The next step towards a verdict on an engine that serves; None if there is none to judge."""
    revision, again = target.revision, stale.again if stale is not None else None
    artifact, first = revision.body.status.artifact, revision.body.status.verdict
    if again is None or artifact is None or first is None:
        return None
    both = measured_pair(snapshot, clock, store, revision, artifact.digest, again.place)
    if isinstance(both, StageResult):
        return both
    # The manifest is the same, so it is no further attempt.
    record = judged(revision, both.candidate, first.attempts, clock)
    return StageResult(
        "Gating", "Judged", record.message, fact=recorded_again(revision, again, both, record),
        revision=revision.meta.name,
    )  # fmt: skip


def recorded_again(revision: Observed[ModelRevision], again: Again, both: Pair, record: VerdictRecord) -> WriteStatus:
    """Write the verdict into the revision's status, beside the first one.

    What is not known of how the engine ran is as in the one that serves, since it was measured for that one.
    """
    ran, summary = both.candidate.body.status, both.candidate.body.status.summary
    kernels = summary.kernels if summary is not None else []
    found = JudgedAgain(
        image=ran.engine_image_id or again.engine.image, device=ran.device or again.engine.device,
        kernels=kernels or again.engine.kernels, node=again.place.node, evaluation=both.candidate.meta.name,
        baseline=both.baseline.meta.name, verdict=record.verdict, message=record.message, time=record.time,
    )  # fmt: skip
    status = revision.body.status.model_copy(
        update={"judged_again": [*again.kept, found], "observed_generation": revision.meta.generation}
    )
    meta = revision.meta
    return WriteStatus("ModelRevision", meta.name, meta.uid, meta.resource_version, status.wire())
