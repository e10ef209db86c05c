"""Writes which arguments and variables a version of vLLM knows into operator/lowbit/api/engines/vllm_options.json.

Run it with a Python that has that vLLM, such as the engine image's; it needs no GPU:

    python3 hack/engine_options.py --source "vllm 0.33.0, PyPI" operator/lowbit/api/engines/vllm_options.json

They come from the very parser of `vllm serve`, and from the table in vllm/envs.py. Whether Lowbit lets a manifest use
one is decided by hand in operator/lowbit/api/engines/vllm_judged.py.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path


def options() -> dict[str, dict[str, object]]:
    """Each option of `vllm serve` by its first long name: all its spellings, and how many values it takes."""
    import vllm.platforms  # noqa: PLC0415
    from vllm.platforms.cpu import CpuPlatform  # noqa: PLC0415

    vllm.platforms._current_platform = CpuPlatform()  # the options are the same; a GPU is then not looked for
    from vllm.entrypoints.cli.serve import make_arg_parser  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    found: dict[str, dict[str, object]] = {}
    for action in parser._actions:
        names = list(action.option_strings)
        if names:
            name = next((each for each in names if each.startswith("--")), names[0])
            found[name] = {"names": names, "values": "one" if action.nargs is None else str(action.nargs)}
    return found


def variables() -> list[str]:
    """Every variable that vllm/envs.py reads."""
    from vllm import envs  # noqa: PLC0415

    return sorted(envs.environment_variables)


def text(tables: dict[str, dict[str, object]]) -> str:
    """JSON with one option a line, so that a new version's difference can be read."""
    parts = []
    for version, table in sorted(tables.items()):
        known, read = table["options"], table["variables"]
        assert isinstance(known, dict)
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
        names = textwrap.fill(json.dumps(read), 120, initial_indent="  ", subsequent_indent="   ").strip()
        parts.append(
            f' "{version}": {{\n  "source": {json.dumps(table["source"])},\n  "options": {{\n{lines}\n  }},\n'
            f'  "variables": {names}\n }}'
        )
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Add or replace this version's table."""
    from vllm.version import __version__  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="where this vLLM is from, such as: vllm 0.33.0, PyPI")
    parser.add_argument("file", type=Path)
    parsed = parser.parse_args()
    tables = json.loads(parsed.file.read_text()) if parsed.file.exists() else {}
    tables[__version__] = {"source": parsed.source, "options": options(), "variables": variables()}
    parsed.file.write_text(text(tables))


if __name__ == "__main__":
    main()
