"""DispatcherSettings: what an operator of the dispatcher or of a node may choose, read once."""

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self, cast
from urllib.parse import urlsplit

import limits
from cryptography.fernet import Fernet

from avatar_runtime.cpus import MAX_SLOTS, cpus
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

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

Mode = Literal["none", "jwt", "basic", "bearer"]
MODES: Final = ("none", "jwt", "basic", "bearer")
RoomPolicy = Literal["replace", "multi", "reject"]
ROOM_POLICIES: Final = ("replace", "multi", "reject")

MAX_KEYS: Final = 16
"""Keys of one kind: all of them are compared with each that comes."""

MAX_KEY_FILE: Final = 65_536
"""The longest file of keys (bytes): a device has no end."""

MIN_SECRET: Final = 16
"""The shortest password or key (characters): nobody guesses it, however often he may try."""

MIN_JWT_SECRET: Final = 32
"""The shortest secret for HS256 (bytes): RFC 7518, section 3.2. VideoSDK's have 64."""

SECRETS: Final = (
    "AVATAR_JWT_KEYS",
    "AVATAR_BASIC_KEYS",
    "AVATAR_BEARER_KEYS",
    "AVATAR_SEAL_KEYS",
    "AVATAR_REDIS_URL",
)
"""What is a secret in the environment, and for whom the workers have no use."""

HELP: Final = """\
settings, from the environment:
  AVATAR_HOST             the address to listen on (127.0.0.1)
  AVATAR_PORT             the port; 0 takes a free one (8089)
  AVATAR_SLOTS            sessions at once (two for each CPU that it may use)
  AVATAR_WARM             workers that wait for the next session (2)
  AVATAR_SIGNALING_HOSTS  the signalling hosts that a join request may name, host or host:port,
                          with commas; the first is for those that name none (api.videosdk.live)
  AVATAR_DRAIN_S          how long sessions may speak out when it is told to stop (15; node: 3600)
  AVATAR_ROOM_POLICY      where a room has a face already and another is asked for: replace it,
                          have multi, or reject the other (replace)
  AVATAR_WORKER_MEMORY_MB the memory that one worker may have beside what all share; 0 is all that
                          there is (0)

who may ask, and how often:
  AVATAR_AUTH             none, or some of jwt, basic and bearer with commas; needed where other
                          machines can reach the address
  AVATAR_JWT_KEYS         apikey:secret of VideoSDK, two while they are exchanged, with commas
  AVATAR_BASIC_KEYS       user:password, likewise
  AVATAR_BEARER_KEYS      keys, likewise
                          Each of these, AVATAR_SEAL_KEYS and AVATAR_REDIS_URL too, can be in a
                          file of which the environment has the path: AVATAR_JWT_KEYS_FILE
  AVATAR_RATE             launches of one of them, such as 60/minute; off is no limit (600/minute)
  AVATAR_REFUSALS         requests of one address that are refused with their reason; beyond it,
                          with 429 (20/second)
  AVATAR_SESSIONS_PER_KEY sessions at once of one of them; 0 is no limit (0)
  AVATAR_ALLOWED_HOSTS    the names under which it may be asked for, with commas; * is any (on
                          loopback its own names, else any)
  AVATAR_FORWARDED_ALLOW_IPS  proxies that say truly for whom they ask, addresses or networks

many machines:
  AVATAR_REDIS_URL        where the nodes are found: redis://, rediss:// or unix://; without it,
                          all sessions are on this machine
  AVATAR_SEAL_KEYS        what seals join requests there, 32 bytes in URL-safe base64, two while
                          they are exchanged
  AVATAR_NODE_NAME        the node's own name (that of the host)
  AVATAR_LEASE_S          how long nothing is heard of a node until its sessions move (10)
  AVATAR_PROTECT          cost makes Kubernetes remove pods without sessions first (off)

watching it:
  AVATAR_ADMIN_HOST       the address for /metrics, /drain and the probes (127.0.0.1)
  AVATAR_ADMIN_PORT       its port; 0 takes a free one (8090; node: 8091)
  AVATAR_LOG_LEVEL        DEBUG, INFO, WARNING or ERROR (INFO)
  AVATAR_LOG_FORMAT       text or json (text)
  AVATAR_TRACING          on sends traces to OTEL_EXPORTER_OTLP_ENDPOINT (off)
  The workers' own settings are in the same environment: `avatar worker --help`.
"""
"""For ``--help`` of the dispatcher."""

