"""Conversation: who in the room is obeyed, in which version, and what is sent to them."""

import logging
from collections import Counter
from typing import Final

from agent_side.wire import (
    AgentHello,
    AudioChunk,
    AvatarReady,
    Face,
    Message,
    NotObeyed,
    Pcm,
    Repeater,
)
from worker.renderer import Cue
from worker.turns.playout import Ended
from worker.turns.protocol import Handed, TurnTaking
from worker.turns.segments import SegmentQueue
from worker.turns.version1 import Version1
from worker.turns.version2 import Version2

ANNOUNCE_S: Final = 10.0
"""How long a worker says that it speaks version 2 when nobody answers."""

EAGER_S: Final = 0.2
"""How long it says so at every tick. An agent that is alone in a room opens its way to receive when
the worker comes, some 50 ms after the worker can send, and what is sent until then is lost."""

ECHO_S: Final = 2.0
"""Packets of somebody who has left may still arrive so long after."""

CLAIM_S: Final = 1.0
"""How long a face that nobody has waits, from the first claim on, for a claim of somebody who
has been in the room longer. An agent of version 2 answers the worker within a round trip."""

MAX_CLAIM: Final = 1024
"""Messages that are kept of a claim meanwhile; more are refused."""

DENY_S: Final = 1.0
"""The least time between two messages to a participant that it is not obeyed."""

MAX_DENIED: Final = 16
"""How many participants get that message, and are named in the log; more are only counted."""

logger = logging.getLogger("avatar.worker.conversation")


