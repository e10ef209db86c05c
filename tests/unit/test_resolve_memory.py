"""What does not fit a GPU is said before one is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.facts import ModelFacts
from lowbit.api.gpus import GB, MEMORY, memory_of
from lowbit.api.platform import Platform
from lowbit.api.problem import Problem
from lowbit.naming.names import input_hash
from lowbit.resolve.memory import cache_bytes, check_host_memory, check_memory, needed
from tests.unit.api_inputs import changed_spec
from tests.unit.test_architecture_configs import facts

LLAMA_70B = "Llama-3.1-70B-Instruct-FP8"
CODER = "Qwen3-235B-A22B"


def problems(model: str | ModelFacts, gpu: str | None = "H100-80GB", **engine: Any) -> list[Problem]:
    spec = changed_spec(engine={"vllm": {"gpu": gpu, **engine}})
    return check_memory(spec, facts(model) if isinstance(model, str) else model, Platform())


def test_a_70b_on_one_gpu_of_80_gb_is_refused_with_what_would_fit() -> None:
    (problem,) = problems(LLAMA_70B, maxModelLen=8192)
    assert problem.reason == "TooLargeForGPU"
    assert "141.1 GB" in problem.message
    assert problem.action == "use tensorParallelSize 4"
    assert problems(LLAMA_70B, maxModelLen=8192, tensorParallelSize=4) == []


def test_a_shorter_length_is_advised_where_the_weights_alone_fit() -> None:
    (problem,) = problems("Meta-Llama-3.1-8B", "L4")
    assert "maxModelLen of at most" in problem.action
    length = int(problem.action.split("at most ")[1].split()[0])
    assert problems("Meta-Llama-3.1-8B", "L4", maxModelLen=length) == []
    assert problems("Meta-Llama-3.1-8B", "L4", maxModelLen=length + 1024) != []


def test_what_no_number_of_ranks_can_hold_says_so() -> None:
    (problem,) = problems("GLM-5", "L4")
    assert problem.action == "use GPUs with more memory: no number of ranks of these fits"


@pytest.mark.parametrize("engine", [{"gpu": None}, {"gpu": "L4", "device": "CPU"}])
def test_without_a_named_gpu_nothing_is_refused(engine: dict[str, Any]) -> None:
    assert check_memory(changed_spec(engine={"vllm": engine}), facts(LLAMA_70B), Platform()) == []


def test_the_platforms_gpu_counts_where_the_manifest_names_none() -> None:
    spec = changed_spec(engine={"vllm": {}})
    assert check_memory(spec, facts(LLAMA_70B), Platform(gpu="NVIDIA-H100-80GB-HBM3"))
    assert check_memory(spec, facts(LLAMA_70B), Platform(gpu="1000Gi")) == []


def test_a_slice_of_a_gpu_has_the_memory_that_its_name_says() -> None:
    limits = {"limits": {"nvidia.com/mig-1g.10gb": "1"}}
    (problem,) = problems("Meta-Llama-3.1-8B", None, resources=limits)
    assert "nvidia.com/mig-1g.10gb gives 9.0 GB" in problem.message
    assert problems("qwen2_0_5b", None, resources=limits) == []


def test_a_gpu_that_is_not_known_is_told_and_not_taken_for_large() -> None:
    (problem,) = problems(LLAMA_70B, "Voodoo 2")
    assert (problem.reason, problem.field) == ("UnknownGPU", "spec.engine.vllm.gpu")


def test_naming_another_gpu_starts_nothing() -> None:
    without, named = changed_spec(engine={"vllm": {}}), changed_spec(engine={"vllm": {"gpu": "L4"}})
    assert input_hash(without) == input_hash(named)


@pytest.mark.parametrize(
    ("name", "size"),
    [("NVIDIA-H100-80GB-HBM3", 80), ("NVIDIA-A100-SXM4-40GB", 40), ("NVIDIA-A100-PCIE-80GB", 80), ("Tesla-T4", 16),
     ("NVIDIA-L40S", 48), ("NVIDIA-GeForce-RTX-4090", 24), ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", 10),
     ("NVIDIA-A10G", 24),
     ("nvidia.com/mig-3g.40gb", 40), ("NVIDIA-H200", 141), ("AMD-Instinct-MI300X", 192), ("a100", None), ("", None)],
)  # fmt: skip
def test_gpus_are_known_by_the_names_that_nodes_have(name: str, size: int | None) -> None:
    assert memory_of(name) == (size * GB if size is not None else None)


def test_every_name_of_the_table_is_found_by_itself() -> None:
    assert {name: memory_of(name) for name in MEMORY} == {name: size * GB for name, size in MEMORY.items()}


def test_a_latent_cache_is_small_and_no_rank_has_less_of_it() -> None:
    model = facts("deepseek_v2_lite")
    assert cache_bytes(model, 1, 1000) == 27 * (512 + 64) * 2 * 1000 == cache_bytes(model, 8, 1000)


def test_layers_with_a_window_keep_no_more_than_that() -> None:
    model = facts("gemma-3-12b-it")
    long, longer = cache_bytes(model, 1, 10_000), cache_bytes(model, 1, 20_000)
    assert longer - long == model.attention_layers * model.cache_values * 2 * 10_000


@given(ranks=st.sampled_from([1, 2, 4, 8]), tokens=st.integers(16, 200_000))
def test_more_ranks_never_need_more_memory_each(ranks: int, tokens: int) -> None:
    model = facts(CODER)
    one, more = (needed(model, model.weight_bytes, size, tokens).whole for size in (ranks, 2 * ranks))
    assert more <= one


def test_a_quantize_job_on_cpus_that_cannot_hold_the_original_is_refused() -> None:
    jobs = {"quantize": {"device": "CPU", "resources": {"limits": {"memory": "16Gi"}}}}
    (problem,) = check_host_memory(changed_spec(jobs=jobs), facts(LLAMA_70B))
    assert problem.reason == "HostMemoryTooSmall"
    assert check_host_memory(changed_spec(jobs=jobs), facts("qwen2_0_5b")) == []
