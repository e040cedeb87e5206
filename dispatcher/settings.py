"""DispatcherSettings: what an operator of the dispatcher or of a node may choose, read once.

The table of settings is in avatar_runtime/settings; here is what has rules of its own.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self, cast
from urllib.parse import urlsplit

import limits
from cryptography.fernet import Fernet

from avatar_runtime.cpus import cpus
from avatar_runtime.settings.kinds import NODE, SettingError
from avatar_runtime.settings.reading import read
from avatar_runtime.settings.table import DISPATCHERS, SECRETS, SERVE
from avatar_runtime.texts import read_text, tidied
from avatar_runtime.variables import own
from dispatcher.errors import SettingsError
from dispatcher.node.kubernetes import Pod

PLATFORM: Final = "api.videosdk.live"
"""VideoSDK's signalling host, to which a request leads that names none."""

HOST: Final = re.compile(r"(?=.{1,253}(?::|$))[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
"""A host name or IPv4 address, and a port or none."""

HEADER_HOST: Final = re.compile(r"\*|(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[?[0-9a-f:.]+\]?")
"""What may stand in AVATAR_ALLOWED_HOSTS: a name, ``*.name``, an address, or ``*`` for all."""

NODE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""A host's or a pod's name; no slash, as a slot is called ``<node>/<number>``."""

Mode = Literal["none", "jwt", "basic", "bearer"]
MODES: Final = ("none", "jwt", "basic", "bearer")
RoomPolicy = Literal["replace", "multi", "reject"]

MAX_KEYS: Final = 16
"""Keys of one kind: all of them are compared with each that comes."""

MAX_KEY_FILE: Final = 65_536
"""The longest file of keys (bytes): a device has no end."""

MIN_SECRET: Final = 16
"""The shortest password or key (characters): long enough that guessing is hopeless."""

MIN_JWT_SECRET: Final = 32
"""The shortest secret for HS256 (bytes): RFC 7518, section 3.2. VideoSDK's have 64."""


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """What an operator may choose, by the names of the table; see docs/settings.md.

    `jwt_keys` and `basic_keys` are pairs of a name and a secret, `seal_keys` has the newest
    first. `auth` and `allowed_hosts` are empty where they are not set; `rate` and `refusals` are
    written as the library `limits` writes them, and empty for no limit. No repr has a secret.
    """

    host: str = "127.0.0.1"
    port: int = 8089
    slots: int = 2
    warm: int = 2
    signaling_hosts: tuple[str, ...] = (PLATFORM,)
    drain_s: float = 15.0
    log_level: str = "INFO"
    auth: tuple[Mode, ...] = ()
    jwt_keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    basic_keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    bearer_keys: tuple[str, ...] = field(default=(), repr=False)
    rate: str = "600/minute"
    refusals: str = "20/second"
    sessions_per_key: int = 0
    room_policy: RoomPolicy = "replace"
    allowed_hosts: tuple[str, ...] = ()
    forwarded_allow_ips: tuple[str, ...] = ()
    admin_host: str = "127.0.0.1"
    admin_port: int = 8090
    worker_memory_mb: int = 0
    redis_url: str = field(default="", repr=False)
    seal_keys: tuple[str, ...] = field(default=(), repr=False)
    node_name: str = "node"
    lease_s: float = 10.0
    protect: Pod | None = None
    log_format: Literal["text", "json"] = "text"
    tracing: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, node: bool = False) -> Self:
        """The settings in `environ`, for the dispatcher or for a `node`.

        Raises SettingsError that names the variable, and never a secret that is in it.
        """
        environ = tidied(own(environ))
        keys = {name: _keys(environ, f"AVATAR_{name}_KEYS") for name in ("JWT", "BASIC", "BEARER")}
        found = _plain(environ, NODE if node else SERVE)
        rules = {
            "slots": found["slots"] or cpus().slots,
            "signaling_hosts": _hosts(found["signaling_hosts"]),
            "auth": _modes(found["auth"], {name for name in keys if keys[name]}),
            "jwt_keys": _pairs(keys["JWT"], "AVATAR_JWT_KEYS", "apikey:secret", MIN_JWT_SECRET),
            "basic_keys": _pairs(keys["BASIC"], "AVATAR_BASIC_KEYS", "user:password", MIN_SECRET),
            "bearer_keys": _bearers(keys["BEARER"]),
            "rate": _rate(found["rate"], "AVATAR_RATE"),
            "refusals": _rate(found["refusals"], "AVATAR_REFUSALS"),
            "allowed_hosts": _header_hosts(found["allowed_hosts"]),
            "forwarded_allow_ips": _networks(found["forwarded_allow_ips"]),
            "redis_url": _redis(_only(environ, "AVATAR_REDIS_URL")),
            "seal_keys": _seals(_keys(environ, "AVATAR_SEAL_KEYS")),
            "node_name": _node_name(found["node_name"] or socket.gethostname()),
            "protect": Pod.from_env(environ) if found["protect"] == "cost" else None,
        }
        settings = cls(**{**found, **rules})
        if settings.redis_url and not settings.seal_keys:
            raise SettingsError(
                "AVATAR_REDIS_URL needs AVATAR_SEAL_KEYS, which seals the join requests there."
            )
        return settings


