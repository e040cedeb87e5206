"""What the dispatcher and the node log, how, and about whom."""

import hashlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

import structlog
from opentelemetry.trace import get_current_span

from agent_side.join import redact
from avatar_runtime.variables import doubts
from dispatcher.ledger.record import SessionRecord

TEXT: Final = "%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s"

IN_TEXT: Final = ("session_id", "request_id")
"""What a line of text says of whom it is about; an object says all that is known."""

TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""A traceparent (W3C Trace Context); the first group is the trace's id."""

_for_machines = False


def set_up(level: str, form: str = "text") -> None:
    """Log to stderr, our own loggers from `level` on, others' warnings only.

    `form` is text, or json: one object a line. Either says whose request or session it is about.
    """
    global _for_machines
    _for_machines = form == "json"
    handler = logging.StreamHandler()
    handler.setFormatter(Redacted(as_json() if _for_machines else Text(TEXT)))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    logging.getLogger("avatar").setLevel(level)


def about(session: SessionRecord, traceparent: str | None = None) -> None:
    """Which session this task is about from now on, and those that it begins.

    `traceparent` says its trace, where that was begun by another process.
    """
    facts: dict[str, str | int] = {
        "session_id": session.session_id,
        "epoch": session.epoch,
        "room_hash": hash_of(session.room),
    }
    if session.slot:
        facts["slot"] = session.slot
    if traced := TRACE.fullmatch(traceparent or ""):
        facts["trace_id"] = traced[1]
    structlog.contextvars.bind_contextvars(**facts)


def begin(environ: Mapping[str, str]) -> None:
    """Before the settings are read: log as far as `environ` says how, and say which of its
    variables have no effect, as one may be what the settings then lack."""
    level = environ.get("AVATAR_LOG_LEVEL", "INFO")
    known = level if level in logging.getLevelNamesMapping() else "INFO"
    set_up(known, environ.get("AVATAR_LOG_FORMAT", "text"))
    for doubt in doubts(environ):
        logging.getLogger("avatar.dispatcher").warning("%s", doubt)


def last_words(program: str, reason: str) -> None:
    """Why the program gives up: a line for whoever has started it, or an object like all others."""
    if _for_machines:
        logging.getLogger("avatar.dispatcher").critical("%s: %s", program, reason)
    else:
        # Nobody reads it, its disk is full, or it was closed.
        with suppress(OSError, AttributeError):
            sys.stderr.write(f"{program}: {redact(reason)}\n")


def hash_of(room: str) -> str:
    """What stands for a room where its name says too much, or is too long."""
    return hashlib.sha256(room.encode()).hexdigest()[:12]


class Text(logging.Formatter):
    """A line for people: ``... avatar.dispatcher.app [session_id=1f request_id=5b]: message``."""

    def format(self, record: logging.LogRecord) -> str:
        facts = structlog.contextvars.get_contextvars()
        known = " ".join(f"{name}={facts[name]}" for name in IN_TEXT if name in facts)
        record.about = f" [{known}]" if known else ""
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
            structlog.contextvars.merge_contextvars,
            _say_trace,
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


def _say_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    span = get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("trace_id", f"{span.trace_id:032x}")
    return event
