"""Stand-ins for the CUDA libraries that torch links against, for images that run on CPUs only.

The torch wheel for Linux needs 2.7 GB of CUDA libraries to be there when it is imported, though none of their
functions is called on a machine without a GPU. This writes libraries with the same names and symbol versions
beside torch; every function in them returns 1, an error in each of these interfaces.
Only libcudart stays the real one: torch asks it for the number of GPUs. Needs gcc and binutils.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

# The wheel's run-time search path holds this folder.
TARGET = Path("nvidia/cu13/lib")
# These libraries have no symbol versions: their functions are known by their prefix.
PREFIXES = {"libnvshmem_host.so": "nvshmem", "libcufile.so": "cuFile"}
VENDOR = re.compile(r"lib(cu|nv|nccl)[A-Za-z_]*\.so\.\d+")
# libcudart is asked for the number of GPUs; libcuda belongs to the driver and is looked for when a GPU is used.
REAL = ("libcudart.so", "libcuda.so")


def main(site_packages: Path) -> None:
    """Write one stand-in for each library that torch's libraries name and that is not installed."""
    libraries = sorted((site_packages / "torch" / "lib").glob("*.so*"))
    needed = {name for path in libraries for name in _needed(path) if VENDOR.fullmatch(name)}
    missing = {name for name in needed if not name.startswith(REAL)}
    symbols, versions = _undefined(libraries), _versions(libraries)
    folder = site_packages / TARGET
    folder.mkdir(parents=True, exist_ok=True)
    for library in sorted(missing):
        _compile(folder / library, library, _symbols_of(library, symbols, versions[library]))


def _readelf(path: Path, *options: str) -> str:
    return subprocess.run(["readelf", "-W", *options, str(path)], check=True, capture_output=True, text=True).stdout


def _needed(path: Path) -> list[str]:
    return re.findall(r"\(NEEDED\).*\[(.+)]", _readelf(path, "-d"))


def _undefined(libraries: Iterable[Path]) -> dict[str, set[str]]:
    """Return the undefined symbols by their version; symbols without one are under the empty string."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in libraries:
        for line in _readelf(path, "--dyn-syms").splitlines():
            fields = line.split()
            if len(fields) > 7 and fields[6] == "UND":
                name, _, version = fields[7].partition("@")
                found[version.lstrip("@")].add(name)
    return found


def _versions(libraries: Iterable[Path]) -> dict[str, set[str]]:
    """Return the symbol versions that are asked of each library, by the library's name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in libraries:
        library = ""
        for line in _readelf(path, "-V").splitlines():
            if match := re.search(r"Version: 1  File: (\S+)", line):
                library = match[1]
            elif match := re.search(r"Name: (\S+)  Flags", line):
                found[library].add(match[1])
    return found


def _symbols_of(library: str, symbols: dict[str, set[str]], versions: set[str]) -> dict[str, set[str]]:
    base = library[: library.index(".so") + 3]
    prefix = PREFIXES.get(base, base.removeprefix("lib").removesuffix(".so"))
    unversioned = {name for name in symbols.get("", ()) if name.startswith(prefix)}
    return {"": unversioned} | {version: symbols[version] for version in versions}


def _compile(path: Path, soname: str, symbols: dict[str, set[str]]) -> None:
    source, script = path.with_suffix(".c"), path.with_suffix(".map")
    names = sorted({name for group in symbols.values() for name in group})
    source.write_text("".join(f"int {name}(void) {{ return 1; }}\n" for name in names) or "int empty;\n")
    script.write_text(
        "".join(
            f"{version} {{ {' '.join(f'{n};' for n in sorted(names))} }};\n"
            for version, names in symbols.items()
            if version
        )
    )
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        "-O1",
        "-w",
        "-fno-builtin",
        f"-Wl,-soname,{soname}",
        "-o",
        str(path),
        str(source),
    ]
    if script.stat().st_size:
        command.insert(1, f"-Wl,--version-script={script}")
    subprocess.run(command, check=True)
    source.unlink()
    script.unlink()


if __name__ == "__main__":
    main(Path(sysconfig.get_path("purelib")))
