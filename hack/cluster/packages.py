"""The Debian packages that the cluster and the images need: says what is missing and installs exactly that.

Run with `python3 -m hack.cluster.packages` (installs) or with `--check` (only says). Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLUSTER = ("containerd", "runc", "containernetworking-plugins", "nftables", "iproute2", "conntrack", "kmod")
IMAGES = ("buildah", "mmdebstrap", "busybox-static", "ca-certificates")
BUILD = ("gcc", "libc6-dev", "python3-venv")
TESTS = ("patch", "prometheus", "docker-registry", "chromium")
DEMO = CLUSTER + IMAGES + BUILD
ALL = DEMO + TESTS
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def missing(packages: tuple[str, ...] = ALL) -> list[str]:
    """The packages of the list that are not installed, in its order."""
    query = ["dpkg-query", "--show", "--showformat=${Package} ${Status}\n", *packages]
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    installed = {line.split()[0] for line in shown if line.endswith("install ok installed")}
    return [package for package in packages if package not in installed]


def install(packages: tuple[str, ...] = ALL) -> None:
    """Install what is missing of the list.

    Raises PermissionError when something is missing and this is not root, CalledProcessError when apt-get fails.
    """
    wanted = missing(packages)
    if not wanted:
        print(f"packages: all {len(packages)} are installed")
        return
    line = "apt-get install -y --no-install-recommends " + " ".join(wanted)
    if os.geteuid() != 0:
        raise PermissionError(
            f"packages: {len(wanted)} are missing and only root can install them. As root, run: {line}"
        )
    print(f"packages: installing {' '.join(wanted)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": f"{os.environ.get('PATH', '')}:{SBIN}"}
    with _no_services_start():
        subprocess.run(["apt-get", "-qq", "update"], check=True, env=environment)
        subprocess.run(line.split(), check=True, env=environment, stdout=subprocess.DEVNULL)


@contextmanager
def _no_services_start() -> Iterator[None]:
    """Keep Debian from starting what it installs (containerd.service): the cluster runs its own containerd."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is missing; exit 1 if anything is")
    if parser.parse_args().check:
        wanted = missing()
        print("packages: missing " + " ".join(wanted) if wanted else f"packages: all {len(ALL)} are installed")
        return 1 if wanted else 0
    try:
        install()
    except (PermissionError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
