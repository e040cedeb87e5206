"""An agent and its workers without sockets or sleep: what was heard of each turn, and what is told.

The agent's side is `Speaker`, the worker's are `Conversation`, `Speech` and `Playout`; between them
is a network that loses, delays and doubles. Every sample says which turn it is of, and where.
"""

import heapq
from dataclasses import dataclass
from itertools import count
from random import Random

import numpy as np
import numpy.typing as npt

from agent_side.speaker import Speaker, TurnOver
from agent_side.wire import AgentHello, Face, Message, StreamEnded, decode
from worker.media import FRAME_SAMPLES, PIECE_SAMPLES, AvatarFrame, Picture
from worker.renderer import Renderer
from worker.turns.conversation import Conversation
from worker.turns.playout import Ended, Playout
from worker.turns.prefetch import MAX_PREFETCH
from worker.turns.segments import SegmentQueue

RATE = 24_000
HALF_TICK_S = 0.02
GRAIN = 24
"""Samples that look the same: a millisecond."""

TURN_GRAINS = 3000
MAX_TURNS = 10
"""How many turns of how many grains there may be, so that each grain has a number of its own."""

REST = Picture.blank(2, 2)


def spoken(turn: int, samples: int) -> bytes:
    """The speech of one of all the turns that are spoken in a line: 0, 1, 2, ..."""
    grains = np.arange(samples) // GRAIN + turn * TURN_GRAINS + 1
    return grains.astype("<i2").tobytes()


@dataclass(frozen=True)
class Network:
    """What becomes of a message: lost, late by one of `delays_s`, doubled."""

    loss: float = 0.0
    delays_s: tuple[float, ...] = (0.0,)
    doubled: float = 0.0


class LinkedWorker:
    """One worker, of version 1 or 2, with the sound track and all that left it."""

    def __init__(self, version: int, name: str, heard: npt.NDArray[np.int64]) -> None:
        self.version = version
        self._heard = heard
        self._speech = SegmentQueue()
        self._playout = Playout(REST, Renderer.prefetch_frames)
        self._conversation = Conversation(
            self._speech,
            self._playout.handed,
            worker=name,
            face=Face(),
            rate=RATE,
            agent_id="agent",
        )
        self._raw: dict[int, AvatarFrame] = {}
        self._in_track: list[npt.NDArray[np.int16]] = []

    def began(self, now: float) -> None:
        self._conversation.joined("agent", True, now)

    def agent_left(self, now: float) -> None:
        self._conversation.left("agent", now)
        self._cut(now)

    def receive(self, message: Message, now: float) -> None:
        if self.version == 2 or not isinstance(message, AgentHello):
            self._conversation.receive("agent", message, now)
            self._cut(now)

    def leave_track(self, pieces: int = 2) -> None:
        """So many of the pieces that the newest tick made are heard."""
        for _ in range(min(pieces, len(self._in_track))):
            np.add.at(self._heard, self._in_track.pop(0), 1)

    def tick(self, now: float) -> None:
        """Render, hand the next 40 ms to the track, of which nothing has left yet."""
        while self._playout.lead < MAX_PREFETCH and (work := self._speech.take()) is not None:
            segment, pcm, finished = work
            if pcm is not None:
                self._render(AvatarFrame(segment, Picture.blank(2, 2), pcm))
            if finished:
                nothing = np.zeros(0, np.int16)
                self._render(AvatarFrame(segment, Picture.blank(2, 2), nothing, last=True))
        frame = self._playout.tick()
        raw = self._raw.pop(id(frame.picture), None) if frame.segment else None
        if raw is not None:
            self._in_track = [raw.pcm[:PIECE_SAMPLES], raw.pcm[PIECE_SAMPLES:]]
        for segment in self._playout.started():
            self._conversation.started(segment, now)
        for ended in self._playout.ended():
            self._speech.end(ended.segment)
            self._conversation.ended(ended, now)
        self._conversation.advance(now)

    def outgoing(self, now: float) -> list[Message]:
        messages = self._conversation.outgoing(now)
        if self.version == 1:
            return [message for message in messages if isinstance(message, StreamEnded)]
        return messages

    def _render(self, frame: AvatarFrame) -> None:
        self._raw[id(frame.picture)] = frame
        self._playout.add([frame])

    def _cut(self, now: float) -> None:
        floor = self._speech.first_live_segment
        if floor == self._playout.first_live_segment:
            return
        unheard = 0
        if 0 < self._playout.sounding < floor:
            unheard = FRAME_SAMPLES - PIECE_SAMPLES * (2 - len(self._in_track))
            self._in_track = []
        began = {ended.segment: ended for ended in self._playout.cut(floor, unheard)}
        for segment in self._speech.drop_dead():
            self._conversation.ended(began.get(segment, Ended(segment, 0, True)), now)


