"""Where an evaluate Job runs that measures again what serves: on nodes like those that serve it."""

from __future__ import annotations

from typing import Any

from lowbit.api.modelevaluation import Place
from lowbit.api.pods import JobOptions, PodOptions
from lowbit.naming.names import PRODUCT_LABELS


def options_at(options: JobOptions, serving: PodOptions, place: Place | None) -> JobOptions:
    """The Job's options with the placement of what serves. What spec.jobs.evaluate says of nodes may exclude them.

    serving: options of the serving pods. Their affinity is left out: it may keep other pods off the very nodes.
    """
    if place is None:
        return options
    more = [each for each in serving.tolerations if each not in options.tolerations]
    update = {
        "node_selector": serving.node_selector,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": nodes_of(place)}},
        "tolerations": [*options.tolerations, *more],
        "runtime_class_name": serving.runtime_class_name or options.runtime_class_name,
    }
    return options.model_copy(update=update)


def nodes_of(place: Place) -> dict[str, Any]:
    """The node selector of a place. Whoever labels the nodes with their devices, one of the labels is enough."""
    if place.node is not None:
        field = {"key": "metadata.name", "operator": "In", "values": [place.node]}
        return {"nodeSelectorTerms": [{"matchFields": [field]}]}
    labels = [{"key": label, "operator": "In", "values": [place.device]} for label in PRODUCT_LABELS]
    return {"nodeSelectorTerms": [{"matchExpressions": [each]} for each in labels]}
