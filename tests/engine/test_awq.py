"""AWQ on a real model: it has to be worth its time."""

from __future__ import annotations

from tests.engine.conftest import MODEL, run_inside


def test_awq_of_texts_that_differ_in_length_is_closer_to_the_original_than_rounding_to_nearest(
    worker_image: str,
) -> None:
    told = run_inside(worker_image, "awq_inside", f"/models/{MODEL}", environment={"GPTQMODEL_CPU_WORKERS": "2"})
    assert 0 < told["awq"] < told["rounded"], told
