"""Tools of all backends: the device, its memory, and silencing libraries that print."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lowbit.worker.refuse import RefusalError

LOG_TAIL = 4000
"""Characters of the quantizer's own output that are shown if it fails."""


def pick_device(wanted: str) -> tuple[str, str]:
    """torch's name of the device, and its name for people. Raises RefusalError if a GPU is wanted and there is none."""
    import torch

    if wanted == "CPU":
        return "cpu", "CPU"
    if not torch.cuda.is_available():
        raise RefusalError(
            "NoGPU",
            "the quantize Job asks for a GPU, and torch finds none in its pod",
            "check the node's driver and the GPU's resource name, or set spec.jobs.quantize.device to CPU",
        )
    return "cuda", str(torch.cuda.get_device_name(0))


def peak_bytes(device: str) -> int:
    """Peak memory so far, in bytes: of the GPU if one is used, otherwise of this process."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def release() -> None:
    """Free the memory of a deleted model."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[Callable[[str], None]]:
    """Redirect what libraries print (bars, banners) to a file. Yields a function that writes a line to the real stdout.

    If the body raises, the end of the file goes to stderr.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    failure: BaseException | None = None
    try:
        yield lambda line: _write_all(out, f"{line}\n".encode())
    except BaseException as error:
        failure = error
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(out, 1)
        os.dup2(err, 2)
        if failure is not None and not isinstance(failure, RefusalError):
            tail = log.read_text(errors="replace").replace("\r", "\n")[-LOG_TAIL:]
            print(f"--- the end of the quantizer's output\n{tail}\n---", file=sys.stderr)
        for descriptor in (out, err, file):
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
