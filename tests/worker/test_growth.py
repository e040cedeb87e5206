"""More of the same message makes nothing in a worker grow, and no tick slower.

Each case repeats one kind of thing that a peer may send, in virtual time: so much that the bounds
of docs/protocol.md are reached, then four times as much. Memory is what can be reached from the
worker's objects, in bytes; effort is the number of calls that Python makes, not time.
"""

import asyncio
import gc
import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np
import pytest
import virtual_time

from agent_side.pending_sends import MAX_PENDING, PendingSends
from agent_side.protocol.fields import MAX_UINT32, MAX_WORDS
from agent_side.wire import (
    MAX_CHUNK_PCM,
    MAX_PCM,
    TURN_END,
    TURN_ENDED,
    TURN_INTERRUPT,
    Ack,
    AgentHello,
    AudioChunk,
    Expression,
    Face,
    Gesture,
    Interrupt,
    Message,
    NotObeyed,
    Pcm,
    Posture,
    SegmentEnd,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
)
from worker.errors import MeetingError
from worker.media import AvatarFrame, Picture
from worker.renderer import Renderer
from worker.settings import Settings
from worker.turns.attendance import Attendance
from worker.turns.conversation import MAX_DENIED, Conversation
from worker.turns.cues import MAX_GESTURES
from worker.turns.playout import Ended, Playout
from worker.turns.prefetch import MAX_PREFETCH
from worker.turns.segments import MAX_ASIDE, MAX_LIVING, MAX_WAITING_S, SegmentQueue
from worker.turns.version2 import MAX_NEW_TURNS, MAX_PROMPTS, MAX_UNACKED

STREAM = "00112233445566aa"
RATE = 24_000
FACE = Face(("nod",), ("neutral", "happy"), ("resting", "listening"))
REST = Picture.blank(2, 2)
NO_PCM = np.zeros(0, np.int16)

TICK_S = 0.04
TICKS = 100
"""So many reach each bound, and so many are measured at once; five times as many are played."""

TALKED_OF = 30
"""Turns that have words; they would have many more than may be known."""

NOISE = 1.1
"""A hundred ticks may take so many times the calls of another hundred: repetitions have waves."""


class Worker:
    """What a session has of one agent, moved through time by hand, without a renderer."""

    def __init__(self, *, renders: bool = True, agent_id: str | None = None) -> None:
        self.now = 1000.0
        self.renders = renders
        self.speech = SegmentQueue()
        self.playout = Playout(REST, Renderer.prefetch_frames)
        self.attendance = Attendance(Settings(), agent_id)
        self.attendance.begin(self.now)
        self.conversation = Conversation(
            self.speech,
            self.playout.handed,
            worker="worker",
            face=FACE,
            rate=RATE,
            agent_id=agent_id,
        )
        self.reports: list[Message] = []
        """What was told at the newest tick."""

    @property
    def counters(self) -> Counter[str]:
        return self.conversation.counters

    @property
    def bytes(self) -> int:
        """The memory of all that a peer can make grow here."""
        return reachable([self.conversation, self.speech, self.playout, self.attendance])

    def joins(self, who: str, is_agent: bool = False) -> None:
        self.attendance.joined(who, is_agent)
        self.conversation.joined(who, is_agent, self.now)

    def leaves(self, who: str) -> None:
        self.attendance.left(who)
        self.conversation.left(who, self.now)
        self._cut()

    def hears(self, *messages: Message | None, sender: str = "agent") -> None:
        for message in messages:
            self.conversation.receive(sender, message, self.now)
            self._cut()

    def tick(self, seconds: float = TICK_S) -> None:
        """Time passes; a renderer that is not busy takes what there is."""
        self.now += seconds
        if self.renders:
            self.conversation.take_cues()
            self._render()
        self.playout.tick()
        for segment in self.playout.started():
            self.conversation.started(segment, self.now)
        for ended in self.playout.ended():
            self.speech.end(ended.segment)
            self.conversation.ended(ended, self.now)
        self.conversation.advance(self.now)
        self.attendance.over(self.conversation.bound, self.now)
        self.reports = self.conversation.outgoing(self.now)

    def answers(self, *messages: Message) -> list[Message]:
        """What is told of them at the next tick, in the order in which it is told."""
        self.hears(*messages)
        self.tick()
        return self.reports

    def _render(self) -> None:
        while self.playout.lead < MAX_PREFETCH and (work := self.speech.take()) is not None:
            segment, pcm, finished = work
            if pcm is not None:
                self.playout.add([AvatarFrame(segment, REST, pcm)])
            if finished:
                self.playout.add([AvatarFrame(segment, REST, NO_PCM, last=True)])

    def _cut(self) -> None:
        if self.speech.first_live_segment == self.playout.first_live_segment:
            return
        began = {ended.segment: ended for ended in self.playout.cut(self.speech.first_live_segment)}
        for segment in self.speech.drop_dead():
            ended = began.get(segment, Ended(segment, 0, interrupted=True))
            self.conversation.ended(ended, self.now)


