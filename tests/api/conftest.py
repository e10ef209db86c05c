"""One API server with Lowbit's kinds for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.manifests import ROOT
from tests.cluster.apiserver import ApiServer
from tests.cluster.kubectl import Kubectl


@pytest.fixture(scope="session")
def server() -> Iterator[ApiServer]:
    """etcd and kube-apiserver with the committed CustomResourceDefinitions established."""
    with ApiServer() as running:
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        yield running


@pytest.fixture(scope="session")
def kubectl(server: ApiServer) -> Kubectl:
    """kubectl as a person uses it, in a namespace where nothing else is."""
    mine = server.folder / "kubeconfig-people"
    mine.write_text(server.kubeconfig.read_text())
    server.kubectl("create", "namespace", "people")
    Kubectl(mine)("config", "set-context", "--current", "--namespace=people")
    return Kubectl(mine)
