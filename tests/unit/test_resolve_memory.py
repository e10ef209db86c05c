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
from lowbit.api.status import GPUMemory
from lowbit.cli.plan import plan
from lowbit.naming.names import input_hash
from lowbit.resolve.memory import (
    Split,
    cache_bytes,
    check_host_memory,
    check_memory,
    gpu_memory,
    holder_of,
    layers_of_stages,
    needed,
)
from tests.unit.api_inputs import changed_spec
from tests.unit.test_architecture_configs import facts

LLAMA_70B = "Llama-3.1-70B-Instruct-FP8"
CODER = "Qwen3-235B-A22B"


def problems(model: str | ModelFacts, gpu: str | None = "H100-80GB", **engine: Any) -> list[Problem]:
    spec = changed_spec(engine={"vllm": {"gpu": gpu, **engine}})
    return check_memory(spec, facts(model) if isinstance(model, str) else model, Platform())


def memory(model: str, gpu: str | None, **engine: Any) -> GPUMemory:
    spec = changed_spec(engine={"vllm": {"gpu": gpu, **engine}})
    holder = holder_of(spec.original_field, spec.original_engine)
    found = gpu_memory("original", facts(model).weight_bytes, holder, facts(model), Platform())
    assert found is not None
    return found


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
    (problem,) = problems("GLM-5", "3Gi")
    assert problem.action == "use GPUs with more memory: no number of these fits"


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
    assert cache_bytes(model, Split(1), 1000) == 27 * (512 + 64) * 2 * 1000 == cache_bytes(model, Split(8), 1000)


def test_layers_with_a_window_keep_no_more_than_that() -> None:
    model = facts("gemma-3-12b-it")
    long, longer = cache_bytes(model, Split(1), 10_000), cache_bytes(model, Split(1), 20_000)
    assert longer - long == model.attention_layers * model.cache_values * 2 * 10_000


@given(ranks=st.sampled_from([1, 2, 4, 8]), tokens=st.integers(16, 200_000))
def test_more_ranks_never_need_more_memory_each(ranks: int, tokens: int) -> None:
    model = facts(CODER)
    one, more = (needed(model, model.weight_bytes, Split(size), tokens).whole for size in (ranks, 2 * ranks))
    assert more <= one


def test_a_quantize_job_on_cpus_that_cannot_hold_the_original_is_refused() -> None:
    jobs = {"quantize": {"device": "CPU", "resources": {"limits": {"memory": "16Gi"}}}}
    (problem,) = check_host_memory(changed_spec(jobs=jobs), facts(LLAMA_70B))
    assert problem.reason == "HostMemoryTooSmall"
    assert check_host_memory(changed_spec(jobs=jobs), facts("qwen2_0_5b")) == []


FP8 = {"kvCacheDtype": "FP8"}
BY_ARGS = {"args": ["--kv-cache-dtype", "fp8_e4m3"]}


@pytest.mark.parametrize("small", [FP8, BY_ARGS])
def test_a_cache_in_fp8_takes_half(small: dict[str, Any]) -> None:
    plain, half = (memory("Meta-Llama-3.1-8B", "L4", maxModelLen=8192, **engine) for engine in ({}, small))
    assert 2 * half.cache == plain.cache
    assert half.sequences and plain.sequences and half.sequences // 2 == plain.sequences


def test_a_cache_in_fp8_is_advised_where_it_would_fit() -> None:
    (problem,) = problems("Meta-Llama-3.1-8B", "L4", maxModelLen=32768 + 16384)
    assert "kvCacheDtype FP8" in problem.action
    assert problems("Meta-Llama-3.1-8B", "L4", maxModelLen=32768 + 16384, kvCacheDtype="FP8") == []


def test_a_type_of_the_cache_that_is_not_known_refuses_nothing_that_might_fit() -> None:
    assert problems("Meta-Llama-3.1-8B", "L4", maxModelLen=65536)
    assert problems("Meta-Llama-3.1-8B", "L4", maxModelLen=65536, args=["--kv-cache-dtype=turboquant_3bit_nc"]) == []


def test_weights_that_the_host_keeps_are_not_counted() -> None:
    assert problems(LLAMA_70B, "H100-80GB", maxModelLen=8192)
    assert problems(LLAMA_70B, "H100-80GB", maxModelLen=8192, args=["--cpu-offload-gb", "80"]) == []


