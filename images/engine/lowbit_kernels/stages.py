"""Pipeline stages on CPUs: vLLM makes room for what a stage receives when it warms up, which eager execution skips."""

from __future__ import annotations

from typing import Any

import torch
from vllm.distributed.parallel_state import get_pp_group
from vllm.v1.worker.cpu_model_runner import CPUModelRunner


def receive_without_warming_up() -> None:
    """Have each stage but the first allocate it once its model is loaded."""
    load = CPUModelRunner.load_model

    def load_model(self: Any, *arguments: Any, **named: Any) -> None:
        load(self, *arguments, **named)
        if get_pp_group().is_first_rank or self.intermediate_tensors is not None:
            return
        self.intermediate_tensors = self.model.make_empty_intermediate_tensors(
            batch_size=self.max_num_tokens, dtype=self.model_config.dtype, device=torch.device("cpu")
        )

    CPUModelRunner.load_model = load_model
