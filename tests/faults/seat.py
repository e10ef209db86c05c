"""An operator's seat: its own way to the API server, and the process that sits there at the moment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.api.in_pod import Pod
from tests.api.operator_process import QUICK_LEASE
from tests.faults.plan import Plan
from tests.faults.proxy import Proxy

COMPARED = 8.0
"""Seconds between two comparisons with LISTs, ten minutes for users: what a watch has lost is found then."""


@dataclass(frozen=True)
class Account:
    """Who an operator is to the API server."""

    session: aiohttp.ClientSession
    """The proxy's. One without a client certificate leaves it to the token who asks."""
    url: str
    user: Mapping[str, str] = field(default_factory=dict)
    """As in a kubeconfig: a token, say."""
    lease: tuple[str, str] | None = None
    """Namespace and name of the Lease; None for its own in the namespace that is looked after."""


class Seat:
    """One replica of the operator. A killed pod gets a successor; a process that exits is restarted where asked for."""

    def __init__(self, name: str, space: str, account: Account, folder: Path, plan: Plan, identity: Callable[[], str]):
        self.name, self._space, self._account, self._folder = name, space, account, folder
        self._next_identity = identity
        self.identity = ""
        self.proxy = Proxy(account.session, account.url, plan, self.kill)
        self.log = folder / f"{name}.log"
        self.compared = COMPARED
        self.deaths = 0
        self.restarts = 0
        """How often the operator has ended by itself, and was started again as the kubelet would."""
        self.port = 0
        """Of /healthz and /readyz; 0 for any, which nobody asks."""
        self._pod: Pod | None = None
        self._leases = 0
        self._starting: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the way to the API server."""
        url = await self.proxy.start()
        self._kubeconfig = self._folder / f"{self.name}.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": url}}],
            "users": [{"name": "proxy", "user": dict(self._account.user)}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }
        self._kubeconfig.write_text(json.dumps(document))

    async def close(self) -> None:
        for task in self._starting:
            task.cancel()
        if self._pod is not None:
            self._pod.kill()
            self._pod.wait()
        await self.proxy.stop()

    def start(self) -> None:
        """Start an operator, as another pod than the last one."""
        self.identity = self._next_identity()
        self._run()

    def _run(self) -> None:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "KUBECONFIG": str(self._kubeconfig),
            "POD_NAME": self.identity,
            "POD_NAMESPACE": self._space,
        }
        arguments = [
            f"--namespaces={self._space}",
            f"--port={self.port}",
            "--host=127.0.0.1",
            "--log-format=text",
            f"--resync={self.compared}",
            *QUICK_LEASE,
        ]
        if self._account.lease is not None:
            space, name = self._account.lease
            arguments += [f"--lease-namespace={space}", f"--lease-name={name}"]
        self._leases = self.proxy.leases
        self._pod = Pod(self._folder, environment, arguments, self.log)

    def kill(self) -> None:
        """End the operator as the kernel would, and start another."""
        if self._pod is None:
            return
        self._pod.kill()
        self._pod.wait()
        self._pod = None
        self.deaths += 1
        task = asyncio.get_running_loop().create_task(self._start_again())
        self._starting.add(task)

    async def _start_again(self) -> None:
        self.start()

    @property
    def pid(self) -> int:
        """0 while there is no process."""
        return self._pod.pid if self._pod is not None else 0

    def freeze(self) -> None:
        """Stop the process where it is: connections stay open, clocks go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def leads(self) -> bool:
        """Whether this process has written the Lease."""
        return self._pod is not None and self.proxy.leases > self._leases

    def check(self, kubelet: bool) -> None:
        """Restart a process that has exited, as a kubelet does. Raises AssertionError where there is no kubelet."""
        if self._pod is None or self._pod.poll() is None:
            return
        if not kubelet:
            raise AssertionError("the operator has ended by itself")
        self._pod.wait()
        self.restarts += 1
        self._run()
