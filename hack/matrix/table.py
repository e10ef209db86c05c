"""The table of architectures as a file: read, changed, and written in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.targets import ROOT

TABLE = ROOT / "operator" / "lowbit" / "architecture" / "support.json"


def read(path: Path = TABLE) -> dict[str, Any]:
    """The table as it is committed."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"tried": {}}
    return found


def write(table: Mapping[str, Any], path: Path = TABLE) -> None:
    """Write it, a line for each type."""
    known = {name: value for name, value in table.items() if name != "tried"}
    head = "".join(f"  {json.dumps(name)}: {json.dumps(known[name])},\n" for name in sorted(known))
    tried = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(table['tried'][name], sort_keys=True)}" for name in sorted(table["tried"])
    )
    path.write_text("{\n" + head + '  "tried": {\n' + tried + "\n  }\n}\n")
