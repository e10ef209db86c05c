"""What users ask for, and the lives from whose middle a start is taken."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tests.faults.states.cluster import Cluster
from tests.unit.world import spec

MORE_MEMORY = {"quantize": {"resources": {"limits": {"memory": "8Gi"}}, "maxMemory": "16Gi"}}


def compare_all(whole: dict[str, Any]) -> dict[str, Any]:
    """The same spec, with every candidate compared."""
    return whole | {"evaluation": whole["evaluation"] | {"compare": "All"}}


def showing(whole: dict[str, Any]) -> dict[str, Any]:
    """The same spec, with prompts that what serves is asked."""
    return whole | {"evaluation": whole["evaluation"] | {"showcase": {"prompts": [{"name": "fox", "text": "A fox"}]}}}


SPECS: list[dict[str, Any]] = [
    spec(),
    spec(candidates=[{"gptq": {"bits": 8}}, {"gptq": {"bits": 4}}], jobs=MORE_MEMORY),
    spec(candidates=[{"gptq": {"bits": 4}}], serving={"replicas": 1, "fallback": "Source"}),
    spec(candidates=[{"artifact": {"pvc": {"claimName": "made", "path": "x"}}}, {"gptq": {"bits": 4}}], serving=None),
    spec(candidates=[{"gptq": {"bits": 4, "groupSize": 32}}, {"gptq": {"bits": 4}}], jobs=MORE_MEMORY),
    compare_all(showing(spec())),
    compare_all(spec(candidates=[{"gptq": {"bits": 8}}, {"gptq": {"bits": 4}}, {"awq": {}}], serving=None)),
    spec(engine={"vllm": {"pipelineParallelSize": 2, "executor": "Ray"}}),
]
LIVES: tuple[tuple[tuple[str, int], ...], ...] = (
    (("one", 0),),
    (("one", 0), ("two", 0)),
    (("one", 0), ("one", 1)),
    (("one", 2),),
    (("one", 3),),
    (("one", 4), ("two", 1)),
    (("one", 0), ("two", 2), ("one", 4)),
    (("one", 2), ("one", 0)),
    (("one", 1), ("two", 3)),
    (("one", 0), ("one", 3)),
    (("one", 5), ("two", 0)),
    (("one", 0), ("one", 5)),
    (("one", 5), ("one", 0)),
    (("one", 6), ("two", 5)),
    (("one", 7),),
    (("one", 0), ("one", 7), ("two", 7)),
)
"""What is applied, one after the other: each once the one before has come to rest."""
SEEDS = 6
"""Of which artifact is how good."""


@lru_cache(maxsize=len(LIVES) * SEEDS)
def states_of(life: int, seed: int) -> tuple[Cluster, ...]:
    """Every state on the way of a life that goes well."""
    cluster = Cluster(seed=seed)
    cluster.add_store()
    found: list[Cluster] = [cluster.fork()]
    names: list[str] = []
    for name, number in LIVES[life]:
        cluster.apply_model(name, SPECS[number])
        names = sorted({*names, name})
        cluster.settle(*names, after=lambda: found.append(cluster.fork()))
    return tuple(found)
