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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final, Literal, NamedTuple, Protocol

import av
import numpy as np

from agent_side.pending_sends import PendingSends
from agent_side.wire import MAX_PAYLOAD, Message, decode, encode
from worker import clock
from worker.errors import Dismissed, JoinError, MeetingError, MeetingLost
from worker.media import AvatarFrame, Pcm, Picture
from worker.meeting import Joined, Left, MeetingEvent, Received
from worker.meeting_support.tracks import Tracks, TracksClosed

BUFFER_THRESHOLD: Final = 65_535
"""With more than this unsent on a channel, the SDK's ``send`` waits (bytes)."""

MAX_EVENTS: Final = 4096
"""What a worker may leave unread; later packets are lost, as on any network."""


PeerType = Literal["agent", "normal"]

_log = logging.getLogger("avatar.worker.meetings.memory")


@dataclass(frozen=True, slots=True)
class Faults:
    """What the network does to packets; the defaults do nothing.

    Lists are for tests that say exactly what happens: each receiver works through them from
    the first packet on, and behind their end the seeded probabilities and ranges apply.

    - `drops`: whether the packet is lost.
    - `copies`: how often it arrives if it is not lost.
    - `delays_s`: how long it is under way; a copy takes as long as the original.
    - `loss`, `duplication`: probabilities, 0 to 1.
    - `delay_s`: (least, most); each packet and each copy has its own delay, so they overtake.
    - `in_order`: packets never overtake those that their sender sent before.
    - `bandwidth`: what the sender's uplink carries (bytes/s), both channels together; None
      for any amount. Only a sender with a bandwidth ever has a full buffer.
    """

    drops: Sequence[bool] = ()
    copies: Sequence[int] = ()
    delays_s: Sequence[float] = ()
    loss: float = 0.0
    duplication: float = 0.0
    delay_s: tuple[float, float] = (0.0, 0.0)
    in_order: bool = False
    bandwidth: float | None = None


@dataclass(slots=True)
class Counts:
    """What became of one sender's packets: `sent` once each, the others once per receiver."""

    sent: int = 0
    dropped: int = 0
    duplicated: int = 0
    delivered: int = 0


class Sound(NamedTuple):
    """20 ms that left the sound track. `pts` is in samples at 24 kHz."""

    time_s: float
    pts: int
    pcm: Pcm


class Shown(NamedTuple):
    """A picture that left the picture track: a Picture where the room is `raw`. 90 kHz `pts`."""

    time_s: float
    pts: int
    picture: av.VideoFrame | Picture


class Published(NamedTuple):
    """A frame that was handed to the tracks."""

    time_s: float
    frame: AvatarFrame


class Cut(NamedTuple):
    """A call of `Meeting.cut` and what it returned."""

    time_s: float
    unheard: int