NODE_READS: Final = (
    *("AVATAR_REDIS_URL", "AVATAR_SEAL_KEYS", "AVATAR_NODE_NAME", "AVATAR_LEASE_S"),
    *("AVATAR_SLOTS", "AVATAR_WARM", "AVATAR_DRAIN_S", "AVATAR_WORKER_MEMORY_MB"),
    *("AVATAR_PROTECT", "AVATAR_ADMIN_HOST", "AVATAR_ADMIN_PORT"),
    *("AVATAR_LOG_LEVEL", "AVATAR_LOG_FORMAT"),
)
"""The settings that make a difference to a node."""


def _help_of(names: Sequence[str]) -> str:
    """The lines of HELP about the settings `names`, in that order."""
    entries = re.findall(r"^  (AVATAR_\w+) (.*\n(?: {20,}.*\n)*)", HELP, re.MULTILINE)
    about = {name: f"  {name} {text}" for name, text in entries}
    return "".join(about[name] for name in names)


NODE_HELP: Final = f"""\
settings, from the environment:
{_help_of(NODE_READS)}\
  AVATAR_REDIS_URL and AVATAR_SEAL_KEYS can be in a file of which the environment has the path:
  AVATAR_REDIS_URL_FILE, AVATAR_SEAL_KEYS_FILE.
  The workers' own settings are in the same environment: `avatar worker --help`.
"""
"""For ``--help`` of a node."""


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """What an operator may choose. Each field is an environment variable, ``AVATAR_<FIELD>``.

    - `host`, `port`: where to listen; port 0 takes a free one.
    - `slots`: sessions at once on this machine; two for each CPU that it
      may use, if it is not said.
    - `warm`: workers that wait, made ready, for the next session.
    - `signaling_hosts`: the signalling hosts, ``host`` or ``host:port``, to which a join
      request may lead; a request that names none leads to the first.
    - `drain_s`: how long the sessions may speak out when the dispatcher is told to stop.
    - `auth`: who is let in, see dispatcher/http/auth.py; empty where nobody has said.
    - `jwt_keys`, `basic_keys`: (name, secret) pairs; `bearer_keys`: secrets. No repr has them.
    - `rate`: launches of one owner, as the library `limits` writes it; empty for no limit.
    - `refusals`: requests of one address that are told why they are refused, likewise.
    - `sessions_per_key`: sessions of one owner at once; 0 for no limit.
    - `room_policy`: what happens to the face in a room for which another is asked.
    - `allowed_hosts`: what the Host header may say; empty where nobody has said.
    - `forwarded_allow_ips`: proxies whose X-Forwarded-For is believed.
    - `admin_host`, `admin_port`: where operators' programs ask, see dispatcher/http/admin.py.
    - `worker_memory_mb`: the memory that one worker may have; 0 for no limit.
    - `redis_url`: where the ledger is; empty for one machine alone. No repr has it.
    - `seal_keys`: Fernet keys, the newest first. No repr has them.
    - `node_name`: under which this host's slots are known.
    - `lease_s`: how long a node may be silent until its sessions are served elsewhere.
    - `protect`: the pod of Kubernetes to mark while it has sessions, see
      dispatcher/node/kubernetes.py.
    - `log_level`, `log_format`, `tracing`: what is said of all this, and how.
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
        get = environ.get
        default = cls()
        drain_s, admin_port = (3600, 8091) if node else (int(default.drain_s), default.admin_port)
        keys = {name: _keys(environ, f"AVATAR_{name}_KEYS") for name in ("JWT", "BASIC", "BEARER")}
        settings = cls(
            host=get("AVATAR_HOST", default.host),
            port=_whole(environ, "AVATAR_PORT", default.port, range(65_536)),
            slots=_whole(environ, "AVATAR_SLOTS", cpus().slots, range(1, MAX_SLOTS + 1)),
            warm=_whole(environ, "AVATAR_WARM", default.warm, range(MAX_SLOTS + 1)),
            signaling_hosts=_hosts(get("AVATAR_SIGNALING_HOSTS", PLATFORM)),
            drain_s=_whole(environ, "AVATAR_DRAIN_S", drain_s, range(4 * 3600 + 1)),
            log_level=_choice(environ, "AVATAR_LOG_LEVEL", default.log_level, LEVELS),
            auth=_modes(get("AVATAR_AUTH", ""), {name for name in keys if keys[name]}),
            jwt_keys=_pairs(keys["JWT"], "AVATAR_JWT_KEYS", "apikey:secret", MIN_JWT_SECRET),
            basic_keys=_pairs(keys["BASIC"], "AVATAR_BASIC_KEYS", "user:password", MIN_SECRET),
            bearer_keys=_bearers(keys["BEARER"]),
            rate=_rate(environ, "AVATAR_RATE", default.rate),
            refusals=_rate(environ, "AVATAR_REFUSALS", default.refusals),
            sessions_per_key=_whole(environ, "AVATAR_SESSIONS_PER_KEY", 0, range(10_001)),
            room_policy=cast(
                RoomPolicy,
                _choice(environ, "AVATAR_ROOM_POLICY", default.room_policy, ROOM_POLICIES),
            ),
            allowed_hosts=_header_hosts(get("AVATAR_ALLOWED_HOSTS", "")),
            forwarded_allow_ips=_networks(get("AVATAR_FORWARDED_ALLOW_IPS", "")),
            admin_host=get("AVATAR_ADMIN_HOST", default.admin_host),
            admin_port=_whole(environ, "AVATAR_ADMIN_PORT", admin_port, range(65_536)),
            worker_memory_mb=_whole(environ, "AVATAR_WORKER_MEMORY_MB", 0, range(2**20)),
            redis_url=_redis(_only(environ, "AVATAR_REDIS_URL")),
            seal_keys=_seals(_keys(environ, "AVATAR_SEAL_KEYS")),
            node_name=_node_name(get("AVATAR_NODE_NAME") or socket.gethostname()),
            lease_s=_seconds(environ, "AVATAR_LEASE_S", default.lease_s, 0.5, 300.0),
            protect=Pod.from_env(environ)
            if _choice(environ, "AVATAR_PROTECT", "off", ("off", "cost")) == "cost"
            else None,
            log_format=cast(
                Literal["text", "json"],
                _choice(environ, "AVATAR_LOG_FORMAT", "text", ("text", "json")),
            ),
            tracing=_choice(environ, "AVATAR_TRACING", "off", ("off", "on")) == "on",
        )
        if settings.redis_url and not settings.seal_keys:
            raise SettingsError(
                "AVATAR_REDIS_URL needs AVATAR_SEAL_KEYS, which seals the join requests there."
            )
        return settings


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


def _rate(environ: Mapping[str, str], name: str, default: str) -> str:
    text = environ.get(name, default)
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
    """Addresses and networks; never ``*``, with which anybody may say that he is somebody else."""
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


def _choice(environ: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = environ.get(name, default)
    if text not in allowed:
        raise SettingsError(f"{name} is {text!r}; it has to be one of {', '.join(allowed)}.")
    return text


def _whole(environ: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) not in allowed:
        raise SettingsError(
            f"{name} is {text!r}; it has to be a whole number "
            f"from {allowed.start} to {allowed.stop - 1}."
        )
    return int(text)


def _seconds(
    environ: Mapping[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        raise SettingsError(f"{name} is {text!r}; it has to be seconds from {least:g} to {most:g}.")
    return seconds
