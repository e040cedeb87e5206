"""The protocol between an agent and its face: every message, encode() and decode().

Two channels carry it. The *unreliable* one carries speech and nothing else, the *reliable* one
carries control and nothing else; a packet's channel says which of the two it is, never its
content. Neither keeps the order, and both lose packets, the reliable one too.

Version 1 is what stock peers speak: bare PCM, ``INTERRUPT``, ``segment_end``, ``stream_ended``.
Version 2 names the turn in every message: speech carries its place in the turn and is repeated
until it has arrived, control is repeated until it is acknowledged. Stock peers ignore its JSON
types and its audio header. Both sides speak version 1 until the worker's `AvatarReady` has
answered the agent's `AgentHello`.

A *stream* is the life of one `AvatarAudioOut` in one meeting; its turns are numbered 1, 2, 3, ...
and the next stream continues the numbers.

The decorator of a message says its channel, its form and the field that its `Ack` names; the
annotations of its fields say their checks. Bytes, checks and acks follow from that: a new message
is a class here and a name in one of the unions below the classes.
"""

import struct
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

from agent_side.protocol import checks, codec
from agent_side.protocol.codec import Inline, Key, control, framed_speech, speech
from agent_side.protocol.repeater import RepeaterOf

MAX_PAYLOAD: Final = 15 * 1024  # bytes; the SDK raises ValueError for anything longer
MAX_PCM: Final = 15_000  # bytes: the longest slice of PCM that stock peers send
MAX_RANGES: Final = 64  # gaps in one `Progress`; the rest are named by the next one
MAX_NAME: Final = 32  # ASCII characters of the name of a gesture, an expression or a posture
MAX_NAMES: Final = 64  # names of each of the three
MAX_WORDS: Final = 16  # words in one `Words`
MAX_WORD: Final = 64  # characters of each: 16 of them fit a packet, however they are written
MAX_TURN_WORDS: Final = 4096  # half an hour of speech has as many; words beyond are ignored
MAX_ID: Final = 64
MAX_UINT32: Final = 2**32 - 1
STREAM_DIGITS: Final = 16  # lower-case hexadecimal digits in the name of a stream
SAMPLE_RATES: Final = range(4_000, 192_001)  # Hz, of an `AudioChunk`

INTERRUPT_PAYLOAD: Final = b"INTERRUPT"
CHUNK_MAGIC: Final = b"\xffAV2"  # 0xFF is not UTF-8, so the SDK never makes text of a chunk
_HEADER: Final = struct.Struct("<4s8sIIQI")
CHUNK_HEADER: Final = _HEADER.size + codec.CHECKSUM.size
MAX_CHUNK_PCM: Final = (MAX_PAYLOAD - CHUNK_HEADER) // 2 * 2  # bytes of PCM in one chunk


class Word(NamedTuple):
    """A word of a turn and when it is said, in seconds from the turn's first sample."""

    text: str
    start_s: float
    end_s: float

    @classmethod
    def check(cls, value: object) -> "Word":
        word = cls(*checks.each(value, checks.text(MAX_WORD), checks.seconds, checks.seconds))
        if word.end_s < word.start_s:
            raise checks.RefusedError
        return word


_stream, _name = checks.digits(STREAM_DIGITS), checks.text(MAX_NAME, checks.is_visible)
Stream = Annotated[str, _stream]
Number = Annotated[int, checks.whole(MAX_UINT32)]
Samples = Annotated[int, checks.whole(2**53 - 1)]
Rate = Annotated[int, checks.within(SAMPLE_RATES)]
Seconds = Annotated[float, checks.seconds]
Flag = Annotated[bool, checks.flag]
Name = Annotated[str, _name]
Names = Annotated[tuple[str, ...], checks.row(_name, MAX_NAMES)]


# Version 1 -----------------------------------------------------------------------------------


@speech(most=MAX_PAYLOAD)
class Pcm:
    """Agent to worker: a piece of speech, s16le mono at a rate that both sides know beforehand.

    Sent as the speech synthesizer delivers. Nothing says which turn it belongs to.
    """

    data: bytes


@control("segment_end", version=1)
class SegmentEnd:
    """Agent to worker: the agent has sent all the speech of its turn."""


