"""Which packages of our extras are missing in this installation.

`pip install avatar-face` brings what an agent needs. What runs a face is in the extras
``worker``, ``dispatcher`` and ``localroom``.
"""

import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

DISTRIBUTION: Final = "avatar-face"

MEMBER: Final = re.compile(r"""^([\w.-]+).*;.*\bextra\s*==\s*['"]([\w-]+)['"]""")
"""A requirement of an extra, as the metadata have it: ``av<17,>=14; extra == 'worker'``."""


def missing(extras: Collection[str]) -> list[str]:
    """The packages of `extras` that are not installed, sorted.

    Empty where the distribution itself is not installed: nobody knows what it needs then.
    """
    try:
        needed = requires(DISTRIBUTION) or ()
    except PackageNotFoundError:
        return []
    members = (found.groups() for text in needed if (found := MEMBER.match(text)))
    return sorted({name for name, extra in members if extra in extras and not _installed(name)})


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