# Measures -------------------------------------------------------------------------------------


def reachable(roots: list[object]) -> int:
    """Bytes of all objects that can be reached from `roots`, code left out."""
    code = (type, FunctionType, BuiltinFunctionType, ModuleType)
    seen: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, code):
            continue
        seen[id(each)] = each
        waiting += gc.get_referents(each)
        if isinstance(each, np.ndarray) and each.base is not None:
            waiting.append(each.base)
    return sum(map(sys.getsizeof, seen.values()))


def calls(run: Callable[[], object]) -> int:
    """How many calls Python makes in `run`, those of functions in C included."""
    made = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal made
        if event in {"call", "c_call"}:
            made += 1

    before = sys.getprofile()
    gc.disable()  # its callbacks are not counted
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
        gc.enable()
    return made


@dataclass(frozen=True)
class Effort:
    """The calls of some ticks, and of the messages between them."""

    ticks: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)


# The cases ------------------------------------------------------------------------------------


def greeted(worker: Worker) -> None:
    """The agent speaks version 2."""
    worker.joins("agent", is_agent=True)
    worker.answers(AgentHello(STREAM, 1, 0, RATE))


def present(worker: Worker) -> None:
    """The agent speaks version 1 and has the face."""
    worker.joins("agent", is_agent=True)
    worker.hears(pcm(), SegmentEnd())


def interrupted(worker: Worker) -> None:
    """The agent of version 1 has just said INTERRUPT."""
    present(worker)
    worker.hears(Interrupt())


def ended(worker: Worker) -> None:
    """Of the agent of version 2, a turn has been heard."""
    greeted(worker)
    worker.hears(chunk(1), TurnEnd(STREAM, 1, 1))
    for _ in range(5):
        worker.tick()
    worker.hears(Ack(STREAM, "playback_started", 1), Ack(STREAM, TURN_ENDED, 1))


def opened(worker: Worker) -> None:
    """Some turns are open."""
    greeted(worker)
    worker.answers(TurnEnd(STREAM, TALKED_OF, 1))


def claimed(worker: Worker) -> None:
    """Two without a name are in the room, and the second would have the face."""
    worker.joins("viewer")
    worker.joins("agent")


def pcm(samples: int = 1) -> Pcm:
    return Pcm(bytes(2 * samples))


def chunk(turn: int, first: int = 0, samples: int = 1, rate: int = RATE) -> AudioChunk:
    return AudioChunk(STREAM, turn, 1, first, rate, bytes(2 * samples))


def words(turn: int, number: int) -> Words:
    """The `number`-th packet of words of a turn."""
    at = [number * MAX_WORDS + word for word in range(MAX_WORDS)]
    return Words(STREAM, turn, tuple(Word(f"word {each}", each / 10, each / 10 + 1) for each in at))


def words_of_all_turns(worker: Worker, i: int) -> None:
    number, turn = divmod(i, TALKED_OF)
    worker.hears(words(turn + 1, number))


def heard_and_acknowledged(worker: Worker, i: int) -> None:
    acks = [Ack(STREAM, "playback_started", i), Ack(STREAM, TURN_ENDED, i - 1)]
    worker.hears(chunk(i + 1), TurnEnd(STREAM, i + 1, 1), *acks)


