"""The cluster with Lowbit in it, once for all tests; a namespace of its own for each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.cluster import Cluster
from hack.cluster.network import NODE_ADDRESS
from hack.cluster.s3 import S3Server
from hack.demo.cluster import DemoCluster
from hack.demo.steps import install
from images.build import build
from images.load import load
from images.model import prepare_models
from images.targets import ALL
from tests.cluster.fixtures import need_root
from tests.e2e.lab import BUCKET, Lab


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


def empty(lowbit: Cluster) -> Lab:
    """A namespace under restricted Pod Security."""
    name = f"e2e-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    lowbit.kubectl("create", "-f", "-", stdin=json.dumps(namespace))
    return Lab(lowbit, name)


def furnished(lowbit: Cluster, model: Path) -> Iterator[Lab]:
    """A furnished namespace, removed at the end."""
    lab = empty(lowbit)
    lab.furnish(model)
    yield lab
    lab.remove()


@pytest.fixture
def bucket(lowbit: Cluster) -> Iterator[S3Server]:
    """A real S3 server that pods reach, with one empty bucket."""
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    with S3Server(access_key=key, secret_key=secret, host=NODE_ADDRESS) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture
def bucket_lab(lowbit: Cluster, bucket: S3Server) -> Iterator[Lab]:
    """A namespace whose store will be the bucket."""
    lab = empty(lowbit)
    yield lab
    lab.remove()


@pytest.fixture
def lab(lowbit: Cluster, models: dict[str, Path]) -> Iterator[Lab]:
    """A namespace for one test."""
    yield from furnished(lowbit, models["smollm2-2layers"])


@pytest.fixture(scope="module")
def story(lowbit: Cluster, models: dict[str, Path]) -> Iterator[Lab]:
    """A namespace for the tests of a module, each of which goes on where the one before has ended."""
    yield from furnished(lowbit, models["smollm2-2layers"])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A story whose earlier part failed cannot be told further."""
    failed = getattr(item.parent, "failed_part", None)
    if failed and "story" in getattr(item, "fixturenames", ()):
        pytest.fail(f"goes on where {failed} ends, and that has failed")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What is needed to see why is part of the report of a test that failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.failed or report.when != "call":
        return
    if "story" in getattr(item, "fixturenames", ()) and item.parent is not None:
        item.parent.failed_part = item.name  # type: ignore[attr-defined]
    for lab in (getattr(item, "funcargs", {}).get(name) for name in ("lab", "story", "bucket_lab")):
        if isinstance(lab, Lab):
            report.sections.append((f"namespace {lab.namespace}", lab.picture()))
