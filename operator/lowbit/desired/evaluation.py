"""ModelEvaluation: one immutable evaluation, named by its hash and shared by all that ask for the same."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.base import API_VERSION
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.desired.common import Manifest, OwnerReference, labels, metadata
from lowbit.naming.names import evaluation_name


def evaluation(namespace: str, owners: Sequence[OwnerReference], spec: ModelEvaluationSpec) -> Manifest:
    """The ModelEvaluation of one spec. owners are all QuantizedModels that use it, none of them its controller."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelEvaluation",
        "metadata": metadata(evaluation_name(spec), namespace, owners, labels()),
        "spec": spec.wire(),
    }
