"""A sample of the table of architectures, anew: tiny models through the quantizer and the CPU engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.matrix.__main__ import attempt
from hack.matrix.types import SAMPLE
from lowbit.architecture.support import table


@pytest.mark.parametrize("model_type", SAMPLE)
def test_a_type_of_model_fares_as_the_table_says(
    model_type: str, worker_image: str, engine_image: str, tmp_path: Path
) -> None:
    found = attempt(worker_image, engine_image, model_type, tmp_path)
    committed = table().tried[model_type]
    for recipe in ("gptq", "awq"):
        wanted = committed.of(recipe)
        seen = found["recipes"][recipe]
        assert (seen.get("quantizes"), seen.get("loads")) == (wanted.quantizes, wanted.loads), found
    assert found["original"]["loads"] is committed.original.loads
