"""A whole LIST by the operator's client, for a test."""

from __future__ import annotations

from lowbit.kube.client import Kube
from lowbit.kube.listing import Object, Part


async def listed(
    kube: Kube, kind: str, namespace: str | None = None, selector: str | None = None
) -> tuple[list[Object], str]:
    """All objects, and the resourceVersion at which that was so."""
    found: dict[tuple[str, str], Object] = {}

    def take(part: Part) -> None:
        found.update((_name(each), each) for each in part.items)
        for each in part.gone:
            found.pop(_name(each), None)

    version = await kube.read(kind, namespace, selector, take)
    return list(found.values()), version


def _name(manifest: Object) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]
