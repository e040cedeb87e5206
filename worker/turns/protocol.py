"""The TurnTaking port: what one version of the protocol makes of an agent's messages."""

from collections.abc import Callable
from typing import Protocol

from agent_side.wire import Message
from worker.turns.playout import Ended

Handed = Callable[[int], int]
"""Samples of a segment, at 24 kHz, that were handed to the tracks."""


class TurnTaking(Protocol):
    """Turns the messages of the one agent that is obeyed into segments of speech.

    Holds no socket and no clock: messages and the time go in, segments are opened, filled,
    closed and cut in `SegmentQueue`, and `outgoing` holds the messages for the agent.
    A choice of version is a file in ``worker/turns/``.
    """

    gaps: int
    """How often speech came behind a hole, as far as that can be known."""

    outgoing: list[Message]
    """Messages for the agent, in order; whoever sends them empties the list."""

    @property
    def unacked(self) -> int:
        """Turns whose end the agent has not acknowledged yet."""

    def receive(self, message: Message, now: float) -> bool:
        """A message of the agent. Returns False where it means nothing in this version."""

    def started(self, segment: int, now: float) -> None:
        """The segment begins to be heard."""

    def ended(self, ended: Ended, now: float) -> None:
        """The segment will not be heard any further. Called once for each, in order."""

    def advance(self, now: float) -> None:
        """Time passes; called at every tick."""

    def accept_no_turn(self) -> None:
        """The worker is about to leave: refuse turns that have not begun."""

    def release(self) -> None:
        """The agent is gone: close what is open with what is here, and drop its messages."""
