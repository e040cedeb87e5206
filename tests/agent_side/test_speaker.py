"""What an agent says is kept until it is heard, and no more is told as heard than was.

The agent's side of the protocol, moved through time by hand.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thorough import thorough

from agent_side.acts import ActUnknown
from agent_side.handshake import HELLO_SLOWEST_S, HELLO_TIMEOUT_S, STOCK_TIMEOUT_S
from agent_side.protocol.fields import MAX_TURN_WORDS, MAX_WORD, MAX_WORDS
from agent_side.senders.accounts import STRAY_S
from agent_side.senders.port import CHUNK_S, WINDOW_S
from agent_side.senders.version1 import ACK_TIMEOUT_S, DEAF_S, NEXT_TURN_S
from agent_side.senders.version2 import (
    EXTRAPOLATE_S,
    HANDED_S,
    MAX_LAG_S,
    RESEND_GAP_S,
    RESEND_MAX_S,
    RESEND_S,
)
from agent_side.speaker import (
    WORKER_TIMEOUT_S,
    Disobeyed,
    Speaker,
    TurnOver,
    TurnStarted,
    WorkerLost,
    WorkerReady,
)
from agent_side.turn_buffer import REST_S
from agent_side.wire import (
    TURN_END,
    TURN_INTERRUPT,
    Ack,
    Act,
    ActRefused,
    AgentHello,
    AudioChunk,
    AvatarReady,
    Expression,
    Face,
    Gesture,
    Interrupt,
    Message,
    NotObeyed,
    Pcm,
    PlaybackStarted,
    Progress,
    SegmentEnd,
    StreamEnded,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
    decode,
)

STREAM = "0123456789abcdef"
RATE = 24_000
FACE = Face(("nod",), ("neutral", "happy"), ("resting", "listening"))
CHUNK = int(CHUNK_S * RATE)
UNHEARD = 4321
HANDED = int(HANDED_S * RATE)
"""A worker that dies has handed so much to its track that nobody heard."""
WINDOW = int(WINDOW_S * RATE)
STEP_S = 0.01

calm = thorough(200)
"""The time that an example takes says something about the machine only."""


def voice(samples: int, first: int = 0) -> bytes:
    """Speech in which every sample tells its place."""
    return b"".join((at % 65_521).to_bytes(2, "little") for at in range(first, first + samples))


class Line:
    """A speaker with its clock, and everything that it sent and said."""

    def __init__(self, rate: int = RATE) -> None:
        self.speaker = Speaker(STREAM, rate)
        self.now = 100.0
        self.sent: list[tuple[float, Message]] = []
        self.events: list[object] = []

    def send(self) -> list[Message]:
        """All that has to be sent now."""
        before = len(self.sent)
        while (packet := self.speaker.next_packet(self.now)) is not None:
            message = decode(packet.payload, reliable=packet.reliable)
            assert message is not None
            self.sent.append((self.now, message))
            self.speaker.sent(self.now)
            assert len(self.sent) - before < 1000, "the speaker never rests"
        self.listen()
        return [message for _, message in self.sent[before:]]

    def wait(self, seconds: float) -> list[Message]:
        """All that is sent until so much later."""
        until = self.now + seconds
        messages = self.send()
        while self.now < until - 1e-9:
            self.now = min(until, self.now + STEP_S)
            messages += self.send()
        return messages

    def hear(self, *messages: Message) -> list[Message]:
        """The worker's messages arrive now; all that has to be sent then."""
        for message in messages:
            self.speaker.receive(message, self.now)
        return self.send()

    @property
    def workers(self) -> list[WorkerReady | WorkerLost]:
        """The workers' coming and going."""
        self.listen()
        return [each for each in self.events if isinstance(each, WorkerReady | WorkerLost)]

    def listen(self) -> None:
        while self.speaker.events:
            self.events.append(self.speaker.events.popleft())

    def say(self, samples: int, *, end: bool = True) -> None:
        self.speaker.write(voice(samples), self.now)
        if end:
            self.speaker.end(self.now)

    def interrupt(self) -> list[Message]:
        self.speaker.interrupt(self.now)
        return self.send()

    @property
    def over(self) -> list[tuple[int, float, bool]]:
        return [(turn, position, outcome != "heard") for turn, position, outcome in self.outcomes]

    @property
    def outcomes(self) -> list[tuple[int, float, str]]:
        self.listen()
        over = [event for event in self.events if isinstance(event, TurnOver)]
        assert all(event.interrupted == (event.outcome != "heard") for event in over)
        return [(event.turn, event.position, event.outcome) for event in over]


def line2(rate: int = RATE) -> Line:
    """A speaker whose worker speaks version 2."""
    line = Line(rate)
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.send()
    line.hear(AvatarReady("worker", STREAM))
    assert line.speaker.version == 2
    return line


def line_with_a_face() -> Line:
    """A speaker whose worker has told what its face can do."""
    line = Line()
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.send()
    line.hear(AvatarReady("worker", STREAM, FACE))
    return line


def line1() -> Line:
    """A speaker whose worker is a stock one."""
    line = Line()
    line.speaker.launched(1)
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.wait(STOCK_TIMEOUT_S + 0.1)
    assert line.speaker.version == 1
    return line


def line1_that_acked() -> Line:
    """A speaker whose worker has acked its first turn, of 0.04 s, in version 1."""
    line = line1()
    line.say(CHUNK)
    line.wait(0.1)
    line.hear(StreamEnded(CHUNK_S, False))
    assert line.outcomes == [(1, CHUNK_S, "heard")]
    line.wait(STRAY_S + 0.1)
    return line


def of_kind(kind: type | tuple[type, ...], messages: Iterable[Message]) -> list[Message]:
    return [message for message in messages if isinstance(message, kind)]


def chunks(messages: Iterable[Message]) -> list[AudioChunk]:
    return [message for message in messages if isinstance(message, AudioChunk)]


def spoken(messages: Iterable[Message], turn: int = 1) -> bytes:
    """The turn's speech as a worker puts it together from all chunks."""
    pieces = {chunk.first_sample: chunk.pcm for chunk in chunks(messages) if chunk.turn == turn}
    speech = bytearray()
    for first in sorted(pieces):
        assert 2 * first <= len(speech), "a hole"
        speech[2 * first : 2 * first + len(pieces[first])] = pieces[first]
    return bytes(speech)


def pcm(messages: Iterable[Message]) -> bytes:
    return b"".join(message.data for message in messages if isinstance(message, Pcm))


def heard(line: Line, turn: int, samples: int) -> Progress:
    return Progress(STREAM, turn, samples, samples)


# Which version ---------------------------------------------------------------------------------


def test_nothing_is_sent_without_a_meeting() -> None:
    line = Line()
    line.say(1000)
    assert line.wait(5.0) == []


def test_hello_is_said_ever_more_slowly_until_it_is_answered() -> None:
    line = Line()
    line.speaker.attached(line.now)
    start = line.now
    line.wait(8.0)
    times = [at - start for at, message in line.sent if isinstance(message, AgentHello)]
    assert times == pytest.approx([0, 0.1, 0.3, 0.7, 1.5, 3.1, 5.1, 7.1], abs=0.05)
    line.hear(AvatarReady("worker", STREAM))
    assert of_kind(AgentHello, line.wait(10.0)) == []
    assert line.events == [WorkerReady(2)]


def test_a_hello_that_could_not_be_sent_is_sent_as_soon_as_it_can_be() -> None:
    """The SDK refuses what is sent in the first moments after it has joined."""
    line = Line()
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    assert line.speaker.next_packet(line.now) is not None, "which the SDK refuses"
    line.now += 0.02
    assert len(of_kind(AgentHello, line.send())) == 1
    line.now += 0.02
    assert of_kind(AgentHello, line.send()) == []


