"""What an engine's log says: the kernels that it chose, and why it ended. Pure; the words are those of vLLM."""

from __future__ import annotations

import re
from collections.abc import Iterator

KERNELS_LIMIT = 8
LINE_LIMIT = 300
"""Characters of a line that are kept."""
LAST_LINES, LAST_LIMIT = 12, 2000
"""Lines, and characters, of the log's end that are kept."""

KERNEL = re.compile(r"\b(?:Using|Selected) (\w+) for (\S.*?)\.?$")
GENERAL = "mixed-precision linear"
"""vLLM names a weight-only kernel twice: once for all such layers, once for the format's own."""
NOT_KERNELS = ("attention",)

ERROR = re.compile(
    r"(?:[A-Za-z_][\w.]*\.)?\w*(?:Error|Exception|Interrupt)(?:: .*)?"  # the last line of a traceback
    r"|Fatal Python error: .*"  # a signal, such as an illegal instruction
    r"|.*Segfault encountered.*"
    r"|\S.*?: error: .*"  # an argument that is not known
)
CONSEQUENCES = ("Engine core initialization failed", "EngineDeadError", "EngineCore encountered an issue")
"""What vLLM's other processes log after the one that failed."""
PREFIXES = (
    re.compile(r"\x1b\[[0-9;]*m"),
    re.compile(r"^\(\w[^)]*\bpid=\d+\)\s?"),
    re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\]\s?"),
)


def kernels_in(log: str) -> list[str]:
    """Kernels for quantized layers that the engine chose, such as "CPUWNA16LinearKernel for AutoGPTQLinearMethod"."""
    found = dict.fromkeys((match[1], match[2]) for line in _plain(log) if (match := KERNEL.search(line)))
    named = {name for name, layers in found if layers != GENERAL}
    told = [
        f"{name} for {layers}"
        for name, layers in found
        if not (layers == GENERAL and name in named) and not any(word in layers.lower() for word in NOT_KERNELS)
    ]
    return [line[:LINE_LIMIT] for line in told[:KERNELS_LIMIT]]


def error_in(log: str) -> str | None:
    """The line that says why the engine ended, or None."""
    errors = [line.strip() for line in _plain(log) if ERROR.fullmatch(line.strip())]
    causes = [line for line in errors if not any(words in line for words in CONSEQUENCES)]
    found = causes or errors
    return found[-1][:LINE_LIMIT] if found else None


def last_lines(log: str) -> str:
    """The end of the log, without the prefixes of its lines."""
    lines = [line[:LINE_LIMIT].rstrip() for line in _plain(log) if line.strip()]
    return "\n".join(lines[-LAST_LINES:])[-LAST_LIMIT:]


def _plain(log: str) -> Iterator[str]:
    for line in log.splitlines():
        for prefix in PREFIXES:
            line = prefix.sub("", line)  # noqa: PLW2901
        yield line
