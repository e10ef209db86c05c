"""The cluster that the demo uses: that of KUBECONFIG, or the one-node cluster made here."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import paths
from tests.cluster.progress import StepError

NAMESPACE = "lowbit-demo"
SYSTEM = "lowbit-system"
MODEL = "smollm2"


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

    def run(self, *command: str, given: str | None = None, check: bool = True) -> str:
        """Run kubectl or helm against the cluster. Raises StepError with what it said."""
        tool = paths.tools() / command[0]
        line = [str(tool) if tool.exists() else command[0], *command[1:]]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(line, input=given, capture_output=True, text=True, env=environment, check=False)
        if check and done.returncode != 0:
            raise StepError(" ".join(command[:4]), (done.stderr or done.stdout).strip()[-3000:])
        return done.stdout

    def get(self, *what: str) -> dict[str, Any]:
        """`kubectl get ... -o json` in the demo's namespace."""
        found: dict[str, Any] = json.loads(self.run("kubectl", "-n", NAMESPACE, "get", *what, "-o", "json"))
        return found
