"""Ask the served model a question, as a client would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from hack.cluster import paths
from hack.cluster.progress import StepError, step
from hack.demo.cluster import MODEL, NAMESPACE, DemoCluster

QUESTION = "What is the capital of France? Answer in one sentence."


def ask(cluster: DemoCluster) -> None:
    """One chat completion over HTTP; prints the answer and the tokens per second."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64, "temperature": 0}
    with step(f"ask {MODEL} over HTTP"), forwarded(cluster) as address:
        request = urllib.request.Request(
            f"{address}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        began = time.monotonic()
        with urllib.request.urlopen(request, timeout=300) as response:
            answer = json.load(response)
        seconds = time.monotonic() - began
    tokens = answer["usage"]["completion_tokens"]
    print(f"\nQuestion: {QUESTION}\nAnswer:   {answer['choices'][0]['message']['content'].strip()}")
    print(f"          {tokens} tokens in {seconds:.1f} s: {tokens / seconds:.1f} tokens/s")


@contextmanager
def forwarded(cluster: DemoCluster) -> Iterator[str]:
    """The Service on a loopback port, while the block runs."""
    tool = paths.tools() / "kubectl"
    line = [str(tool) if tool.exists() else "kubectl", "-n", NAMESPACE, "port-forward", f"service/{MODEL}", ":80"]
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", first)
        if port is None:
            raise StepError("port-forward", first.strip() or "kubectl said nothing")
        yield f"http://127.0.0.1:{port.group(1)}"
    finally:
        process.terminate()
        process.wait()
