"""What a worker's exception is called, and whether it may pass. Nothing is retried that would fail in the same way."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import NamedTuple

from lowbit.api.documents import EXIT_CRASHED, EXIT_LATER, EXIT_REFUSED
from lowbit.api.termination import Refusal
from lowbit.worker.errors.network import unreachable
from lowbit.worker.errors.system import MissingFileError, of_system
from lowbit.worker.full import full, is_full
from lowbit.worker.refuse import LaterError, RefusalError, causes

EXIT_FAILED = 1
BUGS = (
    TypeError, KeyError, IndexError, AttributeError, NameError, AssertionError, ImportError, NotImplementedError,
    RecursionError, ZeroDivisionError,
)  # fmt: skip
"""Errors of a program, never of the world: what was being handled meanwhile does not excuse them."""
FRAMES = 3
"""Frames of the traceback that are told: the innermost ones."""
DEVICE = ("AcceleratorError", "CudaError", "NVMLError")
DEVICE_WORDS = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "NCCL error", "HIP error")
DEVICE_MEMORY = "OutOfMemoryError"
"""torch's, for the memory of a GPU."""


class Ended(NamedTuple):
    """How a worker ends."""

    code: int
    """Exit code."""
    refusal: Refusal


def ended(error: BaseException) -> Ended:
    """Exit code and words for any exception."""
    found = error if isinstance(error, RefusalError) else named(error)
    code = EXIT_LATER if isinstance(found, LaterError) else EXIT_REFUSED
    if isinstance(found, MissingFileError):
        code = EXIT_FAILED
    return Ended(code, found.refusal) if found is not None else Ended(EXIT_CRASHED, crash(error))


def named(error: BaseException) -> RefusalError | None:
    """The error in words that say what happened; None for a bug."""
    if isinstance(error, BUGS):
        return None
    if is_full(error):
        # A retry at once would fail in the same way, and hold a GPU until then.
        return full(error)
    found = (name(error) for name in NAMES)
    return next((each for each in found if each is not None), None)


def of_device(error: BaseException) -> RefusalError | None:
    """The error of a GPU; None if it is not one."""
    for each in causes(error):
        words = " ".join(str(each).split())
        if type(each).__name__ == DEVICE_MEMORY:
            return RefusalError(
                "OutOfGPUMemory",
                f"the GPU's memory was too small: {words}",
                "use a GPU with more memory, or lower calibration.maxTokens",
            )
        if type(each).__name__ in DEVICE or any(known in words for known in DEVICE_WORDS):
            return LaterError(
                "DeviceFailed",
                f"the GPU failed: {words}",
                "look at the node's GPU (nvidia-smi, Xid in the kernel's log); if it stays so, keep pods off that node",
            )
    return None


NAMES: tuple[Callable[[BaseException], RefusalError | None], ...] = (of_device, unreachable, of_system)
"""Each names the errors of one part of the world."""


def crash(error: BaseException) -> Refusal:
    """The words for a bug: the error, and where the program was."""
    where = "; from ".join(
        f"{_short(frame.filename)}:{frame.lineno} in {frame.name}"
        for frame in reversed(traceback.extract_tb(error.__traceback__)[-FRAMES:])
    )
    words = " ".join(str(error).split())
    return RefusalError(
        "WorkerCrashed",
        f"the worker has crashed, which is a bug of Lowbit or of a library: {type(error).__name__}: {words}"
        + (f" (at {where})" if where else ""),
        "report it with the Job's log. It would crash again, so it is not tried again; with a version that has it "
        "mended, delete the Job",
    ).refusal


def _short(path: str) -> str:
    """A source file from its package on."""
    for mark in ("/site-packages/", "/lowbit/"):
        if mark in path:
            return path.rpartition(mark)[2]
    return path
