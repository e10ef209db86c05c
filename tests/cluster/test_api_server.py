"""The API server for tests: real, quick, alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from hack.cluster.apiserver import ApiServer
from hack.cluster.kubectl import Kubectl
from hack.cluster.processes import started_at
from hack.cluster.progress import wait_until

ROOT = Path(__file__).parents[2]


def owned(owner: str, uid: str) -> str:
    references = [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid}]
    metadata = {"name": "dependant", "namespace": "default", "ownerReferences": references}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def test_it_says_the_version_that_it_is(api_server: ApiServer) -> None:
    version = json.loads(api_server.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == version["clientVersion"]["gitVersion"] == "v1.35.4"


def test_it_keeps_what_it_has_when_it_is_killed(tmp_path: Path) -> None:
    with ApiServer(tmp_path) as server:
        server.kubectl("create", "configmap", "kept")
        server.kill_apiserver()
        assert server.kubectl.attempt("get", "configmap", "kept").returncode != 0
        server.start_apiserver()
        assert server.kubectl.get("configmap", "kept")["metadata"]["name"] == "kept"


def test_other_users_may_do_what_rbac_lets_them(api_server: ApiServer) -> None:
    reader = Kubectl(api_server.user("reader"))
    assert "forbidden" in reader.attempt("get", "pods").stderr
    api_server.kubectl("create", "clusterrole", "reader", "--verb=list", "--resource=pods")
    api_server.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=reader", "--user=reader")
    wait_until("the new binding counts", lambda: _denied(reader), timeout=10)


def _denied(reader: Kubectl) -> str | None:
    done = reader.attempt("get", "pods")
    return None if done.returncode == 0 else done.stderr


def test_with_controllers_dependants_go_with_their_owner(api_server_with_controllers: ApiServer) -> None:
    kubectl = api_server_with_controllers.kubectl
    kubectl("create", "configmap", "owner")
    kubectl.apply(owned("owner", kubectl.get("configmap", "owner")["metadata"]["uid"]))
    kubectl("delete", "configmap", "owner")
    kubectl("wait", "--for=delete", "configmap/dependant", "--timeout=60s")


def test_stopped_it_leaves_no_process_and_no_folder() -> None:
    with ApiServer() as server:
        processes = [process.pid() for process in server.control_plane.processes[:2]]
        assert all(processes)
    assert not server.folder.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)


TERMINATED = """
import time
from hack.cluster.apiserver import ApiServer
with ApiServer() as server:
    print(server.folder, *(process.pid() for process in server.control_plane.processes[:2]), flush=True)
    time.sleep(600)
"""


def test_whoever_is_terminated_leaves_no_process_and_no_folder() -> None:
    command = [sys.executable, "-c", TERMINATED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        folder, *pids = process.stdout.readline().split()
        assert len(pids) == 2
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    assert not Path(folder).exists()
    assert not any(started_at(int(pid)) for pid in pids)
