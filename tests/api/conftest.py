"""One API server with Lowbit's kinds and Lowbit's chart for all tests of this folder."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hack.cluster.apiserver import ApiServer
from hack.cluster.kubectl import Kubectl
from hack.cluster.progress import StepError
from lowbit.kube.resources import OWN_KINDS, RESOURCES
from tests.api.calls import AuditLog
from tests.api.installation import Installation
from tests.api.manifests import ROOT
from tests.api.operator_process import Cluster, OperatorProcess, model_store, namespace, wait_for

StartOperator = Callable[..., OperatorProcess]
LEFT_BEHIND = ("QuantizedModel", "ModelStore", "ModelRevision", "ModelEvaluation", "Job", "Pod", "Deployment")


@pytest.fixture(scope="session")
def audit() -> Iterator[AuditLog]:
    """Every call of every ServiceAccount: whatever a test is about, the chart's roles have to allow it."""
    with tempfile.TemporaryDirectory(prefix="lowbit-audit-") as folder:
        log = AuditLog(Path(folder))
        yield log
        assert log.refused() == [], "refused by the chart's roles"


@pytest.fixture(scope="session")
def server(audit: AuditLog) -> Iterator[ApiServer]:
    """etcd and kube-apiserver with the committed CustomResourceDefinitions established."""
    with ApiServer(arguments=audit.arguments) as running:
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        wait_for("the watch cache of Lowbit's kinds is filled", lambda: cached(running))
        yield running


def cached(server: ApiServer) -> bool:
    """Whether LISTs are answered by the watch cache: right after a kind is established it refuses them with 429."""
    try:
        for kind in OWN_KINDS:
            server.kubectl("get", "--raw", f"{RESOURCES[kind].path(None)}?resourceVersion=0")
    except StepError:
        return False
    return True


@pytest.fixture(scope="session")
def kubectl(server: ApiServer) -> Kubectl:
    """kubectl as a person uses it, in a namespace where nothing else is."""
    mine = server.folder / "kubeconfig-people"
    mine.write_text(server.kubeconfig.read_text())
    server.kubectl("create", "namespace", "people")
    Kubectl(mine)("config", "set-context", "--current", "--namespace=people")
    return Kubectl(mine)


@pytest.fixture(scope="session")
def cluster(server: ApiServer) -> Cluster:
    """The admin."""
    return Cluster(server)


@pytest.fixture(scope="session")
def installation(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The chart with its own values: all namespaces, one ClusterRole."""
    made = Installation(server, tmp_path_factory.mktemp("pod"), "lowbit")
    made.install()
    return made


@pytest.fixture
def start(server: ApiServer, installation: Installation, tmp_path: Path) -> Iterator[StartOperator]:
    """Starts operators with the chart's account and environment; all of them end with the test."""
    with contextlib.ExitStack() as stack:

        def begin(identity: str = "operator", *arguments: str, of: Installation = installation) -> OperatorProcess:
            operator = OperatorProcess(server, tmp_path / f"{identity}.log", identity, *arguments, installation=of)
            stack.callback(operator.kill)
            wait_for("the operator is ready", operator.ready)
            return operator

        yield begin


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace with a ModelStore, for one test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    cluster.apply(namespace(name), model_store(name))
    yield name
    cluster.empty(name, *LEFT_BEHIND)
