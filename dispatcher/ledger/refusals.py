"""Refusals: an item from outside that cannot be read is left out, counted, logged with its key.

Whatever comes out of Redis or of a worker's pipe is read by itself, into a value or a refusal, so
that one bad item ends nothing but itself. The checks here raise `Unreadable`; the reader of an
item catches that, calls `refuse`, and goes on with the next one.
"""

import logging
import re
import time
from typing import Final

from dispatcher import metrics
from dispatcher.errors import Unreadable

MOST: Final = 2**53
"""Whole numbers from here on are not exact in Lua, and nothing here counts so far."""

MAX_MOMENT_MS: Final = 253_402_300_799_000
"""The last moment that a calendar has (31 December 9999), in ms of Unix time."""

MAX_TEXT: Final = 2**20
"""The longest text of a record (characters); nothing that is written here comes near."""

MAX_COUNTERS: Final = 256
"""How many things a session counts at most."""

LOG_AGAIN_S: Final = 10.0
"""How long the same refusal is not logged again."""

MOST_LOGGED: Final = 16
"""Refusals that are logged in that time."""

LONGEST_KEY: Final = 160
"""Of a key as it is logged (characters)."""

WHOLE: Final = re.compile(r"[0-9]{1,16}")

logger = logging.getLogger("avatar.dispatcher.refusals")

_logged: dict[tuple[str, str], float] = {}
"""Which refusals were logged lately, and when."""


def refuse(kind: str, key: str, why: str) -> None:
    """Count that the item under `key` was left out, and log it, each once in a while.

    `kind` is one of `metrics.UNREADABLE`; anything else counts as a record.
    """
    metrics.UNREADABLE[kind if kind in metrics.UNREADABLE else "record"].inc()
    shown, now = ascii(key)[1:-1][:LONGEST_KEY], time.monotonic()
    for old in [each for each, since in _logged.items() if now - since >= LOG_AGAIN_S]:
        del _logged[old]
    if (kind, shown) not in _logged and len(_logged) < MOST_LOGGED:
        _logged[kind, shown] = now
        reason = ascii(why)[1:-1]
        logger.error("a %s is left out, as it cannot be read (%s): %s", kind, shown, reason)


def text(value: object, name: str) -> str:
    """`value` where it is a text. Raises Unreadable.

    What was no UTF-8 in Redis has surrogates here, which nothing can be encoded with.
    """
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Unreadable(f"Its {name} is no text.")
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise Unreadable(f"Its {name} is no UTF-8.")
    return value


def whole(value: object, name: str, most: int = MOST) -> int:
    """`value` as a number from 0 on, which is below `most`. Raises Unreadable."""
    if isinstance(value, str) and WHOLE.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 0 <= value < most:
        raise Unreadable(f"Its {name} is no whole number below {most}.")
    return value


def counters(value: object) -> dict[str, int]:
    """`value` as what a session has counted. Raises Unreadable."""
    if not isinstance(value, dict) or len(value) > MAX_COUNTERS:
        raise Unreadable("Its counters are none.")
    return {text(name, "counters"): whole(count, "counters") for name, count in value.items()}


def moment(value: object, name: str) -> float:
    """`value`, in ms of Unix time, as seconds. Raises Unreadable."""
    return whole(value, name, MAX_MOMENT_MS) / 1000
