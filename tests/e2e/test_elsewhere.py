"""What `make demo` does on a cluster that is somebody's: images by way of a registry, the model through a pod."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.cluster import Cluster
from hack.cluster.progress import StepError
from hack.cluster.registry import registry, repositories
from hack.demo import steps
from hack.demo.cluster import DemoCluster
from images.build import build
from images.buildah import buildah, run
from images.load import load
from tests.e2e.conftest import empty
from tests.e2e.lab import Lab


@pytest.fixture
def elsewhere(lowbit: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoCluster:
    """The one-node cluster, given as anybody's is: by a KUBECONFIG."""
    given = tmp_path / "kubeconfig"
    given.write_bytes(lowbit.kubeconfig.read_bytes())
    monkeypatch.setenv("KUBECONFIG", str(given))
    return DemoCluster.choose()


@pytest.fixture
def space(lowbit: Cluster) -> Iterator[Lab]:
    """A namespace without anything, and two volumes that no StorageClass has made."""
    lab = empty(lowbit)
    names = [f"{lab.namespace}-{number}" for number in range(2)]
    for name in names:
        folder = lowbit.paths.volumes / name
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        lab.apply(volume(name, folder))
    yield lab
    lab.remove()
    for name in names:
        lab.kubectl("delete", "persistentvolume", name)


@pytest.fixture
def image() -> Iterator[str]:
    """The operator's image under an id of its own. A kubelet that has pulled an image starts no pod by another name of
    the same id without pulling that, too (it has to see that the pod may): nothing else of these tests could run.
    """
    made = "localhost/lowbit-elsewhere:test"
    container = subprocess.check_output(buildah("from", "--pull-never", build(("operator",))["operator"]), text=True)
    try:
        run("elsewhere", buildah("config", "--label", "lowbit.dev/test=elsewhere", container.strip()))
        run("elsewhere", buildah("commit", "--quiet", container.strip(), made))
        yield made
    finally:
        subprocess.run(buildah("rm", container.strip()), check=False, capture_output=True)
        subprocess.run(buildah("rmi", made), check=False, capture_output=True)


def volume(name: str, folder: Path) -> dict[str, object]:
    spec = {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(folder)}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def test_a_cluster_that_nothing_can_be_loaded_into_needs_a_registry(elsewhere: DemoCluster) -> None:
    assert not elsewhere.ours
    with pytest.raises(StepError, match=r"neither kind nor a k3s.*Set REGISTRY to a registry that it can pull from"):
        load(build(("operator",)))


def test_images_come_by_a_registry_and_the_model_by_a_pod(
    elsewhere: DemoCluster, space: Lab, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama"}))
    monkeypatch.setattr(steps, "NAMESPACE", space.namespace)
    with registry(tmp_path / "registry") as address:
        monkeypatch.setenv("REGISTRY", f"{address}/team/")
        pushed = load({"elsewhere": image})["elsewhere"]
        assert pushed == f"{address}/team/lowbit-elsewhere:test"
        assert repositories(address) == ["team/lowbit-elsewhere"]
        for _run in range(2):  # the second one finds what the first has copied
            steps.copy_elsewhere(elsewhere, model, pushed)
    claim = space.get("persistentvolumeclaim", "sources")
    assert claim is not None
    volume = Cluster().paths.volumes / claim["spec"]["volumeName"]
    copied = [file.relative_to(volume) for file in volume.rglob("*") if file.is_file()]
    assert copied == [Path(steps.SOURCE_MODEL, "config.json")]
    assert (volume / copied[0]).read_bytes() == (model / "config.json").read_bytes()
    assert space.get("pod", "loader") is None
