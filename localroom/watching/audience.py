"""All who watch by WHEP, whatever room they watch: rooms come and go, and watchers wait.

The audience subscribes to each room's events; a room knows nothing of it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from localroom.media.sdp import Offer
from localroom.signalling.events import RoomEvent, TrackPublished, TrackWithdrawn
from localroom.signalling.peer import Peer, PeerContext
from localroom.signalling.room import Room
from localroom.watching.watcher import Watcher

MAX_WATCHERS: Final = 64

CHECK_S: Final = 1.0
"""How often the watchers are checked."""

logger = logging.getLogger("avatar.localroom.audience")


class AbsentError(Exception):
    """There is no such participant to watch."""


class FullError(Exception):
    """No more can watch."""


class Audience:
    """Watchers by their id."""

    def __init__(self, rooms: Mapping[str, Room], context: PeerContext) -> None:
        self.watchers: dict[str, Watcher] = {}
        self._rooms = rooms
        self._context = context

    async def admit(self, room_id: str, participant: str, offer: Offer) -> tuple[Watcher, str]:
        """A new watcher, and the answer to its offer. Raises AbsentError, FullError."""
        if self._peer(room_id, participant) is None:
            raise AbsentError(f"Nobody called {participant} is in a room called {room_id}.")
        if len(self.watchers) >= MAX_WATCHERS:
            raise FullError(f"{MAX_WATCHERS} are watching already, and no more can.")
        watcher = Watcher(room_id, participant, offer, self._context)
        self.watchers[watcher.id] = watcher
        try:
            answer = await watcher.open()
        except BaseException:
            del self.watchers[watcher.id]
            raise
        peer = self._peer(room_id, participant)
        for producer in peer.producers.values() if peer else ():
            watcher.on_published(producer)
        return watcher, answer

    async def dismiss(self, watcher: Watcher) -> None:
        if self.watchers.pop(watcher.id, None) is not None:
            await watcher.close()

    def on_event(self, event: RoomEvent) -> None:
        """Subscribes to each room: watchers follow what their participant publishes."""
        for watcher in self._of(event.room_id, event.producer.peer_id):
            match event:
                case TrackPublished(producer=producer):
                    watcher.on_published(producer)
                case TrackWithdrawn(producer=producer, others=others):
                    watcher.on_withdrawn(producer, others)

    async def dismiss_absent(self) -> None:
        """Dismiss each watcher that has a reason to end. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            now_s = asyncio.get_running_loop().time()
            for watcher in list(self.watchers.values()):
                present = self._peer(watcher.room_id, watcher.participant) is not None
                reason = watcher.end_reason(now_s, present=present)
                if reason is not None:
                    logger.info("a watcher ends: %s", reason)
                    await self.dismiss(watcher)

    def _peer(self, room_id: str, participant: str) -> Peer | None:
        room = self._rooms.get(room_id)
        peer = room.peers.get(participant) if room is not None else None
        return peer if peer is not None and peer.joined else None

    def _of(self, room_id: str, participant: str) -> list[Watcher]:
        wanted = (room_id, participant)
        return [
            each for each in self.watchers.values() if (each.room_id, each.participant) == wanted
        ]


@asynccontextmanager
async def gathered(rooms: Mapping[str, Room], context: PeerContext) -> AsyncIterator[Audience]:
    """An audience whose absent watchers are dismissed; in the end all are."""
    audience = Audience(rooms, context)
    checking = asyncio.create_task(audience.dismiss_absent(), name="audience")
    try:
        yield audience
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        for watcher in list(audience.watchers.values()):
            await audience.dismiss(watcher)
