"""The manifests are what Kubernetes accepts, and they keep a face in its meeting there."""

import ipaddress
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from deployed import (
    CUSTOM_KINDS,
    DEPLOY,
    OVERLAYS,
    Manifest,
    check_queries,
    container_of,
    environment_of,
    of_kind,
    pod_of,
    rendered,
    selects,
    tool,
)

from avatar_runtime.settings.table import SECRETS
from dispatcher.node.kubernetes import marks
from dispatcher.settings import DispatcherSettings

VERSIONS = ("1.30.0", "1.36.0")
"""The oldest Kubernetes that we promise, with the `sleep` of preStop, and a new one."""

HANDOFF_S = 300
PUBLIC = ("8.8.8.8", "198.41.0.4", "2001:500:2f::f")
INSIDE = ("10.96.0.1", "10.0.0.7", "172.20.3.4", "192.168.1.1", "100.64.0.1", "fd00::1")
METADATA = ("169.254.169.254", "fe80::1")


def labels_of(deployment: Manifest) -> dict[str, str]:
    labels: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


@pytest.fixture(scope="module")
def pool() -> list[Manifest]:
    return rendered("pool")


@pytest.fixture(scope="module")
def node(pool: list[Manifest]) -> Manifest:
    return of_kind(pool, "Deployment")["avatar-node"]


@pytest.fixture(scope="module")
def dispatcher(pool: list[Manifest]) -> Manifest:
    return of_kind(pool, "Deployment")["avatar-dispatcher"]


@pytest.fixture(scope="module")
def single() -> Manifest:
    return of_kind(rendered("single-machine"), "Deployment")["avatar-dispatcher"]


# --- What Kubernetes accepts ---


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_object_fits_the_strict_schema_of_kubernetes(overlay: str, version: str) -> None:
    core = [each for each in rendered(overlay) if each["kind"] not in CUSTOM_KINDS]
    assert len(core) > 8
    for manifest in core:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_pool_as_shipped_needs_no_definitions_but_kubernetes_own() -> None:
    shipped = rendered("pool", components=False)
    assert not [each["kind"] for each in shipped if each["kind"] in CUSTOM_KINDS]
    everything = rendered("pool")
    assert [each for each in everything if each in shipped] == shipped
    added = {each["kind"] for each in everything if each not in shipped}
    assert added == CUSTOM_KINDS | {"ConfigMap", "Service"}


def test_the_strict_schema_sees_a_misspelt_field(node: Manifest) -> None:
    bad = yaml.safe_load(yaml.safe_dump(node))
    bad["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 3900
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, VERSIONS[-1], strict=True)


def closed(**properties: Any) -> Manifest:
    """An object of these properties, all of them needed, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}
WHOLE = {"type": "integer", "minimum": 0}
LABELS = {"type": "object", "additionalProperties": TEXT, "minProperties": 1}
SELECTOR = closed(matchLabels=LABELS)
ENDPOINTS = {
    "type": "array",
    "minItems": 1,
    "items": closed(port={"const": "admin"}, path={"const": "/metrics"}, interval=TEXT),
}
POLICIES = {
    "type": "array",
    "minItems": 1,
    "items": closed(type={"enum": ["Pods", "Percent"]}, value=WHOLE, periodSeconds=WHOLE),
}
CUSTOM = {
    "ServiceMonitor": closed(selector=SELECTOR, endpoints=ENDPOINTS),
    "PodMonitor": closed(selector=SELECTOR, podMetricsEndpoints=ENDPOINTS),
    "PrometheusRule": closed(groups={"type": "array", "minItems": 1}),
    "ScaledObject": closed(
        scaleTargetRef=closed(name=TEXT),
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        pollingInterval=WHOLE,
        advanced=closed(
            horizontalPodAutoscalerConfig=closed(
                behavior=closed(
                    scaleUp=closed(
                        stabilizationWindowSeconds=WHOLE,
                        selectPolicy={"const": "Max"},
                        policies=POLICIES,
                    ),
                    scaleDown=closed(stabilizationWindowSeconds=WHOLE, policies=POLICIES),
                )
            )
        ),
        triggers={
            "type": "array",
            "minItems": 1,
            "items": closed(
                type={"const": "prometheus"},
                metricType={"const": "AverageValue"},
                metadata=closed(
                    serverAddress=TEXT, query=TEXT, threshold=TEXT, ignoreNullValues=TEXT
                ),
            ),
        },
    ),
}
"""What we use of kinds that the schemas of Kubernetes do not have; KEDA's and the Prometheus
operator's own definitions are not here to be asked."""


