"""Runs in the CPU engine's image: loads a model, and generates a few tokens.

    python -m hack.matrix.load_inside FOLDER

Prints one line of JSON: {"ok": true}, or {"ok": false, "why": "..."}.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from typing import Any

PROMPT = list(range(3, 35))


def attempt(folder: str) -> dict[str, Any]:
    """Load, and ask for the log probabilities of a prompt: they must be numbers."""
    from vllm import LLM, SamplingParams

    engine = LLM(folder, enforce_eager=True, dtype="bfloat16", max_model_len=128, max_num_seqs=4,
                 max_num_batched_tokens=256, seed=0)  # fmt: skip
    asked = SamplingParams(max_tokens=4, temperature=0, prompt_logprobs=2, ignore_eos=True)
    (answer,) = engine.generate([{"prompt_token_ids": PROMPT}], asked, use_tqdm=False)
    seen = [each.logprob for row in answer.prompt_logprobs or [] if row for each in row.values()]
    if not seen or not all(map(math.isfinite, seen)):
        return {"ok": False, "why": "log probabilities that are not numbers"}
    return {"ok": True}


def main(folder: str) -> None:
    """Attempt it, and say how it ended."""
    try:
        ended = attempt(folder)
    except Exception as error:  # whatever it is that breaks, the table says so
        traceback.print_exc()
        ended = {"ok": False, "why": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the error itself, and not that a process has ended
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # threads of the engine would keep it alive
