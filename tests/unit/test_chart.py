"""The Helm chart, rendered by helm itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from lowbit.api.platform import Platform
from lowbit.kube.resources import OPTIONAL_KINDS, OWN_KINDS, RESOURCES, SHARED_KINDS
from lowbit.schema import crd as schema_crd
from tests.api.chart import CHART, ROOT, helm, of_kind, permissions, render
from tests.unit.pod_security import violations

IMAGES = ("worker", "engine", "guard")


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return render()


def test_the_chart_is_without_complaints() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_crds_are_the_committed_ones_and_are_kept(manifests: list[dict[str, Any]]) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in of_kind(manifests, "CustomResourceDefinition")}
    committed = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]
    assert set(rendered) == {crd["metadata"]["name"] for crd in committed}
    for crd in committed:
        found = rendered[crd["metadata"]["name"]]
        assert found["spec"] == crd["spec"]
        assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crds_can_be_left_out_or_not_kept() -> None:
    assert not of_kind(render("crds.install=false"), "CustomResourceDefinition")
    for crd in of_kind(render("crds.keep=false"), "CustomResourceDefinition"):
        assert "helm.sh/resource-policy" not in (crd["metadata"].get("annotations") or {})


def test_the_platform_file_is_what_the_operator_reads(manifests: list[dict[str, Any]]) -> None:
    (config_map,) = of_kind(manifests, "ConfigMap")
    assert Platform.model_validate(yaml.safe_load(config_map["data"]["platform.yaml"])) == Platform()


def test_every_field_of_the_platform_can_be_set_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    fields = {field.alias for field in Platform.model_fields.values()}
    assert set(schema["properties"]["platform"]["properties"]) == fields


def test_the_images_of_every_part_can_be_replaced() -> None:
    others = [f'platform.{name}Image="localhost/lowbit-{name}:abc"' for name in IMAGES]
    manifests = render('image="localhost/lowbit-operator:abc"', 'imagePullPolicy="Never"', *others)
    platform = Platform.model_validate(yaml.safe_load(of_kind(manifests, "ConfigMap")[0]["data"]["platform.yaml"]))
    for name in ("operator", *IMAGES):
        assert getattr(platform, f"{name}_image") == f"localhost/lowbit-{name}:abc"
    assert platform.image_pull_policy == "Never"
    for pod in (of_kind(manifests, "Deployment")[0]["spec"]["template"], *of_kind(manifests, "Pod")):
        assert pod["spec"]["containers"][0]["image"] == "localhost/lowbit-operator:abc"


REFUSED = {
    "nonsense=1": "additional properties 'nonsense' not allowed",
    "platform.nonsense=1": "at '/platform': additional properties 'nonsense' not allowed",
    "crds.nonsense=1": "at '/crds': additional properties 'nonsense' not allowed",
    "metrics.serviceMonitor.nonsense=1": "at '/metrics/serviceMonitor': additional properties 'nonsense'",
    'resources.limit.memory="1Gi"': "at '/resources': additional properties 'limit' not allowed",
    'replicas="two"': "at '/replicas': got string, want integer",
    "replicas=9": "at '/replicas': maximum: got 9, want 5",
    "workers=0": "at '/workers': minimum: got 0, want 1",
    'image=""': "at '/image': minLength: got 0, want 1",
    'imagePullPolicy="Sometimes"': "value must be one of 'Always', 'IfNotPresent', 'Never'",
    'imagePullSecrets=["registry"]': "at '/imagePullSecrets/0': got string, want object",
    'logLevel="TRACE"': "value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'",
    'watchNamespaces="team-a"': "at '/watchNamespaces': got string, want array",
    'watchNamespaces=["Team_A"]': "at '/watchNamespaces/0': 'Team_A' does not match pattern",
    'watchNamespaces=["a","a"]': "at '/watchNamespaces': items at 0 and 1 are equal",
    "platform.runAsUser=0": "at '/platform/runAsUser': minimum: got 0, want 1",
    'platform.hubEndpoint="mirror"': "at '/platform/hubEndpoint': 'mirror' does not match pattern",
    'platform.engineEnv={"A":1}': "at '/platform/engineEnv/A': got number, want string",
    'platform.serviceMonitor="yes"': "at '/platform/serviceMonitor': got string, want boolean",
    'metrics.serviceMonitor.interval="15"': "at '/metrics/serviceMonitor/interval': '15' does not match pattern",
    "tolerations={}": "at '/tolerations': got object, want array",
    'serviceAccount.annotations={"a":1}': "at '/serviceAccount/annotations/a': got number, want string",
}


@pytest.mark.parametrize(("setting", "says"), REFUSED.items())
def test_a_bad_value_is_refused_and_named(setting: str, says: str) -> None:
    done = helm("template", "lowbit", str(CHART), "--set-json", setting)
    assert done.returncode != 0
    assert says in done.stderr


ALLOWED = {
    "allowedEngineArguments": ["--middleware", "-sc"],
    "allowedEngineEnv": ["VLLM_HOST_IP"],
    "allowedJobEnv": ["HF_HOME"],
    "allowedEngineImages": ["registry.example.com/vllm/", "engine@sha256:1"],
}


@pytest.mark.parametrize("setting", [{}, *({name: value} for name, value in ALLOWED.items()), ALLOWED])
def test_what_the_platform_allows_is_in_the_rules_that_the_chart_installs(setting: dict[str, list[str]]) -> None:
    manifests = render(*(f"platform.{name}={json.dumps(value)}" for name, value in setting.items()))
    made = {each["metadata"]["name"]: each["spec"] for each in of_kind(manifests, "CustomResourceDefinition")}
    platform = Platform.model_validate(setting)
    expected = {kind: yaml.safe_load(text) for kind, text in schema_crd.files(platform).items()}
    assert made == {each["metadata"]["name"]: each["spec"] for each in expected.values()}
    file = yaml.safe_load(of_kind(manifests, "ConfigMap")[0]["data"]["platform.yaml"])
    assert {name: file[name] for name in setting} == setting


@pytest.mark.parametrize("name", ["x' || true || 'x", "--a b", "", "--x=1", "--a_b"])
def test_a_name_that_would_change_a_rule_is_refused(name: str) -> None:
    value = json.dumps([name])
    done = helm("template", "lowbit", str(CHART), "--set-json", f"platform.allowedEngineArguments={value}")
    assert "does not match pattern" in done.stderr
    with pytest.raises(ValidationError):
        Platform.model_validate({"allowedEngineArguments": [name]})


def test_no_object_of_the_schema_takes_unknown_fields() -> None:
    """But those whose fields are Kubernetes' own."""
    free = {"/global", "/affinity", "/resources/requests", "/resources/limits", "/tolerations"}
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(open_objects(schema, "")) == free


