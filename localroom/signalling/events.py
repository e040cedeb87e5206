"""Events that a `Room` emits to its subscribers, such as those who watch by WHEP."""

from collections.abc import Callable
from dataclasses import dataclass

from localroom.media.rtp import Producer


@dataclass(frozen=True, slots=True)
class TrackPublished:
    """A peer of the room publishes a track. Emitted when the other peers have been offered it."""

    room_id: str
    producer: Producer


@dataclass(frozen=True, slots=True)
class TrackWithdrawn:
    """A peer publishes a track no more, because it closed the track or left the room.

    `others` are the tracks that the same peer still publishes.
    """

    room_id: str
    producer: Producer
    others: tuple[Producer, ...] = ()


RoomEvent = TrackPublished | TrackWithdrawn

Subscriber = Callable[[RoomEvent], None]
"""Called on the event loop, at once and in the order in which things happen. Must not raise."""
