"""helm install, test, upgrade and uninstall against a real API server; the test's pod is run by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hack.cluster import paths
from tests.api.chart import CHART, helm
from tests.api.conftest import StartOperator
from tests.api.operator_process import Cluster, OperatorProcess, wait_for

RELEASE, SPACE = "trial", "trial-system"
NAME = "trial-lowbit"


@pytest.fixture
def release(cluster: Cluster) -> Iterator[list[str]]:
    """helm's arguments for a release that is installed; the kinds are there already."""
    where = ["--namespace", SPACE, "--kubeconfig", str(cluster.server.kubeconfig)]
    values = ["--set", "crds.install=false"]
    installed = helm("install", RELEASE, str(CHART), *where, "--create-namespace", *values)
    assert installed.returncode == 0, installed.stderr
    yield where
    helm("uninstall", RELEASE, *where)


def test_the_notes_say_what_to_do_next(release: list[str]) -> None:
    done = helm("get", "notes", RELEASE, *release)
    assert done.returncode == 0, done.stderr
    for words in (
        "looks after all namespaces",
        f"kubectl -n {SPACE} rollout status deployment/{NAME}",
        f"helm -n {SPACE} test {RELEASE}",
        "kind: ModelStore",
        "kubectl get quantizedmodels -w",
    ):
        assert words in done.stdout


def test_an_upgrade_changes_the_deployment_and_an_uninstall_leaves_nothing_but_the_kinds(
    cluster: Cluster, release: list[str]
) -> None:
    upgraded = helm("upgrade", RELEASE, str(CHART), *release, "--reuse-values", "--set", "image=other/operator:2")
    assert upgraded.returncode == 0, upgraded.stderr
    deployment = cluster.get("Deployment", SPACE, NAME)
    assert deployment is not None
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "other/operator:2"
    removed = helm("uninstall", RELEASE, *release)
    assert removed.returncode == 0, removed.stderr
    for kind in ("Deployment", "ConfigMap", "Service", "ServiceAccount"):
        assert [each for each in cluster.list(kind, SPACE) if each["metadata"]["name"].startswith(NAME)] == [], kind
    assert cluster.get("CustomResourceDefinition", "", "quantizedmodels.lowbit.dev") is not None


@pytest.mark.parametrize("healthy", [True, False], ids=["an-operator-that-is-well", "none"])
def test_helm_test_tells_whether_the_operator_is_well(
    cluster: Cluster, release: list[str], start: StartOperator, healthy: bool
) -> None:
    operator = start() if healthy else None
    command = [str(paths.tools() / "helm"), "test", RELEASE, *release, "--timeout", "60s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as testing:
        pod: dict[str, Any] = wait_for("helm makes the pod", lambda: cluster.get("Pod", SPACE, f"{NAME}-test-ready"))
        code = run_by_hand(pod, operator)
        phase = "Failed" if code else "Succeeded"
        cluster.patch("Pod", SPACE, pod["metadata"]["name"], {"status": {"phase": phase}}, "/status")
        said, _ = testing.communicate(timeout=60)
    assert (testing.returncode == 0) is healthy, said
    assert (code == 0) is healthy


def run_by_hand(pod: dict[str, Any], operator: OperatorProcess | None) -> int:
    """The pod's own program, with the operator's Service at the address of the process (or where nobody listens)."""
    (container,) = pod["spec"]["containers"]
    _, option, program = container["command"]
    service = f"http://{NAME}.{SPACE}:8080"
    assert service in program
    here = f"http://127.0.0.1:{operator.port if operator else 9}"
    done = subprocess.run([sys.executable, option, program.replace(service, here)], capture_output=True, check=False)
    return done.returncode
