"""A meeting in memory: the platform's room with its faults, in one process and one event loop.

The demo and the loopback tests run on it. `MemoryPeer` has the surface of the SDK's
``Meeting`` and behaves as the SDK was observed to: what is sent goes to everybody else,
neither channel keeps order once packets are delayed, text and bytes are mixed up, the send
buffer fills, and a listener that raises makes its owner deaf. `MemoryMeeting` is the worker's
place in the same room.

Everything that happens in the room runs on the event loop, so it keeps virtual time as well
as real time.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final, Literal, Protocol

import av

from agent_side.wire import MAX_PAYLOAD, Message, decode, encode
from worker import clock
from worker.errors import Dismissed, JoinError, MeetingError, MeetingLost
from worker.media import AvatarFrame, Pcm, Picture
from worker.meeting import Joined, Left, MeetingEvent, Received
from worker.meeting_support.memory_network import Counts, Datagram, FaultRule, NetworkFaults, Uplink
from worker.meeting_support.pending_sends import PendingSends
from worker.meeting_support.tracks import Tracks, TracksClosed
from worker.meeting_support.viewed_tracks import Published, Shown, Sound, TrackCut, TrackRecording

MAX_EVENTS: Final = 4096
"""What a worker may leave unread; later packets are lost, as on any network."""


PeerType = Literal["agent", "normal"]

_log = logging.getLogger("avatar.worker.meetings.memory")


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody else in the room, as join and leave events show them."""

    id: str
    display_name: str


class EventListener(Protocol):
    """What the SDK's ``BaseEvent`` is to a meeting."""

    def handle_event(self, action: str, data: Any) -> None:
        """`action` is "data", or "agent-" or "participant-", then "joined" or "left"."""


