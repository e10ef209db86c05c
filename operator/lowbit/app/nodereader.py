"""Reads which devices a node has: one GET for each node, where the chart grants reading nodes."""

from __future__ import annotations

import logging

from lowbit.kube.client import Kube
from lowbit.kube.errors import Forbidden, KubeError
from lowbit.naming.names import product_of

logger = logging.getLogger(__name__)


class NodeReader:
    """Remembers the product of each node's devices. A node that could not be read is asked for again."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._products: dict[str, str | None] = {}
        self._allowed = True

    async def product(self, node: str) -> str | None:
        """The product of a node's devices; None if no label names it, or if it cannot be read."""
        if node in self._products or not self._allowed:
            return self._products.get(node)
        try:
            self._products[node] = product_of(await self._kube.node_labels(node))
        except Forbidden:
            self._allowed = False
            logger.info("nodes are not read: the operator has no right to; verdicts are compared without devices")
        except KubeError as error:
            logger.info("node %s was not read: %s", node, error.message)
        return self._products.get(node)