@codec.text(INTERRUPT_PAYLOAD)
class Interrupt:
    """Agent to worker: stop the speech now and drop what has not been played.

    Stock agents send it twice for one interruption, and sometimes when nothing is playing.
    """


@control("stream_ended", version=1, inside="data")
class StreamEnded:
    """Worker to agent: a turn has been heard to its end, or was interrupted.

    `position` is how much of it was heard, in seconds.
    """

    position: Annotated[Seconds, Key("playback_position", 0.0)]
    interrupted: Annotated[Flag, Key("interrupted", False)]


# Version 2 -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Face:
    """What a worker's face can do beside speaking: the names that each message of it takes."""

    gestures: Names = ()
    expressions: Names = ()
    postures: Names = ()


@control("avatar_ready")
class AvatarReady:
    """Worker to agent: the worker is here and speaks version 2.

    Sent when the worker has joined and when an agent appears, repeated for a while, and as the
    answer to every `AgentHello`, whose `stream` it then names. `worker` differs for each worker
    process, so the agent notices a replacement. `face` is None for workers that are older than
    gestures: they get no acts and no `Words`.
    """

    worker: Annotated[str, checks.text(MAX_ID, str.isascii)]
    stream: Annotated[str | None, checks.optional(_stream)]
    face: Annotated[Face | None, Inline(Face)] = None


@control("agent_hello")
class AgentHello:
    """Agent to worker, repeated until an `AvatarReady` names the stream: obey this stream.

    `turn` is the first turn that has not ended and `sample` the first of its samples, at
    `sample_rate`, that has not been heard: where a worker that replaces another continues.
    """

    stream: Stream
    turn: Number
    sample: Samples
    sample_rate: Rate


@control("not_obeyed")
class NotObeyed:
    """Worker to agent: the answer to an `AgentHello` of a participant that is not obeyed.

    Sent in place of `AvatarReady`, once a second at most. `named` says that the join request
    names another participant as the agent; otherwise another one has the face until it leaves,
    or was in the room first. The agent may repeat its hello: it is answered once that changes.
    """

    stream: Stream
    named: Flag


@framed_speech(CHUNK_MAGIC, _HEADER, MAX_CHUNK_PCM)
class AudioChunk:
    """Agent to worker, repeated until a `Progress` shows that it arrived: a piece of a turn.

    `sequence` counts the stream's chunks as sent, repetitions included; `first_sample` is the
    place of `pcm` (s16le mono) in the turn, in samples at `sample_rate`.
    """

    stream: Stream
    turn: Number
    sequence: Number
    first_sample: Annotated[int, checks.whole(2**64 - 1)]
    sample_rate: Rate
    pcm: bytes


@control("turn_end", ack_field="turn")
class TurnEnd:
    """Agent to worker: the turn has `samples` samples."""

    stream: Stream
    turn: Number
    samples: Samples


@control("turn_interrupt", ack_field="turn")
class TurnInterrupt:
    """Agent to worker: this turn and all before it are dead."""

    stream: Stream
    turn: Number


@control("playback_started", ack_field="turn")
class PlaybackStarted:
    """Worker to agent: the turn begins to be heard."""

    stream: Stream
    turn: Number


@control("progress")
class Progress:
    """Worker to agent, a few times a second while a turn lives.

    `heard` samples have been handed to the sound track, `received` samples are here without a
    gap, and `missing` are the gaps after that as (first, end) pairs; the end of the last gap is
    where the newest audio begins. All in samples at the turn's own rate.
    """

    stream: Stream
    turn: Number
    heard: Samples
    received: Samples
    missing: Annotated[
        tuple[tuple[int, int], ...], checks.row(checks.pair(checks.whole(2**53 - 1)), MAX_RANGES)
    ] = ()


@control("turn_ended", ack_field="turn")
class TurnEnded:
    """Worker to agent: `StreamEnded` for a named turn.

    Exactly one in effect for each turn, in the order of the turns.
    """

    stream: Stream
    turn: Number
    position: Seconds
    interrupted: Flag


@control("gesture", ack_field="number")
class Gesture:
    """Agent to worker: make this gesture once, now.

    Answered with `Ack` or `ActRefused`, as `Expression` and `Posture` are. The `number`s of all
    three count up together in a stream, so that one that comes twice has one effect.
    """

    stream: Stream
    number: Number
    name: Name