@pytest.mark.parametrize("hellos_lost", [0, 1, 3])
@pytest.mark.parametrize("answers_lost", [0, 1, 2])
def test_version_2_is_agreed_whatever_is_lost(hellos_lost: int, answers_lost: int) -> None:
    line = Line()
    line.speaker.attached(line.now)
    lost = [True] * (hellos_lost + answers_lost)
    for _ in range(1000):
        for hello in of_kind(AgentHello, line.wait(STEP_S)):
            assert hello == AgentHello(STREAM, 1, 0, 24_000)
            if lost:
                lost.pop()
            else:
                line.hear(AvatarReady("worker", STREAM))
        if line.speaker.version == 2:
            return
    raise AssertionError("never agreed")


def test_a_worker_that_announces_itself_is_greeted_at_once() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.wait(4.0)
    assert of_kind(AgentHello, line.hear(AvatarReady("worker", None)))


def test_an_answer_to_somebody_else_is_no_answer() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.hear(AvatarReady("worker", "f" * 16))
    assert line.speaker.version == 0


def test_a_worker_that_does_not_answer_speaks_version_1() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.wait(20.0)
    assert line.speaker.version == 0, "nobody is there"
    line.speaker.present(line.now)
    line.wait(HELLO_TIMEOUT_S - 0.05)
    assert line.speaker.version == 0
    line.wait(0.1)
    assert line.speaker.version == 1
    assert line.events == [WorkerReady(1)]


@pytest.mark.parametrize("before", ["nobody", "one of version 2"])
def test_any_worker_may_take_its_time_to_answer(before: str) -> None:
    line = Line() if before == "nobody" else line2()
    line.speaker.attached(line.now)
    line.say(3 * CHUNK)
    line.wait(0.1)
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    messages = line.wait(HELLO_TIMEOUT_S - 0.2)
    assert pcm(messages) == b""
    hello = of_kind(AgentHello, messages)[0]
    assert isinstance(hello, AgentHello)
    messages = line.hear(AvatarReady("another worker", hello.stream))
    assert spoken(messages + line.wait(0.5), turn=1) == voice(3 * CHUNK)


def test_a_stock_worker_may_follow_one_of_version_2() -> None:
    line = line2()
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    line.wait(HELLO_TIMEOUT_S + 0.1)
    assert line.speaker.version == 1


def test_what_follows_a_worker_that_acked_in_version_1_is_taken_for_another() -> None:
    line = line1_that_acked()
    line.speaker.launched(None)
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    line.wait(STOCK_TIMEOUT_S + 0.1)
    assert line.speaker.version == 1


def test_a_guess_is_no_evidence_of_a_stock_worker() -> None:
    """The one before was taken for a stock worker, and never acked."""
    line = line1()
    line.speaker.launched(None)
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    line.wait(HELLO_TIMEOUT_S - 0.2)
    assert line.speaker.version == 0


@pytest.mark.parametrize("evidence", ["launched by ours", "announced", "answered somebody else"])
def test_a_worker_of_version_2_is_never_spoken_to_in_version_1(evidence: str) -> None:
    line = Line()
    line.speaker.launched(2 if evidence == "launched by ours" else 1)
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.wait(0.5)
    if evidence != "launched by ours":
        line.hear(AvatarReady("worker", None if evidence == "announced" else "f" * 16))
    line.say(3 * CHUNK)
    assert of_kind((Pcm, SegmentEnd), line.wait(WORKER_TIMEOUT_S - 1)) == []
    assert line.over == []
    messages = line.hear(AvatarReady("worker", STREAM))
    assert spoken(messages + line.wait(0.1)) == voice(3 * CHUNK)


def test_patience_begins_when_the_first_greeting_has_left() -> None:
    """Until then the agent's own connection is what is slow."""
    line = Line()
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    for _ in range(20):
        assert line.speaker.next_packet(line.now) is not None
        line.now += HELLO_SLOWEST_S
    assert line.speaker.version == 0
    line.wait(HELLO_TIMEOUT_S - 0.2)
    assert line.speaker.version == 0


def test_a_worker_that_answers_after_it_was_taken_for_a_stock_one_hears_all() -> None:
    """Once greeted, it took bare speech for noise: nobody has confirmed any of it."""
    line = line1()
    line.say(10 * CHUNK)
    line.wait(0.2)
    hello = of_kind(AgentHello, line.hear(AvatarReady("worker", None)))
    assert hello == [AgentHello(STREAM, 1, 0, RATE)]
    assert of_kind((Pcm, SegmentEnd), line.wait(0.2)) == []
    messages = line.hear(AvatarReady("worker", STREAM))
    assert spoken(messages) == voice(10 * CHUNK)
    line.hear(TurnEnded(STREAM, 1, 0.4, False))
    assert line.outcomes == [(1, 0.4, "heard")]


def test_the_sender_is_woken_when_patience_ends() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.send()
    while line.speaker.version == 0:
        line.now = line.speaker.next_due(line.now) + 1e-6
        line.send()
    assert line.now < 100.0 + HELLO_TIMEOUT_S + 0.05


def test_a_stock_worker_never_hears_of_version_2_again() -> None:
    line = line1()
    line.say(10 * CHUNK)
    later = line.wait(5.0)
    line.hear(StreamEnded(0.4, False))
    later += line.wait(30.0)
    assert of_kind((AgentHello, AudioChunk, Ack), later) == []


def test_the_version_changes_between_turns() -> None:
    """A worker that has acked in version 1 hears a turn in the version in which it began."""
    line = line1_that_acked()
    line.say(10 * CHUNK)
    line.wait(0.1)
    hello = of_kind(AgentHello, line.hear(AvatarReady("worker", None)))
    assert hello == [AgentHello(STREAM, 3, 0, 24_000)], "turn 2 stays with version 1"
    messages = line.hear(AvatarReady("worker", STREAM))
    assert line.speaker.version == 1
    messages += line.wait(0.5)
    assert of_kind(AudioChunk, messages) == []
    line.hear(StreamEnded(0.4, False))
    assert line.speaker.version == 2
    assert line.outcomes[1:] == [(2, 0.4, "heard")]
    line.say(CHUNK)
    assert spoken(line.wait(0.1), turn=3) == voice(CHUNK)


def test_no_turn_begins_in_version_1_once_the_worker_waits_for_version_2() -> None:
    """A worker that was greeted takes bare speech for noise, except for the turn it is in."""
    line = line1_that_acked()
    line.say(5 * CHUNK)
    line.wait(0.1)
    line.hear(AvatarReady("worker", None))
    line.say(3 * CHUNK)
    assert pcm(line.wait(0.5)) == b""
    line.hear(AvatarReady("worker", STREAM))
    assert pcm(line.wait(0.5)) == b""
    messages = line.hear(StreamEnded(0.2, False))
    assert spoken(messages + line.wait(0.5), turn=3) == voice(3 * CHUNK)


def test_a_greeting_that_stays_unanswered_does_not_hold_turns_for_ever() -> None:
    line = line1()
    line.hear(AvatarReady("worker", None))
    line.say(3 * CHUNK)
    assert pcm(line.wait(WORKER_TIMEOUT_S + 1)) == b""
    assert line.outcomes == [(1, 0.0, "interrupted")]


@pytest.mark.parametrize("named", [True, False])
def test_an_agent_that_is_not_obeyed_hears_of_it_and_goes_on_greeting(named: bool) -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.say(CHUNK)
    line.hear(NotObeyed(STREAM, named), NotObeyed("f" * 16, True))
    assert Disobeyed(named) in line.events
    assert of_kind(AgentHello, line.wait(20.0))
    assert line.over == []
    messages = line.hear(AvatarReady("worker", STREAM))
    assert spoken(messages + line.wait(0.1)) == voice(CHUNK)


