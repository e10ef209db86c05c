"""Memory of GPUs, by the names that the GPU operator writes into the node label nvidia.com/gpu.product.

Sizes are those of the vendors' data sheets, in GB as they print them; what a driver reports is up to 6 % less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lowbit.api.quantity import quantity

GB: Final = 10**9
MEMORY: Final = {
    "A2": 16, "A10": 24, "A10G": 24, "A16": 16, "A30": 24, "A40": 48, "A100-40GB": 40, "A100-80GB": 80, "B200": 180,
    "B300": 270, "GB200": 186, "GB300": 279, "GH200-96GB": 96, "GH200-144GB": 144, "H100-80GB": 80, "H100-NVL": 94,
    "H20": 96, "H200": 141, "L4": 24, "L40": 48, "L40S": 48, "RTX-3090": 24, "RTX-4090": 24, "RTX-5090": 32,
    "RTX-A4000": 16, "RTX-A5000": 24, "RTX-A6000": 48, "RTX-6000-ADA": 48, "RTX-PRO-6000": 96, "T4": 16,
    "V100-16GB": 16,
    "V100-32GB": 32, "MI210": 64, "MI250": 64, "MI300X": 192, "MI325X": 256, "MI350X": 288, "MI355X": 288,
}  # fmt: skip
"""Product -> GB. MI250: of each of its two halves, which a pod sees as two devices."""
SLICE: Final = re.compile(r"mig-\d+g\.(\d+)gb", re.IGNORECASE)
"""A slice of a GPU (MIG), in a product's name or in a resource's: nvidia.com/mig-3g.40gb."""
QUANTITY: Final = re.compile(r"\d+(\.\d+)?(M|Mi|G|Gi)")
FILLERS: Final = re.compile(r"NVIDIA|AMD|INSTINCT|GEFORCE|TESLA|DATACENTER|DRIVE")


def memory_of(name: str) -> int | None:
    """Bytes of the GPU that a person or a node label names (NVIDIA-H100-80GB-HBM3), or of a size (80Gi).

    None for a name that says nothing: A100 alone may have 40 or 80 GB.
    """
    if QUANTITY.fullmatch(name):
        return int(quantity(name))
    piece = SLICE.search(name)
    if piece is not None:
        return int(piece[1]) * GB
    words = set(_words(name))
    fitting = {product: size for product, size in MEMORY.items() if set(_words(product)) <= words}
    longest = max((len(_words(product)) for product in fitting), default=0)
    sizes = {size for product, size in fitting.items() if len(_words(product)) == longest}
    return sizes.pop() * GB if len(sizes) == 1 else None


def slice_of(limits: Iterable[str]) -> str | None:
    """The resource among a container's limits that is a slice of a GPU."""
    return next((name for name in limits if SLICE.search(name)), None)


def _words(name: str) -> list[str]:
    """Parts of a name: NVIDIA-A100-SXM4-80GB is A100, SXM4, 80GB."""
    return [word for word in re.split(r"[^A-Z0-9]+", FILLERS.sub("", name.upper())) if word]