def a_stranger_joins_greets_and_leaves(worker: Worker, i: int) -> None:
    who = f"stranger-{i}"
    worker.joins(who, is_agent=bool(i % 2))
    worker.hears(AgentHello(f"{i:016x}", 1, 0, RATE), sender=who)
    worker.leaves(who)


def speaks_again_at_once(worker: Worker, i: int) -> None:
    """Speech of the next turn comes so soon after `segment_end` that it may be of the last."""
    worker.hears(pcm(), SegmentEnd(), pcm())


@dataclass(frozen=True)
class Case:
    """One kind of thing that a peer repeats: `send(worker, i)` sends the i-th.

    At most `kib` KiB of memory are there in the end. At most `calls` are made for one of them, and
    `tick_calls` at a tick: half as many again as what the bounds allow. `each` are sent between two
    ticks.
    """

    name: str
    send: Callable[[Worker, int], object]
    kib: int
    calls: int
    tick_calls: int
    each: int = 3
    prepare: Callable[[Worker], None] = greeted
    renders: bool = True
    agent_id: str | None = None
    tick_s: float = TICK_S


CASES = [
    # Turns
    Case(
        "turns that are opened and never ended",
        lambda worker, i: worker.hears(chunk(min(i + 1, MAX_LIVING + 1))),
        kib=690,
        calls=390,
        tick_calls=3600,
    ),
    Case(
        "turns that are heard and never acknowledged",
        lambda worker, i: worker.hears(chunk(i + 1), TurnEnd(STREAM, i + 1, 1)),
        each=1,
        kib=130,
        calls=120,
        tick_calls=260,
    ),
    Case(
        "turns that are interrupted and never acknowledged",
        lambda worker, i: worker.hears(chunk(i + 1), TurnInterrupt(STREAM, i + 1)),
        kib=140,
        calls=140,
        tick_calls=120,
    ),
    Case(
        "turns that are heard and acknowledged",
        heard_and_acknowledged,
        each=1,
        kib=20,
        calls=160,
        tick_calls=210,
    ),
    Case(
        "ends of turns whose speech never comes",
        lambda worker, i: worker.hears(TurnEnd(STREAM, min(i + 1, MAX_LIVING + 1), 1000)),
        kib=530,
        calls=60,
        tick_calls=840,
    ),
    Case(
        "ends of one turn, each with another length",
        lambda worker, i: worker.hears(TurnEnd(STREAM, 1, 1000 + i)),
        kib=20,
        calls=50,
        tick_calls=80,
    ),
    Case(
        "turns as far ahead as may be",
        lambda worker, i: worker.hears(TurnEnd(STREAM, MAX_NEW_TURNS * (i + 1), 1000)),
        kib=420,
        calls=30,
        tick_calls=680,
    ),
    Case(
        "turns too far ahead",
        lambda worker, i: worker.hears(chunk(MAX_UINT32 - i), TurnEnd(STREAM, MAX_UINT32 - i, 1)),
        kib=20,
        calls=60,
        tick_calls=70,
    ),
    Case(
        "interrupts of the same turn",
        lambda worker, i: worker.hears(TurnInterrupt(STREAM, 1)),
        kib=20,
        calls=40,
        tick_calls=70,
    ),
    Case(
        "interrupts of many turns each",
        lambda worker, i: worker.hears(TurnInterrupt(STREAM, MAX_NEW_TURNS // 4 * (i + 1))),
        each=1,
        kib=140,
        calls=840,
        tick_calls=300,
    ),
    # Speech
    Case(
        "pieces of one sample",
        lambda worker, i: worker.hears(chunk(1, first=i)),
        each=20,
        renders=False,
        kib=50,
        calls=70,
        tick_calls=80,
    ),
    Case(
        "pieces of one sample at a rate that is resampled",
        lambda worker, i: worker.hears(chunk(1, first=i, rate=16_000)),
        each=10,
        renders=False,
        kib=40,
        calls=80,
        tick_calls=80,
    ),
    Case(
        "speech that waits to be heard",
        lambda worker, i: worker.hears(
            chunk(1, first=i * (MAX_CHUNK_PCM // 2), samples=MAX_CHUNK_PCM // 2)
        ),
        each=30,
        renders=False,
        kib=65000,
        calls=60,
        tick_calls=70,
    ),
    Case(
        "pieces behind gaps of one turn",
        lambda worker, i: worker.hears(chunk(1, first=2 * i + 1)),
        each=45,
        kib=1400,
        calls=60,
        tick_calls=470,
    ),
    Case(
        "pieces behind gaps of many turns",
        lambda worker, i: worker.hears(
            chunk(1 + i // 8 % 120, first=1 + i % 8 * 8000, samples=7000, rate=192_000)
        ),
        each=10,
        kib=19000,
        calls=590,
        tick_calls=1600,
    ),
    Case(
        "the same piece behind a gap, longer each time",
        lambda worker, i: worker.hears(chunk(1, first=1, samples=1 + i)),
        kib=20,
        calls=60,
        tick_calls=100,
    ),
    Case(
        "pieces of a turn that has ended",
        lambda worker, i: worker.hears(chunk(1, first=i)),
        prepare=ended,
        kib=20,
        calls=30,
        tick_calls=70,
    ),
    # What else version 2 has
    Case(
        "words of many turns while the renderer is busy",
        words_of_all_turns,
        each=11,
        prepare=opened,
        renders=False,
        kib=3200,
        calls=330,
        tick_calls=150,
    ),
    Case(
        "words of one turn",
        lambda worker, i: worker.hears(words(1, i)),
        each=3,
        kib=350,
        calls=240,
        tick_calls=80,
    ),
    Case(
        "gestures while the renderer is busy",
        lambda worker, i: worker.hears(Gesture(STREAM, 2 * i, "nod")),
        renders=False,
        kib=80,
        calls=70,
        tick_calls=60,
    ),
    Case(
        "expressions and postures while the renderer is busy",
        lambda worker, i: worker.hears(
            Expression(STREAM, 2 * i, "happy", 1.0), Posture(STREAM, 2 * i + 1, "listening")
        ),
        renders=False,
        kib=20,
        calls=70,
        tick_calls=60,
    ),
    Case(
        "acts that the face does not know",
        lambda worker, i: worker.hears(Gesture(STREAM, i, f"gesture-{i}")),
        kib=20,
        calls=40,
        tick_calls=70,
    ),
    Case(
        "acknowledgements of nothing",
        lambda worker, i: worker.hears(Ack(STREAM, TURN_ENDED, i)),
        kib=20,
        calls=30,
        tick_calls=70,
    ),
    Case(
        "greetings, each with a new stream and a turn in it",
        lambda worker, i: worker.hears(
            AgentHello(f"{i:016x}", 1, 0, RATE),
            AudioChunk(f"{i:016x}", 1, 1, 0, RATE, bytes(2)),
        ),
        kib=30,
        calls=130,
        tick_calls=90,
    ),
    Case(
        "greetings of the same stream and of one that is over",
        lambda worker, i: worker.hears(AgentHello(f"{i % 2:016x}", i, i, RATE)),
        kib=20,
        calls=30,
        tick_calls=70,
    ),
    Case(
        "messages of other streams",
        lambda worker, i: worker.hears(TurnEnd(f"{i:016x}", 1, 1)),
        kib=20,
        calls=30,
        tick_calls=70,
    ),
    # Version 1
    Case(
        "pieces of one sample, version 1",
        lambda worker, i: worker.hears(pcm()),
        each=20,
        prepare=present,
        renders=False,
        kib=50,
        calls=60,
        tick_calls=60,
    ),
    Case(
        "speech that waits to be heard, version 1",
        lambda worker, i: worker.hears(pcm(MAX_PCM // 2)),
        each=30,
        prepare=present,
        renders=False,
        kib=64000,
        calls=60,
        tick_calls=60,
    ),
    Case(
        "turns of one sample, version 1",
        speaks_again_at_once,
        prepare=present,
        renders=False,
        kib=460,
        calls=1700,
        tick_calls=60,
    ),
    Case(
        "turns that are heard, version 1",
        speaks_again_at_once,
        each=1,
        prepare=present,
        kib=20,
        calls=170,
        tick_calls=180,
    ),
    Case(
        "segment_end",
        lambda worker, i: worker.hears(SegmentEnd()),
        prepare=present,
        kib=20,
        calls=40,
        tick_calls=120,
    ),
    Case(
        "INTERRUPT",
        lambda worker, i: worker.hears(Interrupt()),
        prepare=present,
        kib=20,
        calls=30,
        tick_calls=70,
    ),
    Case(
        "INTERRUPT of a turn each",
        lambda worker, i: worker.hears(pcm(), Interrupt()),
        prepare=present,
        kib=20,
        calls=70,
        tick_calls=70,
    ),
    Case(
        "pieces that are held after INTERRUPT",
        lambda worker, i: worker.hears(pcm()),
        each=10,
        prepare=interrupted,
        tick_s=0.0001,
        kib=330,
        calls=40,
        tick_calls=70,
    ),
    Case(
        "pieces after segment_end",
        lambda worker, i: worker.hears(pcm(4)),
        each=20,
        prepare=present,
        renders=False,
        tick_s=0.0001,
        kib=140,
        calls=60,
        tick_calls=60,
    ),
    # Whoever is in the room
    Case(
        "speech of somebody who waits for the face",
        lambda worker, i: worker.hears(pcm()),
        each=11,
        prepare=claimed,
        tick_s=0.001,
        kib=140,
        calls=40,
        tick_calls=80,
    ),
    Case(
        "greetings of ever new strangers",
        lambda worker, i: worker.hears(AgentHello(f"{i:016x}", 1, 0, RATE), sender=f"stranger-{i}"),
        kib=20,
        calls=20,
        tick_calls=70,
    ),
    Case(
        "greetings of the same stranger, and speech",
        lambda worker, i: worker.hears(
            AgentHello(f"{i:016x}", 1, 0, RATE), pcm(), sender="stranger"
        ),
        kib=20,
        calls=40,
        tick_calls=70,
    ),
    Case(
        "strangers that join, greet and leave",
        a_stranger_joins_greets_and_leaves,
        agent_id="agent",
        kib=20,
        calls=60,
        tick_calls=70,
    ),
    Case(
        "joins of the same participant",
        lambda worker, i: worker.joins("viewer"),
        kib=20,
        calls=20,
        tick_calls=70,
    ),
    Case(
        "packets that make no sense",
        lambda worker, i: worker.hears(None, sender=f"stranger-{i}"),
        kib=20,
        calls=10,
        tick_calls=70,
    ),
]


class Play:
    """One case, in its worker."""

    def __init__(self, case: Case) -> None:
        self.worker = Worker(renders=case.renders, agent_id=case.agent_id)
        self._case = case
        self._sent = 0
        case.prepare(self.worker)

    def run(self) -> None:
        """`TICKS` ticks, and what is sent between them."""
        for _ in range(TICKS):
            for _ in range(self._case.each):
                self._send()
            self._tick()

    def measured(self) -> Effort:
        """The same, with what each of it took."""
        effort = Effort()
        for _ in range(TICKS):
            effort.messages.extend(calls(self._send) for _ in range(self._case.each))
            effort.ticks.append(calls(self._tick))
        return effort

    def _send(self) -> None:
        self._case.send(self.worker, self._sent)
        self._sent += 1

    def _tick(self) -> None:
        self.worker.tick(self._case.tick_s)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What a handler of the log does is not counted."""
    caplog.set_level(logging.CRITICAL, "avatar")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_more_of_the_same_makes_nothing_grow(case: Case) -> None:
    play = Play(case)
    first, early = play.measured(), play.measured()
    play.run()
    play.run()
    late = play.measured()

    assert play.worker.bytes <= case.kib * 1024
    assert_bounds_hold(play.worker, case)
    assert median(first.messages) <= case.calls
    assert median(first.ticks) <= case.tick_calls
    assert max(late.messages) <= case.calls
    assert max(late.ticks) <= case.tick_calls
    assert sum(late.messages) <= NOISE * sum(early.messages)
    assert sum(late.ticks) <= NOISE * sum(early.ticks)


def assert_bounds_hold(worker: Worker, case: Case) -> None:
    """Those of docs/protocol.md that can be seen from outside; the cues are taken."""
    a_packet = MAX_CHUNK_PCM // 2
    assert len(worker.speech.living) <= MAX_LIVING
    assert worker.speech.waiting_s <= MAX_WAITING_S + a_packet / RATE
    assert worker.speech.aside <= MAX_ASIDE + a_packet
    assert worker.conversation.unacked <= MAX_LIVING + MAX_UNACKED
    assert sum(isinstance(message, NotObeyed) for message in worker.reports) <= MAX_DENIED
    assert len(worker.reports) <= MAX_LIVING + MAX_UNACKED + 2 * case.each
    assert len(worker.conversation.take_cues()) <= MAX_PROMPTS + MAX_GESTURES + 2


# What is refused, and given up ----------------------------------------------------------------


def full(worker: Worker) -> int:
    """As many turns live as may be; returns the newest."""
    for turn in (100, 200, MAX_LIVING):
        assert worker.answers(TurnEnd(STREAM, turn, 1000))[0] == Ack(STREAM, TURN_END, turn)
    return MAX_LIVING


def test_a_turn_that_cannot_be_opened_is_acknowledged_once_it_can_be() -> None:
    worker = Worker()
    greeted(worker)
    newest = full(worker)
    end, interrupt = TurnEnd(STREAM, newest + 1, 0), TurnInterrupt(STREAM, newest + 1)
    assert not any(isinstance(answer, Ack) for answer in worker.answers(end, end))
    assert worker.counters["turn_refused"] == 2
    assert len(worker.speech.living) == MAX_LIVING

    reports = worker.answers(interrupt)
    assert not any(isinstance(answer, Ack) for answer in reports)
    assert worker.speech.living == ()
    assert [answer.turn for answer in reports if isinstance(answer, TurnEnded)] == [
        *range(1, newest + 1)
    ]

    reports = worker.answers(interrupt, end)
    assert reports[:2] == [
        Ack(STREAM, TURN_INTERRUPT, newest + 1),
        Ack(STREAM, TURN_END, newest + 1),
    ]
    assert TurnEnded(STREAM, newest + 1, 0.0, interrupted=True) in reports


@pytest.mark.parametrize("turn", [2, 2 + MAX_NEW_TURNS], ids=["leaving", "too far ahead"])
def test_an_interrupt_that_is_refused_silences_what_lives(turn: int) -> None:
    worker = Worker()
    greeted(worker)
    worker.hears(chunk(1))
    if turn == 2:
        worker.conversation.accept_no_turn()
    reports = worker.answers(TurnInterrupt(STREAM, turn))
    assert worker.speech.living == ()
    assert reports == [TurnEnded(STREAM, 1, 0.0, interrupted=True)]


def test_an_agent_that_acknowledges_nothing_keeps_its_face() -> None:
    worker = Worker()
    greeted(worker)
    turns, most = 10_000, 0
    for turn in range(1, turns + 1):
        worker.hears(chunk(turn), TurnEnd(STREAM, turn, 1))
        worker.tick()
        most = max(most, len(worker.reports))
    waiting: set[Message] = set()
    for _ in range(50):
        worker.tick()
        waiting.update(worker.reports)
    assert len(waiting) == MAX_UNACKED
    assert TurnEnded(STREAM, turns, 1 / RATE, interrupted=False) in waiting
    assert most <= MAX_UNACKED
    assert worker.counters == {"unacked_given_up": 2 * turns - MAX_UNACKED}
    assert worker.conversation.bound == "agent"
    assert worker.attendance.over("agent", worker.now) is None


def test_sends_that_wait_in_the_sdk_are_bounded() -> None:
    begun = 0

    async def never_sent() -> None:
        nonlocal begun
        begun += 1
        await asyncio.get_running_loop().create_future()

    async def run() -> list[BaseException | None]:
        pending_sends = PendingSends(MeetingError)
        sends = [pending_sends.wait(never_sent()) for _ in range(5 * MAX_PENDING)]
        raised = await asyncio.gather(*sends, return_exceptions=True)
        pending_sends.close()
        return raised

    raised = virtual_time.run(run())
    assert begun == MAX_PENDING
    assert all(isinstance(error, MeetingError) for error in raised)
