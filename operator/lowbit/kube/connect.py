"""Address and credentials of the API server: from a kubeconfig, or from the pod's service account."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

# Deep imports on purpose: the rest of kubernetes.aio is unused, and would take memory.
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader
from kubernetes.aio.config.kube_config import list_kube_config_contexts, load_kube_config

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts token, ca.crt and namespace."""


class NoCluster(Exception):  # noqa: N818
    """There is neither a kubeconfig nor a service account."""


async def configuration(kubeconfig: str | None = None) -> Any:
    """The client's configuration.

    kubeconfig, else $KUBECONFIG, else the pod's service account, else ~/.kube/config. Raises NoCluster.
    """
    # With trust_env aiohttp would look for a ~/.netrc, in a thread, before every request.
    config = Configuration(client_session_kwargs={"trust_env": False})
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if path is None:
            try:
                _service_account().load_and_set(config)
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


def _service_account() -> InClusterConfigLoader:
    """Loads the service account, and re-reads the token every minute, because the kubelet replaces it."""
    return InClusterConfigLoader(
        token_filename=str(SERVICE_ACCOUNT / "token"), cert_filename=str(SERVICE_ACCOUNT / "ca.crt")
    )


async def authorization(config: Any) -> str | None:
    """The Authorization header with a fresh token; None if a client certificate authenticates."""
    header: str | None = await config.get_api_key_with_prefix("BearerToken", alias="authorization")
    return header


def ssl_context(config: Any) -> ssl.SSLContext:
    """TLS settings for another HTTP client: the trusted CAs and the client certificate."""
    context: ssl.SSLContext = RESTClientObject(config).ssl_context
    return context


def context_namespace(kubeconfig: str | None = None) -> str:
    """The namespace of the kubeconfig's current context, as kubectl takes it; "default" if it names none."""
    try:
        _, active = list_kube_config_contexts(kubeconfig or os.environ.get("KUBECONFIG"))
    except (ConfigException, OSError):
        return own_namespace()
    return str(active["context"].get("namespace") or "default") if active else "default"


def own_namespace() -> str:
    """The namespace of the pod we run in; "default" outside of a cluster."""
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"