@dataclass(slots=True)
class Recording:
    """What a viewer has seen and heard of one worker since `MemoryPeer.watch`.

    `sound` and `pictures` are what left the tracks, `published` and `cuts` what the worker
    did to them; each grows until the recording is stopped.
    """

    sound: list[Sound] = field(default_factory=list)
    pictures: list[Shown] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    def heard(self) -> Pcm:
        """All the sound, in the order in which it left."""
        return np.concatenate([np.zeros(0, np.int16), *(piece.pcm for piece in self.sound)])


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody else in the room, as join and leave events show them."""

    id: str
    display_name: str


class Listener(Protocol):
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
        faults: Faults | None = None,
        *,
        room_id: str = "memory",
        raw: bool = False,
    ) -> None:
        self.id = room_id
        self.raw = raw
        self.join_delay_s = 0.0
        self.counts: dict[str, Counts] = {}
        self.recordings: dict[str, list[Recording]] = {}
        self._random = Random(seed)  # noqa: S311 - faults, not secrets
        self._peers: dict[str, MemoryPeer] = {}
        self._rules: list[_Rule] = []
        self._air: list[tuple[float, int, MemoryPeer, _Packet]] = []
        self._serial = count()
        self._last_arrival: dict[tuple[str, str], float] = {}
        self.disturb(faults or Faults())

    def disturb(
        self, faults: Faults, *, sender: str | None = None, reliable: bool | None = None
    ) -> None:
        """From now on, packets of `sender` on that channel suffer `faults`.

        None stands for every sender, and for both channels. Of the rules that fit a packet
        the newest applies.
        """
        self._rules = [
            rule for rule in self._rules if (rule.sender, rule.reliable) != (sender, reliable)
        ]
        self._rules.append(_Rule(faults, sender, reliable))

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
        """Called by the peer: tell the others that it has left."""
        del self._peers[peer.participant.id]
        for other in self._peers.values():
            self._notify(other, "left", peer)

    def broadcast(self, packet: "_Packet") -> None:
        """Called by a peer's uplink: the packet goes to everybody else, each with its own luck."""
        counts = self.counts.setdefault(packet.sender, Counts())
        rule = self.rule(packet)
        for receiver in self._peers.values():
            if receiver.participant.id == packet.sender:
                continue
            delays = rule.delays(receiver.participant.id, self._random)
            counts.dropped += not delays
            counts.duplicated += max(0, len(delays) - 1)
            for delay_s in delays:
                self._launch(packet, receiver, delay_s, in_order=rule.faults.in_order)

    def rule(self, packet: "_Packet") -> "_Rule":
        """The newest rule that fits `packet`."""
        return next(rule for rule in reversed(self._rules) if rule.fits(packet))

    def _launch(
        self, packet: "_Packet", receiver: "MemoryPeer", delay_s: float, *, in_order: bool
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
        self._listeners: list[Listener] = []
        self._uplink: _Uplink | None = None
        self._inside = False

    @property
    def id(self) -> str:
        """The room's id, as in the SDK."""
        return self.room.id

    @property
    def local_participant(self) -> Participant:
        return self.participant

    def add_event_listener(self, event_listener: Listener) -> None:
        self._listeners.append(event_listener)

    def remove_event_listener(self, event_listener: Listener) -> None:
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
            raise ConnectionError("Cannot send message, Network is not available.")
        reliable = (options or {"reliability": "RELIABLE"})["reliability"] == "RELIABLE"
        await self._uplink.send(_Packet(self.participant.id, payload, size, reliable))
        return True

    def watch(self, participant_id: str = "avatar") -> Recording:
        """Record what that worker publishes from now on, also if it is yet to join."""
        recording = Recording()
        self.room.recordings.setdefault(participant_id, []).append(recording)
        return recording

    def stop_watching(self, recording: Recording) -> None:
        """The recording grows no more."""
        for recordings in self.room.recordings.values():
            recordings[:] = [each for each in recordings if each is not recording]

    def leave(self) -> None:
        """Leave the room; the others notice. May be called twice."""
        self.cut_off()
        self.participants.clear()
        if self._inside:
            self._inside = False
            self.room.exit(self)

    def rejoin(self) -> None:
        """Be in the room, anew if need be, with a fresh connection."""
        if not self._inside:
            self.room.enter(self)
            self._inside = True
        self.deaf = False
        self._uplink = _Uplink(self.room, self.cut_off)

    def cut_off(self) -> None:
        """The connection is dead and nobody noticed: sending raises, nothing arrives."""
        if self._uplink is not None:
            self._uplink.close()
        self._uplink = None

    def receive(self, packet: "_Packet") -> bool:
        """Called by the room: the packet arrives, unless nobody can hear it."""
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
        if not self._inside:
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
        self._pending_sends = PendingSends(MeetingError)

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
            recording.cuts.append(Cut(clock.now(), unheard))
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

    def _recordings(self) -> list[Recording]:
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


class _Packet(NamedTuple):
    sender: str
    payload: str | bytes
    size: int
    reliable: bool


@dataclass(slots=True)
class _Rule:
    """Faults, whose packets suffer them, and how far each receiver is in their lists."""

    faults: Faults
    sender: str | None
    reliable: bool | None
    places: dict[str, int] = field(default_factory=dict)

    def fits(self, packet: _Packet) -> bool:
        return self.sender in (None, packet.sender) and self.reliable in (None, packet.reliable)

    def delays(self, receiver: str, random: Random) -> list[float]:
        """How long the next packet is under way to `receiver`, for each of its copies."""
        place = self.places.get(receiver, 0)
        self.places[receiver] = place + 1
        faults = self.faults
        if faults.drops[place] if place < len(faults.drops) else random.random() < faults.loss:
            return []
        if place < len(faults.copies):
            copies = faults.copies[place]
        else:
            copies = 1 + (random.random() < faults.duplication)
        if place < len(faults.delays_s):
            return [faults.delays_s[place]] * copies
        return [random.uniform(*faults.delay_s) for _ in range(copies)]


class _Uplink:
    """One connection's way out: a single queue for both channels, each with its own buffer."""

    def __init__(self, room: MemoryRoom, die: Callable[[], None]) -> None:
        self._room = room
        self._die = die
        self._queue: deque[_Packet] = deque()
        self._free_at = 0.0
        self._unsent = {True: 0, False: 0}
        self._waiting: dict[bool, list[tuple[_Packet, asyncio.Future[None]]]] = {
            True: [],
            False: [],
        }
        self._open = True

    async def send(self, packet: _Packet) -> None:
        """Queue the packet; while its channel's buffer is too full, wait for that."""
        if self._unsent[packet.reliable] <= BUFFER_THRESHOLD:
            self._put(packet)
            return
        drained = asyncio.get_running_loop().create_future()
        self._waiting[packet.reliable].append((packet, drained))
        await drained

    def close(self) -> None:
        """What has not left never will, and nothing wakes those who wait, as in the SDK."""
        self._open = False

    def _put(self, packet: _Packet) -> None:
        self._room.counts.setdefault(packet.sender, Counts()).sent += 1
        now = clock.now()
        bandwidth = self._room.rule(packet).faults.bandwidth
        self._free_at = max(now, self._free_at) + (packet.size / bandwidth if bandwidth else 0.0)
        if self._free_at <= now:
            self._room.broadcast(packet)
            return
        self._queue.append(packet)
        self._unsent[packet.reliable] += packet.size
        asyncio.get_running_loop().call_at(self._free_at, self._left)

    def _left(self) -> None:
        if not self._open:
            return
        packet = self._queue.popleft()
        before = self._unsent[packet.reliable]
        self._unsent[packet.reliable] = after = before - packet.size
        self._room.broadcast(packet)
        if before > BUFFER_THRESHOLD >= after:
            self._wake(packet.reliable)

    def _wake(self, reliable: bool) -> None:
        """All who wait go on together and overfill the buffer again, as in the SDK.

        A send that was cancelled meanwhile is sent all the same, and the connection dies of it:
        the SDK tells a future that is done, and what that raises ends its transport.
        """
        waiting, self._waiting[reliable] = self._waiting[reliable], []
        for packet, drained in waiting:
            self._put(packet)
            if drained.done():
                self._die()
                return
            drained.set_result(None)
