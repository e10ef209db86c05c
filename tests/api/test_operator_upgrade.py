"""A newer Lowbit on the corpus of each version: no Job, no other engine, no write at all. On a real API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api import corpus, monitors
from tests.api.calls import AuditLog
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, OperatorProcess, wait_for

MODELS = len(corpus.ENDS)


@pytest.mark.parametrize("file", corpus.versions(), ids=lambda file: file.stem)
def test_an_upgrade_writes_nothing(
    cluster: Cluster, installation: Installation, start: StartOperator, audit: AuditLog, file: Path
) -> None:
    monitors.install(cluster)
    loader = corpus.Loader(cluster)
    loader.load(corpus.read(file))
    before = {kind: versions(cluster, kind) for kind in corpus.KINDS}
    platform = installation.platform()
    installation.set_platform(**corpus.changed_platform())
    begin = audit.mark()
    try:
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
    finally:
        installation.set_platform(**platform)
        monitors.remove(cluster)
        loader.unload()


def reconciles(operator: OperatorProcess) -> float:
    """How often models were looked at."""
    return operator.metric("lowbit_reconciles_total", kind="QuantizedModel")


def versions(cluster: Cluster, kind: str) -> dict[str, str]:
    """resourceVersion of each object, by name."""
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in cluster.list(kind, corpus.SPACE)}
