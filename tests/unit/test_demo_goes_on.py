"""The words after Ctrl-C: what goes on running, how to go on, how to look at it, how to take it down."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.demo import goes_on
from hack.demo.cluster import DemoCluster, typed
from hack.demo.goes_on import Found

OURS = DemoCluster(Path("/cache/cluster/kubeconfig"), ours=True)
SOMEBODYS = DemoCluster(Path("/home/me/my config"), ours=False)
ALL = ("etcd", "kubelet")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", "/cache")
    monkeypatch.delenv("REGISTRY", raising=False)
    monkeypatch.setattr(goes_on, "typed", lambda program: program)


def up(cluster: DemoCluster, **found: object) -> list[str]:
    return goes_on.sentences("up", cluster, Found(**found))  # type: ignore[arg-type]


def test_before_the_cluster_is_up_nothing_runs_and_what_is_built_stays() -> None:
    assert up(OURS, missing=ALL) == [
        "Nothing of the demo runs on this machine. What is built stays in /cache; make demo goes on from there."
    ]


def test_a_cluster_that_is_half_up_is_not_called_nothing() -> None:
    assert up(OURS, running=("etcd",), missing=("kubelet",)) == [
        "The cluster on this machine is up in part. Of its programs these go on running: etcd.",
        "Go on:        make demo (picks it up where it is, and shows it)",
        "Take it down: make demo-down",
    ]


def test_cluster_operator_and_model_go_on() -> None:
    assert up(OURS, running=ALL, operator=True, stage="Quantizing") == [
        "The cluster on this machine and the operator go on running. "
        "The operator goes on with smollm2, which is at the stage Quantizing.",
        "Go on:        make demo (picks it up where it is, and shows it)",
        "Look at it:   KUBECONFIG=/cache/cluster/kubeconfig kubectl -n lowbit-demo describe qm smollm2",
        "Take it down: make demo-down",
    ]


@pytest.mark.parametrize(
    ("found", "first"),
    [
        (Found(ALL), "The cluster on this machine goes on running. The operator is not installed."),
        (Found(ALL, operator=True),
         "The cluster on this machine and the operator go on running. The model smollm2 is not applied."),
        (Found(ALL, unknown="refused"),
         "The cluster on this machine could not be asked what goes on running there: refused"),
    ],
)  # fmt: skip
def test_how_far_it_is_is_said_as_it_is(found: Found, first: str) -> None:
    said = goes_on.sentences("up", OURS, found)
    assert said[0] == first
    assert said[1:] == [
        "Go on:        make demo (picks it up where it is, and shows it)",
        "Take it down: make demo-down",
    ]


def test_on_somebodys_cluster_only_the_demos_own_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY", "registry.example.com/lowbit")
    assert up(SOMEBODYS, operator=True, stage="Evaluating") == [
        "On the cluster of /home/me/my config the operator goes on running. "
        "The operator goes on with smollm2, which is at the stage Evaluating.",
        "Go on:        KUBECONFIG='/home/me/my config' REGISTRY=registry.example.com/lowbit make demo "
        "(picks it up where it is, and shows it)",
        "Look at it:   KUBECONFIG='/home/me/my config' kubectl -n lowbit-demo describe qm smollm2",
        "Take it down: KUBECONFIG='/home/me/my config' make demo-down "
        "(removes the namespaces lowbit-demo and lowbit-system and the chart, and nothing else)",
    ]


def test_on_somebodys_cluster_nothing_runs_before_the_chart_is_installed() -> None:
    (said,) = up(SOMEBODYS)
    assert said.startswith(
        "Nothing of the demo runs on the cluster of /home/me/my config. What is built stays in /cache"
    )


def test_a_taking_down_that_is_interrupted_says_how_to_end_it() -> None:
    assert goes_on.sentences("down", OURS, Found(("etcd",), ("kubelet",))) == [
        "The cluster on this machine is up in part. Of its programs these go on running: etcd.",
        "Take it down: make demo-down",
    ]
    (said,) = goes_on.sentences("down", OURS, Found(missing=ALL))
    assert said == "Nothing of the demo runs on this machine. make demo-down removes what may be left of it."


def test_kubectl_is_named_by_its_path_where_it_is_only_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "kubectl"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed("kubectl") == str(tool)
    monkeypatch.setenv("PATH", str(tool.parent))
    assert typed("kubectl") == "kubectl"