def test_the_numbers_say_how_many_requests_of_full_length_fit_at_once() -> None:
    found = memory("Meta-Llama-3.1-8B", "L4", maxModelLen=4096)
    assert found.room is not None and found.sequences is not None
    taken = found.weights + found.engine + found.sequences * found.cache
    assert taken <= found.room < taken + found.cache
    assert f"so {found.sequences} such requests fit at once" in found.words()


def test_more_requests_at_once_than_fit_are_no_reason_to_refuse() -> None:
    """vLLM starts, and pauses some of them; the plan has the numbers."""
    assert problems("Meta-Llama-3.1-8B", "L4", maxModelLen=4096, maxNumSeqs=1024) == []
    spec = changed_spec(engine={"vllm": {"gpu": "L4", "maxModelLen": 4096, "maxNumSeqs": 1024}})
    notes = plan("m", spec, Platform(), facts("Meta-Llama-3.1-8B")).notes
    assert any("maxNumSeqs is 1024" in note for note in notes)
    assert sum("such requests fit at once" in note for note in notes) == 3, (
        "the original and each candidate that is made"
    )


def test_without_a_gpu_by_name_the_numbers_stand_alone() -> None:
    found = memory("Meta-Llama-3.1-8B", None, maxModelLen=4096)
    assert (found.gpu, found.room, found.sequences) == (None, None, None)
    assert "fit at once" not in found.words()


def test_a_candidate_whose_argument_makes_the_cache_larger_is_held_against_the_gpu_too() -> None:
    candidates = [{"gptq": {"bits": 8}, "engine": {"args": ["--kv-cache-dtype=bfloat16"]}}]
    engine = {"vllm": {"gpu": "L4", "maxModelLen": 131072, "kvCacheDtype": "FP8", "args": ["--cpu-offload-gb=5"]}}
    spec = changed_spec(candidates=candidates, engine=engine)
    (problem,) = check_memory(spec, facts("Meta-Llama-3.1-8B"), Platform())
    assert problem.message.startswith("candidate 0 needs")


@pytest.mark.parametrize(
    ("layers", "stages", "dealt"), [(32, 1, [32]), (32, 4, [8] * 4), (30, 4, [7, 8, 8, 7]), (27, 2, [14, 13])]
)
def test_layers_are_dealt_to_stages_as_vllm_does(layers: int, stages: int, dealt: list[int]) -> None:
    assert layers_of_stages(layers, stages) == dealt


@pytest.mark.parametrize("model", [LLAMA_70B, CODER, "gemma-3-12b-it", "deepseek_v2_lite"])
@pytest.mark.parametrize("stages", [2, 3, 4])
def test_stages_share_weights_and_cache_and_none_holds_less_than_its_part(model: str, stages: int) -> None:
    model_facts = facts(model)
    one = needed(model_facts, model_facts.weight_bytes, Split(2), 8192)
    more = needed(model_facts, model_facts.weight_bytes, Split(2, stages), 8192)
    assert one.weights / stages <= more.weights < one.weights
    assert one.cache / stages - 1 <= more.cache < one.cache


@given(stages=st.integers(1, 16), layers=st.integers(16, 128))
def test_no_layer_is_lost_between_stages(stages: int, layers: int) -> None:
    assert sum(layers_of_stages(layers, stages)) == layers


@pytest.mark.parametrize("ranks", [1, 8])
def test_where_no_node_has_enough_gpus_a_group_of_pods_is_advised(ranks: int) -> None:
    (problem,) = problems("GLM-5", tensorParallelSize=ranks, maxModelLen=8192)
    stages = int(problem.action.split("pipelineParallelSize ")[1].split()[0])
    assert ("tensorParallelSize 8 with" in problem.action) == (ranks == 1)
    assert problems("GLM-5", tensorParallelSize=8, maxModelLen=8192, pipelineParallelSize=stages) == []
    assert problems("GLM-5", tensorParallelSize=8, maxModelLen=8192, pipelineParallelSize=stages - 1) != []


def test_gpus_of_one_pod_come_before_more_pods() -> None:
    assert [problem.action for problem in problems(LLAMA_70B, maxModelLen=8192)] == ["use tensorParallelSize 4"]
