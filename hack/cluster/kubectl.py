"""kubectl as the cluster's own client: every change to a cluster that these files make goes through it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import paths
from hack.cluster.progress import StepError


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    kubeconfig: Path

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """What it prints. Raises StepError with what it says on stderr."""
        done = self.attempt(*words, stdin=stdin)
        if done.returncode != 0:
            raise StepError(f"kubectl {' '.join(words)}", done.stderr.strip() or f"ended with {done.returncode}")
        return done.stdout

    def attempt(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The finished process, whatever came out."""
        line: list[str | Path] = [paths.tools() / "kubectl", f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, check=False)

    def get(self, *words: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self("get", *words, "-o", "json"))

    def apply(self, manifests: str) -> None:
        """Server-side apply of YAML or JSON documents."""
        self(
            "apply", "--server-side", "--force-conflicts", "--field-manager=lowbit-cluster", "-f", "-", stdin=manifests
        )
