"""gptqmodel alone: load, quantize, save, with the token ids and settings in bare.json."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.inside import marks

job = json.loads(Path("/lowbit/in/bare.json").read_text())
with marks.part("imports"):
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig
    from transformers import AutoTokenizer  # noqa: F401

samples = json.loads(Path(job["samples"]).read_text())
with marks.part("load, quantize, save"):
    torch.manual_seed(0)
    config = QuantizeConfig(**job["config"])
    model = GPTQModel.load(job["source"], config, dtype=torch.bfloat16)
    model.quantize(
        [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in samples],
        batch_size=1,
        calibration_data_min_length=0,
    )
    model.save(job["target"])
marks.write()
