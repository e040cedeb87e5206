"""Between a dispatcher and its zygote: packets of text, a word and numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, TypeVar, cast

from avatar_runtime.messages.encoding import MessageError

NUMBER: Final = re.compile(r"-?[0-9]{1,9}")


class _Packet:
    """A word and numbers, which are the fields."""

    verb: ClassVar[str]

    def encode(self) -> bytes:
        numbers = [str(getattr(self, each.name)) for each in fields(cast(Any, self))]
        return " ".join([self.verb, *numbers]).encode()


@dataclass(frozen=True, slots=True)
class Fork(_Packet):
    """Dispatcher to zygote, when it needs a warm worker. Two descriptors come with it: the socket
    that becomes the worker's stdin and stdout, and the memory in which it counts its metrics,
    which may be missing. The answer is WorkerForked, or WorkerExited where no process is free."""

    verb = "fork"
    slot: int


@dataclass(frozen=True, slots=True)
class Terminate(_Packet):
    """Dispatcher to zygote: send SIGTERM, with which a worker finishes its speech and leaves.
    Sent only where the dispatcher has no descriptor of the process, as are all signals."""

    verb = "term"
    slot: int


@dataclass(frozen=True, slots=True)
class Kill(_Packet):
    """Dispatcher to zygote: send SIGKILL to a worker."""

    verb = "kill"
    slot: int


@dataclass(frozen=True, slots=True)
class Ping(_Packet):
    """Dispatcher to zygote, every half second; the answer is the Pong of the same serial."""

    verb = "ping"
    serial: int


@dataclass(frozen=True, slots=True)
class ZygoteReady(_Packet):
    """Zygote to dispatcher, once: all is loaded that a worker needs."""

    verb = "ready"


@dataclass(frozen=True, slots=True)
class Pong(_Packet):
    """Zygote to dispatcher: everything sent before the Ping of that serial is done."""

    verb = "pong"
    serial: int


@dataclass(frozen=True, slots=True)
class WorkerForked(_Packet):
    """Zygote to dispatcher, after each Fork."""

    verb = "born"
    slot: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerExited(_Packet):
    """Zygote to dispatcher, when a worker is reaped. `status` is its exit status, below zero for a
    signal; where nothing could be forked, EX_OSERR."""

    verb = "died"
    slot: int
    status: int


Order = Fork | Terminate | Kill | Ping
ZygoteReport = ZygoteReady | Pong | WorkerForked | WorkerExited

_ORDERS: Final[Mapping[str, type[Order]]] = {each.verb: each for each in Order.__args__}
_ZYGOTE_REPORTS: Final[Mapping[str, type[ZygoteReport]]] = {
    each.verb: each for each in ZygoteReport.__args__
}

P = TypeVar("P")


def decode_order(packet: bytes) -> Order:
    """What the zygote has received. Raises MessageError."""
    return _unpack(packet, _ORDERS)


def decode_zygote_report(packet: bytes) -> ZygoteReport:
    """What the dispatcher has received from the zygote. Raises MessageError."""
    return _unpack(packet, _ZYGOTE_REPORTS)


def _unpack(packet: bytes, kinds: Mapping[str, type[P]]) -> P:
    verb, *numbers = packet.decode(errors="replace").split(" ")
    kind = kinds.get(verb)
    if kind is None or len(numbers) != len(fields(cast(Any, kind))):
        raise MessageError("It is no message between a dispatcher and its zygote.")
    if not all(map(NUMBER.fullmatch, numbers)) or (numbers and int(numbers[0]) < 0):
        raise MessageError("Its numbers cannot be used.")
    return kind(*map(int, numbers))
