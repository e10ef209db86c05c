"""A model that serves on other devices than it was judged on is judged there, and serves on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hack.cluster.cluster import Cluster
from hack.demo.cluster import SYSTEM, DemoCluster
from hack.demo.steps import ROOT
from tests.e2e.lab import Lab, Manifest, condition

pytestmark = pytest.mark.long

DEVICE = "lowbit.dev/device"
SERVERS = "app.kubernetes.io/component=serving"


@pytest.fixture
def relabel(lowbit: Cluster) -> Iterator[Callable[[str], None]]:
    """Gives the node another product of devices. The operator may read nodes, and reads each once: it starts anew."""
    helm = DemoCluster(lowbit.kubeconfig, ours=True)
    kubectl, chart = lowbit.kubectl, str(ROOT / "charts" / "lowbit")
    (node,) = (each["metadata"]["name"] for each in kubectl.get("nodes")["items"])

    def read_nodes(allowed: str) -> None:
        upgrade = ("helm", "upgrade", "lowbit", chart, "--namespace", SYSTEM, "--reuse-values", "--wait")
        helm.run(*upgrade, "--timeout", "5m", "--set", f"rbac.nodes={allowed}")

    def give(product: str) -> None:
        kubectl("label", "node", node, "--overwrite", f"{DEVICE}={product}")
        kubectl("-n", SYSTEM, "rollout", "restart", "deployment/lowbit")
        kubectl("-n", SYSTEM, "rollout", "status", "deployment/lowbit", "--timeout=300s")

    read_nodes("true")
    yield give
    read_nodes("false")
    kubectl("label", "node", node, f"{DEVICE}-")


def devices(status: Manifest) -> list[str | None]:
    """Of what serves."""
    return [engine.get("device") for engine in (status.get("running") or {}).get("engines", [])]


def test_what_serves_on_another_device_is_evaluated_there_and_the_doubt_goes(
    lab: Lab, relabel: Callable[[str], None]
) -> None:
    relabel("first")
    lab.apply_model("chat")
    lab.wait_ready("chat")
    lab.wait("what serves is known", lambda: devices(lab.status("chat")) == ["first"])
    assert not condition(lab.get("qm", "chat"), "VerdictStale")
    relabel("second")
    lab.kubectl("delete", "pods", "-l", SERVERS, "--wait=true")
    lab.wait_available("chat")
    # How an engine runs is read once for a node and an image: this node is another one now, under its old name.
    lab.kubectl("patch", "qm", "chat", "--subresource=status", "--type=merge", "-p", '{"status": {"running": null}}')
    lab.wait("a doubt is told", lambda: condition(lab.get("qm", "chat"), "VerdictStale"))
    lab.wait("the doubt has gone", lambda: not condition(lab.get("qm", "chat"), "VerdictStale"), 40)
    (revision,) = lab.objects("modelrevisions")
    (again,) = revision["status"]["judgedAgain"]
    assert (again["device"], again["verdict"]) == ("second", "Passed")
    assert again["evaluation"] != revision["status"]["evaluation"]
    assert condition(lab.get("qm", "chat"), "Ready")
    assert devices(lab.status("chat")) == ["second"]
    assert lab.ask("chat")
