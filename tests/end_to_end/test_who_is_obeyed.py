"""The face says exactly what its agent said, whatever others in the room send and whenever.

Schedules of an agent's turns, of strangers that greet, speak, interrupt, come and go, and of
renewed join requests, all in virtual time on the conversation itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from thorough import thorough

from agent_side.wire import (
    AgentHello,
    AudioChunk,
    Face,
    Interrupt,
    Message,
    NotObeyed,
    Pcm,
    SegmentEnd,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
)
from worker.media import Pcm as Samples
from worker.turns.conversation import CLAIM_S, DENY_S, Conversation
from worker.turns.playout import Ended
from worker.turns.segments import SegmentQueue

AGENT = "agent"
STRANGERS = ("one", "two")
STREAM = "00112233445566aa"
FACE = Face((), (), ())
TICK_S = 0.04
PIECE = 960

calm = thorough(400)


def sound(turn: int, place: int) -> Samples:
    """The agent's, which nobody else sends: every piece is another."""
    return np.full(PIECE, 100 * turn + place + 1, np.int16)


FOREIGN = np.full(PIECE, -7, np.int16).tobytes()


def forged(stream: str) -> tuple[Message, ...]:
    return (
        AgentHello(stream, 1, 0, 24_000),
        AgentHello(stream, 3, 0, 24_000),
        Pcm(FOREIGN),
        AudioChunk(stream, 1, 1, 0, 24_000, FOREIGN),
        AudioChunk(stream, 2, 1, PIECE, 24_000, FOREIGN),
        TurnEnd(stream, 1, PIECE),
        TurnInterrupt(stream, 9),
        Interrupt(),
        SegmentEnd(),
    )


FORGED = (*forged(STREAM), *forged("ff" * 8))


@dataclass(frozen=True)
class Said:
    """A stranger sends that message."""

    sender: str
    message: int


@dataclass(frozen=True)
class Moved:
    """A stranger comes, as an agent or not, or goes."""

    sender: str
    how: str


@dataclass(frozen=True)
class Renewed:
    """The agent's dispatcher hears its name again."""


@dataclass(frozen=True)
class Waited:
    ticks: int


Event = Said | Moved | Renewed | Waited

strangers = st.sampled_from(STRANGERS)
events = st.one_of(
    st.builds(Said, strangers, st.integers(0, len(FORGED) - 1)),
    st.builds(Moved, strangers, st.sampled_from(["as agent", "as viewer", "goes"])),
    st.builds(Renewed),
    st.builds(Waited, st.integers(1, 40)),
)
schedules = st.lists(events, max_size=60)


@dataclass
class Scene:
    """A conversation whose speech is taken as it comes, and all that was said to the room."""

    agent_id: str | None
    now: float = 0.0
    reports: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.speech = SegmentQueue()
        self.heard: dict[int, list[Samples]] = {}
        self.samples: dict[int, int] = {}
        self.conversation = Conversation(
            self.speech,
            lambda segment: self.samples.get(segment, 0),
            worker="worker",
            face=FACE,
            rate=24_000,
            agent_id=self.agent_id,
        )

    def receive(self, sender: str, message: Message) -> None:
        self.conversation.receive(sender, message, self.now)
        for segment in self.speech.drop_dead():
            self._end(segment, interrupted=True)
        self._play()

    def play(self, event: Event) -> None:
        match event:
            case Said(sender, number):
                self.receive(sender, FORGED[number])
            case Moved(sender, "goes"):
                self.conversation.left(sender, self.now)
            case Moved(sender, how):
                self.conversation.joined(sender, how == "as agent", self.now)
            case Renewed() if self.agent_id is not None:
                self.conversation.name(self.agent_id, self.now)
            case Waited(ticks):
                self.wait(ticks)

    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.now += TICK_S
            self.conversation.advance(self.now)
            self._play()

    def _play(self) -> None:
        while (work := self.speech.take()) is not None:
            segment, pcm, finished = work
            if pcm is not None:
                self.heard.setdefault(segment, []).append(pcm)
                self.samples[segment] = self.samples.get(segment, 0) + len(pcm)
            if finished:
                self.speech.end(segment)
                self._end(segment, interrupted=False)
        self.reports += self.conversation.outgoing(self.now)

    def _end(self, segment: int, *, interrupted: bool) -> None:
        ended = Ended(segment, self.samples.get(segment, 0), interrupted)
        self.conversation.ended(ended, self.now)

    @property
    def sounded(self) -> Samples:
        """All that the face said, in order."""
        pieces = [pcm for segment in sorted(self.heard) for pcm in self.heard[segment]]
        return np.concatenate([np.zeros(0, np.int16), *pieces])


def version_2(turns: int, pieces: int) -> Iterator[Message]:
    yield AgentHello(STREAM, 1, 0, 24_000)
    sequence = 0
    for turn in range(1, turns + 1):
        for place in range(pieces):
            sequence += 1
            pcm = sound(turn, place).tobytes()
            yield AudioChunk(STREAM, turn, sequence, place * PIECE, 24_000, pcm)
        yield TurnEnd(STREAM, turn, pieces * PIECE)