def test_custom_objects_have_the_fields_that_we_mean(pool: list[Manifest]) -> None:
    assert set(CUSTOM) == CUSTOM_KINDS
    for kind, schema in CUSTOM.items():
        found = of_kind(pool, kind)
        assert found, f"there is no {kind}"
        for manifest in found.values():
            jsonschema.validate(manifest["spec"], schema)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_is_in_our_namespace(overlay: str) -> None:
    manifests = rendered(overlay)
    strays = [each for each in manifests if each["metadata"].get("namespace") != "avatar"]
    assert [each["kind"] for each in strays] == ["Namespace"]
    (namespace,) = strays
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


# --- A busy pod is spared, and one that is deleted has its time ---


def test_a_deleted_node_has_the_time_to_drain_and_to_hand_over(node: Manifest) -> None:
    drain_s = int(environment_of(node)["AVATAR_DRAIN_S"])
    assert drain_s == 3600
    assert pod_of(node)["terminationGracePeriodSeconds"] >= drain_s + HANDOFF_S
    assert "lifecycle" not in container_of(node), "SIGTERM suffices, and preStop eats of the grace"


def test_a_dispatcher_answers_until_nobody_asks_it(dispatcher: Manifest) -> None:
    assert container_of(dispatcher)["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert pod_of(dispatcher)["terminationGracePeriodSeconds"] == 30


def test_the_one_machine_has_the_time_to_speak_out(single: Manifest) -> None:
    drain_s = int(environment_of(single)["AVATAR_DRAIN_S"])
    sleep_s = container_of(single)["lifecycle"]["preStop"]["sleep"]["seconds"]
    leaving_s = 10
    grace_s = pod_of(single)["terminationGracePeriodSeconds"]
    assert grace_s >= sleep_s + drain_s + leaving_s


def test_an_update_takes_no_pod_before_another_is_ready(
    node: Manifest, dispatcher: Manifest
) -> None:
    for deployment in (node, dispatcher):
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_sessions_in_memory_and_redis_are_never_doubled(
    single: Manifest, pool: list[Manifest]
) -> None:
    for deployment in (single, of_kind(pool, "Deployment")["avatar-redis"]):
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        assert deployment["spec"]["replicas"] == 1


def test_the_disruption_budget_selects_what_the_patch_marks(
    pool: list[Manifest], node: Manifest
) -> None:
    budget = of_kind(pool, "PodDisruptionBudget")["avatar-busy"]["spec"]
    assert budget["maxUnavailable"] == 0
    for busy in (True, False):
        metadata: Any = marks(busy)["metadata"]
        labels = {**labels_of(node), **metadata["labels"]}
        assert selects(budget["selector"], labels) is busy


def test_no_workload_selects_by_the_mark(pool: list[Manifest]) -> None:
    """A pod that is marked has to stay its ReplicaSet's."""
    for deployment in of_kind(pool, "Deployment").values():
        assert "avatar.session" not in deployment["spec"]["selector"]["matchLabels"]


def test_a_node_may_patch_pods_and_nothing_else(pool: list[Manifest], node: Manifest) -> None:
    (role,) = of_kind(pool, "Role").values()
    (binding,) = of_kind(pool, "RoleBinding").values()
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    assert [each["name"] for each in binding["subjects"]] == [pod_of(node)["serviceAccountName"]]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert not of_kind(pool, "ClusterRole")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_tokens_of_accounts_are_with_nodes_only(overlay: str) -> None:
    manifests = rendered(overlay)
    mounted = {
        name: pod_of(each)["automountServiceAccountToken"]
        for name, each in of_kind(manifests, "Deployment").items()
    }
    assert {name for name, has in mounted.items() if has} <= {"avatar-node"}
    accounts = of_kind(manifests, "ServiceAccount")
    for each in of_kind(manifests, "Deployment").values():
        assert pod_of(each)["serviceAccountName"] in accounts
    assert not any(each["automountServiceAccountToken"] for each in accounts.values())


# --- Probes ---


def test_a_node_is_asked_about_itself_only(node: Manifest) -> None:
    container = container_of(node)
    asked = {
        name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
    }
    assert asked == {
        "startup": {"path": "/startupz", "port": "admin"},
        "readiness": {"path": "/readyz", "port": "admin"},
        "liveness": {"path": "/livez", "port": "admin"},
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_dispatcher_is_not_killed_because_redis_is_away(overlay: str) -> None:
    container = container_of(of_kind(rendered(overlay), "Deployment")["avatar-dispatcher"])
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "admin"}
    assert "startupProbe" not in container, "it is ready once it has reached Redis"


def test_a_probe_that_is_late_once_kills_nobody(node: Manifest) -> None:
    probe = container_of(node)["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60
    assert probe["timeoutSeconds"] >= 5


def test_ports_are_those_of_the_programs(
    node: Manifest, dispatcher: Manifest, single: Manifest
) -> None:
    serve, alone = DispatcherSettings.from_env({}), DispatcherSettings.from_env({}, node=True)
    for deployment in (dispatcher, single):
        ports = {each["name"]: each["containerPort"] for each in container_of(deployment)["ports"]}
        assert ports == {"http": serve.port, "admin": serve.admin_port}
        assert container_of(deployment)["args"] == ["serve"]
    ports = {each["name"]: each["containerPort"] for each in container_of(node)["ports"]}
    assert ports == {"admin": alone.admin_port}
    assert container_of(node)["args"] == ["node"]


# --- Safety ---


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_do_as_little_as_can_be(overlay: str) -> None:
    for deployment in of_kind(rendered(overlay), "Deployment").values():
        pod, container = pod_of(deployment), container_of(deployment)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_the_environment_or_among_the_manifests(overlay: str) -> None:
    manifests = rendered(overlay)
    assert not of_kind(manifests, "Secret"), "secrets are made by hand, see docs/operations.md"
    for settings in of_kind(manifests, "ConfigMap").values():
        assert not set(SECRETS) & set(settings["data"])
    for deployment in of_kind(manifests, "Deployment").values():
        for variable in container_of(deployment).get("env", []):
            assert variable["name"] not in SECRETS
            assert "secretKeyRef" not in variable.get("valueFrom", {})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_secret_file_that_is_named_is_mounted(overlay: str) -> None:
    for deployment in of_kind(rendered(overlay), "Deployment").values():
        named = {
            value
            for name, value in (
                environment_of(deployment) if container_of(deployment).get("env") else {}
            ).items()
            if name.endswith("_FILE")
        }
        mounts = {
            each["name"]: each["mountPath"] for each in container_of(deployment)["volumeMounts"]
        }
        there = {
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in pod_of(deployment)["volumes"]
            for item in volume.get("secret", {}).get("items", [])
        }
        assert named <= there
        if any("redis_url" in each for each in named):
            assert "/run/secrets/avatar/redis_ca.crt" in there, "its URL names this authority"


@pytest.mark.parametrize(
    ("overlay", "name"),
    [
        ("pool", "avatar-node"),
        ("pool", "avatar-dispatcher"),
        ("single-machine", "avatar-dispatcher"),
    ],
)
def test_each_setting_is_one_that_the_programs_know(overlay: str, name: str) -> None:
    manifests = rendered(overlay)
    (settings,) = (
        each["data"]
        for each in of_kind(manifests, "ConfigMap").values()
        if "AVATAR_SIZE" in each["data"]
    )
    environment = {**settings, **environment_of(of_kind(manifests, "Deployment")[name])}
    known = {f"AVATAR_{field.upper()}" for field in DispatcherSettings.__dataclass_fields__}
    known |= {f"{each}_FILE" for each in SECRETS} | {"AVATAR_CHARACTER", "AVATAR_SIZE"}
    assert set(environment) <= known


# --- The network ---


def rules(policies: list[Manifest], labels: dict[str, str], way: str) -> list[Manifest]:
    """The rules of that way, ingress or egress, that hold for a pod with these labels."""
    return [
        rule
        for policy in policies
        if way.capitalize() in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get(way, [])
    ]


def may_send(
    policies: list[Manifest], labels: dict[str, str], address: str, protocol: str, port: int
) -> bool:
    """Whether a pod with these labels may send there, as its ipBlock rules say."""
    target = ipaddress.ip_address(address)
    for rule in rules(policies, labels, "egress"):
        blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
        open_to = any(
            target in ipaddress.ip_network(block["cidr"])
            and not any(target in ipaddress.ip_network(each) for each in block.get("except", []))
            for block in blocks
        )
        ports = any(
            each["protocol"] == protocol
            and each["port"] <= port <= each.get("endPort", each["port"])
            for each in rule["ports"]
        )
        if open_to and ports:
            return True
    return False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_not_allowed_is_denied(overlay: str) -> None:
    nothing = of_kind(rendered(overlay), "NetworkPolicy")["avatar-nothing"]["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_admin_ports_are_open_to_the_monitoring_namespace_only(overlay: str) -> None:
    manifests = rendered(overlay)
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    for deployment in of_kind(manifests, "Deployment").values():
        for rule in rules(policies, labels_of(deployment), "ingress"):
            assert rule["from"], "a rule without a source is open to all"
            assert rule["ports"], "a rule without a port is open on all"
            if any(port["port"] in ("admin", 8090, 8091) for port in rule["ports"]):
                (source,) = rule["from"]
                assert source == {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}
                    }
                }


@pytest.mark.parametrize(
    ("overlay", "name"), [("pool", "avatar-node"), ("single-machine", "avatar-dispatcher")]
)
def test_workers_reach_meetings_and_nothing_inside(overlay: str, name: str) -> None:
    manifests = rendered(overlay)
    policies = [
        each
        for each in of_kind(manifests, "NetworkPolicy").values()
        if each["metadata"]["name"] != "avatar-api"
    ]
    labels = labels_of(of_kind(manifests, "Deployment")[name])
    for address in PUBLIC:
        assert may_send(policies, labels, address, "TCP", 443)
        assert may_send(policies, labels, address, "UDP", 3478)
        assert may_send(policies, labels, address, "UDP", 50_000)
        assert not may_send(policies, labels, address, "TCP", 6379)
        assert not may_send(policies, labels, address, "UDP", 53)
    for address in (*INSIDE, *METADATA):
        for protocol, port in (("TCP", 443), ("TCP", 80), ("UDP", 50_000)):
            assert not may_send(policies, labels, address, protocol, port), address


def test_dispatchers_of_a_pool_send_nothing_to_the_internet(
    pool: list[Manifest], dispatcher: Manifest
) -> None:
    policies = list(of_kind(pool, "NetworkPolicy").values())
    for address in (*PUBLIC, *INSIDE, *METADATA):
        assert not may_send(policies, labels_of(dispatcher), address, "TCP", 443)


def test_redis_is_reached_by_ours_alone_and_reaches_nobody(pool: list[Manifest]) -> None:
    policies = list(of_kind(pool, "NetworkPolicy").values())
    deployments = of_kind(pool, "Deployment")
    redis = labels_of(deployments["avatar-redis"])
    sources = [
        source
        for rule in rules(policies, redis, "ingress")
        if {"protocol": "TCP", "port": "redis"} in rule["ports"]
        for source in rule["from"]
    ]
    for name in ("avatar-node", "avatar-dispatcher"):
        assert any(selects(each["podSelector"], labels_of(deployments[name])) for each in sources)
    assert not any(selects(each["podSelector"], {"app": "other"}) for each in sources)
    assert not any(
        "ipBlock" in peer for rule in rules(policies, redis, "egress") for peer in rule["to"]
    )


# --- Numbers of nodes ---


def test_nodes_follow_the_slots(pool: list[Manifest], node: Manifest, tmp_path: Path) -> None:
    scaled = of_kind(pool, "ScaledObject")["avatar-node"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == node["metadata"]["name"]
    assert "replicas" not in node["spec"], "who applies the manifests would undo the autoscaler"
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"] == {
        "stabilizationWindowSeconds": 600,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }
    (trigger,) = scaled["triggers"]
    slots = int(environment_of(node)["AVATAR_SLOTS"])
    assert float(trigger["metadata"]["threshold"]) == pytest.approx(0.8 * slots)
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert (
        'avatar_pool_slots{namespace="avatar", state=~"busy|claimed"}'
        in trigger["metadata"]["query"]
    )
    check_queries({"nodes": trigger["metadata"]["query"]}, tmp_path)


def test_what_is_watched_is_there(pool: list[Manifest], node: Manifest) -> None:
    services = of_kind(pool, "Service").values()
    (monitor,) = of_kind(pool, "ServiceMonitor").values()
    watched = [
        each
        for each in services
        if selects(monitor["spec"]["selector"], each["metadata"].get("labels", {}))
    ]
    assert [each["metadata"]["name"] for each in watched] == ["avatar-dispatcher-admin"]
    (pods,) = of_kind(pool, "PodMonitor").values()
    assert selects(pods["spec"]["selector"], labels_of(node))


def test_each_service_finds_its_pods(pool: list[Manifest]) -> None:
    deployments = of_kind(pool, "Deployment").values()
    for service in of_kind(pool, "Service").values():
        targets = [
            each
            for each in deployments
            if selects({"matchLabels": service["spec"]["selector"]}, labels_of(each))
        ]
        (target,) = targets
        named = {each["name"] for each in container_of(target)["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= named


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_have_a_version(overlay: str) -> None:
    for deployment in of_kind(rendered(overlay), "Deployment").values():
        name, _, tag = container_of(deployment)["image"].partition(":")
        assert name
        assert tag not in ("", "latest")


def test_each_overlay_is_rendered_without_a_word() -> None:
    """A deprecated field of a kustomization is a warning on stderr."""
    for overlay in OVERLAYS:
        done = subprocess.run(
            [tool("kubectl"), "kustomize", str(DEPLOY / "kubernetes/overlays" / overlay)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_asks_the_dispatcher_is_asked_who_he_is(overlay: str) -> None:
    dispatcher = of_kind(rendered(overlay), "Deployment")["avatar-dispatcher"]
    modes = environment_of(dispatcher)["AVATAR_AUTH"].split(",")
    assert "none" not in modes
    for mode in modes:
        assert f"AVATAR_{mode.upper()}_KEYS_FILE" in environment_of(dispatcher)
