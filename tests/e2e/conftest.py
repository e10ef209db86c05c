"""The cluster with Lowbit in it, once for all tests; a namespace of its own for each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.demo.cluster import DemoCluster
from hack.demo.steps import install
from images.build import build
from images.load import load
from images.model import prepare_models
from images.targets import ALL
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import need_root
from tests.e2e.lab import Lab


@pytest.fixture(scope="session")
def lowbit() -> Cluster:
    """The one-node cluster with the chart installed from what is checked out."""
    need_root("the one-node cluster")
    cluster = Cluster()
    references = build(ALL, None)
    cluster.up()
    install(DemoCluster(cluster.kubeconfig, ours=True), load(references))
    return cluster


@pytest.fixture(scope="session")
def models() -> dict[str, Path]:
    """Folders of the real model and of its cuts, by name."""
    return dict(prepare_models())


@pytest.fixture
def lab(lowbit: Cluster, models: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A furnished namespace under restricted Pod Security; what is needed to see why is printed when the test fails."""
    name = f"e2e-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    lowbit.kubectl("create", "-f", "-", stdin=json.dumps(namespace))
    lab = Lab(lowbit, name)
    marker = request.node.get_closest_marker("model")
    lab.furnish(models[marker.args[0] if marker else "smollm2-2layers"])
    yield lab
    if getattr(request.node, "failed", False):
        print(lab.picture())
    lowbit.kubectl("delete", "namespace", name, "--wait=true", "--timeout=300s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember that a test failed, for the fixture above."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        item.failed = True  # type: ignore[attr-defined]
