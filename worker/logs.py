"""What a worker logs, and what it keeps quiet."""

import logging
from typing import Final

QUIET: Final = {
    "": logging.WARNING,
    "videosdk": logging.CRITICAL,
    "websockets": logging.WARNING,
    "vsaiortc": logging.WARNING,
    "aioice": logging.WARNING,
    "urllib3": logging.WARNING,
    "httpx": logging.WARNING,
}
"""The least level of other people's loggers. The SDK logs payloads, and addresses that contain
the token, even in its errors; what is worth knowing of those the worker says itself.
``websockets`` logs the address at DEBUG, ``httpx`` at INFO."""


def set_up(level: str) -> None:
    """Log to stderr, our own loggers from `level` on, others where they are harmless."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=QUIET[""], force=True
    )
    quiet()
    logging.getLogger("avatar").setLevel(level)


def quiet() -> None:
    """Keep other people's loggers to what is harmless."""
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)
