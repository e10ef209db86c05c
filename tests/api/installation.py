"""The chart, installed on a bare API server: its roles and its account, and the files and environment of its pod."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from hack.cluster.apiserver import ApiServer
from tests.api.calls import APPLY, Client
from tests.api.chart import Manifest, of_kind, render

RIGHTS = {
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
}
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 36_000}}


class Installation:
    """One release of the chart, without its Deployment: tests start the operator themselves.

    folder is what the kubelet would mount into the pod: token, ca.crt, namespace and platform.yaml.
    """

    def __init__(self, server: ApiServer, folder: Path, release: str, *settings: str) -> None:
        self.release, self.namespace = release, f"{release}-system"
        self.manifests = render(*settings, release=release, namespace=self.namespace)
        self.name: str = of_kind(self.manifests, "ServiceAccount")[0]["metadata"]["name"]
        self.user = f"system:serviceaccount:{self.namespace}:{self.name}"
        self.folder = folder
        self._server, self._client = server, Client(server)

    def install(self) -> None:
        """Make the namespace, the account with its rights, and the pod's files."""
        self._apply(
            "api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        for manifest in of_kind(self.manifests, *RIGHTS):
            version, plural = RIGHTS[manifest["kind"]]
            namespace = manifest["metadata"].get("namespace")
            self._apply(f"{version}/namespaces/{namespace}/{plural}" if namespace else f"{version}/{plural}", manifest)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._server.control_plane.authority.pair.certificate, self.folder / "ca.crt")
        (self.folder / "namespace").write_text(self.namespace)
        (config_map,) = of_kind(self.manifests, "ConfigMap")
        (self.folder / "platform.yaml").write_text(config_map["data"]["platform.yaml"])
        self.renew_token()

    def renew_token(self) -> None:
        """Another token in place of the pod's, as the kubelet does it."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.name}"
        answer = self._client("POST", f"{path}/token", TOKEN)
        (self.folder / "token.new").write_text(answer["status"]["token"])
        (self.folder / "token.new").replace(self.folder / "token")

    def platform(self) -> dict[str, Any]:
        """What the platform's file says."""
        found: dict[str, Any] = yaml.safe_load((self.folder / "platform.yaml").read_text())
        return found

    def set_platform(self, **values: Any) -> None:
        """Change the platform's file, as another version of the chart would."""
        (self.folder / "platform.yaml").write_text(yaml.safe_dump(self.platform() | values))

    def environment(self, pod: str) -> dict[str, str]:
        """The operator's, in a pod of that name: as the chart gives it, and as the kubelet does."""
        (container,) = of_kind(self.manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"]
        given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        here = self._server.address
        return {
            **{name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
            **given,
            "POD_NAME": pod,
            "POD_NAMESPACE": self.namespace,
            "LOWBIT_PLATFORM_FILE": str(self.folder / "platform.yaml"),
            "KUBERNETES_SERVICE_HOST": here.host,
            "KUBERNETES_SERVICE_PORT": str(here.api_port),
        }

    def kubeconfig(self) -> Path:
        """The account's, for a client of the test's own."""
        cluster = {"server": self._server.url, "certificate-authority": str(self.folder / "ca.crt")}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "here", "user": {"token": (self.folder / "token").read_text()}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        }
        file = self.folder / "kubeconfig"
        file.write_text(json.dumps(document))
        return file

    def _apply(self, collection: str, manifest: Manifest) -> None:
        self._client(
            "PATCH", f"/{collection}/{manifest['metadata']['name']}?fieldManager=helm&force=true", manifest, APPLY
        )
