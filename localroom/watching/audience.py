"""All who watch by WHEP, whatever room they watch: rooms come and go, and watchers wait."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from localroom.media.rtp import Producer
from localroom.media.sdp import Offer
from localroom.peer import Peer, PeerContext
from localroom.watching.watcher import Watcher

if TYPE_CHECKING:
    from localroom.room import Room

MAX_WATCHERS: Final = 64

CHECK_S: Final = 1.0
"""How often it is looked at who has gone."""

logger = logging.getLogger("avatar.localroom.audience")


class AbsentError(Exception):
    """There is no such participant to watch."""


class FullError(Exception):
    """No more can watch."""


class Audience:
    """Watchers by their id."""

    def __init__(self, rooms: Mapping[str, "Room"], ground: PeerContext) -> None:
        self.watchers: dict[str, Watcher] = {}
        self._rooms = rooms
        self._ground = ground

    async def admit(self, room_id: str, participant: str, offer: Offer) -> tuple[Watcher, str]:
        """A new watcher, and the answer to its offer. Raises AbsentError, FullError."""
        if self._peer(room_id, participant) is None:
            raise AbsentError(f"Nobody called {participant} is in a room called {room_id}.")
        if len(self.watchers) >= MAX_WATCHERS:
            raise FullError(f"{MAX_WATCHERS} are watching already, and no more can.")
        watcher = Watcher(room_id, participant, offer, self._ground)
        self.watchers[watcher.id] = watcher
        try:
            answer = await watcher.open()
        except BaseException:
            del self.watchers[watcher.id]
            raise
        peer = self._peer(room_id, participant)
        for producer in peer.producers.values() if peer else ():
            watcher.offered(producer)
        return watcher, answer

    async def dismiss(self, watcher: Watcher) -> None:
        if self.watchers.pop(watcher.id, None) is not None:
            await watcher.close()

    def offered(self, room_id: str, producer: Producer) -> None:
        """A participant of that room has begun to publish."""
        for watcher in self._of(room_id, producer.peer_id):
            watcher.offered(producer)

    def withdrawn(self, room_id: str, producer: Producer, others: Iterable[Producer]) -> None:
        """It has ceased to, and goes on with `others`."""
        for watcher in self._of(room_id, producer.peer_id):
            watcher.withdrawn(producer, others)

    async def look_after(self) -> None:
        """Let those go who have gone. For ever."""
        while True:
            await asyncio.sleep(CHECK_S)
            now_s = asyncio.get_running_loop().time()
            for watcher in list(self.watchers.values()):
                present = self._peer(watcher.room_id, watcher.participant) is not None
                reason = watcher.over(now_s, present=present)
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
async def gathered(rooms: Mapping[str, "Room"], ground: PeerContext) -> AsyncIterator[Audience]:
    """An audience that is looked after; in the end all are dismissed."""
    audience = Audience(rooms, ground)
    looking = asyncio.create_task(audience.look_after(), name="audience")
    try:
        yield audience
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        for watcher in list(audience.watchers.values()):
            await audience.dismiss(watcher)