def _plain(environ: Mapping[str, str], program: str) -> dict[str, Any]:
    try:
        return read(environ, DISPATCHERS, program)
    except SettingError as error:
        raise SettingsError(str(error)) from None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for processes that have no use for our keys: the zygote and its workers."""
    return {name: value for name, value in environ.items() if name not in SECRETS}


def _hosts(text: str) -> tuple[str, ...]:
    hosts = _items(text.lower())
    if not all(HOST.fullmatch(host) for host in hosts):
        raise SettingsError(
            f"AVATAR_SIGNALING_HOSTS is {text!r}; it has to be host or host:port, "
            "several with commas between them."
        )
    return hosts


def _modes(text: str, kept: set[str]) -> tuple[Mode, ...]:
    """The modes in `text`, for each of which there has to be a key in `kept`."""
    if not text:
        if kept:
            name = min(kept)
            raise SettingsError(
                f"AVATAR_{name}_KEYS is set, but nothing asks for it; "
                f"set AVATAR_AUTH={name.lower()}, or AVATAR_AUTH=none to let everybody in."
            )
        return ()
    modes = tuple(dict.fromkeys(_items(text)))
    if not set(modes) <= set(MODES) or ("none" in modes and len(modes) > 1):
        raise SettingsError(
            f"AVATAR_AUTH is {text!r}; it has to be none, or some of jwt, basic and bearer "
            "with commas between them."
        )
    for mode in modes:
        if mode != "none" and mode.upper() not in kept:
            raise SettingsError(
                f"AVATAR_AUTH names {mode}, which needs AVATAR_{mode.upper()}_KEYS "
                f"or AVATAR_{mode.upper()}_KEYS_FILE."
            )
    return cast(tuple[Mode, ...], modes)


def _keys(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What the variable has, or the file that ``<name>_FILE`` has the path of; one each line or
    with commas."""
    text, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if text and path:
        raise SettingsError(f"{name} and {name}_FILE are both set; keep one of them.")
    if path:
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_KEY_FILE + 1)
            if len(content) > MAX_KEY_FILE:
                raise SettingsError(
                    f"{name}_FILE is {path!r}, which has more than {MAX_KEY_FILE} bytes; name a "
                    "file of keys."
                )
            text = read_text(content)
        except OSError as error:
            raise SettingsError(
                f"{name}_FILE is {path!r}, which cannot be read: {error.strerror}."
            ) from error
        except ValueError:
            raise SettingsError(f"{name}_FILE is {path!r}, which is no UTF-8.") from None
        if not text.strip():
            raise SettingsError(f"{name}_FILE is {path!r}, which has no key in it.")
    keys = tuple(filter(None, _items(",".join(text.splitlines()))))
    if len(keys) > MAX_KEYS:
        raise SettingsError(f"{name} has {len(keys)} keys; {MAX_KEYS} is the most.")
    return keys


def _only(environ: Mapping[str, str], name: str) -> str:
    """A secret of which there is one, from the environment or a file; empty where there is none."""
    values = _keys(environ, name)
    if len(values) > 1:
        raise SettingsError(f"{name} has {len(values)} values; keep one of them.")
    return values[0] if values else ""


def _pairs(
    keys: tuple[str, ...], name: str, form: str, shortest: int
) -> tuple[tuple[str, str], ...]:
    pairs = tuple((key.partition(":")[0], key.partition(":")[2]) for key in keys)
    for first, secret in pairs:
        if not first or not first.isprintable() or len(secret) < shortest:
            raise SettingsError(
                f"{name} has a key that cannot be used; each has to be {form}, "
                f"and {form.partition(':')[2]} at least {shortest} characters."
            )
    return pairs


def _bearers(keys: tuple[str, ...]) -> tuple[str, ...]:
    if not all(len(key) >= MIN_SECRET and key.isascii() and key.isprintable() for key in keys):
        raise SettingsError(
            "AVATAR_BEARER_KEYS has a key that cannot be used; each has to be at least "
            f"{MIN_SECRET} letters, digits and signs of ASCII."
        )
    return keys


def _seals(keys: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        raise SettingsError(
            "AVATAR_SEAL_KEYS has a key that cannot be used; each has to be 32 random bytes in "
            "URL-safe base64: head -c 32 /dev/urandom | base64 | tr +/ -_"
        ) from None
    return keys


def _redis(url: str) -> str:
    if url and not _is_redis(url):
        raise SettingsError(
            "AVATAR_REDIS_URL has to look like redis://host:port/0, with user:password@ before the "
            "host, rediss://... or unix:///path."
        )
    return url


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        at = parts.path if parts.scheme == "unix" else parts.hostname
        return parts.scheme in ("redis", "rediss", "unix") and bool(at) and parts.port != 0
    except ValueError:  # no port is like that
        return False


def _rate(text: str, name: str) -> str:
    if text.strip() in ("", "0", "off"):
        return ""
    try:
        limits.parse_many(text)
    except ValueError:
        raise SettingsError(
            f"{name} is {text!r}; it has to be a number and a time, such as 60/minute, or off."
        ) from None
    return text


def _header_hosts(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    hosts = _items(text.lower())
    if not all(HEADER_HOST.fullmatch(host) for host in hosts):
        raise SettingsError(
            f"AVATAR_ALLOWED_HOSTS is {text!r}; it has to be names without a port, "
            "several with commas between them, or *."
        )
    return hosts


def _networks(text: str) -> tuple[str, ...]:
    """Addresses and networks; never ``*``, with which any client could claim any address."""
    if not text:
        return ()
    networks = _items(text)
    try:
        for network in networks:
            ipaddress.ip_network(network)
    except ValueError:
        raise SettingsError(
            f"AVATAR_FORWARDED_ALLOW_IPS is {text!r}; it has to be addresses or networks of your "
            "proxies, such as 10.0.0.0/8, with commas between them."
        ) from None
    return networks


def _node_name(text: str) -> str:
    if not NODE_NAME.fullmatch(text):
        raise SettingsError(
            f"AVATAR_NODE_NAME is {text!r}; it has to be a name of letters, digits, -, _ and ., "
            "63 at most."
        )
    return text


def _items(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(","))
