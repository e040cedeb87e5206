"""What a dispatcher sends to a worker: its join command, and what changes of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from agent_side.join import JoinInfo, parsed
from avatar_runtime.messages.encoding import MessageError, all_fields, to_line


class RenewalError(MessageError):
    """A renewal whose join request cannot be used. It is acknowledged by its `serial` all the
    same, as the dispatcher sends it again until then."""

    def __init__(self, text: str, serial: int) -> None:
        super().__init__(text)
        self.serial = serial


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which session a worker serves; empty where no dispatcher has given it one.

    `epoch` is 1 for a session's first owner and rises with each new one, `slot` is the slot
    that it has there, `traceparent` (W3C Trace Context) the span in which it was launched.
    """

    session_id: str = ""
    epoch: int = 0
    slot: str = ""
    traceparent: str | None = None

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        """The assignment in a join command; what is missing or wrong there is empty."""
        given = message.get("assignment")
        if not isinstance(given, dict):
            return cls()
        epoch = given.get("epoch")
        return cls(
            session_id=_text_or_empty(given, "session_id"),
            epoch=epoch if type(epoch) is int and epoch >= 0 else 0,
            slot=_text_or_empty(given, "slot"),
            traceparent=_text_or_empty(given, "traceparent") or None,
        )


@dataclass(frozen=True, slots=True)
class JoinCommand:
    """Dispatcher to worker, its first line: join this meeting, for this session. Whoever starts
    a worker by hand sends the join request alone."""

    join: JoinInfo
    assignment: Assignment = Assignment()

    def encode(self) -> bytes:
        return to_line(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {**self.join.to_dict(), "assignment": all_fields(self.assignment)}

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Raises ValueError with JoinInfo's sentence where the join request cannot be used."""
        return cls.from_dict(parsed(line))

    @classmethod
    def from_dict(cls, message: Any) -> Self:
        """As `decode`, of a line that is parsed already."""
        return cls(JoinInfo.from_dict(message), Assignment.of(message))


@dataclass(frozen=True, slots=True)
class Renewal:
    """Dispatcher to worker, until it is acknowledged: the session's newest join request, with
    which the worker joins anew when it has to, and whose agent it obeys at once. `serial` counts
    the renewals of one worker, from 1."""

    serial: int
    command: JoinCommand

    def encode(self) -> bytes:
        return to_line({**self.command.to_dict(), "renewal": self.serial})


@dataclass(frozen=True, slots=True)
class Permission:
    """Dispatcher to worker, until it is acknowledged: it may join its meeting anew. `serial` is
    that of the PermissionRequest which it answers; the worker obeys no other."""

    serial: int

    def encode(self) -> bytes:
        return to_line({"permission": self.serial})


Command = Renewal | Permission


def decode_command(line: bytes) -> Command:
    """A command that follows the JoinCommand. Raises MessageError."""
    try:
        message: dict[str, Any] = json.loads(line)
        if "permission" in message:
            return Permission(int(message["permission"]))
        serial = int(message["renewal"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise MessageError(f"a command cannot be read ({type(error).__name__})") from error
    try:
        return Renewal(serial, JoinCommand.from_dict(message))
    except ValueError as error:
        raise RenewalError(f"a renewed join request cannot be used: {error}", serial) from error


def _text_or_empty(given: Mapping[str, object], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""
