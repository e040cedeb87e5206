"""Conversation: who in the room is obeyed, in which version, and what is owed to them."""

from collections import Counter
from typing import Final

from agent_side.wire import AgentHello, AudioChunk, AvatarReady, Face, Message, Pcm, Repeater
from worker.acts import Cue
from worker.playout import Ended
from worker.protocols.version1 import Version1
from worker.protocols.version2 import Version2
from worker.segment import SegmentQueue
from worker.turns import Handed, TurnTaking

ANNOUNCE_S: Final = 10.0
"""How long a worker says that it speaks version 2 when nobody answers."""

ECHO_S: Final = 2.0
"""Packets of somebody who has left may still arrive so long after."""


class Conversation:
    """Listens to one agent and to nobody else.

    The agent is the participant named `agent_id`; without a name it is the first participant
    of the type agent that sends speech, or, where no agent is in the room, the first that
    does. It is bound until it leaves; a bound participant that is no agent yields to one that
    is. Packets that outlive their sender bind nobody. Version 2 is spoken once the agent has
    said hello, version 1 until then.

    Holds no socket and no clock; `counters` says what was refused, and why.
    """

    def __init__(
        self,
        speech: SegmentQueue,
        handed: Handed,
        *,
        worker: str,
        face: Face,
        rate: int,
        agent_id: str | None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.bound: str | None = None
        self._speech = speech
        self._face = face
        self._agent_id = agent_id
        self._version1 = Version1(speech, rate, self.counters)
        self._version2 = Version2(speech, handed, worker, face, self.counters)
        self._versions: tuple[TurnTaking, ...] = (self._version1, self._version2)
        self._agents: set[str] = set()
        self._left_at: dict[str, float] = {}
        self._announcing = Repeater()
        self._announce_until = float("-inf")

    @property
    def version(self) -> int:
        """The version that is spoken with the bound agent."""
        return 1 if self._version2.stream is None else 2

    @property
    def gaps(self) -> int:
        """How often speech came behind a hole, as far as that can be known."""
        return sum(version.gaps for version in self._versions)

    @property
    def unacked(self) -> int:
        """Turns whose end the agent has still to hear of."""
        return sum(version.unacked for version in self._versions)

    def announce(self, now: float) -> None:
        """Say that this worker is there, until an agent answers or `ANNOUNCE_S` are over."""
        self._announce_until = now + ANNOUNCE_S
        ready = AvatarReady(self._version2.worker, None, self._face)
        self._announcing.add("ready", ready, now)

    def joined(self, participant_id: str, is_agent: bool, now: float) -> None:
        """Somebody is in the room."""
        self._left_at.pop(participant_id, None)
        if is_agent:
            self._agents.add(participant_id)
        self.announce(now)

    def left(self, participant_id: str, now: float) -> None:
        """Somebody has left; if it was the agent, the face is free for another."""
        self._left_at[participant_id] = now
        self._agents.discard(participant_id)
        if participant_id == self.bound:
            self._release()

    def away(self) -> None:
        """The worker has lost its place in the room, and nobody hears it.

        A version-2 agent says from which sample on nobody did once the worker is back, and
        sends that again. A version-1 agent sends nothing twice: what is here of its speech
        waits.
        """
        if self.version == 2:
            self._release()
            self._speech.cut()

    def accept_no_turn(self) -> None:
        """Those that were begun are heard to their end."""
        for version in self._versions:
            version.accept_no_turn()

    def receive(self, sender: str, message: Message | None, now: float) -> None:
        """A packet of the data channel; None is one that made no sense."""
        if message is None:
            self.counters["packet_refused"] += 1
        elif sender != self.bound and not self._bind(sender, message):
            self.counters["sender_ignored"] += 1
        else:
            self._obey(message, now)

    def started(self, segment: int, now: float) -> None:
        """The segment begins to be heard."""
        for version in self._versions:
            version.started(segment, now)

    def ended(self, ended: Ended, now: float) -> None:
        """The segment will not be heard any further; its agent is told."""
        for version in self._versions:
            version.ended(ended, now)

    def advance(self, now: float) -> None:
        """Time passes."""
        if now > self._announce_until or self.version == 2:
            self._announcing.done("ready")
        self._left_at = {who: at for who, at in self._left_at.items() if now < at + ECHO_S}
        for version in self._versions:
            version.advance(now)

    def outgoing(self, now: float) -> list[Message]:
        """What has to be sent now, in order."""
        messages = self._announcing.due(now)
        for version in self._versions:
            messages.extend(version.outgoing)
            version.outgoing.clear()
        return messages

    def take_cues(self) -> list[Cue]:
        """What the renderer has to be told beside speech, in order; told once."""
        return self._version2.take_cues()

    def _bind(self, sender: str, message: Message) -> bool:
        if not isinstance(message, Pcm | AudioChunk | AgentHello) or sender in self._left_at:
            return False
        if self._agent_id is not None:
            allowed = sender == self._agent_id
        elif self._agents:
            allowed = sender in self._agents and self.bound not in self._agents
        else:
            allowed = self.bound is None
        if not allowed:
            return False
        if self.bound is not None:
            self._release()
        self._speech.cut()
        self.bound = sender
        return True

    def _release(self) -> None:
        self.bound = None
        for version in self._versions:
            version.release()

    def _obey(self, message: Message, now: float) -> None:
        greeted = self.version == 2 and not self._version1.speaking
        if greeted and isinstance(message, Pcm):
            self.counters["audio_of_version_1"] += 1
            return
        versions = (self._version2,) if greeted else self._versions
        if not any(version.receive(message, now) for version in versions):
            self.counters["message_unexpected"] += 1
