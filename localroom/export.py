"""What a participant's environment needs: as a line for a shell, and as a file of variables."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from localroom.authority import replace_file
from localroom.server import Address

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def variables(address: Address, environ: Mapping[str, str]) -> dict[str, str]:
    """The certificate to trust, the room's addresses, and NO_PROXY, so that the room is reached
    directly whatever proxies `environ` names."""
    host = address.signaling_base_url.partition(":")[0]
    return {
        "REQUESTS_CA_BUNDLE": str(address.ca),
        "SIGNALING_BASE_URL": address.signaling_base_url,
        "LOCALROOM_CONTROL": address.control_url,
        **direct(environ, host),
    }


def direct(environ: Mapping[str, str], host: str = LOOPBACK[1]) -> dict[str, str]:
    """NO_PROXY of `environ` with `host` and loopback, under both its names."""
    names = ("NO_PROXY", "no_proxy")
    listed = ",".join(filter(None, (environ.get(name) for name in names))).split(",")
    entries = dict.fromkeys([*filter(None, map(str.strip, listed)), *LOOPBACK, host])
    return dict.fromkeys(names, ",".join(entries))


def shell_line(values: Mapping[str, str]) -> str:
    """The line that a shell can evaluate."""
    return "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())


def write_file(path: Path, values: Mapping[str, str]) -> None:
    """One ``NAME=value`` a line, for a shell, Docker or systemd; whole or not at all.

    Raises OSError.
    """
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    replace_file(path, text)
