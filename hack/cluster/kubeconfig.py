"""Kubeconfig files with client certificates."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from hack.cluster.pki import Pair


def write(path: Path, server: str, authority: Path, client: Pair) -> Path:
    """Write a kubeconfig that holds its certificates itself, readable by its owner only."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lowbit",
        "clusters": [
            {"name": "lowbit", "cluster": {"server": server, "certificate-authority-data": _inline(authority)}}
        ],
        "users": [
            {
                "name": "lowbit",
                "user": {
                    "client-certificate-data": _inline(client.certificate),
                    "client-key-data": _inline(client.key),
                },
            }
        ],
        "contexts": [{"name": "lowbit", "context": {"cluster": "lowbit", "user": "lowbit"}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2) + "\n")  # JSON is YAML
    return path


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
