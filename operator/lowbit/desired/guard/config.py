"""Envoy's bootstrap for the guard: two listeners (clients, monitoring), and its own admin interface on loopback."""

from __future__ import annotations

from typing import Any, NamedTuple

from lowbit.api.paths import ENGINE_PORT, GUARD_PORT, METRICS_PORT
from lowbit.desired.common import Manifest
from lowbit.desired.guard.key import key_check

ADMIN_PORT = 9901
"""Loopback only: a client of the admin interface can stop the guard."""
KEY_PATH = "/etc/guard/key/key"
TYPES = "type.googleapis.com/envoy.extensions"
MANY = 1_000_000
"""No limit by Envoy on waiting requests: the engine has a queue."""

CLOSED = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
"""Paths that would change the judged model."""


class Ports(NamedTuple):
    """Where the guard listens, and where the engine does."""

    serving: int
    metrics: int
    engine: int
    admin: int


PORTS = Ports(GUARD_PORT, METRICS_PORT, ENGINE_PORT, ADMIN_PORT)


def bootstrap(
    api_key: bool,
    *,
    address: str = "0.0.0.0",  # noqa: S104 - the pod's address is not known here
    ports: Ports = PORTS,
    key_path: str = KEY_PATH,
) -> Manifest:
    """The whole configuration. With api_key, everything but /health requires the key in key_path."""
    filters = [_health_check(), *([_lua(key_path)] if api_key else []), _router()]
    return {
        "admin": {"address": _address("127.0.0.1", ports.admin)},
        "static_resources": {
            "listeners": [
                _listener("serving", address, ports.serving, _client_routes(), filters),
                _listener("monitoring", address, ports.metrics, _monitoring_routes(), [_router()]),
            ],
            "clusters": [_cluster("engine", ports.engine), _cluster("admin", ports.admin)],
        },
        "stats_config": {"histogram_bucket_settings": [_seconds_buckets()]},
    }


def _client_routes() -> list[Manifest]:
    """An allow-list: only /v1/ and /health exist."""
    engine = {
        "cluster": "engine",
        "timeout": "0s",  # an answer may take as long as it takes
        "idle_timeout": "3600s",
        # nothing was sent to the engine yet in these cases, so trying again repeats nothing
        "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2},
    }
    closed = [{"match": {"prefix": path}, **_not_found()} for path in CLOSED]
    return [
        *closed,
        {"match": {"prefix": "/v1/"}, "route": engine},
        {"match": {"path": "/health"}, "route": engine},
        {"match": {"prefix": "/"}, **_not_found()},
    ]


def _monitoring_routes() -> list[Manifest]:
    """Metrics of engine and guard, and the engine's health for the kubelet, which draining does not change."""
    return [
        {"match": {"path": "/metrics"}, "route": {"cluster": "engine", "timeout": "10s"}},
        {"match": {"path": "/stats/prometheus"}, "route": {"cluster": "admin", "timeout": "10s"}},
        {
            "match": {"path": "/engine/health"},
            "route": {"cluster": "engine", "timeout": "60s", "prefix_rewrite": "/health"},
        },
        {"match": {"prefix": "/"}, **_not_found()},
    ]


def _not_found() -> Manifest:
    return {"direct_response": {"status": 404, "body": {"inline_string": "Not found."}}}


def _listener(name: str, address: str, port: int, routes: list[Manifest], filters: list[Manifest]) -> Manifest:
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
        "local_reply_config": _local_replies(),
        # a path is compared as the engine would read it
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": "30s",
        "stream_idle_timeout": "3600s",
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": False,
    }
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {"name": name, "address": _address(address, port), "filter_chains": [{"filters": [network]}]}


def _local_replies() -> Manifest:
    """Errors of the guard itself, in the shape of OpenAI's API."""
    kinds = (
        (401, "invalid_request_error", "invalid_api_key"),
        (404, "invalid_request_error", "not_found"),
        (503, "server_error", "unavailable"),
    )
    return {
        "mappers": [
            {"filter": _status_is(status), "body_format_override": _error(kind, code)} for status, kind, code in kinds
        ],
        "body_format": _error("server_error", "guard"),
    }


def _status_is(status: int) -> Manifest:
    value = {"default_value": status, "runtime_key": f"guard.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _error(kind: str, code: str) -> Manifest:
    error = {"message": "%LOCAL_REPLY_BODY%", "type": kind, "param": None, "code": code}
    return {"json_format": {"error": error}}


def _health_check() -> Manifest:
    """Passes /health to the engine. After /healthcheck/fail it answers 503, and all answers say Connection: close."""
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": r"/health(\?.*)?"}}}
    return _filter("health_check", "health_check.v3.HealthCheck", {"pass_through_mode": True, "headers": [path]})


def _lua(key_path: str) -> Manifest:
    return _filter("lua", "lua.v3.Lua", {"default_source_code": {"inline_string": key_check(key_path)}})


def _router() -> Manifest:
    return _filter("router", "router.v3.Router", {"suppress_envoy_headers": True})


def _filter(name: str, type_: str, settings: dict[str, Any]) -> Manifest:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{TYPES}.filters.http.{type_}", **settings},
    }


def _cluster(name: str, port: int) -> Manifest:
    limits = {
        "priority": "DEFAULT",
        "max_connections": MANY,
        "max_pending_requests": MANY,
        "max_requests": MANY,
        "max_retries": MANY,
    }
    endpoint = {"endpoint": {"address": _address("127.0.0.1", port)}}
    options = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        # the engine closes idle connections after five seconds: never send on one that it is about to close
        "common_http_protocol_options": {"idle_timeout": "2s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _seconds_buckets() -> Manifest:
    """Histogram buckets in milliseconds, up to the longest answers of a model."""
    return {
        "match": {"suffix": "_rq_time"},
        "buckets": [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000],
    }


def _address(address: str, port: int) -> Manifest:
    return {"socket_address": {"address": address, "port_value": port}}
