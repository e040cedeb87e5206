"""What a worker reports to its dispatcher: lines of JSON, each with its state."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, NamedTuple

from agent_side.join import redact
from avatar_runtime.messages.encoding import MessageError, all_fields, given_fields, to_line

MAX_REASON: Final = 2000
"""A longer reason is cut (characters)."""

MAX_TEXT: Final = 2**20
MAX_WHOLE: Final = 2**53
MAX_COUNTERS: Final = 256

MAX_WITHIN_S: Final = 3600.0
"""The longest time to join that a worker may ask for."""


@dataclass(frozen=True, slots=True)
class Serials:
    """Which commands a worker has received: the newest of each kind; -1 for none yet."""

    renewal: int = -1
    permission: int = -1

    def to_dict(self) -> dict[str, int]:
        return {name: serial for name, serial in all_fields(self).items() if serial >= 0}


class _StateReport:
    """A line of JSON: the state, and all fields that are given. No secret gets out in a reason."""

    state: ClassVar[str]

    def encode(self) -> bytes:
        message: dict[str, Any] = {"state": self.state}
        for name, value in given_fields(self).items():
            if isinstance(value, Serials):
                value = value.to_dict()
            elif name == "reason":
                value = redact(value)
            if value or name != "acknowledged":
                message[_FIELDS[name].key] = value
        return to_line(message)


@dataclass(frozen=True, slots=True)
class WorkerIdle(_StateReport):
    """Worker to dispatcher, once: it is warm and waits for a JoinCommand."""

    state = "idle"


@dataclass(frozen=True, slots=True)
class WorkerJoining(_StateReport):
    """Worker to dispatcher, once: it has accepted the JoinCommand, and joins the meeting within
    `within_s` or exits."""

    state = "joining"
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerActive(_StateReport):
    """Worker to dispatcher, each time that it is in the meeting."""

    state = "active"


@dataclass(frozen=True, slots=True)
class WorkerRejoining(_StateReport):
    """Worker to dispatcher: it has lost its meeting, for that reason, and joins it anew."""

    state = "rejoining"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PermissionRequest(_StateReport):
    """Worker to dispatcher, before it joins anew: somebody else may serve the session by now. It
    waits for the Permission of the same serial. `serial` counts its requests, from 1."""

    state = "asking"
    serial: int


@dataclass(frozen=True, slots=True)
class CounterReport(_StateReport):
    """Worker to dispatcher, every second and before it ends: all that its session has counted.
    Dropped where the dispatcher does not read."""

    state = "counters"
    counters: Mapping[str, int]
    acknowledged: Serials = Serials()


@dataclass(frozen=True, slots=True)
class Acknowledgement(_StateReport):
    """Worker to dispatcher, after each command. Dropped where the dispatcher does not read; each
    CounterReport repeats it."""

    state = "heard"
    acknowledged: Serials = Serials()


@dataclass(frozen=True, slots=True)
class WorkerEnded(_StateReport):
    """Worker to dispatcher, before it exits: why."""

    state = "ended"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerDismissed(_StateReport):
    """Worker to dispatcher, before it exits: the meeting's server has removed it."""

    state = "dismissed"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PartDegraded(_StateReport):
    """Worker to dispatcher: `part`, which a face does not need, has failed."""

    state = "degraded"
    part: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PartRestored(_StateReport):
    """Worker to dispatcher: `part` works again."""

    state = "restored"
    part: str


WorkerReport = (
    WorkerIdle
    | WorkerJoining
    | WorkerActive
    | WorkerRejoining
    | PermissionRequest
    | CounterReport
    | Acknowledgement
    | WorkerEnded
    | WorkerDismissed
    | PartDegraded
    | PartRestored
)

_REPORTS: Final[Mapping[str, type[WorkerReport]]] = {
    each.state: each for each in WorkerReport.__args__
}


def decode_report(line: bytes) -> WorkerReport | None:
    """A worker's report; None for what a library has printed. Raises MessageError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or "state" not in message:
        return None
    state = message["state"]
    kind = _REPORTS.get(state) if isinstance(state, str) else None
    if kind is None:
        raise MessageError("Its state is none.")
    names = [each.name for each in fields(kind)]
    return kind(**{name: _FIELDS[name].read(message.get(_FIELDS[name].key)) for name in names})


def _reason(value: object) -> str | None:
    return None if value is None else _text(value, "reason")[:MAX_REASON]


def _part(value: object) -> str:
    return _text(value, "part")


def _serial(value: object) -> int:
    return _whole(value, "serial")


def _within_s(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value <= MAX_WITHIN_S:
        raise MessageError(f"The time that it asks for is not from 0 to {MAX_WITHIN_S:g} s.")
    return float(value)


def _counters(value: object) -> Mapping[str, int]:
    value = {} if value is None else value
    if not isinstance(value, dict) or len(value) > MAX_COUNTERS:
        raise MessageError("Its counters are none.")
    return {_text(name, "counters"): _whole(count, "counters") for name, count in value.items()}


def _serials(value: object) -> Serials:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise MessageError("What it acknowledges is none.")
    names = [each.name for each in fields(Serials)]
    return Serials(**{name: _whole(value[name], name) for name in names if name in value})


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise MessageError(f"Its {name} is no text.")
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise MessageError(f"Its {name} is no UTF-8.")
    return value


def _whole(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value < MAX_WHOLE:
        raise MessageError(f"Its {name} is no whole number below {MAX_WHOLE}.")
    return value


class _ReportField(NamedTuple):
    """The `key` of a report's field in its JSON, and what reads its value or refuses it."""

    key: str
    read: Callable[[object], Any]


_FIELDS: Final[Mapping[str, _ReportField]] = {
    "reason": _ReportField("reason", _reason),
    "serial": _ReportField("serial", _serial),
    "within_s": _ReportField("within_s", _within_s),
    "part": _ReportField("part", _part),
    "counters": _ReportField("counters", _counters),
    "acknowledged": _ReportField("heard", _serials),
}