def test_a_new_worker_learns_that_earlier_turns_are_over() -> None:
    """Else it would open the turns before the first that it hears of, and wait for them."""
    line = line1_that_acked()
    line.say(CHUNK)
    line.wait(0.1)
    line.hear(StreamEnded(0.04, False))
    line.speaker.absent(line.now)
    messages = line.hear(AvatarReady("worker", STREAM))
    assert TurnInterrupt(STREAM, 2) in messages


def test_a_worker_that_comes_after_turns_were_given_up_is_told_so() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.say(CHUNK)
    assert of_kind(AgentHello, line.send()) == [AgentHello(STREAM, 1, 0, 24_000)]
    line.wait(WORKER_TIMEOUT_S + 1)
    assert line.over == [(1, 0.0, True)]
    assert TurnInterrupt(STREAM, 1) in line.hear(AvatarReady("worker", STREAM))
    line.say(CHUNK)
    assert spoken(line.send(), turn=2) == voice(CHUNK)


# Speech ----------------------------------------------------------------------------------------


@calm
@given(st.lists(st.binary(max_size=2001), max_size=12))
def test_odd_bytes_are_carried_over(pieces: list[bytes]) -> None:
    line = line2()
    for piece in pieces:
        line.speaker.write(piece, line.now)
    line.speaker.end(line.now)
    whole = b"".join(pieces)
    assert spoken(line.send()) == whole[: len(whole) // 2 * 2]


def test_an_odd_byte_does_not_reach_the_next_turn() -> None:
    line = line2()
    line.speaker.write(voice(10) + b"\x7f", line.now)
    line.speaker.end(line.now)
    line.say(10)
    messages = line.send()
    assert spoken(messages, 1) == voice(10)
    assert spoken(messages, 2) == voice(10)


def test_nothing_is_written_by_nothing() -> None:
    line = line2()
    line.speaker.write(b"", line.now)
    line.speaker.write(b"\x01", line.now)
    assert line.speaker.current_turn == 0
    assert not line.speaker.live


def test_an_empty_turn_is_a_turn_in_either_version() -> None:
    line = line2()
    line.speaker.end(line.now)
    assert line.send() == [TurnEnd(STREAM, 1, 0)]
    line.hear(TurnEnded(STREAM, 1, 0.0, False))
    assert line.over == [(1, 0.0, False)]
    stock = line1()
    stock.speaker.end(stock.now)
    assert stock.send() == [], "a stock worker acks no empty turn"
    assert stock.over == [(1, 0.0, False)]


def test_chunks_say_where_they_belong() -> None:
    line = line2(rate=16_000)
    line.say(1000)
    messages = chunks(line.send())
    assert [chunk.first_sample for chunk in messages] == [0, 640]
    assert [chunk.sequence for chunk in messages] == [1, 2]
    assert {chunk.sample_rate for chunk in messages} == {16_000}


@pytest.mark.parametrize("rate", [4000, 22_050, 48_000, 192_000])
def test_every_rate_has_chunks_that_fit(rate: int) -> None:
    line = line2(rate)
    line.say(rate // 4)
    assert spoken(line.send()) == voice(rate // 4)


@pytest.mark.parametrize("rate", [0, -1, 3999, 192_001])
def test_a_rate_that_the_protocol_cannot_say_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="sample rate"):
        Speaker(STREAM, rate)


# The window ------------------------------------------------------------------------------------


def test_speech_waits_for_what_was_heard() -> None:
    line = line2()
    line.say(RATE * 10)
    assert sum(len(chunk.pcm) // 2 for chunk in chunks(line.wait(0.2))) <= WINDOW + CHUNK
    line.hear(PlaybackStarted(STREAM, 1), heard(line, 1, 2 * CHUNK))
    assert chunks(line.send()) == []
    assert len(of_kind(AudioChunk, line.wait(0.1))) >= 2


class Player:
    """A worker that plays turns in order at the right pace, from what has arrived."""

    def __init__(self) -> None:
        self.heard: dict[int, int] = {}
        self.outgoing: list[Message] = []
        self._here: dict[int, set[int]] = {}
        self._ends: dict[int, int] = {}
        self._playing = 1
        self._reported = 0.0
        self._credit = 0.0
        self._dead = 0

    def take(self, message: Message) -> None:
        match message:
            case AudioChunk(turn=turn, first_sample=first, pcm=data):
                here = self._here.setdefault(turn, set())
                here.update(range(first // 120, (first + len(data) // 2) // 120))
            case TurnEnd(turn=turn, samples=samples):
                self._ends[turn] = samples
                self.outgoing.append(Ack(STREAM, TURN_END, turn))
            case TurnInterrupt(turn=turn):
                self.outgoing.append(Ack(STREAM, TURN_INTERRUPT, turn))
                self._dead = max(self._dead, turn)

    def play(self, now: float, seconds: float) -> None:
        turn = self._playing
        self._credit += seconds * RATE
        at = self.heard.get(turn, 0)
        while turn <= self._dead:
            self._end(turn, interrupted=True)
            turn = self._playing
        while self._credit >= 120:
            self._credit -= 120
            at = self.heard.get(turn, 0)
            if at // 120 in self._here.get(turn, ()):
                if at == 0:
                    self.outgoing.append(PlaybackStarted(STREAM, turn))
                self.heard[turn] = at + 120
            elif at == self._ends.get(turn):
                self._end(turn, interrupted=False)
                turn = self._playing
        if now >= self._reported + 0.2 and turn in self._here:
            self._reported = now
            self.outgoing += [self._progress(each) for each in self._here if each >= turn]

    def _end(self, turn: int, *, interrupted: bool) -> None:
        position_s = self.heard.get(turn, 0) / RATE
        self.outgoing.append(TurnEnded(STREAM, turn, position_s, interrupted))
        self._playing += 1

    def _progress(self, turn: int) -> Progress:
        here = sorted(self._here[turn])
        received = next((at for at in range(len(here) + 1) if at not in self._here[turn]), 0)
        holes = [(a + 1, b) for a, b in pairwise(here) if b > a + 1]
        missing = tuple((120 * a, 120 * b) for a, b in holes)[:64]
        return Progress(STREAM, turn, self.heard.get(turn, 0), 120 * received, missing)


def run_with_player(
    line: Line,
    says: list[tuple[int, float]],
    lost: Callable[[], bool],
    delay_s: Callable[[], float],
    watch: Callable[[Line, Player], None],
) -> Player:
    """Speak the turns with pauses between them through a bad network; ends when all is heard."""
    player = Player()
    air: list[tuple[float, int, bool, Message]] = []
    pending = list(says)
    next_say = line.now
    for serial in range(20_000):
        if pending and line.now >= next_say:
            steps, pause_s = pending.pop(0)
            line.say(120 * steps)
            next_say = line.now + pause_s
        outgoing: list[tuple[bool, Message]] = [(True, message) for message in line.send()]
        outgoing += [(False, message) for message in player.outgoing]
        player.outgoing.clear()
        for to_player, message in outgoing:
            repeats = 1 if isinstance(message, AudioChunk | TurnEnd | TurnInterrupt) else 0
            if not (repeats and lost()):
                air.append((line.now + delay_s(), serial, to_player, message))
        for item in sorted(
            [item for item in air if item[0] <= line.now], key=lambda item: item[:2]
        ):
            air.remove(item)
            if item[2]:
                player.take(item[3])
            else:
                line.speaker.receive(item[3], line.now)
        player.play(line.now, STEP_S)
        watch(line, player)
        if not pending and not line.speaker.live:
            return player
        line.now += STEP_S
    raise AssertionError("the conversation never ends")


turn_scripts = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([0.0, 0.05, 0.5, 3.0])), min_size=1, max_size=5
)


def ahead_of(player: Player, line: Line) -> int:
    """Samples that were sent and are not heard."""
    furthest: dict[int, int] = {}
    for _, message in line.sent:
        if isinstance(message, AudioChunk):
            end = message.first_sample + len(message.pcm) // 2
            furthest[message.turn] = max(end, furthest.get(message.turn, 0))
    return sum(end - player.heard.get(turn, 0) for turn, end in furthest.items())


@calm
@given(turn_scripts)
def test_speech_is_never_far_ahead_of_what_is_heard(says: list[tuple[int, float]]) -> None:
    line = line2()
    most = 0

    def watch(line: Line, player: Player) -> None:
        nonlocal most
        most = max(most, ahead_of(player, line))

    player = run_with_player(line, says, lambda: False, lambda: 0.0, watch)
    assert most <= WINDOW + CHUNK
    assert player.heard == {n + 1: 120 * size for n, (size, _) in enumerate(says) if size}
    assert [turn for turn, _, _ in line.over] == list(range(1, len(says) + 1))


@calm
@given(turn_scripts, st.randoms(use_true_random=False), st.floats(0, 0.4), st.floats(0, 0.5))
def test_speech_is_bounded_and_whole_on_any_network(
    says: list[tuple[int, float]], random: Random, loss: float, delay: float
) -> None:
    """What is taken to be heard between two reports may be wrong while speech is missing."""
    line = line2()
    most = 0

    def watch(line: Line, player: Player) -> None:
        nonlocal most
        most = max(most, ahead_of(player, line))

    player = run_with_player(
        line, says, lambda: random.random() < loss, lambda: random.random() * delay, watch
    )
    assert most <= WINDOW + CHUNK + (MAX_LAG_S + EXTRAPOLATE_S) * RATE
    assert player.heard == {n + 1: 120 * size for n, (size, _) in enumerate(says) if size}
    expected = [(n + 1, 120 * size / RATE, False) for n, (size, _) in enumerate(says)]
    assert line.over == expected


@calm
@given(st.lists(st.tuples(st.integers(1, 20_000), st.floats(0, 1.5)), min_size=1, max_size=6))
def test_version_1_is_never_far_ahead_either(says: list[tuple[int, float]]) -> None:
    line = line1()
    line.sent.clear()
    playing_until = 0.0
    for samples, pause_s in says:
        line.say(samples)
        until = line.now + pause_s
        while line.now < until:
            for message in line.send():
                size = len(message.data) / 2 if isinstance(message, Pcm) else 0
                playing_until = max(line.now, playing_until) + size / RATE
            assert playing_until - line.now <= WINDOW_S + CHUNK_S + 1e-6
            line.now += STEP_S
    whole = b"".join(voice(samples) for samples, _ in says)
    line.wait(1.1 * len(whole) / 2 / RATE + (NEXT_TURN_S + 0.1) * len(says) + 1)
    assert pcm(message for _, message in line.sent) == whole


@pytest.mark.parametrize("one_way_s", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_a_worker_far_away_never_runs_dry(one_way_s: float) -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.wait(2 * one_way_s)
    line.hear(AvatarReady("worker", STREAM))
    dry = 0
    before = 0

    def watch(line: Line, player: Player) -> None:
        nonlocal dry, before
        now = player.heard.get(1, 0)
        dry += 0 < before == now < 3 * RATE
        before = now

    run_with_player(line, [(3 * RATE // 120, 0.0)], lambda: False, lambda: one_way_s, watch)
    assert dry == 0


def test_a_replaced_worker_is_not_taken_to_have_heard_anything_yet() -> None:
    line = line2()
    line.say(RATE * 4)
    line.send()
    line.hear(PlaybackStarted(STREAM, 1), heard(line, 1, 4800))
    line.wait(0.3)
    line.speaker.absent(line.now)
    line.wait(1.0)
    line.speaker.present(line.now)
    messages = line.hear(AvatarReady("another", STREAM)) + line.wait(0.4)
    sent = {chunk.first_sample + len(chunk.pcm) // 2 for chunk in chunks(messages)}
    assert max(sent) - 4800 <= WINDOW + CHUNK


# Loss ------------------------------------------------------------------------------------------


def test_speech_that_is_reported_missing_is_sent_again() -> None:
    line = line2()
    line.say(5 * CHUNK)
    line.send()
    gap = Progress(STREAM, 1, 0, CHUNK, ((CHUNK, 2 * CHUNK),))
    line.hear(gap)
    again = chunks(line.wait(RESEND_GAP_S + 0.02))
    assert [chunk.first_sample for chunk in again] == [CHUNK]
    line.hear(Progress(STREAM, 1, 0, 5 * CHUNK))
    assert chunks(line.wait(5.0)) == []


def test_a_gap_between_two_others_says_that_the_speech_between_them_arrived() -> None:
    line = line2()
    line.say(5 * CHUNK)
    line.send()
    line.hear(Progress(STREAM, 1, 0, 0, ((0, CHUNK), (2 * CHUNK, 3 * CHUNK))))
    again = {chunk.first_sample // CHUNK for chunk in chunks(line.wait(3.0))}
    assert again == {0, 2, 3, 4}


def test_speech_that_nobody_reports_is_sent_again_ever_more_slowly() -> None:
    line = line2()
    line.say(CHUNK)
    start = line.now
    line.wait(12.0)
    times = [at - start for at, message in line.sent if isinstance(message, AudioChunk)]
    steps = [later - earlier for earlier, later in pairwise(times)]
    expected = [RESEND_S, 2 * RESEND_S, RESEND_MAX_S, RESEND_MAX_S]
    assert steps[:4] == pytest.approx(expected, abs=2 * STEP_S)


def test_the_end_is_repeated_until_it_is_acknowledged() -> None:
    line = line2()
    line.say(10)
    assert len(of_kind(TurnEnd, line.wait(1.0))) == 4
    line.hear(Ack(STREAM, TURN_END, 1))
    assert of_kind(TurnEnd, line.wait(5.0)) == []


def test_an_ack_of_another_stream_acknowledges_nothing() -> None:
    line = line2()
    line.say(10)
    line.send()
    line.hear(Ack("f" * 16, TURN_END, 1), TurnEnded("f" * 16, 1, 1.0, False))
    assert line.speaker.live
    assert of_kind(TurnEnd, line.wait(1.0))


def test_what_the_worker_repeats_is_acknowledged_each_time() -> None:
    line = line2()
    line.say(CHUNK)
    line.send()
    ended = TurnEnded(STREAM, 1, 0.04, False)
    for _ in range(3):
        assert of_kind(Ack, line.hear(ended)) == [Ack(STREAM, "turn_ended", 1)]
    assert line.over == [(1, 0.04, False)]


# Interrupts ------------------------------------------------------------------------------------


def test_an_interrupt_stops_speech_and_is_repeated() -> None:
    line = line2()
    line.say(RATE, end=False)
    line.send()
    assert line.interrupt() == [TurnInterrupt(STREAM, 1)]
    later = line.wait(1.0)
    assert of_kind(AudioChunk, later) == []
    assert of_kind(TurnInterrupt, later) == [TurnInterrupt(STREAM, 1)] * 3
    line.hear(Ack(STREAM, TURN_INTERRUPT, 1), TurnEnded(STREAM, 1, 0.1, True))
    assert of_kind(TurnInterrupt, line.wait(5.0)) == []
    assert line.over == [(1, 0.1, True)]


def test_an_interrupt_before_any_turn_is_nothing() -> None:
    for line in (Line(), line1(), line2()):
        line.interrupt()
        assert of_kind((Interrupt, TurnInterrupt), line.wait(1.0)) == []
        assert line.over == []
        line.say(CHUNK)
        assert line.speaker.current_turn == 1


def test_a_second_interrupt_changes_nothing() -> None:
    for line in (line1(), line2()):
        line.say(RATE)
        line.send()
        first = of_kind((Interrupt, TurnInterrupt), line.interrupt())
        assert len(first) == 1
        assert line.interrupt() == []
        line.say(CHUNK)
        assert line.speaker.current_turn == 2


@pytest.mark.parametrize("times", [1, 2])
def test_an_end_without_speech_after_an_interrupt_at_rest_is_a_turn(times: int) -> None:
    """Barge-in while nothing is said, and an answer that is only a tool call."""
    for line in (line1(), line2()):
        line.say(CHUNK)
        line.wait(0.1)
        line.hear(StreamEnded(0.04, False), TurnEnded(STREAM, 1, 0.04, False))
        for _ in range(times):
            line.interrupt()
        line.speaker.end(line.now)
        line.send()
        line.hear(TurnEnded(STREAM, 2, 0.0, False))
        assert line.outcomes == [(1, 0.04, "heard"), (2, 0.0, "heard")]


def test_an_end_without_speech_after_an_interrupt_of_a_complete_turn_is_a_turn() -> None:
    for line in (line1(), line2()):
        line.say(RATE)
        line.send()
        line.interrupt()
        line.speaker.end(line.now)
        assert line.speaker.current_turn == 2


def test_the_end_that_follows_an_interrupt_is_the_dead_turns() -> None:
    for line in (line1(), line2()):
        line.say(RATE, end=False)
        line.send()
        line.interrupt()
        line.speaker.end(line.now)
        assert line.speaker.current_turn == 1
        line.say(CHUNK)
        assert line.speaker.current_turn == 2
        assert of_kind((SegmentEnd, TurnEnd), line.wait(0.5))


def test_an_interrupt_kills_the_turns_that_wait_too() -> None:
    line = line2()
    for _ in range(3):
        line.say(RATE)
    line.send()
    assert line.interrupt() == [TurnInterrupt(STREAM, 3)]
    line.hear(*(TurnEnded(STREAM, turn, 0.0, True) for turn in (1, 2, 3)))
    assert [turn for turn, _, _ in line.over] == [1, 2, 3]


def test_an_interrupt_after_the_turn_leaves_it_alone() -> None:
    line = line2()
    line.say(CHUNK)
    line.send()
    line.hear(Ack(STREAM, TURN_END, 1), TurnEnded(STREAM, 1, 0.04, False))
    assert line.interrupt() == []
    assert line.over == [(1, 0.04, False)]


def test_an_interrupt_that_comes_too_late_is_told_the_truth() -> None:
    line = line2()
    line.say(CHUNK)
    line.send()
    line.interrupt()
    line.hear(TurnEnded(STREAM, 1, 0.04, False))
    assert line.over == [(1, 0.04, False)]


def test_an_odd_byte_of_a_dead_turn_is_dead() -> None:
    line = line2()
    line.speaker.write(voice(10) + b"\x7f", line.now)
    line.send()
    line.interrupt()
    line.say(10)
    assert spoken(line.send(), 2) == voice(10)


def test_a_dead_turn_is_no_backlog() -> None:
    line = line2()
    line.say(RATE)
    line.send()
    line.interrupt()
    assert line.speaker.backlog == 0
    line.say(RATE)
    assert line.speaker.backlog == 2 * RATE


def test_the_window_is_free_after_an_interrupt() -> None:
    for line in (line1(), line2()):
        line.say(RATE * 5)
        line.send()
        line.interrupt()
        line.say(RATE)
        next_turn = line.wait(DEAF_S + STEP_S) if line.speaker.version == 1 else line.send()
        assert len(of_kind((Pcm, AudioChunk), next_turn)) >= WINDOW_S / CHUNK_S


# The worker goes away --------------------------------------------------------------------------


@pytest.mark.parametrize("notice", ["left and joined", "another says ready"])
def test_a_replaced_worker_goes_on_at_the_first_unheard_sample(notice: str) -> None:
    line = line2()
    line.say(RATE)
    line.send()
    line.hear(PlaybackStarted(STREAM, 1), Progress(STREAM, 1, UNHEARD + HANDED, WINDOW))
    if notice == "left and joined":
        line.speaker.absent(line.now)
        line.wait(2.0)
        assert line.speaker.version == 0
        line.speaker.present(line.now)
    hello = of_kind(AgentHello, line.hear(AvatarReady("another", None)))
    assert hello == [AgentHello(STREAM, 1, UNHEARD, 24_000)]
    messages = line.hear(AvatarReady("another", STREAM))
    assert chunks(messages)[0].first_sample == UNHEARD
    first = b"".join(chunk.pcm for chunk in chunks(messages))
    assert voice(RATE)[2 * UNHEARD :].startswith(first)


@pytest.mark.parametrize("notice", ["left", "another says ready", "no meeting"])
def test_each_loss_of_a_worker_is_told_once_and_before_the_next_one(notice: str) -> None:
    line = line2()
    for _ in range(2):
        if notice == "left":
            line.speaker.absent(line.now)
        elif notice == "no meeting":
            line.speaker.detached(line.now)
            assert line.workers == [WorkerReady(2), WorkerLost()]
            line.speaker.attached(line.now)
    *_, hello = line.hear(AvatarReady("another", None))
    assert isinstance(hello, AgentHello)
    line.hear(AvatarReady("another", hello.stream))
    assert line.workers == [WorkerReady(2), WorkerLost(), WorkerReady(2)]


def test_nobody_is_lost_who_was_never_ready() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.send()
    line.speaker.absent(line.now)
    line.speaker.detached(line.now)
    assert line.workers == []


def test_a_stock_worker_that_speaks_version_2_after_all_was_not_lost() -> None:
    line = line1()
    line.hear(AvatarReady("worker", None))
    line.hear(AvatarReady("worker", STREAM))
    assert line.workers == [WorkerReady(1), WorkerReady(2)]
    line.speaker.absent(line.now)
    assert line.workers[2:] == [WorkerLost()]


def test_a_turn_that_was_killed_is_over_when_the_worker_is_lost() -> None:
    line = line2()
    line.say(RATE)
    line.send()
    line.hear(PlaybackStarted(STREAM, 1), heard(line, 1, 4800))
    line.interrupt()
    line.speaker.absent(line.now)
    assert line.outcomes == [(1, 0.2 - HANDED_S, "unconfirmed")]


def test_turns_are_over_in_order_when_the_worker_is_lost() -> None:
    """The second turn's end has arrived and the first one's has not: nobody knows how it ended."""
    line = line2()
    line.say(2 * CHUNK)
    line.say(CHUNK)
    line.send()
    line.hear(TurnEnded(STREAM, 2, 0.04, False))
    assert line.over == []
    line.speaker.absent(line.now)
    assert line.outcomes == [(1, 0.0, "unconfirmed"), (2, 0.04, "heard")]


def test_a_lost_worker_of_version_1_is_replaced_where_it_was() -> None:
    line = line1()
    line.say(2 * RATE)
    messages = line.wait(1.0)
    ahead = len(pcm(messages)) // 2 - RATE
    assert 0 < ahead <= WINDOW + CHUNK
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    messages = line.wait(5.0)
    assert abs(len(pcm(messages)) // 2 - RATE) <= 2 * STEP_S * RATE
    assert voice(2 * RATE).endswith(pcm(messages))
    line.hear(StreamEnded(1.0, False))
    [(turn, position, outcome)] = line.outcomes
    assert (turn, outcome) == (1, "unconfirmed"), "the first worker said nothing of its half"
    assert position == pytest.approx(1.0, abs=0.02)


def test_after_a_new_meeting_speech_goes_on_in_a_new_stream() -> None:
    """The worker saw the old stream's agent leave and will never obey that stream again."""
    line = line2()
    line.say(RATE)
    line.send()
    line.hear(PlaybackStarted(STREAM, 1), Progress(STREAM, 1, UNHEARD + HANDED, WINDOW))
    line.speaker.detached(line.now)
    assert line.speaker.version == 0
    assert line.wait(1.0) == []
    line.speaker.attached(line.now)
    hellos = of_kind(AgentHello, line.send())
    assert len(hellos) == 1
    hello = hellos[0]
    assert isinstance(hello, AgentHello)
    assert hello.stream != STREAM
    assert (hello.turn, hello.sample) == (1, UNHEARD)
    messages = line.hear(AvatarReady("worker", hello.stream))
    assert line.speaker.version == 2
    assert chunks(messages)[0].first_sample == UNHEARD
    assert {chunk.stream for chunk in chunks(messages)} == {hello.stream}
    assert of_kind(AgentHello, line.wait(10.0)) == []


# No worker -------------------------------------------------------------------------------------


def test_speech_waits_for_a_worker() -> None:
    line = Line()
    line.say(RATE // 4)
    line.say(RATE // 8)
    line.speaker.attached(line.now)
    assert of_kind((Pcm, AudioChunk), line.wait(5.0)) == []
    line.speaker.present(line.now)
    messages = line.hear(AvatarReady("worker", STREAM))
    assert spoken(messages, 1) == voice(RATE // 4)
    assert spoken(messages, 2) == voice(RATE // 8)


@pytest.mark.parametrize("there_before", [True, False])
def test_speech_is_kept_whole_however_much_it_is(there_before: bool) -> None:
    """A worker is lost in an answer of which minutes are unheard, or has yet to come."""
    line = line2() if there_before else Line()
    line.speaker.attached(line.now)
    for _ in range(30):
        line.say(10 * RATE, end=False)
    line.wait(1.0)
    line.speaker.absent(line.now)
    line.wait(WORKER_TIMEOUT_S - 2)
    assert line.over == []
    assert line.speaker.backlog == 2 * 300 * RATE
    line.speaker.end(line.now)
    hello = of_kind(AgentHello, line.wait(HELLO_SLOWEST_S))[-1]
    assert isinstance(hello, AgentHello)
    assert (hello.turn, hello.sample) == (1, 0)
    assert chunks(line.hear(AvatarReady("another", hello.stream)))[0].first_sample == 0


@pytest.mark.parametrize("closed_by", ["end", "interrupt"])
def test_the_rest_of_a_turn_that_was_given_up_is_no_new_turn(closed_by: str) -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.say(RATE, end=False)
    line.wait(WORKER_TIMEOUT_S + 1)
    assert line.outcomes == [(1, 0.0, "interrupted")]
    for _ in range(3):
        line.speaker.write(voice(RATE), line.now)
        line.speaker.words([Word("rest", 0.0, 0.1)])
        line.wait(0.1)
    if closed_by == "interrupt":
        line.interrupt()
    line.speaker.end(line.now)
    assert line.speaker.current_turn == 1
    line.say(RATE)
    assert line.speaker.current_turn == 2


def test_a_turn_that_was_given_up_and_never_ended_does_not_take_the_next_with_it() -> None:
    """Its synthesizer failed, and the framework sends no end then."""
    line = Line()
    line.speaker.attached(line.now)
    line.say(RATE, end=False)
    line.wait(WORKER_TIMEOUT_S + 1 + REST_S)
    line.say(RATE)
    assert line.speaker.current_turn == 2


def test_the_rest_of_a_turn_that_the_worker_ended_is_no_new_turn() -> None:
    line = line2()
    line.say(CHUNK, end=False)
    line.send()
    line.hear(TurnEnded(STREAM, 1, 0.04, True))
    line.say(RATE)
    assert line.speaker.current_turn == 1
    line.say(RATE)
    assert line.speaker.current_turn == 2


def test_turns_end_when_no_worker_comes() -> None:
    line = Line()
    line.speaker.attached(line.now)
    line.say(CHUNK)
    line.wait(WORKER_TIMEOUT_S - 1)
    assert line.over == []
    line.wait(2)
    assert line.over == [(1, 0.0, True)]


def test_patience_with_workers_begins_anew_with_each_loss() -> None:
    line = line2()
    line.say(RATE)
    line.wait(WORKER_TIMEOUT_S)
    line.speaker.absent(line.now)
    line.wait(WORKER_TIMEOUT_S - 1)
    assert line.over == []
    line.wait(2)
    assert len(line.over) == 1


def test_an_interrupt_without_a_worker_ends_the_turns_at_once() -> None:
    line = Line()
    line.say(CHUNK)
    line.say(CHUNK)
    line.interrupt()
    assert line.over == [(1, 0.0, True), (2, 0.0, True)]


# What the application hears --------------------------------------------------------------------


def test_a_turn_starts_once() -> None:
    line = line2()
    line.say(CHUNK)
    line.send()
    for _ in range(3):
        line.hear(PlaybackStarted(STREAM, 1))
    line.hear(TurnEnded(STREAM, 1, 0.04, False), PlaybackStarted(STREAM, 1))
    assert line.events == [WorkerReady(2), TurnStarted(1), TurnOver(1, 0.04, False)]


@calm
@given(st.data())
def test_each_turn_is_over_once_and_in_order_whatever_arrives(data: st.DataObject) -> None:
    line = line2()
    count = data.draw(st.integers(1, 6))
    for _ in range(count):
        line.say(data.draw(st.sampled_from([0, CHUNK])))
    line.send()
    if data.draw(st.booleans()):
        line.interrupt()
    for turn in data.draw(st.lists(st.integers(0, count + 2), max_size=30)):
        line.hear(TurnEnded(STREAM, turn, turn / 100, data.draw(st.booleans())))
        line.wait(data.draw(st.sampled_from([0.0, 0.3])))
        if data.draw(st.integers(0, 9)) == 0:
            line.speaker.absent(line.now)
            line.hear(AvatarReady("another", STREAM))
    for turn in data.draw(st.permutations(range(1, count + 1))):
        line.hear(TurnEnded(STREAM, turn, turn / 100, False))
    assert [turn for turn, _, _ in line.over] == list(range(1, count + 1))
    assert not line.speaker.live


replies = st.one_of(
    st.builds(AvatarReady, st.sampled_from(["worker", "b"]), st.sampled_from([None, STREAM])),
    st.builds(StreamEnded, st.floats(0, 10), st.booleans()),
    st.builds(PlaybackStarted, st.just(STREAM), st.integers(0, 5)),
    st.builds(
        Progress,
        st.just(STREAM),
        st.integers(0, 5),
        st.integers(0, 60_000),
        st.integers(0, 60_000),
        st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)), max_size=4).map(tuple),
    ),
    st.builds(TurnEnded, st.just(STREAM), st.integers(0, 5), st.floats(0, 9), st.booleans()),
    st.builds(Ack, st.just(STREAM), st.sampled_from([TURN_END, TURN_INTERRUPT]), st.integers(0, 5)),
)
deeds = st.one_of(
    replies,
    st.integers(0, 20_000),
    st.sampled_from(
        ["end", "interrupt", "absent", "present", "detached", "attached", "wait", "wait long"]
    ),
)


@calm
@given(st.lists(deeds, max_size=40))
def test_nothing_that_happens_confuses_the_speaker(script: list[Message | int | str]) -> None:
    """Every turn that began is over once, in order, once nobody is there any more."""
    line = Line()
    for deed in script:
        match deed:
            case int():
                line.speaker.write(bytes(deed), line.now)
            case "end":
                line.speaker.end(line.now)
            case "interrupt":
                line.speaker.interrupt(line.now)
            case "absent":
                line.speaker.absent(line.now)
            case "present":
                line.speaker.present(line.now)
            case "detached":
                line.speaker.detached(line.now)
            case "attached":
                line.speaker.attached(line.now)
            case "wait":
                line.wait(0.05)
            case "wait long":
                line.wait(4.0)
            case str():
                raise AssertionError(deed)
            case _:
                line.hear(deed)
        line.send()
    line.speaker.give_up()
    assert [turn for turn, _, _ in line.over] == list(range(1, line.speaker.current_turn + 1))
    assert all(position >= 0 for _, position, _ in line.over)


# Version 1 -------------------------------------------------------------------------------------


def test_version_1_sends_bare_speech_and_its_end() -> None:
    line = line1()
    line.say(3 * CHUNK)
    messages = line.wait(1.0)
    assert pcm(messages) == voice(3 * CHUNK)
    assert messages[-1] == SegmentEnd()
    line.hear(StreamEnded(0.12, False))
    assert line.over == [(1, 0.12, False)]


def test_a_packet_that_failed_is_offered_again_and_no_other_is_taken_for_it() -> None:
    line = line1_that_acked()
    line.sent.clear()
    line.say(3 * CHUNK)
    assert line.speaker.next_packet(line.now) is not None
    line.speaker.sent(line.now)
    second = line.speaker.next_packet(line.now)
    assert second is not None
    assert line.speaker.next_packet(line.now) == second
    line.speaker.receive(AvatarReady("worker", None), line.now)
    hello = line.speaker.next_packet(line.now)
    assert hello is not None
    assert isinstance(decode(hello.payload, reliable=True), AgentHello)
    line.speaker.sent(line.now)
    assert pcm(line.wait(5.0)) == voice(3 * CHUNK)[2 * CHUNK :]


def test_an_interrupt_of_version_1_is_offered_until_it_is_sent() -> None:
    line = line1()
    line.say(RATE)
    line.send()
    line.speaker.interrupt(line.now)
    for _ in range(3):
        packet = line.speaker.next_packet(line.now)
        assert packet is not None
        assert packet.payload == b"INTERRUPT"
    line.speaker.sent(line.now)
    assert line.speaker.next_packet(line.now) is None


def test_a_worker_of_version_1_is_told_nothing_while_an_interrupt_makes_it_deaf() -> None:
    """The stock worker drops all speech for 0.3 s, wherever it belongs."""
    line = line1()
    line.say(RATE)
    line.wait(0.2)
    assert line.interrupt() == [Interrupt()]
    line.say(CHUNK)
    assert line.wait(DEAF_S - STEP_S) == []
    assert line.wait(2 * STEP_S) == [Pcm(voice(CHUNK)), SegmentEnd()]


def test_a_turn_waits_a_moment_for_the_ack_of_the_one_before() -> None:
    """An ack does not name its turn."""
    line = line1()
    line.say(5 * CHUNK)
    line.say(5 * CHUNK)
    line.wait(0.5)
    assert pcm(message for _, message in line.sent) == voice(5 * CHUNK)
    assert pcm(line.hear(StreamEnded(0.2, False)))
    assert line.outcomes == [(1, 0.2, "heard")]


def test_a_swallowed_ack_holds_speech_for_a_moment_only() -> None:
    line = line1()
    line.say(CHUNK)
    line.say(CHUNK)
    assert pcm(line.wait(CHUNK_S + NEXT_TURN_S + 0.1)) == 2 * voice(CHUNK)


def test_one_ack_for_three_segments_is_for_all_of_them() -> None:
    """The stock worker merges segments that it has queued; its position is theirs together."""
    line = line1()
    for _ in range(3):
        line.say(CHUNK)
    line.wait(3 * NEXT_TURN_S)
    assert line.over == []
    line.hear(StreamEnded(3 * CHUNK_S, False))
    assert line.outcomes == [(turn, CHUNK_S, "heard") for turn in (1, 2, 3)]


def test_an_ack_that_may_be_another_turns_confirms_nothing() -> None:
    line = line1()
    for _ in range(3):
        line.say(CHUNK)
    line.wait(3 * NEXT_TURN_S)
    line.hear(StreamEnded(CHUNK_S, False))
    line.wait(ACK_TIMEOUT_S + 0.3)
    assert line.outcomes == [(turn, 0.0, "unconfirmed") for turn in (1, 2, 3)]


def test_speech_that_a_later_ack_may_count_is_taken_off_that_ack() -> None:
    """Half a second of the dead turn may come after the interrupt, and be heard as the next."""
    line = line1()
    line.say(RATE)
    line.wait(0.5)
    line.interrupt()
    line.hear(StreamEnded(0.5, True))
    line.say(RATE)
    line.wait(1.5)
    line.hear(StreamEnded(1.0, False))
    (_, first, _), (_, second, outcome) = line.outcomes
    assert first == 0.5
    assert outcome == "heard"
    assert 1.0 - WINDOW_S - CHUNK_S - STEP_S <= second < 1.0


def test_speech_that_is_long_past_is_taken_off_nothing() -> None:
    line = line1()
    line.say(RATE)
    line.wait(0.5)
    line.interrupt()
    line.hear(StreamEnded(0.5, True))
    line.wait(STRAY_S)
    line.say(RATE)
    line.wait(1.5)
    line.hear(StreamEnded(1.0, False))
    assert line.outcomes == [(1, 0.5, "interrupted"), (2, 1.0, "heard")]


def test_a_missing_ack_ends_the_turn_unconfirmed_after_it_must_have_been_heard() -> None:
    line = line1()
    line.say(RATE)
    line.wait(1.0 + ACK_TIMEOUT_S - 0.1)
    assert line.over == []
    line.wait(0.3)
    assert line.outcomes == [(1, 0.0, "unconfirmed")]


def test_a_worker_that_stops_waiting_for_the_rest_ends_no_turn() -> None:
    """The synthesizer stalls for two seconds in mid-word; a worker of ours says how far it is."""
    line = line1()
    line.say(RATE, end=False)
    line.wait(3.0)
    line.hear(StreamEnded(1.0, False))
    assert line.over == []
    line.say(RATE)
    line.wait(1.5)
    line.hear(StreamEnded(1.0, False))
    assert line.outcomes == [(1, 2.0, "heard")]


def test_an_interrupt_without_an_ack_ends_unconfirmed() -> None:
    line = line1()
    line.say(RATE)
    line.wait(0.5)
    line.interrupt()
    line.wait(ACK_TIMEOUT_S + 0.2)
    assert line.outcomes == [(1, 0.0, "unconfirmed")]


def test_an_interrupts_ack_counts_for_the_turn_that_sounded() -> None:
    line = line1()
    line.say(RATE)
    line.say(RATE)
    line.wait(0.5)
    line.interrupt()
    line.hear(StreamEnded(0.4, True))
    assert line.over == [(1, 0.4, True), (2, 0.0, True)]


def test_an_ack_after_an_interrupt_that_had_none_may_be_the_dead_turns() -> None:
    """The stock worker acks no interrupt inside its second queued segment, and counts both in the
    next ack."""
    line = line1()
    line.say(RATE, end=False)
    line.wait(0.3)
    line.interrupt()
    line.say(CHUNK)
    line.wait(DEAF_S + 0.1)
    line.hear(StreamEnded(0.04, False))
    assert line.outcomes == [(1, 0.0, "unconfirmed"), (2, 0.0, "unconfirmed")]
    line.wait(STRAY_S + 0.1)
    line.say(CHUNK)
    line.wait(0.1)
    line.hear(StreamEnded(0.04, False))
    assert line.outcomes[2:] == [(3, 0.04, "heard")], "the next one is sure again"


def test_an_ack_that_crosses_the_interrupt_is_the_whole_turns() -> None:
    line = line1()
    line.say(CHUNK)
    line.wait(0.1)
    line.interrupt()
    line.say(RATE, end=False)
    line.wait(0.1)
    line.hear(StreamEnded(0.04, False))
    assert line.over == [(1, 0.04, False)]
    assert line.speaker.live


def test_no_more_is_heard_than_was_sent() -> None:
    line = line1()
    line.say(CHUNK)
    line.wait(0.1)
    line.hear(StreamEnded(1e9, False))
    assert line.over == [(1, 0.04, False)]


def test_stray_acks_are_nobodys() -> None:
    line = line1()
    line.hear(StreamEnded(1.0, False), StreamEnded(1.0, True))
    assert line.over == []
    line.say(CHUNK, end=False)
    line.hear(StreamEnded(1.0, True))
    assert line.over == []


# Beside speech ---------------------------------------------------------------------------------


def words(*starts: float) -> list[Word]:
    return [Word(f"word{start}", start, start + 0.1) for start in starts]


def reports(messages: Iterable[Message], turn: int = 1) -> list[float]:
    """When the words begin that the worker is told of."""
    rows = [m.words for m in messages if isinstance(m, Words) and m.turn == turn]
    return [word.start_s for row in rows for word in row]


def test_a_gesture_goes_before_speech_and_leaves_turns_alone() -> None:
    line = line_with_a_face()
    line.say(RATE)
    line.speaker.acts.gesture("nod", line.now)
    line.speaker.acts.express("happy", 0.5, line.now)
    first, second, *rest = line.send()
    assert (first, second) == (Gesture(STREAM, 1, "nod"), Expression(STREAM, 2, "happy", 0.5))
    assert len(chunks(rest)) == WINDOW // CHUNK
    line.hear(Ack(STREAM, "gesture", 1), Ack(STREAM, "expression", 2))
    assert of_kind(Gesture, line.wait(3.0)) == []
    assert line.speaker.current_turn == 1
    assert line.over == []


def test_an_ack_for_an_act_is_none_for_a_turn_of_that_number() -> None:
    line = line_with_a_face()
    line.speaker.acts.gesture("nod", line.now)
    line.say(100)
    line.send()
    line.hear(Ack(STREAM, TURN_END, 1))
    assert of_kind(Gesture, line.wait(0.2))
    line.hear(Ack(STREAM, "gesture", 1))
    assert of_kind(Gesture, line.wait(3.0)) == []


def test_an_answer_of_another_stream_is_no_answer() -> None:
    line = line_with_a_face()
    line.speaker.acts.express("happy", 0.5, line.now)
    other = "f" * 16
    line.hear(Ack(other, "expression", 1), ActRefused(other, "expression", 1, ()))
    assert of_kind(Expression, line.wait(1.0))
    assert not [event for event in line.events if isinstance(event, ActUnknown)]


def test_what_the_worker_refuses_is_an_event() -> None:
    line = Line()
    line.speaker.acts.express("bored", 1.0, line.now)
    line.speaker.attached(line.now)
    line.speaker.present(line.now)
    line.send()
    line.hear(AvatarReady("worker", STREAM, FACE))
    line.hear(ActRefused(STREAM, "expression", 1, FACE.expressions))
    (event,) = [event for event in line.events if isinstance(event, ActUnknown)]
    assert event.error.names == FACE.expressions
    assert of_kind(Expression, line.wait(3.0)) == []


@pytest.mark.parametrize("line", [line1, line2])
def test_a_worker_that_is_not_ours_or_older_is_asked_for_nothing(
    line: Callable[[], Line],
) -> None:
    there = line()
    assert not there.speaker.acts.gesture("nod", there.now)
    there.speaker.acts.express("happy", 1.0, there.now)
    there.speaker.acts.pose("listening", there.now)
    there.speaker.words(words(0.0))
    there.say(1000)
    assert of_kind((Act, Words), there.wait(5.0)) == []


def test_an_interrupt_leaves_the_face_as_it_is() -> None:
    line = line_with_a_face()
    line.say(RATE)
    line.speaker.acts.gesture("nod", line.now)
    line.speaker.acts.express("happy", 1.0, line.now)
    assert len(of_kind(Act, line.interrupt())) == 2


def test_the_next_worker_is_told_what_the_face_wears() -> None:
    line = line_with_a_face()
    line.speaker.acts.express("happy", 0.5, line.now)
    line.send()
    line.hear(Ack(STREAM, "expression", 1))
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    line.send()
    messages = line.hear(AvatarReady("another", STREAM, FACE))
    assert of_kind(Expression, messages) == [Expression(STREAM, 2, "happy", 0.5)]


def test_words_go_before_the_speech_that_they_are_of() -> None:
    line = line_with_a_face()
    line.say(RATE, end=False)
    line.speaker.words(words(*range(40)))
    line.speaker.end(line.now)
    messages = line.send()
    assert [type(message) for message in messages[:4]] == [Words, Words, Words, AudioChunk]
    assert reports(messages) == list(range(40))
    assert all(len(m.words) <= MAX_WORDS for m in messages if isinstance(m, Words))
    assert reports(line.wait(1.0)) == []


def test_words_before_a_turn_are_those_of_the_next() -> None:
    line = line_with_a_face()
    line.speaker.words(words(0.0))
    assert line.wait(1.0) == []
    assert not line.speaker.live
    line.say(100)
    line.speaker.words(words(0.5))
    line.say(100)
    messages = line.wait(0.2)
    assert reports(messages, turn=1) == [0.0]
    assert reports(messages, turn=2) == [0.5]


def test_words_that_come_late_are_told_late() -> None:
    line = line_with_a_face()
    line.say(100, end=False)
    line.send()
    line.speaker.words(words(0.5))
    assert reports(line.send()) == [0.5]


def test_words_of_an_interrupted_turn_are_not_told() -> None:
    line = line_with_a_face()
    line.speaker.words(words(0.0))
    line.interrupt()
    line.say(100)
    assert reports(line.wait(0.2)) == []


def test_the_next_worker_is_told_the_words_again() -> None:
    line = line_with_a_face()
    line.say(RATE, end=False)
    line.speaker.words(words(0.0, 0.5))
    assert reports(line.send()) == [0.0, 0.5]
    line.speaker.absent(line.now)
    line.speaker.present(line.now)
    line.send()
    assert reports(line.hear(AvatarReady("another", STREAM, FACE))) == [0.0, 0.5]


def test_words_are_cut_and_bounded_and_empty_ones_left_out() -> None:
    line = line_with_a_face()
    line.say(RATE, end=False)
    line.speaker.words([Word("", 0.0, 0.1), Word("x" * 1000, 0.0, 0.1)])
    line.speaker.words(words(*range(2 * MAX_TURN_WORDS)))
    messages = line.send()
    assert len(reports(messages)) == MAX_TURN_WORDS
    (first, *_) = [message for message in messages if isinstance(message, Words)]
    assert first.words[0] == Word("x" * MAX_WORD, 0.0, 0.1)


@pytest.mark.parametrize("times", [(1.0, 0.5), (-0.1, 0.5), (0.0, float("inf")), (float("nan"), 1)])
def test_words_at_impossible_times_are_refused(times: tuple[float, float]) -> None:
    line = line_with_a_face()
    with pytest.raises(ValueError, match="cannot be said"):
        line.speaker.words([Word("hi", *times)])
    line.say(100)
    assert reports(line.wait(0.2)) == []
