"""The variables named AVATAR_*: which there are, and which of an environment are none of them.

A name that nothing reads would change nothing without a word, so it is said, with the nearest name
that there is. Kubernetes puts the addresses of its services into the environment of every
container; those of a service called ``avatar`` look like ours and are left alone.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Final

from avatar_runtime.settings.kinds import PREFIX
from avatar_runtime.settings.table import KNOWN

NEAR: Final = 0.65
"""How alike two names are, without the prefix, of which one may be meant for the other (1: equal).
Two letters that are swapped in a name of four, such as PROT, are 0.75."""

SERVICE: Final = re.compile(
    r"AVATAR(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""What Kubernetes calls the variables of its services, but for the one below."""

LINK: Final = re.compile(r"(tcp|udp|sctp)://\S+")
"""The value of ``<SERVICE>_PORT`` there: an address, where ours is a number."""


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes has set that variable for one of its services."""
    if SERVICE.fullmatch(name) and name not in KNOWN:
        return True
    return name.endswith("_PORT") and LINK.fullmatch(value) is not None


def own(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without the links of services, such as AVATAR_PORT=tcp://10.0.0.7:8089."""
    return {
        name: value
        for name, value in environ.items()
        if not (name.startswith(PREFIX) and is_service_link(name, value))
    }


def doubts(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each AVATAR_* in `environ` that has no effect and was meant to have one."""
    return [
        _linked(name) if name in KNOWN else _unknown(name)
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX)
        and (is_service_link(name, value) if name in KNOWN else not is_service_link(name, value))
    ]


def _linked(name: str) -> str:
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"{name} is the address of a service called {service!r}, which Kubernetes has set, and is "
        "not used; set enableServiceLinks: false in the pod, or give the service another name"
    )


def _unknown(name: str) -> str:
    ends = [each.removeprefix(PREFIX) for each in sorted(KNOWN)]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), ends, 1, NEAR)
    meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
    return f"{name} is no setting and has no effect{meant}"
