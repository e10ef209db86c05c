"""The Secret with the token by which the pods of a model's groups know each other."""

from __future__ import annotations

from lowbit.desired.common import Manifest, OwnerReference, labels, metadata
from lowbit.naming.names import MODEL_LABEL, token_name


def token_secret(namespace: str, owner: OwnerReference) -> Manifest:
    """The Secret, still without its data. owner: the QuantizedModel, with which it goes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(
            token_name(owner.name), namespace, [owner],
            labels(component="group-token", name=owner.name) | {MODEL_LABEL: owner.name},
        ),
        "type": "Opaque",
        "immutable": True,
    }  # fmt: skip
