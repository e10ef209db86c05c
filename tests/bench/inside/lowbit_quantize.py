"""python -m lowbit.worker as in a quantize Job, with a clock around its parts.

With BENCH_SAMPLES the token ids that the quantizer is shown are written to that file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.bench.inside import marks

with marks.part("Lowbit's own imports"):
    from lowbit.worker import __main__ as worker
    from lowbit.worker import quantize
    from lowbit.worker.backends.gptq import GPTQBackend
    from lowbit.worker.data.calibration import Calibrated
    from lowbit.worker.store.pvc import PVCStore

with marks.part("imports"):
    import torch  # noqa: F401
    from gptqmodel import GPTQModel  # noqa: F401
    from transformers import AutoTokenizer  # noqa: F401

real_calibrate = quantize.calibrate


def calibrate(*arguments: Any) -> Calibrated:
    found = real_calibrate(*arguments)
    if path := os.environ.get("BENCH_SAMPLES"):
        Path(path).write_text(json.dumps(found.samples))
    return found


quantize.calibrate = calibrate  # type: ignore[assignment]
marks.clock(quantize, "calibrate", "calibration texts")
marks.clock(GPTQBackend, "quantize", "load, quantize, save")
marks.clock(GPTQBackend, "judge", "losses judged")
marks.clock(quantize, "finish", "artifact checked and tidied")
marks.clock(GPTQBackend, "smoke_test", "smoke test")
marks.clock(quantize, "scan", "digests")
marks.clock(PVCStore, "commit", "commit")
marks.clock(PVCStore, "folder", "source looked at")
code = worker.main(termination_path=Path("/lowbit/scratch/termination.json"))
marks.write()
sys.exit(code)
