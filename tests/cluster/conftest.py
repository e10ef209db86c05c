"""The fixtures of this folder's tests."""

from tests.cluster.fixtures import api_server, api_server_with_controllers, cluster, namespace

__all__ = ["api_server", "api_server_with_controllers", "cluster", "namespace"]
