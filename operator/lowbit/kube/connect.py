"""Where the API server is and who we are: from a kubeconfig, or from the pod's service account."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Deep imports on purpose: what kubernetes.aio offers beside these is never used and would only take memory.
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoCluster(Exception):  # noqa: N818
    """There is neither a kubeconfig nor a service account."""


@dataclass(frozen=True)
class Credentials:
    """How to reach the API server, for a client that is not this one. authorization is the whole header's value."""

    server: str
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    authorization: str | None


async def configuration(kubeconfig: str | None = None) -> Any:
    """The client's configuration.

    kubeconfig, else $KUBECONFIG, else the pod's service account, else ~/.kube/config. Raises NoCluster.
    """
    config = Configuration()
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if path is None:
            try:
                load_incluster_config(client_configuration=config)
            except ConfigException:
                await load_kube_config(client_configuration=config)
        else:
            await load_kube_config(config_file=path, client_configuration=config)
    except ConfigException as error:
        raise NoCluster(
            f"no cluster: {path or '~/.kube/config'} could not be read ({error}), and this is no pod with a service "
            "account token; set KUBECONFIG, or mount the token"
        ) from error
    return config


async def credentials(config: Any) -> Credentials:
    """The credentials in a configuration, with a token that is fresh now."""
    token = await config.get_api_key_with_prefix("BearerToken", alias="authorization")
    return Credentials(
        server=config.host,
        ca_path=config.ssl_ca_cert,
        insecure=not config.verify_ssl,
        certificate_path=config.cert_file,
        private_key_path=config.key_file,
        authorization=token,
    )


def own_namespace() -> str:
    """The namespace of the pod we run in; "default" outside of a cluster."""
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or "default"
    except OSError:
        return "default"
