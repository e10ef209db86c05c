"""A newer Lowbit on the corpus of each version: no Job, no other engine, no write at all. On a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api import corpus, monitors
from tests.api.calls import AuditLog
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, OperatorProcess, wait_for

MODELS = len(corpus.ENDS)


@pytest.fixture(params=corpus.versions(), ids=lambda file: file.stem)
def loaded(request: pytest.FixtureRequest, cluster: Cluster, installation: Installation) -> Iterator[None]:
    """The corpus of one version, and the settings of another. It outlives the operators that `start` starts."""
    monitors.install(cluster)
    loader = corpus.Loader(cluster)
    loader.load(corpus.read(request.param))
    platform = installation.platform()
    installation.set_platform(**corpus.changed_platform())
    yield
    installation.set_platform(**platform)
    loader.unload()
    monitors.remove(cluster)


def test_an_upgrade_writes_nothing(
    cluster: Cluster, installation: Installation, loaded: None, start: StartOperator, audit: AuditLog
) -> None:
    before = {kind: versions(cluster, kind) for kind in corpus.KINDS}
    begin = audit.mark()
    operator = start("newer", "--resync=1", f"--namespaces={corpus.SPACE}")
    wait_for("every model is looked at", lambda: reconciles(operator) >= MODELS)
    for name in corpus.ENDS:
        cluster.patch("QuantizedModel", corpus.SPACE, name, {"metadata": {"annotations": {"nudge": "1"}}})
    wait_for("and again", lambda: reconciles(operator) >= 2 * MODELS)
    assert [call.told for call in audit.writes(installation.user, begin)] == []
    assert operator.metric("lowbit_reconciles_total", result="error") == 0
    for kind in corpus.KINDS:
        if kind != "QuantizedModel":  # we have written notes on them ourselves
            assert versions(cluster, kind) == before[kind], kind


def reconciles(operator: OperatorProcess) -> float:
    """How often models were looked at."""
    return operator.metric("lowbit_reconciles_total", kind="QuantizedModel")


def versions(cluster: Cluster, kind: str) -> dict[str, str]:
    """resourceVersion of each object, by name."""
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in cluster.list(kind, corpus.SPACE)}
