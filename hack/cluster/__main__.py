"""`python -m hack.cluster up | down | status | load ARCHIVE | volume NAMESPACE NAME | gpus COUNT | env`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hack.cluster import node, paths, volumes
from hack.cluster.cluster import Cluster
from hack.cluster.paths import Paths
from hack.cluster.progress import StepError, step


def main() -> int:
    arguments = _parser().parse_args()
    cluster = Cluster(Paths(arguments.state.resolve()))
    try:
        return int(arguments.command(cluster, arguments))
    except StepError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _up(cluster: Cluster, _: argparse.Namespace) -> int:
    state = "is up" if cluster.up() else "is already up"
    print(f"The cluster {state}. export KUBECONFIG={cluster.kubeconfig} PATH={paths.tools()}:$PATH")
    return 0


def _down(cluster: Cluster, _: argparse.Namespace) -> int:
    cluster.down()
    print(f"The cluster is down. Its images stay in {cluster.paths.images}, its logs in {cluster.paths.logs}.")
    return 0


def _status(cluster: Cluster, _: argparse.Namespace) -> int:
    for process in cluster.processes():
        print(f"{process.name:24} {process.pid() or 'not running'}")
    problem = cluster.problem()
    print("The cluster is up." if problem is None else f"Not up: {problem}.")
    return 0 if problem is None else 1


def _load(cluster: Cluster, arguments: argparse.Namespace) -> int:
    for archive in arguments.archives:
        with step(f"load {archive.name}"):
            fresh = cluster.load(archive.resolve(), arguments.name)
        if not fresh:
            print(f"       {archive.name} was loaded before")
    return 0


def _volume(cluster: Cluster, arguments: argparse.Namespace) -> int:
    modes = tuple(arguments.access_modes.split(","))
    folder = volumes.create(
        cluster.kubectl,
        cluster.paths,
        namespace=arguments.namespace,
        name=arguments.name,
        size=arguments.size,
        access_modes=modes,
    )
    print(f"The claim {arguments.namespace}/{arguments.name} lies in {folder}.")
    return 0


def _gpus(cluster: Cluster, arguments: argparse.Namespace) -> int:
    node.pretend_gpus(cluster.kubectl, arguments.count)
    print(f"The node says that it has {arguments.count} of {node.FAKE_GPU}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description="The one-node cluster of the tests.")
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument("--state", type=Path, default=Paths.default().state, help="state folder (%(default)s)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("up", parents=[state], help="bring it up").set_defaults(command=_up)
    commands.add_parser("down", parents=[state], help="take it down; the images stay").set_defaults(command=_down)
    commands.add_parser("status", parents=[state], help="what runs; exit 1 unless it is up").set_defaults(
        command=_status
    )
    load = commands.add_parser("load", parents=[state], help="load image archives (OCI or Docker)")
    load.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE")
    load.add_argument("--name", help="the image's full name, where the archive gives none")
    load.set_defaults(command=_load)
    volume = commands.add_parser("volume", parents=[state], help="create a claim and the volume that it is bound to")
    volume.add_argument("namespace")
    volume.add_argument("name")
    volume.add_argument("--size", default="20Gi")
    volume.add_argument("--access-modes", default="ReadWriteMany", help="separated by commas")
    volume.set_defaults(command=_volume)
    gpus = commands.add_parser("gpus", parents=[state], help="let the node say that it has GPUs, for scheduling only")
    gpus.add_argument("count", type=int)
    gpus.set_defaults(command=_gpus)
    return parser


if __name__ == "__main__":
    sys.exit(main())
