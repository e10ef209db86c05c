"""Paths and ports inside pods, and limits of termination messages."""

from __future__ import annotations

DOCUMENT_PATH = "/lowbit/in/document.json"
STORE_PATH = "/lowbit/store"
"""Where a pvc store is mounted."""
VOLUMES_PATH = "/lowbit/volumes"
"""Where pvc sources and datasets are mounted read-only, each under its claim's name."""
CONFIG_MAPS_PATH = "/lowbit/configmaps"
"""Where ConfigMap datasets are mounted, each under its ConfigMap's name."""
SECRETS_PATH = "/lowbit/secrets"
"""Where Secrets are mounted, each under its own name; keys are files."""
SCRATCH_PATH = "/lowbit/scratch"
"""A container's own writable emptyDir: HOME, TMPDIR and, for a worker, its working directory."""
TOOLS_PATH = "/lowbit/tools"
"""What fetch lays out for the engine, which may only read it."""
BUSYBOX_PATH = f"{TOOLS_PATH}/busybox"
"""busybox, copied there by fetch for the engine's probes: the engine's image may have no shell."""
MEMBER_PATH = f"{TOOLS_PATH}/member.py"
"""The program that starts an engine in a group of pods, laid out by fetch as well."""
MODEL_PATH = "/lowbit/model"
"""Where the engine finds its model's folder (a mount, a link or a copy of the artifact or source)."""
CA_BUNDLE_PATH = "/lowbit/ca/ca.crt"
TERMINATION_PATH = "/dev/termination-log"
TERMINATION_LIMIT = 4096
UNPACKED_LIMIT = 65_536
"""Bytes that a packed termination message may unpack to: a pod must not fill the operator's memory."""
ENGINE_LOG_PATH = "/lowbit/log/engine.log"
"""Where the engine of an evaluation writes a copy of its log: the evaluator reads in it which kernels ran.

The engine alone may write there, and may write anything.
"""
ENGINE_LOGGING_PATH = "/lowbit/logging/engine.json"
"""The logging configuration that asks for this copy."""
ENGINE_PORT = 8001
"""The engine listens on loopback only."""
GUARD_PORT = 8000
"""The pod's port, owned by the guard."""
MEMBER_PORT = 8100
"""The leader of a group listens on it for the other members."""
FORMED_PATH = f"{SCRATCH_PATH}/group-formed"
"""A file that is there while the group is complete."""
METRICS_PORT = 9090
"""The guard's second port, for monitoring only."""