def open_objects(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of objects that would take any field."""
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        yield path
    for name, each in schema.get("properties", {}).items():
        yield from open_objects(each, f"{path}/{name}")
    if "items" in schema:
        yield from open_objects(schema["items"], path)


def test_every_value_that_the_schema_knows_is_in_values_or_said_in_its_comments() -> None:
    schema, text = json.loads((CHART / "values.schema.json").read_text()), (CHART / "values.yaml").read_text()
    for name, each in schema["properties"].items():
        for inner in (name, *each.get("properties", {})):
            assert f"{inner}:" in text or inner == "global", f"{name}.{inner}"


def test_the_operator_and_the_test_pod_are_allowed_by_restricted_pod_security(manifests: list[dict[str, Any]]) -> None:
    operator = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]
    assert list(violations(operator)) == ["a token of the API server is mounted"]
    assert list(violations(of_kind(manifests, "Pod")[0]["spec"])) == []


def rules(manifests: list[dict[str, Any]], kind: str, suffix: str = "") -> dict[tuple[str, str], set[str]]:
    """Verbs by (group, resource) of the role with that suffix."""
    found: dict[tuple[str, str], set[str]] = {}
    roles = [role for role in of_kind(manifests, kind) if role["metadata"]["name"] == f"lowbit{suffix}"]
    for group, resource, verb in permissions(roles):
        found.setdefault((group, resource), set()).add(verb)
    return found


def test_the_operator_may_not_read_secrets_nor_run_programs_in_pods(manifests: list[dict[str, Any]]) -> None:
    text = json.dumps([*of_kind(manifests, "ClusterRole"), *of_kind(manifests, "Role")])
    for word in ("pods/exec", "pods/attach", '"*"', "impersonate", "escalate", '"nodes"'):
        assert word not in text
    given = [
        rule for each in (*of_kind(manifests, "ClusterRole"), *of_kind(manifests, "Role")) for rule in each["rules"]
    ]
    assert [rule["verbs"] for rule in given if "secrets" in rule["resources"]] == [["create"]], "a group's token"


def test_nodes_are_read_where_somebody_allows_it_and_never_watched() -> None:
    assert rules(render("rbac.nodes=true"), "ClusterRole", "-nodes") == {("", "nodes"): {"get", "list"}}
    told = {"name": "LOWBIT_NODES", "value": "true"}
    for arguments, listed in ((("rbac.nodes=true",), True), ((), False)):
        (container,) = of_kind(render(*arguments), "Deployment")[0]["spec"]["template"]["spec"]["containers"]
        assert (told in container["env"]) is listed, "who may not list them does not try"


def test_the_operator_may_watch_what_it_watches(manifests: list[dict[str, Any]]) -> None:
    allowed = rules(manifests, "ClusterRole")
    for kind in (*OWN_KINDS, *SHARED_KINDS, *OPTIONAL_KINDS):
        resource = RESOURCES[kind]
        assert allowed[resource.group, resource.plural] >= {"list", "watch"}, kind


def test_what_users_write_the_operator_only_reads(manifests: list[dict[str, Any]]) -> None:
    allowed = rules(manifests, "ClusterRole")
    assert allowed["lowbit.dev", "quantizedmodels"] == allowed["lowbit.dev", "modelstores"] == {"get", "list", "watch"}
    assert allowed["", "pods"] == {"list", "watch"}


def test_with_namespaces_there_is_no_right_outside_of_them() -> None:
    manifests = render('watchNamespaces=["a","b"]')
    roles = [role for role in of_kind(manifests, "Role") if role["metadata"]["name"] == "lowbit"]
    assert [role["metadata"]["namespace"] for role in roles] == ["a", "b"]
    assert not of_kind(manifests, "ClusterRoleBinding")
    assert roles[0]["rules"] == of_kind(render(), "ClusterRole")[0]["rules"]
    (container,) = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"]
    assert {"name": "LOWBIT_NAMESPACES", "value": "a,b"} in container["env"]


def test_who_has_no_rights_in_the_cluster_can_install_it_for_namespaces() -> None:
    manifests = render('watchNamespaces=["lowbit-system"]', "rbac.aggregate=false", "crds.install=false")
    for manifest in manifests:
        assert manifest["metadata"].get("namespace") == "lowbit-system", manifest["kind"]


def test_the_lease_that_the_role_allows_is_the_one_that_is_taken(manifests: list[dict[str, Any]]) -> None:
    (container,) = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"]
    (name,) = [variable["value"] for variable in container["env"] if variable["name"] == "LOWBIT_LEASE_NAME"]
    (role,) = [role for role in of_kind(manifests, "Role") if role["metadata"]["name"] == "lowbit-lease"]
    assert role["rules"][1]["resourceNames"] == [name]
    assert role["metadata"]["namespace"] == "lowbit-system"


def test_monitors_are_made_only_when_asked_for(manifests: list[dict[str, Any]]) -> None:
    assert not of_kind(manifests, "ServiceMonitor")
    assert len(of_kind(render("metrics.serviceMonitor.enabled=true"), "ServiceMonitor")) == 1
    without = rules(render("platform.serviceMonitor=false"), "ClusterRole")
    assert ("monitoring.coreos.com", "podmonitors") not in without


def test_a_changed_platform_restarts_the_operator() -> None:
    def template(*settings: str) -> object:
        return of_kind(render(*settings), "Deployment")[0]["spec"]["template"]

    assert template() != template('platform.engineEnv={"A":"1"}')
    assert template() == template("crds.keep=false")
