"""What a worker logs, how, and what it keeps quiet."""

import hashlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

import structlog

from agent_side.join import redact
from avatar_runtime.variables import doubts
from worker.process.assignment import Assignment

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
the token, even in its errors; what is worth knowing of those the worker says itself.
``websockets`` logs the address at DEBUG, ``httpx`` at INFO."""

TEXT: Final = "%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s"

TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""A traceparent (W3C Trace Context); the first group is the trace's id."""

_about: dict[str, str | int] = {}
_for_machines = False


def set_up(level: str, form: str = "text") -> None:
    """Log to stderr, our own loggers from `level` on, others where they are harmless.

    `form` is text, or json: one object a line. Either says whose session it is about.
    """
    global _for_machines
    _for_machines = form == "json"
    handler = logging.StreamHandler()
    handler.setFormatter(Redacted(as_json() if _for_machines else Text(TEXT)))
    logging.basicConfig(handlers=[handler], level=QUIET[""], force=True)
    quiet()
    logging.getLogger("avatar").setLevel(level)


def begin(environ: Mapping[str, str]) -> None:
    """Before the settings are read: log as far as `environ` says how, and say which of its
    variables have no effect, as one may be what the settings then lack."""
    level = environ.get("AVATAR_LOG_LEVEL", "INFO")
    known = level if level in logging.getLevelNamesMapping() else "INFO"
    set_up(known, environ.get("AVATAR_LOG_FORMAT", "text"))
    for doubt in doubts(environ):
        logging.getLogger("avatar.worker").warning("%s", doubt)


def last_words(reason: str) -> None:
    """Why the worker gives up: a line for whoever has started it, or an object like all others."""
    if _for_machines:
        logging.getLogger("avatar.worker").critical("%s", reason)
    else:
        # Nobody reads it, its disk is full, or it was closed.
        with suppress(OSError, AttributeError):
            sys.stderr.write(f"worker{_in_text()}: {reason}\n")


def quiet() -> None:
    """Keep other people's loggers to what is harmless."""
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)


def about(assignment: Assignment, room: str) -> None:
    """Which session every later line is about: a worker has but one, in all its threads."""
    facts = {**asdict(assignment), "room_hash": hash_of(room)}
    trace = TRACE.fullmatch(facts.pop("traceparent") or "")
    _about.update({name: fact for name, fact in facts.items() if fact})
    if trace:
        _about["trace_id"] = trace[1]


def hash_of(room: str) -> str:
    """What stands for a room where its name says too much, or is too long."""
    return hashlib.sha256(room.encode()).hexdigest()[:12]


def _in_text() -> str:
    """Whose line it is, for people; an object says all that is known."""
    return f" [session_id={_about['session_id']}]" if "session_id" in _about else ""


class Text(logging.Formatter):
    """A line for people: ``... avatar.worker.session [session_id=1f]: message``."""

    def format(self, record: logging.LogRecord) -> str:
        record.about = _in_text()
        return super().format(record)


class Redacted(logging.Formatter):
    """The last line of defence: whatever a line was to say, no token gets out in it."""

    def __init__(self, form: logging.Formatter) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._form.format(record))


def as_json() -> logging.Formatter:
    """One object a line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _say_about,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


def _say_about(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.update(_about)
    return event
