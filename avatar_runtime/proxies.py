"""Loopback is asked directly: what the environment says of proxies is for other hosts.

The SDK asks through `requests` and `websockets`, the exporter of traces through `requests`. Both
send what is for 127.0.0.1 to HTTPS_PROXY or ALL_PROXY unless NO_PROXY lists it, and the room and
the collector beside us cannot be reached through a proxy on another host.
"""

from collections.abc import Mapping
from typing import Final

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

NAMES: Final = ("NO_PROXY", "no_proxy")
"""Both, as each library prefers another one of them."""


def direct_loopback(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with which every library asks loopback directly, and others as before."""
    listed = [
        each.strip() for name in NAMES for each in environ.get(name, "").split(",") if each.strip()
    ]
    text = ",".join(dict.fromkeys([*listed, *LOOPBACK]))
    return dict.fromkeys(NAMES, text)
