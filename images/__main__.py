"""python -m images build|load|push|models|lock"""

from __future__ import annotations

import argparse
import json
import sys

from hack.cluster.progress import StepError
from images import targets
from images.build import build
from images.load import load
from images.lock import lock
from images.model import prepare_models


def main() -> int:
    """Run one command; a failing step is told with the last lines of its log, and the exit code is 1."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except StepError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m images", description="Lowbit's container images")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (
        ("build", "build what is not built yet; the references are printed as JSON and kept in refs.json"),
        ("load", "build, and load into the cluster: ours, the one of KUBECONFIG (kind, k3s), or by way of REGISTRY"),
    ):
        sub = commands.add_parser(command, help=text)
        sub.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(targets.ALL)}; all by default")
        sub.add_argument("--base", help="the image to build on; by default one is made from Debian's packages")
    commands.add_parser("models", help="make the models of the demo and the tests")
    commands.add_parser("lock", help="resolve requirements/*.in again")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "lock":
        lock()
        return 0
    if arguments.command == "models":
        for folder in prepare_models().values():
            print(folder)
        return 0
    names = tuple(arguments.names) or targets.ALL
    if unknown := set(names) - set(targets.ALL):
        print(f"There is no image {', '.join(sorted(unknown))}; there are {', '.join(targets.ALL)}.", file=sys.stderr)
        return 2
    references = build(names, arguments.base)
    if arguments.command == "load":
        references = load(references)
    print(json.dumps(references, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
