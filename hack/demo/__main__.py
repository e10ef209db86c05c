"""`python -m hack.demo up | down`."""

from __future__ import annotations

import subprocess
import sys

from hack.demo.cluster import DemoCluster
from hack.demo.follow import follow
from hack.demo.question import ask
from hack.demo.steps import apply_example, install, prepare_machine, remove
from hack.demo.words import closing, evaluation_table
from tests.cluster.progress import StepError


def up() -> int:
    """Everything from nothing; a second run re-uses what is built."""
    cluster = DemoCluster.choose()
    references = prepare_machine(cluster)
    install(cluster, references)
    apply_example(cluster, references)
    model = follow(cluster)
    evaluation_table(model)
    verdict = model["status"].get("verdict") or {}
    print(f"Verdict: {verdict.get('verdict', 'none')} {verdict.get('message', '')}")
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in model["status"].get("conditions", []))
    if not ready:
        print(f"\nsmollm2 is not served: {model['status'].get('message')}", file=sys.stderr)
        return 1
    ask(cluster)
    closing(cluster, model)
    return 0


def down() -> int:
    """Leaves nothing running, and nothing behind but the cache."""
    remove(DemoCluster.choose())
    return 0


def main() -> int:
    """Run one of the two; a step that fails is told with the log that matters."""
    commands = {"up": up, "down": down}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return commands[sys.argv[1]]()
    except StepError as error:
        print(f"\nThe demo stopped at: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"\nThe demo stopped at: {' '.join(map(str, error.cmd))}\n{error.stderr or ''}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
