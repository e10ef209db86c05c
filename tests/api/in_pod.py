"""The operator as in a pod: with the pod's environment, and the service account that is mounted at a folder.

Processes are forked from one that has imported everything: to import takes longer than most tests.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from lowbit.app.__main__ import main
from lowbit.kube import connect

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload([__name__])


class Pod:
    """The operator's process, with the part of Popen's methods that tests use."""

    def __init__(self, account: Path, environment: Mapping[str, str], arguments: Sequence[str], log: Path) -> None:
        self._process = _FORK.Process(target=run, args=(account, dict(environment), list(arguments), log), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise AssertionError("the operator does not end")
        return self._process.exitcode


def impatient(init: Callable[..., None]) -> Callable[..., None]:
    """The token's file is read every second, not every minute."""

    def begin(self: Any, *words: Any, **more: Any) -> None:
        init(self, *words, **more)
        self._token_refresh_period = timedelta(seconds=1)

    return begin


def run(account: Path, environment: dict[str, str], arguments: list[str], log: Path) -> None:
    """What the forked process does."""
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["lowbit.app", *arguments]
    connect.SERVICE_ACCOUNT = account
    InClusterConfigLoader.__init__ = impatient(InClusterConfigLoader.__init__)
    sys.exit(main())
