"""What original and candidate take on each GPU, for the status."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.engines import field_path
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.quantizedmodel import QuantizedModelStatus
from lowbit.api.status import GPUMemory
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
    candidate = spec.candidates[frozen.candidate]
    size = made.bytes if made is not None else artifact_bytes(spec, facts, frozen.candidate)
    original = holder_of(spec.original_field, spec.original_engine)
    served = holder_of(field_path(spec.engine), spec.engine, candidate)
    rows = (
        gpu_memory("original", facts.weight_bytes, original, facts, platform),
        gpu_memory(frozen.label, size or 0, served, facts, platform),
    )
    return [row for row in rows if row is not None]


def but_for_memory(old: QuantizedModelStatus, new: QuantizedModelStatus) -> bool:
    """Whether two statuses say the same but for the memory on each GPU, which alone is no reason to write.

    A newer Lowbit, or another GPU in the platform's settings, would otherwise write every status at once.
    """
    return new.model_copy(update={"memory": old.memory}) == old
