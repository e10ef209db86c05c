"""What original and candidate take on each GPU, for the status."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.engines import engine_of, field_path
from lowbit.api.modelrevision import ModelRevision, ModelRevisionSpec
from lowbit.api.quantizedmodel import QuantizedModelStatus
from lowbit.api.status import GPUMemory
from lowbit.decide.nodes import engine_group, largest_gpu
from lowbit.decide.remembered import input_hash
from lowbit.resolve.memory import artifact_bytes, gpu_memory, holder_of
from lowbit.state.snapshot import Observed, Snapshot


def memory(
    snapshot: Snapshot, revision: Observed[ModelRevision] | None, old: Sequence[GPUMemory]
) -> Sequence[GPUMemory]:
    """Rows of the original and of this revision. Those so far are kept while there is none of the present manifest."""
    if revision is None or revision.body.spec.input_hash != input_hash(snapshot.model):
        return old
    spec, frozen, platform = snapshot.model.body.spec, revision.body.spec, snapshot.platform
    facts, made = frozen.source.facts, revision.body.status.artifact
    platform = platform.model_copy(update={"gpu": platform.gpu or _of_nodes(snapshot, frozen)})
    candidate = spec.candidates[frozen.candidate]
    size = made.bytes if made is not None else artifact_bytes(spec, facts, frozen.candidate)
    original = holder_of(spec.original_field, spec.original_engine)
    served = holder_of(field_path(spec.engine), spec.engine, candidate)
    rows = (
        gpu_memory("original", facts.weight_bytes, original, facts, platform),
        gpu_memory(frozen.label, size or 0, served, facts, platform),
    )
    return [row for row in rows if row is not None]


def _of_nodes(snapshot: Snapshot, frozen: ModelRevisionSpec) -> str | None:
    """The largest GPU of the nodes that may serve the revision, or else measure it."""
    spec = snapshot.model.body.spec
    options = spec.serving.pod if spec.serving is not None else spec.jobs.evaluate
    asked = engine_of(spec.engine)[1].resources
    return largest_gpu(engine_group(frozen.engine, asked, options, snapshot.platform), snapshot.nodes or ())


def wants_nodes(snapshot: Snapshot) -> bool:
    """Whether the nodes alone can tell which GPU a model is for: it is not named, and they were never read."""
    spec = snapshot.model.body.spec
    holder = holder_of(field_path(spec.engine), spec.engine)
    return snapshot.nodes is None and holder.settings.device == "GPU" and holder.gpu(snapshot.platform) is None


def but_for_memory(old: QuantizedModelStatus, new: QuantizedModelStatus) -> bool:
    """Whether two statuses say the same but for the memory on each GPU, which alone is no reason to write.

    A newer Lowbit, or another GPU in the platform's settings, would otherwise write every status at once.
    """
    return new.model_copy(update={"memory": old.memory}) == old
