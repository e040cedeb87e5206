"""The dispatcher's settings: their defaults, and one line about what cannot be used."""

from pathlib import Path
from typing import get_args

import pytest
from cryptography.fernet import Fernet

from avatar_runtime.settings.kinds import NODE
from avatar_runtime.settings.pages import help_of
from avatar_runtime.settings.table import SECRETS, SERVE
from dispatcher.errors import SettingsError
from dispatcher.settings import MODES, DispatcherSettings, Mode, without_secrets

SEAL = Fernet.generate_key().decode()
CANARY = "canary" * 8


def test_nothing_is_needed() -> None:
    settings = DispatcherSettings.from_env({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8089)
    assert settings.signaling_hosts == ("api.videosdk.live",)
    assert settings.slots >= 2
    assert settings.node_name
    assert settings.auth == ()
    assert (settings.drain_s, settings.admin_port) == (15, 8090)


def test_a_node_has_all_the_time_and_a_port_of_its_own() -> None:
    settings = DispatcherSettings.from_env({}, node=True)
    assert (settings.drain_s, settings.admin_port) == (3600, 8091)


def test_everything_can_be_chosen() -> None:
    assert DispatcherSettings.from_env(
        {
            "AVATAR_HOST": "0.0.0.0",
            "AVATAR_PORT": "0",
            "AVATAR_SLOTS": "7",
            "AVATAR_WARM": "0",
            "AVATAR_SIGNALING_HOSTS": "127.0.0.1:4443, API.videosdk.live",
            "AVATAR_DRAIN_S": "0",
            "AVATAR_LOG_LEVEL": "DEBUG",
            "AVATAR_AUTH": "jwt, basic,bearer",
            "AVATAR_JWT_KEYS": f"key1:{CANARY},key2:{CANARY}",
            "AVATAR_BASIC_KEYS": f"anna:{CANARY}:{CANARY}",
            "AVATAR_BEARER_KEYS": f"{CANARY}\n other{CANARY} \n",
            "AVATAR_RATE": "60/minute",
            "AVATAR_REFUSALS": "off",
            "AVATAR_SESSIONS_PER_KEY": "5",
            "AVATAR_ROOM_POLICY": "reject",
            "AVATAR_ALLOWED_HOSTS": "faces.example.net,*.Example.org,[::1]",
            "AVATAR_FORWARDED_ALLOW_IPS": "10.0.0.7, fd00::/8",
            "AVATAR_ADMIN_HOST": "0.0.0.0",
            "AVATAR_ADMIN_PORT": "0",
            "AVATAR_WORKER_MEMORY_MB": "700",
            "AVATAR_REDIS_URL": "rediss://user:canary@redis.local:6380/1",
            "AVATAR_SEAL_KEYS": SEAL,
            "AVATAR_NODE_NAME": "avatar-node-7d4f",
            "AVATAR_LEASE_S": "2.5",
            "AVATAR_LOG_FORMAT": "json",
            "AVATAR_TRACING": "on",
        }
    ) == DispatcherSettings(
        host="0.0.0.0",
        port=0,
        slots=7,
        warm=0,
        signaling_hosts=("127.0.0.1:4443", "api.videosdk.live"),
        drain_s=0,
        log_level="DEBUG",
        auth=("jwt", "basic", "bearer"),
        jwt_keys=(("key1", CANARY), ("key2", CANARY)),
        basic_keys=(("anna", f"{CANARY}:{CANARY}"),),
        bearer_keys=(CANARY, f"other{CANARY}"),
        rate="60/minute",
        refusals="",
        sessions_per_key=5,
        room_policy="reject",
        allowed_hosts=("faces.example.net", "*.example.org", "[::1]"),
        forwarded_allow_ips=("10.0.0.7", "fd00::/8"),
        admin_host="0.0.0.0",
        admin_port=0,
        worker_memory_mb=700,
        redis_url="rediss://user:canary@redis.local:6380/1",
        seal_keys=(SEAL,),
        node_name="avatar-node-7d4f",
        lease_s=2.5,
        log_format="json",
        tracing=True,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AVATAR_PORT", "65536"),
        ("AVATAR_PORT", "-1"),
        ("AVATAR_PORT", "\u0664"),
        ("AVATAR_SLOTS", "0"),
        ("AVATAR_SLOTS", "many"),
        ("AVATAR_WARM", "1.5"),
        ("AVATAR_DRAIN_S", "9" * 13),
        ("AVATAR_LOG_LEVEL", "debug"),
        ("AVATAR_LOG_FORMAT", "xml"),
        ("AVATAR_SIGNALING_HOSTS", ""),
        ("AVATAR_SIGNALING_HOSTS", "a,,b"),
        ("AVATAR_SIGNALING_HOSTS", "https://api.videosdk.live"),
        ("AVATAR_SIGNALING_HOSTS", "user@api.videosdk.live"),
        ("AVATAR_SIGNALING_HOSTS", "*.videosdk.live"),
        ("AVATAR_AUTH", "password"),
        ("AVATAR_AUTH", "jwt"),
        ("AVATAR_AUTH", "none,bearer"),
        ("AVATAR_JWT_KEYS", "key1:tooshort"),
        ("AVATAR_BASIC_KEYS", "nocolon-but-rather-long-anyway"),
        ("AVATAR_BASIC_KEYS", ":nobody-has-this-password"),
        ("AVATAR_BEARER_KEYS", "short"),
        ("AVATAR_BEARER_KEYS", "\u00e9" * 20),
        ("AVATAR_BEARER_KEYS", ",".join([CANARY] * 17)),
        ("AVATAR_SEAL_KEYS", CANARY),
        ("AVATAR_SEAL_KEYS_FILE", "/nowhere/at/all"),
        ("AVATAR_REDIS_URL", "http://localhost"),
        ("AVATAR_REDIS_URL", "redis://"),
        ("AVATAR_REDIS_URL", "redis://host:canary/0"),
        ("AVATAR_RATE", "fast"),
        ("AVATAR_REFUSALS", "-1/second"),
        ("AVATAR_ROOM_POLICY", "share"),
        ("AVATAR_ALLOWED_HOSTS", "https://here"),
        ("AVATAR_ALLOWED_HOSTS", "here:8089"),
        ("AVATAR_FORWARDED_ALLOW_IPS", "*"),
        ("AVATAR_FORWARDED_ALLOW_IPS", "proxy.local"),
        ("AVATAR_NODE_NAME", "host/7"),
        ("AVATAR_LEASE_S", "0"),
        ("AVATAR_LEASE_S", "nan"),
        ("AVATAR_PROTECT", "detach"),
        ("AVATAR_TRACING", "yes"),
        ("AVATAR_WORKER_MEMORY_MB", "-5"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        DispatcherSettings.from_env({"AVATAR_AUTH": "none", name: text})
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_ledger_needs_a_seal() -> None:
    with pytest.raises(SettingsError, match="AVATAR_REDIS_URL needs AVATAR_SEAL_KEYS"):
        DispatcherSettings.from_env({"AVATAR_REDIS_URL": "redis://localhost"})


@pytest.mark.parametrize("mode", ["jwt", "basic", "bearer"])
def test_keys_that_nothing_asks_for_let_nobody_in_by_mistake(mode: str) -> None:
    keys = {f"AVATAR_{mode.upper()}_KEYS": f"name:{CANARY}"}
    with pytest.raises(SettingsError, match=f"set AVATAR_AUTH={mode}"):
        DispatcherSettings.from_env(keys)
    assert DispatcherSettings.from_env({**keys, "AVATAR_AUTH": "none"}).auth == ("none",)
    assert DispatcherSettings.from_env({**keys, "AVATAR_AUTH": mode}).auth == (mode,)


def test_keys_can_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"new:{CANARY}\nold:{CANARY},older:{CANARY}\n\n")
    given = {"AVATAR_AUTH": "jwt", "AVATAR_JWT_KEYS_FILE": str(file)}
    names = [name for name, _ in DispatcherSettings.from_env(given).jwt_keys]
    assert names == ["new", "old", "older"]
    with pytest.raises(SettingsError, match="are both set"):
        DispatcherSettings.from_env({**given, "AVATAR_JWT_KEYS": f"a:{CANARY}"})


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_a_key_is_no_way_in(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="AVATAR_BEARER_KEYS_FILE"):
        DispatcherSettings.from_env({"AVATAR_AUTH": "bearer", "AVATAR_BEARER_KEYS_FILE": str(file)})


def test_no_secret_is_shown() -> None:
    secrets = {
        "AVATAR_JWT_KEYS": f"key:{CANARY}",
        "AVATAR_BASIC_KEYS": f"anna:{CANARY}",
        "AVATAR_BEARER_KEYS": CANARY,
        "AVATAR_SEAL_KEYS": SEAL,
        "AVATAR_REDIS_URL": "redis://:canary@localhost",
    }
    assert set(secrets) == set(SECRETS)
    settings = DispatcherSettings.from_env({"AVATAR_AUTH": "jwt", **secrets})
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert "canary" not in shown
        assert SEAL not in shown
    assert without_secrets({**secrets, "PATH": "/bin"}) == {"PATH": "/bin"}


def test_every_setting_has_its_line_of_help() -> None:
    for name in DispatcherSettings.__dataclass_fields__:
        assert f"AVATAR_{name.upper()} " in help_of(SERVE) + help_of(NODE)
    assert set(get_args(Mode)) == set(MODES)
