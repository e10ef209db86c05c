"""Compile gptqmodel's C++ extension while the image is built, and have it where gptqmodel looks for it at run time.

gptqmodel takes a lock beside the compiled library, so it cannot be used from a read-only file system: at the start of
Python a copy (half a megabyte) is put under GPTQMODEL_TORCH_EXTENSIONS_DIR, if that is set and empty.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

BUILT = Path("/opt/gptqmodel-extensions")
AT_START = f"""\
import os
import shutil

target = os.environ.get("GPTQMODEL_TORCH_EXTENSIONS_DIR")
if target and not os.path.exists(target):
    try:
        shutil.copytree("{BUILT}", target)
    except OSError:
        pass  # another process was quicker, or nothing can be written: gptqmodel says so itself when it matters
"""


def main() -> None:
    """Compile, make the result readable for every user, and install the copy at start."""
    os.environ["GPTQMODEL_TORCH_EXTENSIONS_DIR"] = str(BUILT)
    from gptqmodel.utils.cpp import load_pack_block_extension  # noqa: PLC0415 (reads the environment)

    if not load_pack_block_extension(verbose=True):
        raise SystemExit("gptqmodel's pack_block extension did not compile")
    for path in BUILT.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
    site_packages = Path(sysconfig.get_path("purelib"))
    (site_packages / "gptqmodel_extension_at_start.py").write_text(AT_START)
    (site_packages / "gptqmodel_extension.pth").write_text("import gptqmodel_extension_at_start\n")


if __name__ == "__main__":
    main()
