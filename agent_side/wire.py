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
is a class and a name in one of the unions below. Those of turns are here; in `agent_side.protocol`,
`stock` has version 1, `greetings` how both sides find each other, `acts` what a face does beside.
"""

import struct
from typing import Annotated, Final, NamedTuple

from agent_side.protocol import checks, codec
from agent_side.protocol.acts import ActRefused, Expression, Gesture, Posture, Word, Words
from agent_side.protocol.codec import control, framed_speech
from agent_side.protocol.fields import (
    MAX_PAYLOAD,
    MAX_PCM,
    MAX_RANGES,
    Flag,
    Number,
    Rate,
    Samples,
    Seconds,
    Stream,
)
from agent_side.protocol.greetings import AgentHello, AvatarReady, Face, NotObeyed
from agent_side.protocol.repeater import RepeaterOf
from agent_side.protocol.stock import Interrupt, Pcm, SegmentEnd, StreamEnded

__all__ = [
    "ACKNOWLEDGED", "CHUNK_HEADER", "CHUNK_MAGIC", "EXPRESSION", "GESTURE", "MAX_CHUNK_PCM",
    "MAX_PAYLOAD", "MAX_PCM", "PLAYBACK_STARTED", "POSTURE", "TURN_END", "TURN_ENDED",
    "TURN_INTERRUPT", "Ack", "Act", "ActRefused", "AgentHello", "AudioChunk", "AvatarReady",
    "Expression", "Face", "Gesture", "Interrupt", "Message", "NotObeyed", "Packet", "Pcm",
    "PlaybackStarted", "Posture", "Progress", "Repeated", "Repeater", "SegmentEnd", "StreamEnded",
    "TurnEnd", "TurnEnded", "TurnInterrupt", "Word", "Words", "ack_of", "decode", "encode",
    "split_pcm",
]  # fmt: skip

CHUNK_MAGIC: Final = b"\xffAV2"  # 0xFF is not UTF-8, so the SDK never makes text of a chunk
_HEADER: Final = struct.Struct("<4s8sIIQI")
CHUNK_HEADER: Final = _HEADER.size + codec.CHECKSUM.size
MAX_CHUNK_PCM: Final = (MAX_PAYLOAD - CHUNK_HEADER) // 2 * 2  # bytes of PCM in one chunk


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


ACKNOWLEDGED: Final = codec.acknowledged()
"""The kinds that an `Ack` may name: all that are repeated until it arrives."""


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

GESTURE, EXPRESSION, POSTURE, TURN_END, TURN_INTERRUPT, PLAYBACK_STARTED, TURN_ENDED = ACKNOWLEDGED


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
    message: Message | None
    message = codec.read(data, reliable=reliable) if len(data) <= MAX_PAYLOAD else None
    return message


def ack_of(message: Repeated) -> Ack:
    """The `Ack` that a `Repeated` message waits for, and that its receiver answers with."""
    declared = codec.declared(type(message))
    return Ack(message.stream, declared.kind, getattr(message, declared.ack_field))
