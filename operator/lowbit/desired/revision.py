"""ModelRevision: one immutable attempt, named by its hash."""

from __future__ import annotations

from lowbit.api.base import API_VERSION
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.desired.common import Manifest, OwnerReference, labels, metadata
from lowbit.naming.canonical import short
from lowbit.naming.names import ARTIFACT_LABEL, INPUT_ANNOTATION, MODEL_LABEL, revision_name


def revision(namespace: str, owner: OwnerReference, spec: ModelRevisionSpec) -> Manifest:
    """The ModelRevision of one frozen spec."""
    labels_ = labels() | {MODEL_LABEL: spec.quantized_model, ARTIFACT_LABEL: short(spec.artifact_hash)}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRevision",
        "metadata": metadata(revision_name(spec), namespace, [owner], labels_, {INPUT_ANNOTATION: spec.input_hash}),
        "spec": spec.wire(),
    }
