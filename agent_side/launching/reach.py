"""How a dispatcher is reached: directly or through a proxy, and whose certificates are trusted.

These rules replace those of httpx, which sends requests for loopback to a proxy and raises
errors of its own for what it cannot read in the environment.
"""

import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies

if TYPE_CHECKING:
    import httpx

SCHEMES: Final = {"socks": "socks5"}
"""Desktops write ``socks://``, which the library does not know."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its `url`, which may have a password in it, and the `variable` that names it."""

    url: str
    variable: str

    def __str__(self) -> str:
        """For errors and logs: without user and password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('/')[0]} of {self.variable}"


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself, however it is written: localhost, 127.1, [::1], 0."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (address.is_loopback or address.is_unspecified)


def proxy_for(address: "httpx.URL") -> Proxy | None:
    """The proxy that the environment names for `address`; None to ask directly.

    Loopback is asked directly, whatever the environment says.
    """
    proxies = getproxies()
    kind = address.scheme if proxies.get(address.scheme) else "all"
    url = proxies.get(kind)
    if not url or is_loopback(address.host):
        return None
    port = address.port or {"http": 80, "https": 443}[address.scheme]
    if _is_excluded(address.host, port, proxies.get("no", "")):
        return None
    scheme, _, rest = (url if "://" in url else f"http://{url}").partition("://")
    return Proxy(f"{SCHEMES.get(scheme.lower(), scheme)}://{rest}", _variable(kind))


def certificates() -> ssl.SSLContext:
    """The authorities that are trusted: those of SSL_CERT_FILE or SSL_CERT_DIR, or the library's.

    Raises OSError where that file cannot be read or has no certificate in it.
    """
    import httpx

    context: ssl.SSLContext = httpx.create_ssl_context()
    return context


def _variable(kind: str) -> str:
    """The variable that says it; a name in small letters counts more than one in capitals."""
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "the system's settings")


def _is_excluded(host: str, port: int, no_proxy: str) -> bool:
    return any(_excludes(each.strip().lower(), host, port) for each in no_proxy.split(","))


def _excludes(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY is about `host`: ``*``, a name, an address or a network.

    A name is for those that end in it, too. An entry with a port is for that port alone.
    """
    if entry in ("", "*"):
        return entry == "*"
    name, wanted = _split(entry)
    if wanted not in ("", str(port)):
        return False
    address, host = _address(host), host.rstrip(".").lower()
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    suffix = name.lstrip("*").strip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _split(entry: str) -> tuple[str, str]:
    """(name, port) of ``name``, ``name:port``, ``[address]:port`` or a bare IPv6 address."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is, in any form that the system takes; None for a name."""
    host = host.strip("[]").partition("%")[0]
    try:
        if ":" in host:
            address = ipaddress.IPv6Address(host)
            return address.ipv4_mapped or address
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