class Conversation:
    """Obeys one agent and ignores everybody else.

    The agent is the participant named `agent_id`. Without a name it is the participant of the
    type agent that has been in the room longest. Where none of that type is in the room, it is
    the one that has been there longest of those that send speech or a greeting within `CLAIM_S`.
    The agent is bound until it leaves; only `name` gives the face to another. Packets that arrive
    after their sender has left bind nobody. Version 2 is spoken once the agent has said hello,
    version 1 until then.

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
        self._present: dict[str, bool] = {}
        """Who is in the room, and whether it is of the type agent; in the order of joining."""
        self._claimant: str | None = None
        """Who gets the face at `_bind_at`, if nobody claims it that was in the room before."""
        self._claim: list[Message] = []
        self._bind_at = float("inf")
        self._denied: dict[str, float] = {}
        """When each participant that is not obeyed got that message last."""
        self._denials: list[Message] = []
        self._left_at: dict[str, float] = {}
        self._announcing = Repeater()
        self._announced_at = float("-inf")

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
        """Turns whose end the agent has not acknowledged yet."""
        return sum(version.unacked for version in self._versions)

    def announce(self, now: float) -> None:
        """Say that this worker is there, until an agent answers or `ANNOUNCE_S` are over."""
        self._announced_at = now
        self._put_ready(now)

    def name(self, agent_id: str, now: float) -> None:
        """A renewed join request names the agent, which has the face at once.

        What another one has said is cut: it is not the agent any more.
        """
        if agent_id == self._agent_id:
            return
        logger.info("the agent is %s by a renewed join request", ascii(agent_id))
        self._agent_id = agent_id
        self._denied.clear()
        self._drop_claim()
        if self.bound not in (None, agent_id):
            self._release()
            self._speech.cut()
        self.announce(now)

    def joined(self, participant_id: str, is_agent: bool, now: float) -> None:
        """Somebody is in the room."""
        self._left_at.pop(participant_id, None)
        self._present[participant_id] = is_agent
        if is_agent:
            self._drop_claim()
        self.announce(now)

    def left(self, participant_id: str, now: float) -> None:
        """Somebody has left; if it was the agent, the face is free for another."""
        self._left_at[participant_id] = now
        self._present.pop(participant_id, None)
        self._denied.pop(participant_id, None)
        if participant_id == self._claimant:
            self._drop_claim()
        if participant_id == self.bound:
            self._release()

    def away(self) -> None:
        """The worker has lost its connection to the room, and is not heard.

        The agent stays bound: whoever else is there when the worker is back does not get the
        face before it. A version-2 agent says from which sample on nobody heard it once the
        worker is back, and sends that again. A version-1 agent sends nothing twice: what is here
        of its speech waits.
        """
        if self.version == 2:
            self._start_anew()
            self._speech.cut()

    def accept_no_turn(self) -> None:
        """Those that were begun are heard to their end."""
        for version in self._versions:
            version.accept_no_turn()

    def receive(self, sender: str, message: Message | None, now: float) -> None:
        """A packet of the data channel; None is one that made no sense."""
        if message is None:
            self.counters["packet_refused"] += 1
        elif sender == self.bound:
            self._obey(message, now)
        elif self._may_have_it(sender, message):
            self._bind(sender)
            self._obey(message, now)
        elif self._may_claim(sender, message):
            self._put_claim(sender, message, now)
        else:
            self._ignore(sender, message, now)

    def started(self, segment: int, now: float) -> None:
        """The segment begins to be heard."""
        for version in self._versions:
            version.started(segment, now)

    def ended(self, ended: Ended, now: float) -> None:
        """The segment will not be heard any further; its agent gets a message."""
        for version in self._versions:
            version.ended(ended, now)

    def advance(self, now: float) -> None:
        """Time passes."""
        if self.version == 2 or now > self._announced_at + ANNOUNCE_S:
            self._announcing.done("ready")
            self._announced_at = float("-inf")
        elif now < self._announced_at + EAGER_S:
            self._put_ready(now)
        self._left_at = {who: at for who, at in self._left_at.items() if now < at + ECHO_S}
        if now >= self._bind_at:
            self._bind_claimant(now)
        for version in self._versions:
            version.advance(now)

    def outgoing(self, now: float) -> list[Message]:
        """What has to be sent now, in order."""
        messages = [*self._announcing.due(now), *self._denials]
        self._denials.clear()
        for version in self._versions:
            messages.extend(version.outgoing)
            version.outgoing.clear()
        return messages

    def take_cues(self) -> list[Cue]:
        """The cues for the renderer, in order; each is returned once."""
        return self._version2.take_cues()

    def _put_ready(self, now: float) -> None:
        """Send it now, and again later."""
        ready = AvatarReady(self._version2.worker, None, self._face)
        self._announcing.add("ready", ready, now)

    def _may_have_it(self, sender: str, message: Message) -> bool:
        """Whether the sender is the agent from this message on."""
        if self.bound is not None or not _claims(message) or sender in self._left_at:
            return False
        if self._agent_id is not None:
            return sender == self._agent_id
        return sender == (self._first_agent or self._first or sender)

    def _may_claim(self, sender: str, message: Message) -> bool:
        """Whether the sender is the agent if nobody claims the face that came before it."""
        if self.bound is not None or self._agent_id is not None or self._first_agent is not None:
            return False
        if sender == self._claimant:
            return True
        if not _claims(message) or sender in self._left_at:
            return False
        return self._claimant is None or self._came_before(sender, self._claimant)

    def _put_claim(self, sender: str, message: Message, now: float) -> None:
        if sender != self._claimant:
            bind_at = now + CLAIM_S if self._claimant is None else self._bind_at
            self._drop_claim()
            self._claimant, self._bind_at = sender, bind_at
        if len(self._claim) < MAX_CLAIM:
            self._claim.append(message)
        else:
            self.counters["sender_ignored"] += 1

    def _bind_claimant(self, now: float) -> None:
        """Nobody that came before it has claimed the face."""
        claimant, claim = self._claimant, self._claim
        self._claim = []
        assert claimant is not None
        self._bind(claimant)
        for message in claim:
            self._obey(message, now)

    def _drop_claim(self) -> None:
        if self._claim:
            self.counters["sender_ignored"] += len(self._claim)
        self._claimant, self._claim, self._bind_at = None, [], float("inf")

    @property
    def _first_agent(self) -> str | None:
        """The participant of the type agent that has been in the room longest."""
        return next((who for who, is_agent in self._present.items() if is_agent), None)

    @property
    def _first(self) -> str | None:
        """The participant that has been in the room longest."""
        return next(iter(self._present), None)

    def _came_before(self, one: str, other: str) -> bool:
        """Whether `one` has been in the room longer; who is not known to be there came last."""
        order = list(self._present)
        return one in order and (other not in order or order.index(one) < order.index(other))

    def _bind(self, sender: str) -> None:
        self._drop_claim()
        self._denied.pop(sender, None)
        self._speech.cut()
        self.bound = sender
        logger.info("the agent is %s: %s", ascii(sender), self._why(sender))

    def _why(self, sender: str) -> str:
        if self._agent_id is not None:
            return "the join request names it"
        if sender == self._first_agent:
            return "of the type agent, it was in the room first"
        return "no agent is named and none of the type agent is in the room"

    def _ignore(self, sender: str, message: Message, now: float) -> None:
        """Count the message; say to whoever would have the face that it does not get it."""
        self.counters["sender_ignored"] += 1
        if not _claims(message) or sender in self._left_at:
            return
        if sender not in self._denied:
            if len(self._denied) >= MAX_DENIED:
                return
            self._denied[sender] = float("-inf")
            logger.warning(
                "%s is not obeyed: %s; name the agent in agent_participant_id to change that",
                ascii(sender),
                self._why_not(),
            )
        if isinstance(message, AgentHello) and now >= self._denied[sender] + DENY_S:
            self._denied[sender] = now
            self._denials.append(NotObeyed(message.stream, self._agent_id is not None))

    def _why_not(self) -> str:
        if self._agent_id is not None:
            return f"the join request names {self._agent_id!a}"
        if self.bound is not None:
            return f"{self.bound!a} has the face until it leaves"
        if self._first_agent is not None:
            return f"{self._first_agent!a}, of the type agent, was in the room first"
        return f"{self._claimant!a} was in the room first"

    def _release(self) -> None:
        self.bound = None
        self._start_anew()

    def _start_anew(self) -> None:
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


def _claims(message: Message) -> bool:
    """Whether whoever sends it would be the agent."""
    return isinstance(message, Pcm | AudioChunk | AgentHello)
