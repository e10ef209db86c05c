"""`python -m hack.demo up | down`."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from hack.demo.interrupt import Interrupt

INTERRUPTED = 130
"""128 and SIGINT, as shells count."""


def main() -> int:
    """Run one of the two. A step that fails is told with the log that matters, Ctrl-C with what goes on running."""
    if sys.argv[1:] not in (["up"], ["down"]):
        print(__doc__, file=sys.stderr)
        return 2
    interrupt, failure = Interrupt(), None
    interrupt.install()  # before the imports, which take a second
    # `closing` is set without a call: between a call and its first line another SIGINT could be raised.
    try:
        code = _run(sys.argv[1])
        interrupt.closing = True
    except KeyboardInterrupt:
        interrupt.closing = True
    except Exception as error:
        interrupt.closing = True
        failure = error
    interrupt.ignore()
    if interrupt.came:
        _interrupted(sys.argv[1])
        return INTERRUPTED
    return _stopped(failure) if failure else code


def _run(command: str) -> int:
    from hack.demo.commands import COMMANDS  # noqa: PLC0415 - SIGINT is taken over first

    return COMMANDS[command]()


def _stopped(error: Exception) -> int:
    from hack.cluster.progress import StepError  # noqa: PLC0415 - SIGINT is taken over first

    if isinstance(error, StepError):
        print(f"\nThe demo stopped at: {error}", file=sys.stderr)
    elif isinstance(error, subprocess.CalledProcessError):
        print(f"\nThe demo stopped at: {' '.join(map(str, error.cmd))}\n{error.stderr or ''}", file=sys.stderr)
    else:
        raise error
    return 1


def _interrupted(command: str) -> None:
    """Say it at once, then look at what goes on running. Raises nothing: who reads this may have ended as well."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with suppress(OSError):
        print("\nInterrupted.", file=sys.stderr, flush=True)
        for line in _what_goes_on(command):
            print(line, file=sys.stderr, flush=True)


def _what_goes_on(command: str) -> list[str]:
    try:
        from hack.demo.commands import what_goes_on  # noqa: PLC0415 - SIGINT is taken over first

        return what_goes_on(command)
    except Exception as error:
        return [f"It could not be found out what goes on running: {error}"]


if __name__ == "__main__":
    sys.exit(main())
