"""Sender: what hands the turns to a worker in the version that the worker reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from agent_side.turn_buffer import Turn
from agent_side.wire import MAX_CHUNK_PCM, Message

WINDOW_S: Final = 0.4
"""Speech is sent at most so far ahead of what was heard, so an interrupt waits behind little.

The delay of the network is added to it, or the worker would run out of speech on a slow one.
"""

CHUNK_S: Final = 0.04
"""Speech is sent in pieces of this length: one picture's worth."""


def _nothing(now: float) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send, and what follows once it has been sent."""

    message: Message
    when_sent: Callable[[float], None] = _nothing


class Sender(Protocol):
    """Sends the turns of a `TurnBuffer`. Holds no clock: the caller passes the time."""

    @property
    def takes_turns(self) -> bool:
        """The worker takes turns that have not begun."""

    def next_speech(self, now: float) -> Outgoing | None:
        """The next piece or end of a turn; None while nothing may be sent."""

    def interrupt(self, dead: list[Turn], now: float) -> bool:
        """The worker has to drop these turns, in order. False where it knows none of them."""

    def expire(self, now: float) -> None:
        """End the turns for which no ack will come."""

    def reached(self, now: float) -> dict[int, int]:
        """For each turn the sample at which another worker continues."""


def piece_samples(rate: int) -> int:
    """Samples in one piece of speech."""
    return min(int(CHUNK_S * rate), MAX_CHUNK_PCM // 2)
