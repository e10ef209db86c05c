"""The examples that are for larger machines, whole, with a model and an engine that fit this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import volumes
from hack.cluster.cluster import Cluster
from lowbit.api.base import API_VERSION
from tests.e2e.conftest import empty
from tests.e2e.lab import Lab, Manifest, condition, model_spec
from tests.e2e.texts import calibration, holdout

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SUMS = [{"prompt": f"{one} + {other} =", "expected": one + other} for one in range(2, 18) for other in range(1, 13)]
GROUP = 64
"""It divides the small model's rows."""


@pytest.fixture
def whole(lowbit: Cluster, models: dict[str, Path]) -> Iterator[Lab]:
    """A namespace with the whole model, and the claims and ConfigMaps that the examples name."""
    yield from furnished(lowbit, models["smollm2-135m-instruct"])


@pytest.fixture
def cut(lowbit: Cluster, models: dict[str, Path]) -> Iterator[Lab]:
    """The same with few layers: AWQ of the whole model takes half an hour here."""
    yield from furnished(lowbit, models["smollm2-2layers"])


def furnished(lowbit: Cluster, model: Path) -> Iterator[Lab]:
    lab, claims = empty(lowbit), ("datasets", "texts")
    lab.furnish(model)
    for claim in claims:
        fill(volumes.create(lab.cluster.kubectl, lab.cluster.paths, namespace=lab.namespace, name=claim))
    for name in ("prompts", "longform"):
        lab.kubectl("create", "configmap", name, f"--from-file=data.jsonl={EXAMPLES / 'data' / f'{name}.jsonl'}")
    lab.kubectl("create", "configmap", "tasks", f"--from-file={EXAMPLES / 'data'}")
    yield lab
    lab.remove()
    for claim in claims:
        volumes.delete(lab.cluster.kubectl, lab.cluster.paths, namespace=lab.namespace, name=claim)


def fill(folder: Path) -> None:
    """The files of the claims."""
    texts = {"calibration": calibration(), "holdout": holdout()}
    files = {name: [{"text": text} for text in lines] for name, lines in texts.items()} | {"sums": SUMS}
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def example(name: str) -> tuple[str, Manifest]:
    """Name and spec of an example, as it is but for model, engine and Jobs: those of this machine."""
    (manifest,) = yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text())
    small, spec = model_spec(), manifest["spec"]
    spec |= {"source": small["source"], "engine": small["engine"], "jobs": small["jobs"]}
    spec["engine"]["vllm"]["maxModelLen"] = 2048
    spec["calibration"] |= {"samples": 24, "maxTokens": 128}
    spec["evaluation"]["speed"] = small["evaluation"]["speed"]
    for candidate in spec["candidates"]:
        for recipe in candidate.values():
            recipe["groupSize"] = GROUP
    return manifest["metadata"]["name"], spec


def apply(lab: Lab, name: str, spec: Manifest) -> None:
    lab.apply({"apiVersion": API_VERSION, "kind": "QuantizedModel", "metadata": {"name": name}, "spec": spec})


def judged(lab: Lab, name: str, minutes: float) -> dict[str, Manifest]:
    """Each revision's status by its recipe, once there is a verdict and nothing more to do."""

    def rests() -> bool:
        model = lab.get("quantizedmodel", name)
        return condition(model, "Ready") or condition(model, "Stalled")

    lab.wait(f"{name} is judged", rests, minutes)
    mine = [each for each in lab.objects("modelrevisions") if each["metadata"]["name"].startswith(f"{name}-")]
    found = {next(iter(each["spec"]["recipe"].values()))["bits"]: each["status"] for each in mine}
    assert all("verdict" in status for status in found.values()), lab.picture()
    return found


def asked(statuses: dict[str, Manifest]) -> set[tuple[str, str, str]]:
    """What was judged of each revision: suite, metric and slice."""
    checks = [check for status in statuses.values() for check in status["verdict"]["checks"]]
    return {(check["suite"], check["metric"], check.get("slice", "")) for check in checks}


def test_tasks_are_asked_greedily_and_as_clients_ask_and_every_one_is_judged(whole: Lab) -> None:
    name, spec = example("tasks")
    prompts, longform, sums = spec["evaluation"]["suites"]
    for each, tokens in ((prompts, 32), (longform, 48), (sums, 8)):
        each["generation"]["outputTokens"] = tokens
    # As many as there are; two points would take a thousand.
    longform["generation"]["repeats"] = 2
    longform["gate"]["nonInferiority"][0]["margin"] = "0.30"
    sums["generation"]["samples"] = len(SUMS)
    sums["gate"]["nonInferiority"][0]["margin"] = "0.10"
    apply(whole, name, spec)
    assert asked(judged(whole, name, 60)) == {(suite, "Accuracy", "") for suite in ("prompts", "longform", "sums")}


def test_tasks_of_the_harness_are_judged_each_by_itself(whole: Lab) -> None:
    name, spec = example("harness")
    spec["evaluation"]["suites"].pop()  # its rows have to be downloaded
    apply(whole, name, spec)
    statuses = judged(whole, name, 60)
    assert asked(statuses) == {("words", "Accuracy", "kinds"), ("words", "Accuracy", "sequences")}


def test_all_candidates_are_compared_beside_what_serves_and_the_showcase_is_asked_of_it(cut: Lab) -> None:
    name, spec = example("compare")
    fidelity = spec["evaluation"]["suites"][0]
    fidelity["fidelity"] |= {"samples": 210, "maxTokens": 96}
    fidelity["gate"]["maximum"] = [{"metric": "KLDivergence", "value": "5"}]
    spec["evaluation"]["showcase"]["outputTokens"] = 16
    apply(cut, name, spec)

    def done() -> bool:
        model = cut.get("quantizedmodel", name)
        return condition(model, "Ready") and condition(model, "Compared") and "showcase" in cut.status(name)

    cut.wait("everything is compared, and what serves was asked", done, 60)
    status: dict[str, Any] = cut.status(name)
    verdicts = {row["name"]: row.get("verdict") for row in status["comparison"]}
    assert list(verdicts) == ["original", "gptq-int4-g64", "awq-int4-g64", "gptq-int8-g64"]
    assert verdicts["original"] is None
    assert all(verdict is not None for name, verdict in verdicts.items() if name != "original")
    assert status["current"]["recipe"] == next(name for name, verdict in verdicts.items() if verdict == "Passed")
    assert status["showcase"]["revision"] == status["current"]["name"]
    assert status["showcase"]["answered"] == len(spec["evaluation"]["showcase"]["prompts"])
    assert cut.ask(name)
