"""Runs in the CPU engine's image: loads models, and generates a few tokens with each.

    python -m hack.matrix.load_inside FOLDER NAME...

Loads FOLDER/NAME, and prints how each ended (each.py).
"""

from __future__ import annotations

import math
import os
import sys

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the error itself, and not that a process has ended

from vllm import LLM, SamplingParams

from hack.matrix.each import each

PROMPT = list(range(3, 35))


def attempt(folder: str) -> None:
    """Load, and ask for the log probabilities of a prompt: they must be numbers. Raises whatever goes wrong."""
    engine = LLM(folder, enforce_eager=True, dtype="bfloat16", max_model_len=128, max_num_seqs=4,
                 max_num_batched_tokens=256, seed=0)  # fmt: skip
    asked = SamplingParams(max_tokens=4, temperature=0, prompt_logprobs=2, ignore_eos=True)
    (answer,) = engine.generate([{"prompt_token_ids": PROMPT}], asked, use_tqdm=False)
    seen = [each_.logprob for row in answer.prompt_logprobs or [] if row for each_ in row.values()]
    if not seen or not all(map(math.isfinite, seen)):
        raise ValueError("log probabilities that are not numbers")


if __name__ == "__main__":
    each(sys.argv[2:], lambda name: attempt(f"{sys.argv[1]}/{name}"))
    sys.stdout.flush()
    os._exit(0)  # threads of the engine would keep it alive
