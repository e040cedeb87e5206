"""The Meeting port: what a worker needs of the room that its face is in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from agent_side.wire import Message
from worker.media import AvatarFrame


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody is in the room, now or since before the worker came."""

    participant_id: str
    is_agent: bool


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody has left the room."""

    participant_id: str


@dataclass(frozen=True, slots=True)
class Received:
    """A packet of the data channel, decoded; `message` is None where it was none of ours."""

    sender: str
    message: Message | None


@dataclass(frozen=True, slots=True)
class Away:
    """The worker has lost its connection to the room and reconnects; `reason` says why.

    Until `Back`, nothing is heard or seen of it.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """The worker is connected to the room again. Participants are reported anew, as `Joined`."""


MeetingEvent = Joined | Left | Received | Away | Back


class Meeting(Protocol):
    """One participant's place in one room: a data channel, a sound track, a picture track.

    A choice of meeting is a file in ``worker/meetings/``.
    """

    async def join(self) -> None:
        """Enter the room and publish both tracks.

        Raises JoinError when that fails or takes longer than the meeting's deadline,
        JoinRefused when its server refuses the token.
        """

    def messages(self) -> AsyncIterator[MeetingEvent]:
        """What happens in the room from `join` on, in the order in which it is noticed.

        Ends when the worker has left. Raises MeetingLost when the room is gone, Dismissed when
        its server sent the worker away.
        """

    async def send(self, message: Message) -> None:
        """Give `message` to the data channel; waits while its buffer is full.

        It goes to everybody else in the room. Raises MeetingError when it cannot be sent.
        """

    def publish(self, frame: AvatarFrame) -> None:
        """The next 40 ms of sound (960 samples) and their picture; called once per tick.

        Never blocks. The first half of the sound leaves at once, the second 20 ms later.
        """

    def cut(self) -> int:
        """Silence what `publish` was given and has not left yet, without a click.

        Returns how many of the newest frame's 960 samples will not be heard.
        """

    @property
    def offset_s(self) -> float | None:
        """Seconds by which the newest picture left later than its sound; None: not known."""

    async def leave(self) -> None:
        """Leave the room and wait until that is done. May be called twice."""
