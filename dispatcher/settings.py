"""Settings: what an operator of the dispatcher may choose, read from the environment once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from dispatcher.errors import SettingsError

PLATFORM: Final = "api.videosdk.live"
"""VideoSDK's signalling host, to which a request leads that names none."""

HOST: Final = re.compile(r"(?=.{1,253}(?::|$))[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
"""A host name or IPv4 address, and a port or none."""

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_SLOTS: Final = 256


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose. Each field is an environment variable, ``AVATAR_<FIELD>``.

    - `host`, `port`: where to listen; port 0 takes a free one.
    - `slots`: sessions at once on this machine; two for each core if it is not said.
    - `warm`: workers that wait, made ready, for the next session.
    - `signaling_hosts`: the signalling hosts, ``host`` or ``host:port``, to which a join
      request may lead; a request that names none leads to the first.
    - `drain_s`: how long the sessions may speak out when the dispatcher is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8089
    slots: int = 2
    warm: int = 2
    signaling_hosts: tuple[str, ...] = (PLATFORM,)
    drain_s: float = 15.0
    log_level: str = "INFO"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """The settings in `environ`. Raises SettingsError that names the variable."""
        get = environ.get
        default = cls()
        slots = _whole(environ, "AVATAR_SLOTS", 2 * (os.cpu_count() or 1), range(1, MAX_SLOTS + 1))
        level = get("AVATAR_LOG_LEVEL", default.log_level)
        if level not in LEVELS:
            raise SettingsError(
                f"AVATAR_LOG_LEVEL is {level!r}; it has to be one of {', '.join(LEVELS)}."
            )
        return cls(
            host=get("AVATAR_HOST", default.host),
            port=_whole(environ, "AVATAR_PORT", default.port, range(65_536)),
            slots=slots,
            warm=_whole(environ, "AVATAR_WARM", default.warm, range(MAX_SLOTS + 1)),
            signaling_hosts=_hosts(get("AVATAR_SIGNALING_HOSTS", PLATFORM)),
            drain_s=_whole(environ, "AVATAR_DRAIN_S", int(default.drain_s), range(3601)),
            log_level=level,
        )


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(each.strip().lower() for each in text.split(","))
    if not all(HOST.fullmatch(host) for host in hosts):
        raise SettingsError(
            f"AVATAR_SIGNALING_HOSTS is {text!r}; it has to be host or host:port, "
            "several with commas between them."
        )
    return hosts


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
