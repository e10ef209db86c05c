"""Settings: flags, each with an environment variable (LOWBIT_...) as its default."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from lowbit.api.platform import Platform
from lowbit.kube.connect import own_namespace


@dataclass(frozen=True)
class Settings:
    """Settings of the operator. Durations are in seconds."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to look after; empty for all of them."""
    kubeconfig: str | None = None
    identity: str = "lowbit"
    """Name of this operator's pod: holder of the Lease, and reporter of events."""
    lease_name: str = "lowbit-operator"
    lease_namespace: str = "default"
    lease_duration: float = 15.0
    lease_renew_deadline: float = 10.0
    """This long after its last renewal, the leader starts no more writes."""
    lease_retry: float = 2.0
    workers: int = 8
    """Objects reconciled at once."""
    resync: float = 600.0
    """Between two comparisons with a LIST, give or take a fifth."""
    progress: float = 30.0
    """Between two reads of one Job's log."""
    host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from outside the pod
    port: int = 8080
    """/metrics, /healthz and /readyz; 0 for any free port."""
    log_level: str = "INFO"
    log_format: str = "json"
    platform_file: str | None = None
    nodes: bool = False
    """List the nodes for pods that wait: the chart grants it with rbac.nodes."""

    def platform(self) -> Platform:
        """The platform's settings from its file. Raises SettingsError."""
        if self.platform_file is None:
            return Platform()
        try:
            return Platform.model_validate(yaml.safe_load(Path(self.platform_file).read_text()) or {})
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise SettingsError(f"the platform file {self.platform_file} cannot be used: {said}") from error
        except (OSError, yaml.YAMLError) as error:
            raise SettingsError(f"the platform file {self.platform_file} cannot be read: {error}") from error


class SettingsError(Exception):
    """A setting that cannot be used; the message says which and why."""


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from the command line and the environment. Exits as argparse does when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m lowbit.app", description="The Lowbit operator.")
    default = Settings()

    def option(name: str, fallback: object, kind: type, text: str) -> None:
        variable = "LOWBIT_" + name.upper().replace("-", "_")
        value = environment.get(variable) or fallback
        shown = f"{text} (${variable}; default {fallback or 'none'})"
        parser.add_argument(f"--{name}", default=value, type=kind, help=shown.replace("%", "%%"))

    option("namespaces", "", str, "comma-separated namespaces to look after; empty for all")
    option("kubeconfig", environment.get("KUBECONFIG"), str, "kubeconfig file; in a pod, its service account")
    option(
        "identity",
        environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        str,
        "name of this operator's pod",
    )
    option("lease-name", default.lease_name, str, "name of the Lease")
    option("lease-namespace", environment.get("POD_NAMESPACE") or own_namespace(), str, "namespace of the Lease")
    option("lease-duration", default.lease_duration, float, "seconds until a silent leader is replaced")
    option(
        "lease-renew-deadline", default.lease_renew_deadline, float, "seconds without renewal until the leader stops"
    )
    option("lease-retry", default.lease_retry, float, "seconds between two looks at the Lease")
    option("workers", default.workers, int, "objects reconciled at once")
    option("resync", default.resync, float, "seconds between two comparisons with a LIST")
    option("progress", default.progress, float, "seconds between two looks at the log of one Job")
    option("host", default.host, str, "address of /metrics, /healthz and /readyz")
    option("port", default.port, int, "port of /metrics, /healthz and /readyz")
    option("log-level", default.log_level, str, "DEBUG, INFO, WARNING or ERROR")
    option("log-format", default.log_format, str, "json or text")
    option("platform-file", None, str, "YAML file with the platform's defaults")
    option("nodes", "", str, "true: list the nodes for pods that wait for one; it takes a right of its own")
    values = vars(parser.parse_args(arguments))
    values["nodes"] = values["nodes"].lower() == "true"
    values["namespaces"] = tuple(filter(None, (each.strip() for each in values["namespaces"].split(","))))
    settings = Settings(**values)
    if not settings.lease_retry < settings.lease_renew_deadline < settings.lease_duration:
        parser.error("it has to be lease-retry < lease-renew-deadline < lease-duration")
    if settings.workers < 1:
        parser.error("workers has to be at least 1")
    return settings


def from_process(arguments: Sequence[str]) -> Settings:
    """Settings of this process."""
    return read_settings(arguments, os.environ)
