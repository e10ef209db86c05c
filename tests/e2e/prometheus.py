"""A real Prometheus on loopback that scrapes pods, for as long as a block runs."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from hack.cluster.progress import StepError

SCRAPE = "2s"
WAIT_SECONDS = 180


@dataclass(frozen=True)
class Prometheus:
    """Its address, and questions to it."""

    address: str

    def value(self, query: str) -> float | None:
        """The sum of what a query finds; None where it finds nothing (or Prometheus is not up yet)."""
        url = f"{self.address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                found = json.load(response)["data"]["result"]
        except (urllib.error.URLError, ConnectionError):
            return None
        return sum(float(each["value"][1]) for each in found) if found else None

    def wait_for(self, query: str) -> float:
        """The value of a query that must come to be above zero. Raises StepError, which names it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if value := self.value(query):
                return value
            time.sleep(1)
        raise StepError(f"Prometheus finds {query}", f"not within {WAIT_SECONDS} s; up: {self.value('up')}")


@contextmanager
def prometheus(folder: Path, port: int, targets: Mapping[str, tuple[str, str]]) -> Iterator[Prometheus]:
    """Scrape `targets`: by the job's name the address (host:port) and the path. Files go to `folder`."""
    jobs = [
        {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [address]}]}
        for name, (address, path) in targets.items()
    ]
    config = {"global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE}, "scrape_configs": jobs}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    line = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()