def version_1(turns: int, pieces: int) -> Iterator[Message | None]:
    """None stands for the pause that version 1 needs between two turns."""
    for turn in range(1, turns + 1):
        for place in range(pieces):
            yield Pcm(sound(turn, place).tobytes())
        yield SegmentEnd()
        yield None


def expected(turns: int, pieces: int) -> Samples:
    return np.concatenate(
        [sound(turn, place) for turn in range(1, turns + 1) for place in range(pieces)]
    )


def play(scene: Scene, said: list[Message | None], schedules: list[list[Event]]) -> None:
    """The agent's messages in order, with some of the schedule before each of them."""
    for number, message in enumerate(said):
        for event in schedules[number % len(schedules)] if schedules else ():
            scene.play(event)
        if message is None:
            scene.wait(5)
        else:
            scene.receive(AGENT, message)
    scene.wait(10)


interleaved = st.lists(st.lists(events, max_size=6), max_size=12)


@calm
@given(schedules, interleaved, st.sampled_from([1, 2]))
def test_a_named_agent_is_heard_whole_and_nobody_else(
    before: list[Event], during: list[list[Event]], version: int
) -> None:
    scene = Scene(AGENT)
    for event in before:
        scene.play(event)
    scene.conversation.joined(AGENT, False, scene.now)
    said = version_2(3, 4) if version == 2 else version_1(3, 4)
    play(scene, list(said), during)
    assert np.array_equal(scene.sounded, expected(3, 4))
    if version == 2:
        ended = [each for each in scene.reports if isinstance(each, TurnEnded)]
        assert {(each.turn, each.interrupted) for each in ended} == {(n, False) for n in (1, 2, 3)}


@calm
@given(interleaved, st.sampled_from([1, 2]), st.booleans())
def test_without_a_name_whoever_was_in_the_room_first_is_heard_whole(
    during: list[list[Event]], version: int, is_agent: bool
) -> None:
    scene = Scene(None)
    scene.conversation.joined(AGENT, is_agent, scene.now)
    for stranger in STRANGERS:
        scene.conversation.joined(stranger, False, scene.now)
    said = list(version_2(3, 4) if version == 2 else version_1(3, 4))
    # It has the face from its first message on; only then may others be of the type agent.
    for event in during[0] if during else ():
        if isinstance(event, Said):
            scene.play(event)
    scene.receive(AGENT, said[0])
    play(scene, said[1:], during)
    assert np.array_equal(scene.sounded, expected(3, 4))


@calm
@given(st.lists(st.builds(Said, strangers, st.integers(0, len(FORGED) - 1)), max_size=30))
def test_without_a_name_an_agent_that_answers_in_time_is_not_overtaken(said: list[Said]) -> None:
    """The stranger greets 20 times a second before the agent has said anything."""
    scene = Scene(None)
    scene.conversation.joined("viewer", False, scene.now)
    scene.conversation.joined(AGENT, False, scene.now)
    for stranger in STRANGERS:
        scene.conversation.joined(stranger, False, scene.now)
    for each in said:
        scene.play(each)
    scene.wait(round(CLAIM_S / TICK_S) - 5)
    for message in version_2(1, 4):
        scene.receive(AGENT, message)
    scene.wait(round(CLAIM_S / TICK_S) + 1)
    assert scene.conversation.bound == AGENT
    # A greeting is repeated until it is answered, and so is speech.
    for message in version_2(1, 4):
        scene.receive(AGENT, message)
    scene.wait(10)
    assert np.array_equal(scene.sounded, expected(1, 4))


@calm
@given(schedules, schedules)
def test_a_renewal_gives_the_face_to_whom_it_names_whoever_has_it(
    before: list[Event], after: list[Event]
) -> None:
    scene = Scene(None)
    for event in before:
        scene.play(event)
    scene.agent_id = AGENT
    scene.conversation.name(AGENT, scene.now)
    for segment in scene.speech.drop_dead():
        scene._end(segment, interrupted=True)
    already = len(scene.sounded)
    said = list(version_2(2, 3))
    for number, message in enumerate(said):
        for event in after[number :: len(said)]:
            scene.play(event)
        scene.receive(AGENT, message)
    scene.wait(10)
    assert np.array_equal(scene.sounded[already:], expected(2, 3))


@calm
@given(schedules)
def test_strangers_are_told_seldom_however_often_they_greet(events: list[Event]) -> None:
    scene = Scene(AGENT)
    for event in events:
        scene.play(event)
    denials = [each for each in scene.reports if isinstance(each, NotObeyed)]
    comings = sum(isinstance(each, Moved) for each in events)
    assert len(denials) <= (len(STRANGERS) + comings) * (1 + scene.now / DENY_S)