class MemoryRoom:
    """One room. With `raw`, viewers get numpy planes instead of video frames, which is cheaper.

    `join_delay_s` is how long the servers take to let a worker in.
    """

    def __init__(
        self,
        seed: int = 0,
        faults: NetworkFaults | None = None,
        *,
        room_id: str = "memory",
        raw: bool = False,
    ) -> None:
        self.id = room_id
        self.raw = raw
        self.join_delay_s = 0.0
        self.counts: dict[str, Counts] = {}
        self.recordings: dict[str, list[TrackRecording]] = {}
        self._random = Random(seed)  # noqa: S311 - faults, not secrets
        self._peers: dict[str, MemoryPeer] = {}
        self._rules: list[FaultRule] = []
        self._air: list[tuple[float, int, MemoryPeer, Datagram]] = []
        self._serial = count()
        self._last_arrival: dict[tuple[str, str], float] = {}
        self.disturb(faults or NetworkFaults())

    def disturb(
        self, faults: NetworkFaults, *, sender: str | None = None, reliable: bool | None = None
    ) -> None:
        """From now on, packets of `sender` on that channel suffer `faults`.

        None stands for every sender, and for both channels. Of the rules that fit a packet
        the newest applies.
        """
        self._rules = [
            rule for rule in self._rules if (rule.sender, rule.reliable) != (sender, reliable)
        ]
        self._rules.append(FaultRule(faults, sender, reliable))

    def peer(self, participant_id: str, peer_type: PeerType = "agent") -> "MemoryPeer":
        """Somebody who is in the room now. Raises ValueError if the name is taken."""
        peer = MemoryPeer(self, participant_id, peer_type)
        peer.rejoin()
        return peer

    def join_worker(
        self, participant_id: str = "avatar", *, join_timeout_s: float = 20.0
    ) -> "MemoryMeeting":
        """A worker's place in the room; it is entered with `MemoryMeeting.join`."""
        return MemoryMeeting(self, participant_id, join_timeout_s)

    def lose(self, meeting: "MemoryMeeting") -> None:
        """The room is gone for this worker, and the others see it leave."""
        meeting.lost("The room was taken away.")

    def enter(self, peer: "MemoryPeer") -> None:
        """Called by the peer: introduce it to the others and the others to it."""
        if peer.participant.id in self._peers:
            raise ValueError(f"Somebody called {peer.participant.id!r} is in the room already.")
        for other in self._peers.values():
            self._notify(other, "joined", peer)
            self._notify(peer, "joined", other)
        self._peers[peer.participant.id] = peer

    def exit(self, peer: "MemoryPeer") -> None:
        """Called by the peer: report to the others that it has left."""
        del self._peers[peer.participant.id]
        for other in self._peers.values():
            self._notify(other, "left", peer)

    def broadcast(self, packet: Datagram) -> None:
        """Called by a peer's uplink: the packet goes to everybody else, each with its own luck."""
        counts = self.counts.setdefault(packet.sender, Counts())
        rule = self._rule(packet)
        for receiver in self._peers.values():
            if receiver.participant.id == packet.sender:
                continue
            delays = rule.delays(receiver.participant.id, self._random)
            counts.dropped += not delays
            counts.duplicated += max(0, len(delays) - 1)
            for delay_s in delays:
                self._launch(packet, receiver, delay_s, in_order=rule.faults.in_order)

    def count(self, packet: Datagram) -> None:
        """Called by a peer's uplink: the packet was given to it."""
        self.counts.setdefault(packet.sender, Counts()).sent += 1

    def bandwidth(self, packet: Datagram) -> float | None:
        """Called by a peer's uplink: what it carries (bytes/s)."""
        return self._rule(packet).faults.bandwidth

    def _rule(self, packet: Datagram) -> FaultRule:
        """The newest rule that fits `packet`."""
        return next(rule for rule in reversed(self._rules) if rule.fits(packet))

    def _launch(
        self, packet: Datagram, receiver: "MemoryPeer", delay_s: float, *, in_order: bool
    ) -> None:
        way = (packet.sender, receiver.participant.id)
        arrival = clock.now() + delay_s
        if in_order:
            arrival = max(arrival, self._last_arrival.get(way, 0.0))
        self._last_arrival[way] = max(arrival, self._last_arrival.get(way, 0.0))
        heapq.heappush(self._air, (arrival, next(self._serial), receiver, packet))
        if arrival <= clock.now():
            asyncio.get_running_loop().call_soon(self._land)
        else:
            asyncio.get_running_loop().call_at(arrival, self._land)

    def _land(self) -> None:
        """Deliver the packet that is due first; timers of the same time keep no order."""
        _, _, receiver, packet = heapq.heappop(self._air)
        if receiver.receive(packet):
            self.counts[packet.sender].delivered += 1

    def _notify(self, peer: "MemoryPeer", change: str, other: "MemoryPeer") -> None:
        action = f"{'agent' if other.peer_type == 'agent' else 'participant'}-{change}"
        asyncio.get_running_loop().call_soon(peer.notice, action, other.participant)


