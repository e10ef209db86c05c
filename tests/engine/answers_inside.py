"""Runs in the engine's image: a whole model in int4 and int8, in vLLM with its library for CPUs without AVX-512.

    python -m tests.engine.answers_inside MODEL     MODEL: a Hugging Face folder in bf16

Prints one line of JSON: by bits, how far the logprobs of a text are from those of the same weights unpacked, in
transformers.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.engine.kernels_inside import packed

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps in the shade of an old tree."
GROUP = 64


def rounded(weight: torch.Tensor, bits: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A weight [outputs, inputs] rounded to nearest by groups: unpacked again, and as GPTQ's files hold it."""
    middle = 2 ** (bits - 1)
    groups = weight.float().t().reshape(-1, GROUP, weight.shape[0])  # [groups, inputs of one, outputs]
    scales = (groups.abs().amax(1) / (middle - 1)).clamp(min=1e-6).to(torch.bfloat16)
    stored = (groups / scales.float()[:, None]).round().clamp(-middle, middle - 1) + middle
    unpacked = ((stored - middle) * scales.float()[:, None]).reshape(weight.shape[1], -1).t()
    codes = stored.reshape(weight.shape[1], -1).numpy().astype(np.int64)
    zeros = np.full((len(scales), weight.shape[0]), middle - 1)
    tensors = {"qweight": packed(codes, bits, 0), "qzeros": packed(zeros, bits, 1), "scales": scales}
    return unpacked.to(torch.bfloat16), tensors | {"g_idx": torch.arange(weight.shape[1], dtype=torch.int32) // GROUP}


def artifact(source: Path, folder: Path, bits: int) -> Any:
    """Write the model with its linear layers quantized; the model with the same weights unpacked."""
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    tensors = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            unpacked, made = rounded(module.weight.data, bits)
            module.weight.data = unpacked
            del tensors[f"{name}.weight"]
            tensors |= {f"{name}.{each}": value.contiguous() for each, value in made.items()}
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    save_file({name: value.clone() for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    quantization = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "desc_act": False, "sym": True}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    return model


def difference(source: Path, bits: int) -> float:
    """Largest difference of a token's logprob between the engine and transformers."""
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    folder = Path(f"/tmp/int{bits}")
    model = artifact(source, folder, bits)
    ids = AutoTokenizer.from_pretrained(source)(TEXT)["input_ids"]
    engine = LLM(str(folder), enforce_eager=True, max_model_len=256, enable_prefix_caching=False)
    (answer,) = engine.generate([{"prompt_token_ids": ids}], SamplingParams(max_tokens=4, prompt_logprobs=0))
    assert len(answer.outputs[0].token_ids) == 4
    found = [row[token].logprob for row, token in zip(answer.prompt_logprobs[1:], ids[1:], strict=True)]
    with torch.no_grad():
        wanted = model.float()(torch.tensor([ids])).logits.log_softmax(-1)[0, :-1]
    pairs = zip(found, wanted, ids[1:], strict=True)
    return max(float(abs(one - row[token])) for one, row, token in pairs)


def main() -> None:
    """In one process, so that what is said here of the CPU holds for the engine."""
    torch.cpu._is_avx512_supported = lambda: False
    differences = {f"int{bits}": difference(Path(sys.argv[1]), bits) for bits in (4, 8)}
    print(json.dumps({"fast": hasattr(torch.ops._C, "cpu_gemm_wna16"), "differences": differences}))


if __name__ == "__main__":
    main()
