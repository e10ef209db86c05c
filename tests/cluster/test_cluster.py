"""The one-node cluster does what a real one does. It is left up: see tests/last."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path

from hack.cluster import images, network, node, volumes
from hack.cluster.cluster import Cluster
from hack.cluster.progress import wait_until
from hack.cluster.s3 import S3Server
from tests.cluster import pods

SERVER = "echo hello > /www/index.html; echo serving; exec httpd -f -p 8080 -h /www"


def serve(cluster: Cluster, namespace: str) -> str:
    """A pod `web` behind a Service `web`; returns the Service's address."""
    pods.create(cluster.kubectl, namespace, "web", SERVER, volumes={"/www": {"emptyDir": {"medium": "Memory"}}})
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    metadata = {"name": "web", "namespace": namespace}
    cluster.kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
    address = str(cluster.kubectl.get("-n", namespace, "service", "web")["spec"]["clusterIP"])
    wait_until("serve", lambda: _no_answer(address), timeout=pods.WAIT_SECONDS)
    return address


def connect(host: str, port: int) -> str:
    """A shell line that prints `reached` once the server has taken the connection and answered."""
    return f"echo GET / HTTP/1.0 | nc -w 10 {host} {port} > /dev/null && echo reached"


def _no_answer(address: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=5) as answer:
            return None if answer.status == 200 else str(answer.status)
    except OSError as error:
        return str(error)


def test_up_again_has_nothing_to_do(cluster: Cluster) -> None:
    assert cluster.up() is False


def test_a_pod_reaches_a_service_and_the_api_server_by_name(cluster: Cluster, namespace: str) -> None:
    serve(cluster, namespace)
    script = f"wget -q -O - http://web.{namespace}.svc; {connect('kubernetes.default.svc', 443)}"
    assert pods.finish(cluster.kubectl, namespace, "ask", script) == "hello\nreached\n"


def test_a_pod_reaches_itself_through_its_service(cluster: Cluster, namespace: str) -> None:
    serve(cluster, namespace)
    line = ("exec", "web", "--", "wget", "-q", "-O", "-", f"http://web.{namespace}.svc")
    assert cluster.kubectl("-n", namespace, *line) == "hello\n"


def test_this_machine_reaches_services(cluster: Cluster, namespace: str) -> None:
    address = serve(cluster, namespace)
    with urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
        assert answer.read() == b"hello\n"


def test_a_job_completes_with_a_termination_message(cluster: Cluster, namespace: str) -> None:
    template = {"spec": pods.spec("id -u; echo -n done > /dev/termination-log")}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": namespace}}
    cluster.kubectl.apply(json.dumps({**job, "spec": {"template": template}}))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Complete", "job/once", f"--timeout={pods.WAIT_SECONDS}s")
    made = cluster.kubectl.get("-n", namespace, "pods", "-l", "job-name=once")["items"]
    assert [pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] for pod in made] == ["done"]
    assert cluster.kubectl("-n", namespace, "logs", "job/once") == "65532\n"


def test_a_volume_belongs_to_the_pods_user_and_outlives_pod_and_claim(cluster: Cluster, namespace: str) -> None:
    folder = volumes.create(cluster.kubectl, cluster.paths, namespace=namespace, name="store", size="1Gi")
    mount = {"/store": {"persistentVolumeClaim": {"claimName": "store"}}}
    pods.finish(cluster.kubectl, namespace, "write", "echo kept > /store/file", volumes=mount)
    assert (folder / "file").read_text() == "kept\n"
    assert pods.finish(cluster.kubectl, namespace, "read", "cat /store/file", volumes=mount) == "kept\n"
    cluster.kubectl("-n", namespace, "delete", "pods", "--all")
    cluster.kubectl("-n", namespace, "delete", "persistentvolumeclaim", "store")
    volumes.create(cluster.kubectl, cluster.paths, namespace=namespace, name="store", size="1Gi")
    assert pods.finish(cluster.kubectl, namespace, "again", "cat /store/file", volumes=mount) == "kept\n"
    cluster.kubectl("-n", namespace, "delete", "pods", "--all")
    volumes.delete(cluster.kubectl, cluster.paths, namespace=namespace, name="store")
    assert not folder.exists()


def test_pods_that_ask_for_a_pretended_gpu_are_scheduled(cluster: Cluster, namespace: str) -> None:
    node.pretend_gpus(cluster.kubectl, 4)
    wanted = {"limits": {node.FAKE_GPU: "2"}}
    assert pods.finish(cluster.kubectl, namespace, "gpu", "echo ran", resources=wanted) == "ran\n"


def test_pods_reach_an_s3_server_on_this_machine(cluster: Cluster, namespace: str) -> None:
    with S3Server(access_key="test", secret_key="test-secret", host=network.NODE_ADDRESS) as server:
        server.create_bucket("models")
        script = connect(server.host, server.port)
        assert pods.finish(cluster.kubectl, namespace, "ask", script) == "reached\n"


def test_an_archive_is_loaded_once(cluster: Cluster, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    small = images.SmallImage("lowbit.local/once:1", Path("/bin/busybox"), ("/bin/busybox",))
    images.write_archive(small, archive)
    cluster.node.ctr("images", "remove", small.name)
    assert cluster.load(archive) is True
    assert cluster.load(archive) is False
    cluster.node.ctr("images", "remove", small.name)


def test_nothing_of_the_cluster_listens_on_the_machines_other_addresses(cluster: Cluster) -> None:
    listening = {
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    }
    everywhere = {int(address.split(":")[1], 16) for address in listening if address.startswith("00000000:")}
    ours = {16443, 12379, 12380, 20249, node.KUBELET_PORT}
    assert not everywhere & ours
    with socket.create_connection((network.NODE_ADDRESS, 16443), timeout=5):
        pass