class MemoryPeer:
    """One participant's connection, with the surface of the SDK's ``Meeting``.

    `raised` holds what its listeners raised. The SDK's transport dies of a listener that
    raises in "data", so `deaf` is True from then on, until the peer joins anew.
    """

    def __init__(self, room: MemoryRoom, participant_id: str, peer_type: PeerType) -> None:
        self.room = room
        self.participant = Participant(participant_id, participant_id)
        self.peer_type = peer_type
        self.participants: dict[str, Participant] = {}
        self.raised: list[Exception] = []
        self.deaf = False
        self._listeners: list[EventListener] = []
        self._uplink: Uplink | None = None
        self._is_in_room = False

    @property
    def id(self) -> str:
        """The room's id, as in the SDK."""
        return self.room.id

    @property
    def local_participant(self) -> Participant:
        return self.participant

    def add_event_listener(self, event_listener: EventListener) -> None:
        self._listeners.append(event_listener)

    def remove_event_listener(self, event_listener: EventListener) -> None:
        """Raises ValueError for a listener that was not added, as the SDK does."""
        self._listeners.remove(event_listener)

    async def send(self, payload: str | bytes, options: Mapping[str, str] | None = None) -> bool:
        """Send to everybody else; `options` are ``{"reliability": "RELIABLE"}``, or "UNRELIABLE".

        Waits while the channel's buffer is full, forever if the connection ends meanwhile.
        Raises TypeError, ValueError (too long) or ConnectionError.
        """
        if not isinstance(payload, bytes | str):
            raise TypeError(f"Only str and bytes can be sent, not {type(payload).__name__}.")
        size = len(payload.encode() if isinstance(payload, str) else payload)
        if size > MAX_PAYLOAD:
            raise ValueError(f"A payload of {size} bytes is longer than {MAX_PAYLOAD}.")
        if self._uplink is None:
            raise ConnectionError("Cannot send message, Carrier is not available.")
        reliable = (options or {"reliability": "RELIABLE"})["reliability"] == "RELIABLE"
        await self._uplink.send(Datagram(self.participant.id, payload, size, reliable))
        return True

    def watch(self, participant_id: str = "avatar") -> TrackRecording:
        """Record what that worker publishes from now on, also if it is yet to join."""
        recording = TrackRecording()
        self.room.recordings.setdefault(participant_id, []).append(recording)
        return recording

    def stop_watching(self, recording: TrackRecording) -> None:
        """The recording grows no more."""
        for recordings in self.room.recordings.values():
            recordings[:] = [each for each in recordings if each is not recording]

    def leave(self) -> None:
        """Leave the room; the others notice. May be called twice."""
        self.cut_off()
        self.participants.clear()
        if self._is_in_room:
            self._is_in_room = False
            self.room.exit(self)

    def rejoin(self) -> None:
        """Be in the room, anew if need be, with a fresh connection."""
        if not self._is_in_room:
            self.room.enter(self)
            self._is_in_room = True
        self.deaf = False
        self._uplink = Uplink(self.room, self.cut_off)

    def cut_off(self) -> None:
        """The connection is dead and nobody noticed: sending raises, nothing arrives."""
        if self._uplink is not None:
            self._uplink.close()
        self._uplink = None

    def receive(self, packet: Datagram) -> bool:
        """Called by the room: the packet arrives, unless the peer is cut off or deaf."""
        if self._uplink is None or self.deaf:
            return False
        payload = packet.payload
        if isinstance(payload, bytes):
            try:
                payload = payload.decode()
            except UnicodeDecodeError:
                payload = packet.payload
        data = {
            "payload": payload,
            "from": packet.sender,
            "timestamp": int(clock.now() * 1000),
            "reliability": "RELIABLE" if packet.reliable else "UNRELIABLE",
        }
        self.deaf = not self._emit("data", data)
        return True

    def notice(self, action: str, participant: Participant) -> None:
        """Called by the room: somebody has joined or left."""
        if not self._is_in_room:
            return
        if action.endswith("joined"):
            self.participants[participant.id] = participant
        elif self.participants.pop(participant.id, None) is None:
            return
        self._emit(action, participant)

    def _emit(self, action: str, data: object) -> bool:
        try:
            for listener in self._listeners:
                listener.handle_event(action, data)
        except Exception as error:  # noqa: BLE001 - what the SDK survives or dies of
            _log.warning(
                "A listener of %s raised in %s.", self.participant.id, action, exc_info=True
            )
            self.raised.append(error)
            return False
        return True


