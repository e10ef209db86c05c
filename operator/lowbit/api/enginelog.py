"""What an engine's log says: the kernels that it chose, and why it ended. Pure.

What is kept goes into a status, and so into terminals: characters that are not printable are blanked.

A pod does not say whose log it is. So the words of every engine are tried, in the order of the registry: all kernels
that they find count, and the first error.
"""

from __future__ import annotations

import re

from lowbit.api.engines import ENGINES
from lowbit.api.engines.base import LogWords

KERNELS_LIMIT = 8
LINE_LIMIT = 300
"""Characters of a line that are kept."""
LAST_LINES, LAST_LIMIT = 12, 2000
"""Lines, and characters, of the log's end that are kept."""
WORDS_LINES, WORDS_LIMIT = 4, 400
"""Lines, and characters, of a log's end in a message."""
PASSWORD = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def kernels_in(log: str) -> list[str]:
    """Kernels for quantized layers that the engine chose, such as "CPUWNA16LinearKernel for AutoGPTQLinearMethod"."""
    told = dict.fromkeys(line for engine in ENGINES for line in _kernels(log, engine.log_words))
    return [_printable(line[:LINE_LIMIT]) for line in told][:KERNELS_LIMIT]


def error_in(log: str) -> str | None:
    """The line that says why the engine ended, or None."""
    found = next((error for engine in ENGINES if (error := _error(log, engine.log_words))), None)
    return _printable(found[:LINE_LIMIT]) if found else None


def last_lines(log: str) -> str:
    """The end of the log, without the prefixes of its lines."""
    plain = log.splitlines()
    for engine in ENGINES:
        plain = _plain(plain, engine.log_words)
    lines = [_printable(line[:LINE_LIMIT]).rstrip() for line in plain if line.strip()]
    return "\n".join(lines[-LAST_LINES:])[-LAST_LIMIT:]


def last_words(log: str) -> str:
    """The very end of a log on one line, for a message. Passwords in URLs are left out."""
    ends = [line.strip() for line in last_lines(log).splitlines()[-WORDS_LINES:]]
    return PASSWORD.sub("...", " | ".join(ends))[-WORDS_LIMIT:]


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(each if each.isprintable() else " " for each in line)


def _kernels(log: str, words: LogWords) -> list[str]:
    plain = _plain(log.splitlines(), words)
    found = dict.fromkeys((match[1], match[2]) for line in plain if (match := words.kernel.search(line)))
    named = {name for name, layers in found if layers != words.general}
    return [
        f"{name} for {layers}"
        for name, layers in found
        if not (layers == words.general and name in named)
        and not any(word in layers.lower() for word in words.not_kernels)
    ]


def _error(log: str, words: LogWords) -> str | None:
    lines = [line.strip() for line in _plain(log.splitlines(), words)]
    errors = [line for line in lines if words.error.fullmatch(line)]
    causes = [line for line in errors if not any(each in line for each in words.consequences)]
    found = causes or errors
    return found[-1] if found else None


def _plain(lines: list[str], words: LogWords) -> list[str]:
    for prefix in words.prefixes:
        lines = [prefix.sub("", line) for line in lines]
    return lines
