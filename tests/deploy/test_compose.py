"""The compose file: what compose makes of it, and what it opens."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import DEPLOY, ran, tool

from avatar_runtime.settings.table import MAX_SLOTS, SECRETS
from dispatcher.http.descriptors import MOST_ADMIN, MOST_PUBLIC, needed
from dispatcher.settings import DispatcherSettings

COMPOSE = DEPLOY / "compose.yaml"
FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = FILE["services"]
OURS = ("dispatcher", "node")


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def test_compose_itself_accepts_it() -> None:
    made = yaml.safe_load(ran(tool("docker-compose"), "--file", COMPOSE, "config"))
    assert set(made["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_may_do_as_little_as_can_be(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_redis_is_alone_inside_and_keeps_nothing() -> None:
    redis = SERVICES["redis"]
    assert "ports" not in redis
    assert redis["networks"] == ["inside"]
    assert FILE["networks"]["inside"] == {"internal": True}
    command = redis["command"]
    assert command[command.index("--save") + 1] == ""
    assert command[command.index("--appendonly") + 1] == "no"
    assert command[command.index("--port") + 1] == "0", "only TLS"
    assert "volumes" not in redis


def test_admin_ports_are_published_nowhere() -> None:
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert sorted(each.rpartition(":")[2] for each in published) == ["3000", "8089", "9090"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_an_environment(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    assert not set(environment) & set(SECRETS)
    assert not any("PASSWORD" in each and not each.endswith("__FILE") for each in environment)


@pytest.mark.parametrize("name", OURS)
def test_each_secret_file_that_is_named_is_handed_over(name: str) -> None:
    service = SERVICES[name]
    there = {each["target"] for each in service["secrets"]}
    named = {value for key, value in service["environment"].items() if key.endswith("_FILE")}
    assert named <= there
    assert there - named == {"/run/secrets/avatar/redis_ca.crt"}
    for each in service["secrets"]:
        assert each["source"] in FILE["secrets"]


@pytest.mark.parametrize("name", OURS)
def test_each_setting_is_one_that_the_programs_know(name: str) -> None:
    known = {f"AVATAR_{field.upper()}" for field in DispatcherSettings.__dataclass_fields__}
    known |= {f"{each}_FILE" for each in SECRETS} | {"AVATAR_CHARACTER"}
    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", OURS)
def test_whoever_reaches_an_admin_s_port_is_asked_before_he_drains(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["AVATAR_ADMIN_HOST"] == "0.0.0.0"
    assert "none" not in environment["AVATAR_AUTH"].split(",")


def test_there_are_descriptors_for_workers_and_connections() -> None:
    """For as many slots as can be asked for, in containers and under systemd."""
    enough = needed(2 * MAX_SLOTS, MOST_PUBLIC, MOST_ADMIN)
    for name in OURS:
        assert SERVICES[name]["ulimits"]["nofile"]["soft"] >= enough
    unit = (DEPLOY / "avatar.service").read_text()
    (limit,) = (line for line in unit.splitlines() if line.startswith("LimitNOFILE="))
    assert int(limit.partition("=")[2]) >= enough


def test_a_node_has_the_time_to_drain_and_to_hand_over() -> None:
    node = SERVICES["node"]
    assert node["environment"]["AVATAR_DRAIN_S"] == "${AVATAR_DRAIN_S:-3600}"
    assert seconds(node["stop_grace_period"]) >= 3600 + 300


def test_it_is_asked_at_the_ports_of_the_programs() -> None:
    ports = {
        "dispatcher": DispatcherSettings.from_env({}).admin_port,
        "node": DispatcherSettings.from_env({}, node=True).admin_port,
    }
    for name, port in ports.items():
        assert f"http://127.0.0.1:{port}/livez" in SERVICES[name]["healthcheck"]["test"][-1]
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    assert {
        found["names"][0]: found["port"]
        for job in scraped["scrape_configs"]
        for found in job["dns_sd_configs"]
    } == ports


def test_prometheus_understands_its_file() -> None:
    file = DEPLOY / "prometheus" / "prometheus.yaml"
    ran(tool("promtool"), "check", "config", "--syntax-only", file)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_and_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source in FILE["volumes"]:
            continue
        assert (DEPLOY / source).exists()
        assert rest.endswith(":ro")


def test_images_have_a_version() -> None:
    for service in SERVICES.values():
        _, _, default = service["image"].partition(":-")
        _, _, tag = default.rstrip("}").partition(":")
        assert tag not in ("", "latest")


def test_kubernetes_and_compose_start_redis_alike() -> None:
    manifests = DEPLOY / "kubernetes" / "overlays" / "pool" / "redis.yaml"
    (deployment,) = (
        each for each in yaml.safe_load_all(manifests.read_text()) if each["kind"] == "Deployment"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == SERVICES["redis"]["entrypoint"]
    assert container["args"] == SERVICES["redis"]["command"]


def test_grafana_is_given_the_dashboard_and_its_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/avatar.yaml").read_text())["providers"]
    targets = [each.split(":")[1] for each in SERVICES["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/avatar.json" in targets
    assert Path(DEPLOY / "grafana" / "avatar.json").exists()