@control("expression", ack_field="number")
class Expression:
    """Agent to worker: show this expression from now on, with an `intensity` from 0 to 1.

    One with a lower `number` than the present one comes too late.
    """

    stream: Stream
    number: Number
    name: Name
    intensity: Annotated[float, checks.share]


@control("posture", ack_field="number")
class Posture:
    """Agent to worker: take this posture while the face is silent, as `Expression`."""

    stream: Stream
    number: Number
    name: Name


ACTS: Final = ("gesture", "expression", "posture")
"""The kinds that an `ActRefused` may name."""

ACKNOWLEDGED: Final = codec.acknowledged()
"""The kinds that an `Ack` may name: all that are repeated until it arrives."""


@control("act_refused")
class ActRefused:
    """Worker to agent, in place of `Ack`: the face has no such act.

    `of` is the kind of the message, `names` are those that the face does have.
    """

    stream: Stream
    of: Annotated[str, checks.one_of(ACTS)]
    number: Number
    names: Names


@control("words")
class Words:
    """Agent to worker, sent once: what the turn says, which makes the lips more exact.

    Nothing waits for it and nothing needs it. In order within a message; a turn may have many.
    """

    stream: Stream
    turn: Number
    words: Annotated[tuple[Word, ...], checks.row(Word.check, MAX_WORDS, least=1)]


@control("ack")
class Ack:
    """Either side: the control message `of` for `turn` has arrived.

    For a gesture, an expression or a posture its number stands in place of the turn.
    """

    stream: Stream
    of: Annotated[str, checks.one_of(ACKNOWLEDGED)]
    turn: Number


Act = Gesture | Expression | Posture
Repeated = TurnEnd | TurnInterrupt | PlaybackStarted | TurnEnded | Act
"""Control that is sent again until its `Ack` arrives."""

_Version1 = Pcm | SegmentEnd | Interrupt | StreamEnded
_Version2 = AvatarReady | AgentHello | NotObeyed | AudioChunk | Progress | ActRefused | Words | Ack
Message = _Version1 | _Version2 | Repeated
Repeater = RepeaterOf[Message]

TURN_END, TURN_INTERRUPT, PLAYBACK_STARTED, TURN_ENDED, GESTURE, EXPRESSION, POSTURE = ACKNOWLEDGED


def is_name(name: object) -> bool:
    """Whether the protocol can say `name`: visible ASCII without spaces, not too long."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and checks.is_visible(name)


class Packet(NamedTuple):
    """What the SDK's ``meeting.send`` is given."""

    payload: bytes
    reliable: bool


def split_pcm(data: bytes, limit: int = MAX_PCM) -> list[bytes]:
    """Slices of at most `limit` bytes, which is even, so that no sample is cut in two."""
    return [data[at : at + limit] for at in range(0, len(data), limit)]


def encode(message: Message) -> Packet:
    """The packet that carries `message`.

    Raises ValueError for a message that the protocol has no bytes for: speech that is empty,
    odd or longer than one packet, a number out of range, an identifier too long.
    """
    declared = codec.declared(type(message))
    packet = Packet(declared.form.write(message), declared.reliable)
    if declared.reliable and decode(packet.payload, reliable=True) != message:
        raise ValueError(f"{message!r} is not a message of the protocol.")
    return packet


def decode(payload: object, *, reliable: bool) -> Message | None:
    """The message in a packet as the SDK's ``on_data`` delivers it, or None for anything else.

    `payload` is bytes, or str where the SDK found valid UTF-8. Never raises: what comes from the
    network cannot stop the receiver. A bare PCM packet that begins with the magic and the matching
    checksum of a version-2 header would be taken for one; by chance that is one in 2**64.
    """
    data = codec.as_bytes(payload)
    message: Message | None = None
    if len(data) <= MAX_PAYLOAD:
        message = codec.read(data, reliable=reliable)
    return message


def ack_of(message: Repeated) -> Ack:
    """The `Ack` that a `Repeated` message waits for, and that its receiver answers with."""
    declared = codec.declared(type(message))
    return Ack(message.stream, declared.kind, getattr(message, declared.ack_field))