class MemoryMeeting:
    """The Meeting port in a `MemoryRoom`."""

    def __init__(self, room: MemoryRoom, participant_id: str, join_timeout_s: float) -> None:
        self.tracks = Tracks()
        self._room = room
        self._peer = MemoryPeer(room, participant_id, "normal")
        self._peer.add_event_listener(self)
        self._join_timeout_s = join_timeout_s
        self._events: deque[MeetingEvent] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._loss: MeetingLost | None = None
        self._senders: list[asyncio.Task[None]] = []
        self._pending_sends = PendingSends()

    async def join(self) -> None:
        try:
            async with asyncio.timeout(self._join_timeout_s):
                await clock.sleep_until(clock.now() + self._room.join_delay_s)
        except TimeoutError:
            raise JoinError(
                f"Room {self._room.id!r} did not let the worker in within "
                f"{self._join_timeout_s:g} s; give it longer or look at its servers."
            ) from None
        try:
            self._peer.rejoin()
        except ValueError as error:
            raise JoinError(f"{error} Join under another participant_id.") from error
        self._senders = [
            asyncio.create_task(self._send_sound(), name="sound track"),
            asyncio.create_task(self._send_pictures(), name="picture track"),
        ]

    async def messages(self) -> AsyncIterator[MeetingEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._loss is not None:
                raise self._loss
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    async def send(self, message: Message) -> None:
        packet = encode(message)
        options = {"reliability": "RELIABLE" if packet.reliable else "UNRELIABLE"}
        try:
            await self._pending_sends.wait(self._peer.send(packet.payload, options))
        except ConnectionError as error:
            raise MeetingError(f"The worker is not connected to the room: {error}") from error

    def publish(self, frame: AvatarFrame) -> None:
        self.tracks.publish(frame)
        for recording in self._recordings():
            recording.published.append(Published(clock.now(), frame))

    def cut(self) -> int:
        unheard = self.tracks.cut()
        for recording in self._recordings():
            recording.cuts.append(TrackCut(clock.now(), unheard))
        return unheard

    @property
    def offset_s(self) -> float | None:
        return self.tracks.offset_s

    async def leave(self) -> None:
        self._end()
        await asyncio.gather(*self._senders)

    def lost(self, reason: str) -> None:
        """Called by the room: `messages` raises MeetingLost with `reason`."""
        self._loss = MeetingLost(reason)
        self._end()

    def dismissed(self, reason: str) -> None:
        """Called by the room: `messages` raises Dismissed with `reason`."""
        self._loss = Dismissed(reason)
        self._end()

    def handle_event(self, action: str, data: Any) -> None:
        """Called by the peer for everything that happens in the room."""
        match action:
            case "data":
                if len(self._events) >= MAX_EVENTS:
                    return
                message = decode(data["payload"], reliable=data["reliability"] == "RELIABLE")
                self._events.append(Received(data["from"], message))
            case "agent-joined" | "participant-joined":
                self._events.append(Joined(data.id, is_agent=action == "agent-joined"))
            case "agent-left" | "participant-left":
                self._events.append(Left(data.id))
        self._news.set()

    def _end(self) -> None:
        self._ended = True
        self._peer.leave()
        self.tracks.close()
        self._news.set()

    def _recordings(self) -> list[TrackRecording]:
        return self._room.recordings.get(self._peer.participant.id, [])

    async def _send_sound(self) -> None:
        try:
            while True:
                pts, pcm = await self._next_sound()
                for recording in self._recordings():
                    recording.sound.append(Sound(clock.now(), pts, pcm))
        except TracksClosed:
            return

    async def _send_pictures(self) -> None:
        try:
            while True:
                pts, picture = await self._next_picture()
                for recording in self._recordings():
                    recording.pictures.append(Shown(clock.now(), pts, picture))
        except TracksClosed:
            return

    async def _next_sound(self) -> tuple[int, Pcm]:
        if self._room.raw:
            return await self.tracks.next_piece()
        frame = await self.tracks.next_sound()
        return frame.pts or 0, frame.to_ndarray()[0]

    async def _next_picture(self) -> tuple[int, av.VideoFrame | Picture]:
        if self._room.raw:
            return await self.tracks.next_planes()
        frame = await self.tracks.next_picture()
        return frame.pts or 0, frame
