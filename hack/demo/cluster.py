"""The cluster that the demo uses: that of KUBECONFIG, or the one-node cluster made here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import paths
from hack.cluster.progress import StepError

NAMESPACE = "lowbit-demo"
SYSTEM = "lowbit-system"
MODEL = "smollm2"
GET_SECONDS = 20.0
END_SECONDS = 15.0


@dataclass(frozen=True)
class DemoCluster:
    """Where kubectl and helm go."""

    kubeconfig: Path
    ours: bool
    """Made (and taken down) by the demo."""

    @classmethod
    def choose(cls) -> DemoCluster:
        """KUBECONFIG where it is set to somebody's cluster, else our own."""
        own = paths.Paths.default().kubeconfig
        given = os.environ.get("KUBECONFIG")
        if given and Path(given).resolve() != own.resolve():
            if not Path(given).exists():
                raise StepError("KUBECONFIG", f"{given} does not exist. Unset it, and the demo makes a cluster here")
            return cls(Path(given), ours=False)
        return cls(own, ours=True)

    def run(self, *command: str, given: str | None = None, check: bool = True, seconds: float | None = None) -> str:
        """Run kubectl or helm against the cluster. Raises StepError with what it said, or after `seconds`."""
        tool = paths.tools() / command[0]
        line = [str(tool) if tool.exists() else command[0], *command[1:]]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        stdin = None if given is None else subprocess.PIPE
        process = subprocess.Popen(
            line, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        name = " ".join(command[:4])
        try:
            said, errors = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise StepError(name, f"no answer in {seconds:.0f} s") from None
        except KeyboardInterrupt:
            _end(process)
            raise
        if check and process.returncode != 0:
            raise StepError(name, (errors or said).strip()[-3000:])
        return said

    def get(self, *what: str) -> dict[str, Any]:
        """`kubectl get ... -o json` in the demo's namespace. Raises StepError."""
        said = self.run("kubectl", "-n", NAMESPACE, "get", *what, "-o", "json", seconds=GET_SECONDS)
        found: dict[str, Any] = json.loads(said)
        return found


def typed(program: str) -> str:
    """A program as a person at this machine types it: by its path where it is only in the cache."""
    tool = paths.tools() / program
    return program if shutil.which(program) or not tool.exists() else str(tool)


def why(error: Exception) -> str:
    """The last line of an error: kubectl's reason comes after what it has tried."""
    text = error.why if isinstance(error, StepError) else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[-1]


def _end(process: subprocess.Popen[str]) -> None:
    """Let it end by itself: a helm that is killed leaves a release that no later helm may touch."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=END_SECONDS)
