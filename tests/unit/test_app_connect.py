"""Who we are and where the API server is: in a pod, by a kubeconfig, or nowhere."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config

from lowbit.kube import connect

MINUTE = datetime.timedelta(minutes=1, seconds=1)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod's mounted service account; there is no kubeconfig."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first")
    (folder / "ca.crt").write_text("a certificate")
    (folder / "namespace").write_text("lowbit-system\n")
    monkeypatch.setattr(connect, "SERVICE_ACCOUNT", folder)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return folder


class Later(datetime.datetime):
    """A minute has passed."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().now(tz) + MINUTE


async def test_in_a_pod_the_service_account_is_used(pod: Path) -> None:
    config = await connect.configuration()
    assert config.host == "https://10.0.0.1:443"
    assert config.ssl_ca_cert == str(pod / "ca.crt")
    assert config.verify_ssl
    assert await connect.authorization(config) == "bearer first"
    assert connect.own_namespace() == "lowbit-system"


@pytest.mark.usefixtures("pod")
async def test_an_ipv6_address_is_put_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert (await connect.configuration()).host == "https://[fd00::1]:443"


async def test_a_token_that_the_kubelet_has_replaced_is_read_within_a_minute(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = await connect.configuration()
    (pod / "token").write_text("second")
    assert await connect.authorization(config) == "bearer first"
    monkeypatch.setattr(incluster_config.datetime, "datetime", Later)
    assert await connect.authorization(config) == "bearer second"


@pytest.mark.usefixtures("pod")
async def test_a_kubeconfig_wins_over_the_service_account(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    here: dict[str, Any] = {"clusters": [{"name": "here", "cluster": {"server": "https://elsewhere:6443"}}]}
    here |= {"users": [{"name": "here", "user": {"token": "mine"}}], "current-context": "here"}
    here |= {"contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}]}
    file.write_text(json.dumps(here))
    config = await connect.configuration(str(file))
    assert config.host == "https://elsewhere:6443"
    assert str(await connect.authorization(config)).endswith("mine")


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
async def test_with_neither_it_is_said_what_to_do(pod: Path, missing: str) -> None:
    (pod / missing).unlink()
    with pytest.raises(connect.NoCluster, match="set KUBECONFIG, or mount the token"):
        await connect.configuration()


def test_outside_of_a_pod_the_namespace_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "SERVICE_ACCOUNT", tmp_path / "absent")
    assert connect.own_namespace() == "default"