class LossyLink:
    """One agent after the other, one worker after the other, and the network between them.

    `reports` are the turns that the agent was told of: which it was, of how many samples, what
    was told, and how many of them had been heard by then.
    """

    def __init__(self, network: Network, seed: int, launched: int | None) -> None:
        self.now = 100.0
        self.reports: list[tuple[int, int, TurnOver, int]] = []
        self.worker: LinkedWorker | None = None
        self._network = network
        self._random = Random(seed)
        self._launched = launched
        self._heard = np.zeros(2**15, np.int64)
        self._air: list[tuple[float, int, object, Message]] = []
        self._serial = count()
        self._spoken = 0
        self._sizes: dict[int, int] = {}
        self._is_new = True
        self.start_agent()

    # The agent ------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Another agent: what the one before was not told, nobody will be."""
        self.speaker = Speaker(f"{self._random.getrandbits(64):016x}", RATE)
        self.speaker.launched(self._launched)
        self._first, self._is_new = self._spoken, True
        self.speaker.attached(self.now)
        if self.worker is not None:
            self.worker.agent_left(self.now)
            self.worker.began(self.now)
            self.speaker.present(self.now)

    def rejoin(self) -> None:
        """The same agent in its next meeting."""
        self.speaker.detached(self.now)
        if self.worker is not None:
            self.worker.agent_left(self.now)
            self.worker.began(self.now)
        self.speaker.attached(self.now)
        if self.worker is not None:
            self.speaker.present(self.now)

    def say(self, samples: int) -> None:
        """More of the turn that is open, or the next one, as long as there are numbers for it."""
        turn = self._spoken - 1
        if self._is_new or self.speaker.current_turn != turn - self._first + 1:
            turn += 1
        begun = self._sizes.get(turn, 0)
        if turn >= MAX_TURNS or begun + samples > GRAIN * TURN_GRAINS:
            return
        before = self.speaker.current_turn
        self.speaker.write(spoken(turn, begun + samples)[2 * begun :], self.now)
        self._note_turn(before)
        if self.speaker.current_turn - 1 + self._first == turn:
            self._sizes[turn] = begun + samples

    def end(self) -> None:
        before = self.speaker.current_turn
        if self._spoken < MAX_TURNS:
            self.speaker.end(self.now)
            self._note_turn(before)
            self._is_new = True

    def interrupt(self) -> None:
        self.speaker.interrupt(self.now)
        self._is_new = True

    def _note_turn(self, before: int) -> None:
        if self.speaker.current_turn > before:
            self._spoken += 1
            self._sizes.setdefault(self._spoken - 1, 0)
            self._is_new = False

    # The worker -----------------------------------------------------------------------------

    def start_worker(self, version: int) -> None:
        self.worker = LinkedWorker(version, f"worker-{next(self._serial)}", self._heard)
        self.worker.began(self.now)
        self.speaker.present(self.now)

    def kill_worker(self, pieces: int, *, silently: bool) -> None:
        """Right after a tick, of which so many pieces are heard; all that it said arrives."""
        if self.worker is not None:
            self.worker.tick(self.now)
            self._send_to_agent(self.worker)
            self.worker.leave_track(pieces)
            self._deliver()
            self.worker = None
        if not silently:
            self.speaker.absent(self.now)

    # Time -----------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.step()

    def step(self) -> None:
        """One tick of 40 ms; what arrives does so in its middle."""
        worker = self.worker
        if worker is not None:
            worker.tick(self.now)
            self._send_to_agent(worker)
        self.now += HALF_TICK_S
        if worker is not None:
            worker.leave_track(1)
        self._deliver()
        self._send_to_worker()
        if worker is not None:
            self._send_to_agent(worker)
            worker.leave_track()
        self.now += HALF_TICK_S

    def _deliver(self) -> None:
        while self._air and self._air[0][0] <= self.now:
            _, _, receiver, message = heapq.heappop(self._air)
            if receiver is self.speaker:
                self.speaker.receive(message, self.now)
            elif receiver is self.worker and self.worker is not None:
                self.worker.receive(message, self.now)

    def _send_to_worker(self) -> None:
        while (packet := self.speaker.next_packet(self.now)) is not None:
            self.speaker.sent(self.now)
            message = decode(packet.payload, reliable=packet.reliable)
            assert message is not None
            if self.worker is not None:
                self._send(self.worker, message)
        while self.speaker.events:
            event = self.speaker.events.popleft()
            if isinstance(event, TurnOver):
                self._report(event)

    def _send_to_agent(self, worker: LinkedWorker) -> None:
        for message in worker.outgoing(self.now):
            self._send(self.speaker, message)

    def _send(self, receiver: object, message: Message) -> None:
        for _ in range(1 + (self._random.random() < self._network.doubled)):
            if self._random.random() >= self._network.loss:
                at = self.now + self._random.choice(self._network.delays_s)
                heapq.heappush(self._air, (at, next(self._serial), receiver, message))

    def _report(self, over: TurnOver) -> None:
        turn = self._first + over.turn - 1
        size = self._sizes[turn]
        first = turn * TURN_GRAINS + 1
        whole = np.full(TURN_GRAINS, GRAIN)
        whole[size // GRAIN :] = 0
        whole[size // GRAIN : size // GRAIN + 1] = size % GRAIN
        heard = int(np.minimum(self._heard[first : first + TURN_GRAINS], whole).sum())
        self.reports.append((turn, size, over, heard))
