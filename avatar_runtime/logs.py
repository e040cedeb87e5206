"""What our programs log, how, and what never gets into a log.

Lines go to stderr, as text for people or as one JSON object each. Each says which session or
request it is about: in a worker, which has a single session, in all of its threads
(`about_process`); in a dispatcher or a node in one task and those that it starts (`about_task`).
"""

import hashlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

import structlog

from agent_side.join import redact
from avatar_runtime.messages.commands import Assignment
from avatar_runtime.variables import doubts

QUIET: Final = {
    "": logging.WARNING,
    "videosdk": logging.CRITICAL,
    "websockets": logging.WARNING,
    "vsaiortc": logging.WARNING,
    "aioice": logging.WARNING,
    "urllib3": logging.WARNING,
    "httpx": logging.WARNING,
    "opentelemetry": logging.ERROR,
}
"""The least level of other people's loggers. The SDK logs payloads, and addresses that contain
the token, even in its errors; what matters of those the worker logs itself. ``websockets`` logs
the address at DEBUG, ``httpx`` at INFO."""

TEXT: Final = "%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s"

IN_TEXT: Final = ("session_id", "request_id")
"""The facts that a line of text has; an object has all of them."""

TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""A traceparent (W3C Trace Context); the first group is the trace's id."""

_of_process: dict[str, str | int] = {}
_as_json = False


def set_up(level: str, form: str = "text") -> None:
    """Log to stderr, our own loggers from `level` on, others as `QUIET` says; `form` is text or
    json."""
    global _as_json
    _as_json = form == "json"
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(_json() if _as_json else TextFormatter(TEXT)))
    logging.basicConfig(handlers=[handler], level=QUIET[""], force=True)
    quiet()
    logging.getLogger("avatar").setLevel(level)


def begin(environ: Mapping[str, str], logger: str) -> None:
    """Before the settings are read: log as `environ` says, and warn on `logger` of its variables
    that have no effect, as one may be what the settings then lack."""
    level = environ.get("AVATAR_LOG_LEVEL", "INFO")
    known = level if level in logging.getLevelNamesMapping() else "INFO"
    set_up(known, environ.get("AVATAR_LOG_FORMAT", "text"))
    for doubt in doubts(environ):
        logging.getLogger(logger).warning("%s", doubt)


def quiet() -> None:
    """Keep other people's loggers to what is harmless."""
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)


def last_words(program: str, reason: str, logger: str) -> None:
    """Why the program gives up: a line of text on stderr, or an object of `logger` like others."""
    if _as_json:
        logging.getLogger(logger).critical("%s: %s", program, reason)
        return
    with suppress(OSError, AttributeError):  # stderr is closed, or its disk is full
        sys.stderr.write(f"{program}{_in_text()}: {redact(reason)}\n")


def about_process(assignment: Assignment, room: str) -> None:
    """All lines of this process are about that session from now on."""
    _of_process.update(_facts(assignment, room))


def about_task(assignment: Assignment, room: str) -> None:
    """The lines of this task, and of those that it starts, are about that session from now on."""
    structlog.contextvars.bind_contextvars(**_facts(assignment, room))


def hash_of(room: str) -> str:
    """What stands for a room's name, which may be private or long."""
    return hashlib.sha256(room.encode()).hexdigest()[:12]


def _facts(assignment: Assignment, room: str) -> dict[str, str | int]:
    """What is known of the session, without what is empty."""
    trace = TRACE.fullmatch(assignment.traceparent or "")
    facts = {
        "session_id": assignment.session_id,
        "epoch": assignment.epoch,
        "slot": assignment.slot,
        "room_hash": hash_of(room),
        "trace_id": trace[1] if trace else "",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _known() -> dict[str, Any]:
    return {**_of_process, **structlog.contextvars.get_contextvars()}


def _in_text() -> str:
    """Such as `` [session_id=1f request_id=5b]``; empty where neither is known."""
    facts = _known()
    known = " ".join(f"{name}={facts[name]}" for name in IN_TEXT if name in facts)
    return f" [{known}]" if known else ""


class TextFormatter(logging.Formatter):
    """A line for people: ``... avatar.dispatcher.app [session_id=1f request_id=5b]: message``."""

    def format(self, record: logging.LogRecord) -> str:
        record.about = _in_text()
        return super().format(record)


class RedactingFormatter(logging.Formatter):
    """The last line of defence: whatever a line contains, no token gets out in it."""

    def __init__(self, form: logging.Formatter) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._form.format(record))


def _json() -> logging.Formatter:
    """One object a line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _add_facts,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


def _add_facts(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.update(_known())
    return event
