"""Fixtures for every test that needs an API server or the cluster: `from tests.cluster.fixtures import api_server`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from hack.cluster.apiserver import ApiServer
from hack.cluster.cluster import Cluster


def need_root(why: str) -> None:
    """Fail under CI, else skip and say why, when this is not root."""
    if os.geteuid() == 0:
        return
    message = f"{why} needs root: run it as root"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """etcd and kube-apiserver alone; what is missing without controllers is said at ApiServer."""
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="session")
def api_server_with_controllers() -> Iterator[ApiServer]:
    """The same with kube-controller-manager: namespaces are deleted, garbage is collected, Jobs make pods."""
    with ApiServer(with_controllers=True) as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The one-node cluster, brought up if it is not. It stays up: bringing it down is a step of its own."""
    need_root("the one-node cluster")
    cluster = Cluster()
    cluster.up()
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace under restricted Pod Security for one test, deleted after it."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
