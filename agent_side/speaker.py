"""Speaker: the agent's side of the protocol, without a socket, a task or a clock.

Speech and messages go in with the time, packets and events come out; `AvatarAudioOut` adds the
meeting and the clock. The parts: `TurnBuffer` holds the speech, `Handshake` finds out which version
the worker reads, a `Sender` sends in that version, `Acts` holds gestures and expressions.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from agent_side.acts import Acts, ActUnknown, GestureDropped
from agent_side.handshake import Disobeyed, Handshake, WorkerLost, WorkerReady
from agent_side.protocol.acts import ACTS
from agent_side.protocol.fields import SAMPLE_RATES
from agent_side.senders.port import CHUNK_S, Outgoing, Sender
from agent_side.senders.version1 import Version1Sender
from agent_side.senders.version2 import Version2Sender
from agent_side.turn_buffer import TurnBuffer, TurnOver, TurnStarted
from agent_side.wire import (
    Ack,
    ActRefused,
    AvatarReady,
    Message,
    NotObeyed,
    Packet,
    PlaybackStarted,
    Progress,
    StreamEnded,
    TurnEnded,
    Word,
    encode,
)

__all__ = [
    "ActUnknown",
    "Disobeyed",
    "Event",
    "GestureDropped",
    "Speaker",
    "TurnOver",
    "TurnStarted",
    "WorkerLost",
    "WorkerReady",
]

WORKER_TIMEOUT_S: Final = 60
"""Turns end unheard when no worker has been there for so long."""

Event = WorkerReady | WorkerLost | Disobeyed | TurnStarted | TurnOver | ActUnknown | GestureDropped


class Speaker:
    """Everything that an agent says through one avatar, and what it learns of it.

    Samples are counted at `rate`. Raises ValueError for a rate that the protocol cannot say.
    """

    def __init__(self, stream: str, rate: int) -> None:
        if rate not in SAMPLE_RATES:
            raise ValueError(
                f"A sample rate of {rate} Hz is out of range; resample the speech to one from "
                f"{SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz."
            )
        self.events: deque[Event] = deque()
        self.acts = Acts(self.events.append)
        """What the face does beside speaking."""
        self._turns = TurnBuffer(rate, self.events.append)
        self._handshake = Handshake(stream, rate, self._first_unheard)
        self._version1 = Version1Sender(self._turns)
        self._version2 = Version2Sender(stream, self._turns)
        self._sender: Sender | None = None
        """The sender for the worker that is there."""
        self._postponed: AvatarReady | None = None
        """Version 2 begins once the present turn has been heard in version 1."""
        self._when_sent: Callable[[float], None] | None = None

    @property
    def version(self) -> int:
        """The version that the worker reads; 0 while none is there."""
        return self._handshake.version

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return self._handshake.stream

    # The agent ------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """A turn has not ended."""
        return len(self._turns) > 0

    @property
    def current_turn(self) -> int:
        """The number of the newest turn; 0 before the first."""
        return self._turns.newest

    @property
    def backlog(self) -> int:
        """Speech that has not been sent, in bytes."""
        return 2 * sum(turn.written - turn.sent for turn in self._turns.alive)

    def write(self, data: bytes, now: float) -> None:
        """More speech of the current turn; see `TurnBuffer.write`."""
        self._turns.write(data, now)

    def end(self, now: float) -> None:
        """The current turn is complete; see `TurnBuffer.end`."""
        self._turns.end(now)

    def interrupt(self, now: float) -> None:
        """Interrupt every turn so far. Nothing happens when none is alive."""
        dead = self._turns.interrupt()
        if not dead:
            return
        self._when_sent = None
        if self._sender is None or not self._sender.interrupt(dead, now):
            for turn in dead:
                self._turns.over_as_known(turn)

    def words(self, words: Iterable[Word]) -> None:
        """Words of the current turn, or of the next one where none has begun; texts are cut.

        Raises ValueError for times that are out of range.
        """
        self._turns.add_words(words)

    def give_up(self) -> None:
        """End the turns that are alive; what is written next is another turn."""
        self._turns.give_up()
        self._version1.give_up()
        self._version2.give_up()

    # The room -------------------------------------------------------------------------------

    def launched(self, version: int | None) -> None:
        """The dispatcher that was asked has workers of that version, if that is known."""
        self._handshake.launched(version)

    @property
    def is_present(self) -> bool:
        """The worker's participant is in the room."""
        return self._handshake.is_present

    def attached(self, now: float) -> None:
        """There is a meeting to send to.

        After another one this is a new stream: the worker that saw the agent leave never obeys
        the old one again.
        """
        self._handshake.attach(now)
        self._version2.stream = self._handshake.stream

    def detached(self, now: float) -> None:
        """The meeting is gone; what was not heard waits for the next."""
        self._handshake.detach()
        self._worker_lost(now)

    def present(self, now: float) -> None:
        """The worker's participant is in the room."""
        self._handshake.present(now)

    def absent(self, now: float) -> None:
        """The worker's participant has left the room."""
        self._handshake.absent()
        self._worker_lost(now)

    def receive(self, message: Message, now: float) -> None:
        """A message of the worker's participant."""
        match message:
            case AvatarReady():
                self._ready(message, now)
            case StreamEnded() if self._sender is self._version1:
                self._version1.receive(message)
            case NotObeyed(stream, named) if stream == self.stream:
                self._disobeyed(named, now)
            case ActRefused(stream) if stream == self.stream:
                self.acts.answered(message)
            case Ack(stream, of) if stream == self.stream and of in ACTS:
                self.acts.answered(message)
            case Ack(stream) | PlaybackStarted(stream) | Progress(stream) | TurnEnded(stream):
                if stream == self.stream:
                    self._version2.receive(message, now)
            case _:
                pass

    # Packets --------------------------------------------------------------------------------

    def next_packet(self, now: float) -> Packet | None:
        """What has to be sent next, control before speech; None while there is nothing.

        Call `sent` when it was sent; version 1 offers the same packet again otherwise.
        """
        self._when_sent = None
        self._expire(now)
        if not self._handshake.attached:
            return None
        outgoing = self._next_control(now)
        if outgoing is None and self._sender is not None:
            outgoing = self._sender.next_speech(now)
        if outgoing is None:
            return None
        self._when_sent = outgoing.when_sent
        return encode(outgoing.message)

    def sent(self, now: float) -> None:
        """The packet that `next_packet` gave has been sent."""
        when_sent, self._when_sent = self._when_sent, None
        if when_sent is not None:
            when_sent(now)

    def next_due(self, now: float) -> float:
        """When `next_packet` is worth another call, unless something happens before."""
        due = [now + 1.0]
        if self._handshake.attached:
            parts = (self._handshake.next_due, self._version2.next_due, self.acts.next_due)
            due += [each for each in parts if each is not None]
            if self._sender is not None and self.live:
                due.append(now + CHUNK_S)
        return max(now, min(due))

    def _next_control(self, now: float) -> Outgoing | None:
        outgoing = (
            self._version1.next_control()
            or self._version2.next_control(now)
            or self._handshake.next_hello(now)
        )
        act = None if outgoing is not None else self.acts.pop_due(now)
        return Outgoing(act) if act is not None else outgoing

    # The worker -----------------------------------------------------------------------------

    def _first_unheard(self) -> tuple[int, int]:
        """Where version 2 continues; a turn that is heard in version 1 ends there."""
        for turn in self._turns.alive:
            if not (self._version1.has_acked and turn.begun):
                return turn.number, turn.heard
        return self._turns.newest + 1, 0

    def _ready(self, ready: AvatarReady, now: float) -> None:
        if self._handshake.is_replaced_by(ready):
            self._worker_lost(now)
        self._announced(now)
        if not self._handshake.is_answered_by(ready, now):
            return
        if self._version1.is_heard:
            self._postponed = ready
        else:
            self._begin_version2(ready, now)

    def _begin_version2(self, ready: AvatarReady, now: float) -> None:
        self._postponed = None
        self._version1.reset()
        self._resume({})
        round_trip_s = self._handshake.agree(ready.worker, now)
        self._sender = self._version2
        self.events.append(WorkerReady(2))
        self.acts.found(self.stream, ready.face, now)
        over = self._first_unheard()[0] - 1
        self._version2.start(round_trip_s, over, now, sends_words=ready.face is not None)

    def _announced(self, now: float) -> None:
        self._handshake.announced(now)
        self._version1.finish()

    def _disobeyed(self, named: bool, now: float) -> None:
        """The hello is repeated: it is answered as soon as that changes."""
        self._announced(now)
        if self._handshake.refuse(now):
            self.events.append(Disobeyed(named))

    def _worker_lost(self, now: float) -> None:
        reached: dict[int, int] = {}
        if self._sender is not None:
            reached = self._sender.reached(now)
            self.events.append(WorkerLost())
        self._sender = self._postponed = None
        self._handshake.lost(now, has_acked=self._version1.has_acked)
        self._version1.lost(now)
        self._version2.lost()
        self.acts.lost()
        self._resume(reached)

    def _resume(self, reached: dict[int, int]) -> None:
        self._when_sent = None
        self._turns.resume(reached)

    def _expire(self, now: float) -> None:
        self.acts.expire(now)
        if self._handshake.expire(now):
            self._sender = self._version1
            self.events.append(WorkerReady(1))
        self._expire_turns(now)
        if self._sender is not None:
            self._sender.expire(now)
        if self._postponed is not None:
            self._ready(self._postponed, now)

    def _expire_turns(self, now: float) -> None:
        """Turns end where no worker has taken them for too long, each as a whole."""
        is_taken = self._sender is not None and self._sender.takes_turns
        if is_taken or not self._handshake.attached or not self.live:
            return
        since = max(self._handshake.waiting_since, self._turns.all[0].began)
        if now - since > WORKER_TIMEOUT_S:
            self._turns.expire(now)
