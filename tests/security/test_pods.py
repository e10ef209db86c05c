"""The containers of one pod do not trust each other: the engine is somebody's image with somebody's model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from lowbit.api.paths import CA_BUNDLE_PATH, DOCUMENT_PATH, SCRATCH_PATH
from lowbit.api.quantizedmodel import QuantizedModelSpec
from tests.security.pods import (
    STORES,
    Manifest,
    Node,
    container,
    containers,
    pods,
    variables,
    workers,
    writable,
)
from tests.unit import desired_inputs as inputs

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
PLANTED = ("sitecustomize.py", "usercustomize.py", "json.py", "asyncio.py", "numpy.py", "lowbit/__init__.py")
"""Modules that Python, or the worker, imports by itself."""
SITE = f".local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


@pytest.mark.parametrize("store", STORES)
def test_no_volume_is_writable_in_two_containers(store: str) -> None:
    for name, pod in pods(store):
        writers: dict[str, list[str]] = defaultdict(list)
        for each in containers(pod):
            for volume in writable(each):
                writers[volume].append(each["name"])
        assert {volume: who for volume, who in writers.items() if len(who) > 1} == {}, name


@pytest.mark.parametrize("store", STORES)
def test_a_worker_imports_from_its_image_alone(store: str) -> None:
    for name, pod in pods(store):
        for each in workers(pod):
            env = variables(each)
            assert "PYTHONPATH" not in env, name
            assert env["PYTHONSAFEPATH"] == env["PYTHONNOUSERSITE"] == "1", name
            own = set(writable(each).values())
            assert {each["workingDir"], env["HOME"], env["TMPDIR"]} <= own, f"{name}: not its own"


@pytest.mark.parametrize("store", STORES)
def test_an_engine_has_shared_memory_of_its_own(store: str) -> None:
    """A container without a mount of its own at /dev/shm has the pod's, which is every container's."""
    for _, pod in pods(store):
        for each in (each for each in containers(pod) if each["name"] == "engine"):
            assert "/dev/shm" in writable(each).values()


@pytest.mark.parametrize("store", STORES)
def test_every_container_sees_only_what_it_needs(store: str) -> None:
    """Of the store: fetch sees one model, the engine the same one read-only, the guard nothing."""
    own = {SCRATCH_PATH, "/tmp", "/lowbit/tools"}
    for name, pod in pods(store):
        for each in containers(pod):
            paths = {mount["mountPath"]: bool(mount.get("readOnly")) for mount in each["volumeMounts"]}
            if each["name"] == "engine":
                assert set(paths) <= own | {"/lowbit/model", "/dev/shm", "/lowbit/log", "/lowbit/logging"}, name
                assert paths["/lowbit/model"] and paths["/lowbit/tools"], name
            elif each["name"] == "fetch":
                read = {str(Path(DOCUMENT_PATH).parent), str(Path(CA_BUNDLE_PATH).parent), "/lowbit/model"}
                assert set(paths) <= own | read | {"/lowbit/secrets/s3"}, name
                assert paths["/lowbit/model"] == (store == "pvc"), name
            elif each["name"] == "guard":
                assert all(paths.values()), name


def plant(node: Node, engine: Manifest, marker: Path) -> int:
    """Write code into every folder that the engine may write, as its user could. How many files that made."""
    code = f"import pathlib; pathlib.Path({str(marker)!r}).write_text('ran')\n"
    count = 0
    for path in writable(engine).values():
        folder = node.path(engine, path)
        assert folder is not None
        for name in (*PLANTED, f"{SITE}/usercustomize.py", f"{SITE}/planted.pth"):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code.replace("\n", "") if name.endswith(".pth") else code)
            count += 1
    return count


def run_as_the_pod_says(node: Node, worker: Manifest) -> subprocess.CompletedProcess[str]:
    """The worker's process: its command, environment and working directory, on this machine's folders."""
    env = {"PYTHONPATH": str(OPERATOR), "PATH": os.environ["PATH"]}  # the image's
    for name, value in variables(worker).items():
        here = node.path(worker, value) if value.startswith("/") else None
        env[name] = str(here) if here is not None else value
    folder = node.path(worker, worker.get("workingDir", "/tmp"))  # the worker image's own is /tmp
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, *worker["command"][1:]]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", ["worker", "fetch"])
def test_code_that_the_engine_leaves_behind_never_runs_in_a_worker(tmp_path: Path, store: str, name: str) -> None:
    """fetch as well: the kubelet runs it again, on the same volumes, when a pod's sandbox is made anew."""
    pod = inputs.pod_template(inputs.evaluate(inputs.STORES[store]))["spec"]
    (tmp_path / "volumes").mkdir()
    node, marker = Node(tmp_path / "volumes", pod), tmp_path / "marker"
    assert plant(node, container(pod, "engine"), marker) > 10
    ended = run_as_the_pod_says(node, container(pod, name))
    assert not marker.exists()
    assert "the Job's document cannot be read" in ended.stderr or "document.json" in ended.stderr, ended.stderr


def test_even_in_its_own_folders_a_worker_imports_nothing(tmp_path: Path) -> None:
    """What a dataset or a model gives it to unpack there stays data."""
    pod = inputs.pod_template(inputs.evaluate(inputs.PVC))["spec"]
    (tmp_path / "volumes").mkdir()
    node, marker = Node(tmp_path / "volumes", pod), tmp_path / "marker"
    worker = container(pod, "worker")
    own = worker | {"volumeMounts": [each for each in worker["volumeMounts"] if each["name"].startswith("worker-")]}
    assert plant(node, own, marker) > 10
    run_as_the_pod_says(node, worker)
    assert not marker.exists()


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONSAFEPATH", "LD_PRELOAD", "HOME", "PATH", "TMPDIR"])
def test_a_manifest_cannot_tell_a_worker_where_to_find_code(variable: str) -> None:
    """Whatever a stored object says: the rule that refuses it is younger than some of them."""
    said = {"env": [{"name": variable, "value": "/lowbit/volumes/data"}, {"name": "HTTP_PROXY", "value": "http://p"}]}
    raw = inputs.spec().wire() | {"jobs": {"prepare": said, "quantize": said, "evaluate": said}}
    worker = inputs.container(inputs.prepare(model=QuantizedModelSpec.model_validate(raw)), "worker")
    assert variables(worker)["HTTP_PROXY"] == "http://p"
    assert variables(worker).get(variable) != "/lowbit/volumes/data"
