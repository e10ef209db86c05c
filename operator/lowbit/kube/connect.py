"""Where the API server is and who we are: from a kubeconfig, or from the pod's service account."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

# Deep imports on purpose: what kubernetes.aio offers beside these is never used and would only take memory.
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader
from kubernetes.aio.config.kube_config import load_kube_config

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts token, ca.crt and namespace."""


class NoCluster(Exception):  # noqa: N818
    """There is neither a kubeconfig nor a service account."""


async def configuration(kubeconfig: str | None = None) -> Any:
    """The client's configuration.

    kubeconfig, else $KUBECONFIG, else the pod's service account, else ~/.kube/config. Raises NoCluster.
    """
    # Trusting the environment, aiohttp would look for a ~/.netrc, in a thread, before every single request.
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
    """Reads the token's file anew every minute: the kubelet replaces it."""
    return InClusterConfigLoader(
        token_filename=str(SERVICE_ACCOUNT / "token"), cert_filename=str(SERVICE_ACCOUNT / "ca.crt")
    )


async def authorization(config: Any) -> str | None:
    """The Authorization header, with a token that is fresh now; None where a certificate says who we are."""
    header: str | None = await config.get_api_key_with_prefix("BearerToken", alias="authorization")
    return header


def ssl_context(config: Any) -> ssl.SSLContext:
    """For a client that is not this one: whom it trusts, and its certificate."""
    context: ssl.SSLContext = RESTClientObject(config).ssl_context
    return context


def own_namespace() -> str:
    """The namespace of the pod we run in; "default" outside of a cluster."""
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"
