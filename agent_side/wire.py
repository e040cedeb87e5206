"""The protocol between an agent and its face: every message, decode() and encode().

Two channels carry it. The *unreliable* one carries speech and nothing else, the *reliable*
one carries control and nothing else, so the channel tells them apart and the content never
has to. (Neither channel is ordered, and "reliable" still loses: the platform's names promise
more than its transport keeps.)

Version 1 is what stock peers speak: bare PCM, ``INTERRUPT``, ``segment_end``, ``stream_ended``.
Version 2 names the turn in every message, so nothing has to be guessed: speech carries its
place in the turn and is repeated until it has arrived, control is repeated until it is
acknowledged. Its JSON types and its audio header are unknown to stock peers, which ignore
them. Both sides speak version 1 until the worker's `AvatarReady` has answered the agent's
`AgentHello`.

A *stream* is the life of one `AvatarAudioOut` in one meeting; its turns are numbered 1, 2, 3, ...
and the next stream goes on counting.
"""

import json
import math
import struct
import zlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

MAX_PAYLOAD: Final = 15 * 1024
"""The SDK raises ValueError for anything longer (bytes)."""

MAX_PCM: Final = 15_000
"""The longest slice of PCM that stock peers send (bytes, even)."""

MAX_RANGES: Final = 64
"""How many gaps one `Progress` names; the rest are named by the next one."""

MAX_NAME: Final = 32
"""The longest name of a gesture, an expression or a posture (ASCII characters)."""

MAX_NAMES: Final = 64
"""How many gestures, expressions or postures a face may tell of, each."""

MAX_WORDS: Final = 16
MAX_WORD: Final = 64
"""How many words one `Words` has, and characters each: as many as fit a packet, however written."""

MAX_TURN_WORDS: Final = 4096
"""Words of a turn beyond this are not told, and ignored: half an hour of speech has as many."""

MAX_ID: Final = 64
MAX_UINT32: Final = 2**32 - 1
SAMPLE_RATES: Final = range(4_000, 192_001)
"""Sample rates that an `AudioChunk` may carry (Hz)."""


# Version 1 -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pcm:
    """Agent to worker, unreliable: a piece of speech, s16le mono at a rate agreed beforehand.

    Sent as the speech synthesizer delivers. Nothing says which turn it belongs to.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """Agent to worker, reliable: the agent has sent all the speech of its turn."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Agent to worker, reliable: fall silent now and forget what has not been played.

    Stock agents send it twice for one interruption, and sometimes when nothing is playing.
    """


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Worker to agent, reliable: a turn has been heard to its end, or was interrupted.

    `position` is how much of it was heard, in seconds.
    """

    position: float
    interrupted: bool


# Version 2 -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Face:
    """What a worker's face can do beside speaking: the names that each message of it takes."""

    gestures: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    postures: tuple[str, ...] = ()


class Word(NamedTuple):
    """A word of a turn and when it is said, in seconds from the turn's first sample."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class AvatarReady:
    """Worker to agent, reliable: I am here, I speak version 2.

    Sent when the worker has joined and when an agent appears, repeated for a while, and as
    the answer to every `AgentHello`, whose `stream` it then names. `worker` differs for each
    worker process, so the agent notices a replacement. `face` is None for workers that are
    older than gestures: they are sent none, and no `Words`.
    """

    worker: str
    stream: str | None
    face: Face | None = None


@dataclass(frozen=True, slots=True)
class AgentHello:
    """Agent to worker, reliable: I speak version 2; obey this stream.

    Repeated until an `AvatarReady` names the stream. `turn` is the first turn that has not
    ended and `sample` the first of its samples, at `sample_rate`, that has not been heard:
    where a worker that replaces another goes on.
    """

    stream: str
    turn: int
    sample: int
    sample_rate: int


@dataclass(frozen=True, slots=True)
class NotObeyed:
    """Worker to agent, reliable: the answer to an `AgentHello` of somebody who is not obeyed.

    Sent in place of `AvatarReady`, once a second at most. `named` says that the join request
    names another participant as the agent; otherwise another one has the face until it leaves,
    or was in the room first. The agent may go on greeting: it is answered once that changes.
    """

    stream: str
    named: bool


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Agent to worker, unreliable: a piece of a turn's speech, s16le mono.

    Repeated until a `Progress` shows that it arrived. `sequence` counts the stream's chunks
    as sent, repetitions included; `first_sample` is the place of `pcm` in the turn, in
    samples at `sample_rate`.
    """

    stream: str
    turn: int
    sequence: int
    first_sample: int
    sample_rate: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """Agent to worker, reliable, repeated until `Ack`: the turn has `samples` samples."""

    stream: str
    turn: int
    samples: int


@dataclass(frozen=True, slots=True)
class TurnInterrupt:
    """Agent to worker, reliable, repeated until `Ack`: this turn and all before it are dead."""

    stream: str
    turn: int


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """Worker to agent, reliable, repeated until `Ack`: the turn begins to be heard."""

    stream: str
    turn: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Worker to agent, reliable, a few times a second while a turn lives.

    `heard` samples have been handed to the sound track, `received` samples are here without
    a gap, and `missing` are the gaps after that as (first, end) pairs; the end of the last
    gap is where the newest audio begins. All in samples at the turn's own rate.
    """

    stream: str
    turn: int
    heard: int
    received: int
    missing: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """Worker to agent, reliable, repeated until `Ack`: `StreamEnded` for a named turn.

    Exactly one in effect for each turn, in the order of the turns.
    """

    stream: str
    turn: int
    position: float
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Gesture:
    """Agent to worker, reliable, repeated until answered: make this gesture, once, now.

    Answered with `Ack` or `ActRefused`, as `Expression` and `Posture` are. The `number`s of all
    three count up together in a stream, so that one that comes twice has one effect.
    """

    stream: str
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Expression:
    """Agent to worker, reliable, repeated until answered: wear this expression from now on.

    `intensity` is 0 to 1. One with a lower `number` than the one that is worn comes too late.
    """

    stream: str
    number: int
    name: str
    intensity: float


@dataclass(frozen=True, slots=True)
class Posture:
    """Agent to worker, reliable, repeated until answered: wait like that while you are silent.

    One with a lower `number` than the one that is held comes too late.
    """

    stream: str
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class ActRefused:
    """Worker to agent, reliable, in place of `Ack`: the face has no such thing.

    `of` is the kind of the message, `names` are those that the face does have.
    """

    stream: str
    of: str
    number: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Agent to worker, reliable, sent once: what the turn says, for lips that are surer then.

    Nothing waits for it and nothing needs it. In order within a message; a turn may have many.
    """

    stream: str
    turn: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """Either side, reliable: the control message `of` for `turn` has arrived.

    For a gesture, an expression or a posture its number stands in place of the turn.
    """

    stream: str
    of: str
    turn: int


Message = (
    Pcm
    | SegmentEnd
    | Interrupt
    | StreamEnded
    | AvatarReady
    | AgentHello
    | NotObeyed
    | AudioChunk
    | TurnEnd
    | TurnInterrupt
    | PlaybackStarted
    | Progress
    | TurnEnded
    | Gesture
    | Expression
    | Posture
    | ActRefused
    | Words
    | Ack
)

Act = Gesture | Expression | Posture
"""What a face does beside speaking."""

Repeated = TurnEnd | TurnInterrupt | PlaybackStarted | TurnEnded | Act
"""Control that is sent again until its `Ack` arrives."""

TURN_END: Final = "turn_end"
TURN_INTERRUPT: Final = "turn_interrupt"
PLAYBACK_STARTED: Final = "playback_started"
TURN_ENDED: Final = "turn_ended"
GESTURE: Final = "gesture"
EXPRESSION: Final = "expression"
POSTURE: Final = "posture"
ACTS: Final = (GESTURE, EXPRESSION, POSTURE)
"""The kinds that an `ActRefused` may name."""
ACKNOWLEDGED: Final = (TURN_END, TURN_INTERRUPT, PLAYBACK_STARTED, TURN_ENDED, *ACTS)
"""The kinds that an `Ack` may name."""


def is_name(name: object) -> bool:
    """Whether the protocol can say `name`: ASCII that can be seen, without spaces, not too long."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_NAME
        and all("!" <= letter <= "~" for letter in name)
    )


def ack_of(message: Repeated) -> Ack:
    """The `Ack` that a `Repeated` message waits for, and that its receiver answers with."""
    match message:
        case TurnEnd():
            kind = TURN_END
        case TurnInterrupt():
            kind = TURN_INTERRUPT
        case PlaybackStarted():
            kind = PLAYBACK_STARTED
        case TurnEnded():
            kind = TURN_ENDED
        case Gesture():
            return Ack(message.stream, GESTURE, message.number)
        case Expression():
            return Ack(message.stream, EXPRESSION, message.number)
        case Posture():
            return Ack(message.stream, POSTURE, message.number)
    return Ack(message.stream, kind, message.turn)


# Bytes ---------------------------------------------------------------------------------------

INTERRUPT_PAYLOAD: Final = b"INTERRUPT"

CHUNK_MAGIC: Final = b"\xffAV2"
"""0xFF appears nowhere in UTF-8, so the SDK never turns a version-2 chunk into text."""

_CHUNK_FIELDS: Final = struct.Struct("<4s8sIIQI")
_CHUNK_CHECK: Final = struct.Struct("<I")
CHUNK_HEADER: Final = _CHUNK_FIELDS.size + _CHUNK_CHECK.size
MAX_CHUNK_PCM: Final = (MAX_PAYLOAD - CHUNK_HEADER) // 2 * 2
"""The most PCM that one `AudioChunk` can carry (bytes)."""

STREAM_DIGITS: Final = 16
"""A stream's name is this many lower-case hexadecimal digits: 8 bytes in a chunk's header."""


class Packet(NamedTuple):
    """What the SDK's ``meeting.send`` is given."""

    payload: bytes
    reliable: bool


def split_pcm(data: bytes, limit: int = MAX_PCM) -> list[bytes]:
    """Slices of at most `limit` bytes, which is even, so that no sample is cut in two."""
    return [data[at : at + limit] for at in range(0, len(data), limit)]


def encode(message: Message) -> Packet:
    """The packet that carries `message`.

    Raises ValueError for a message that the protocol has no bytes for: speech that is
    empty, odd or longer than one packet, a number out of range, an identifier too long.
    """
    match message:
        case Pcm(data):
            return _fitting(Packet(_speech(data, MAX_PAYLOAD), reliable=False))
        case AudioChunk():
            return _fitting(Packet(_chunk_bytes(message), reliable=False))
        case Interrupt():
            return Packet(INTERRUPT_PAYLOAD, reliable=True)
        case _:
            payload = json.dumps(_fields(message), separators=(",", ":")).encode()
            packet = Packet(payload, reliable=True)
            if decode(payload, reliable=True) != message:
                raise ValueError(f"{message!r} is not a message of the protocol.")
            return _fitting(packet)


def decode(payload: object, *, reliable: bool) -> Message | None:
    """The message in a packet as the SDK's ``on_data`` delivers it, or None for anything else.

    `payload` is bytes, or str where the SDK found valid UTF-8. Never raises: what came from
    the network cannot stop the receiver. A bare PCM packet that begins with the magic and
    the matching checksum of a version-2 header would be taken for one; by chance that is
    one packet in 2**64.
    """
    data = _as_bytes(payload)
    if data is None or len(data) > MAX_PAYLOAD:
        return None
    if reliable:
        return _control(data)
    chunk = _chunk(data)
    if chunk is not None:
        return chunk
    return Pcm(data) if data and len(data) % 2 == 0 else None


def _as_bytes(payload: object) -> bytes | None:
    if isinstance(payload, str):
        try:
            return payload.encode()
        except UnicodeEncodeError:
            return None
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    return None


def _fitting(packet: Packet) -> Packet:
    if len(packet.payload) > MAX_PAYLOAD:
        raise ValueError(
            f"A message of {len(packet.payload)} bytes is longer than the {MAX_PAYLOAD} "
            "that the SDK sends; split the speech with split_pcm()."
        )
    return packet


def _speech(data: bytes, limit: int) -> bytes:
    if not data or len(data) % 2:
        raise ValueError(f"Speech of {len(data)} bytes is not a row of 16-bit samples.")
    if len(data) > limit:
        raise ValueError(
            f"Speech of {len(data)} bytes does not fit one packet ({limit} bytes); "
            "split it with split_pcm()."
        )
    return data


def _chunk_bytes(chunk: AudioChunk) -> bytes:
    if not _is_stream(chunk.stream) or chunk.sample_rate not in SAMPLE_RATES:
        raise ValueError(f"Stream {chunk.stream!r} at {chunk.sample_rate} Hz has no bytes.")
    try:
        header = _CHUNK_FIELDS.pack(
            CHUNK_MAGIC,
            bytes.fromhex(chunk.stream),
            chunk.turn,
            chunk.sequence,
            chunk.first_sample,
            chunk.sample_rate,
        )
    except struct.error as error:
        raise ValueError(f"A number of turn {chunk.turn} is out of range: {error}.") from error
    return header + _CHUNK_CHECK.pack(zlib.crc32(header)) + _speech(chunk.pcm, MAX_CHUNK_PCM)


def _chunk(data: bytes) -> AudioChunk | None:
    if not data.startswith(CHUNK_MAGIC) or len(data) < CHUNK_HEADER:
        return None
    header, check = data[: _CHUNK_FIELDS.size], data[_CHUNK_FIELDS.size : CHUNK_HEADER]
    if _CHUNK_CHECK.unpack(check)[0] != zlib.crc32(header):
        return None
    _, stream, turn, sequence, first_sample, sample_rate = _CHUNK_FIELDS.unpack(header)
    pcm = data[CHUNK_HEADER:]
    if not pcm or len(pcm) % 2 or sample_rate not in SAMPLE_RATES:
        return None
    return AudioChunk(stream.hex(), turn, sequence, first_sample, sample_rate, pcm)


# JSON ----------------------------------------------------------------------------------------


def _fields(message: Message) -> dict[str, Any]:
    match message:
        case SegmentEnd():
            return {"type": "segment_end"}
        case StreamEnded(position, interrupted):
            data = {"playback_position": position, "interrupted": interrupted}
            return {"type": "stream_ended", "data": data}
        case AvatarReady(worker, stream, face):
            ready = {"type": "avatar_ready", "v": 2, "worker": worker, "stream": stream}
            return ready if face is None else {**ready, **asdict(face)}
        case AgentHello(stream, turn, sample, sample_rate):
            fields: dict[str, Any] = {"turn": turn, "sample": sample, "sample_rate": sample_rate}
            kind = "agent_hello"
        case NotObeyed(stream, named):
            kind, fields = "not_obeyed", {"named": named}
        case TurnEnd(stream, turn, samples):
            kind, fields = TURN_END, {"turn": turn, "samples": samples}
        case TurnInterrupt(stream, turn):
            kind, fields = TURN_INTERRUPT, {"turn": turn}
        case PlaybackStarted(stream, turn):
            kind, fields = PLAYBACK_STARTED, {"turn": turn}
        case Progress(stream, turn, heard, received, missing):
            kind = "progress"
            fields = {"turn": turn, "heard": heard, "received": received, "missing": missing}
        case TurnEnded(stream, turn, position, interrupted):
            kind = TURN_ENDED
            fields = {"turn": turn, "position": position, "interrupted": interrupted}
        case Gesture(stream, number, name):
            kind, fields = GESTURE, {"number": number, "name": name}
        case Expression(stream, number, name, intensity):
            kind = EXPRESSION
            fields = {"number": number, "name": name, "intensity": intensity}
        case Posture(stream, number, name):
            kind, fields = POSTURE, {"number": number, "name": name}
        case ActRefused(stream, of, number, names):
            kind, fields = "act_refused", {"of": of, "number": number, "names": names}
        case Words(stream, turn, words):
            kind, fields = "words", {"turn": turn, "words": words}
        case Ack(stream, of, turn):
            kind, fields = "ack", {"of": of, "turn": turn}
        case _:
            raise ValueError(f"{type(message).__name__} is not JSON.")
    return {"type": kind, "v": 2, "stream": stream, **fields}


def _control(data: bytes) -> Message | None:
    if data == INTERRUPT_PAYLOAD:
        return Interrupt()
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    kind = fields.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return None
    try:
        return reader(fields)
    except (_RefusedError, KeyError):
        return None


class _RefusedError(Exception):
    """A field has the wrong type or an impossible value."""


def _whole(value: object, limit: int = 2**53) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise _RefusedError
    return value


def _turn(fields: dict[str, Any]) -> int:
    return _whole(fields["turn"], MAX_UINT32 + 1)


def _rate(value: object) -> int:
    rate = _whole(value)
    if rate not in SAMPLE_RATES:
        raise _RefusedError
    return rate


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _RefusedError
    try:
        seconds = float(value)
    except OverflowError as error:
        raise _RefusedError from error
    if not math.isfinite(seconds) or seconds < 0:
        raise _RefusedError
    return seconds


def _share(value: object) -> float:
    share = _seconds(value)
    if share > 1:
        raise _RefusedError
    return share


def _number(fields: dict[str, Any]) -> int:
    return _whole(fields["number"], MAX_UINT32 + 1)


def _name(value: object) -> str:
    if not is_name(value):
        raise _RefusedError
    return str(value)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise _RefusedError
    return tuple(_name(name) for name in value)


def _word(value: object) -> Word:
    if not isinstance(value, list) or len(value) != 3:
        raise _RefusedError
    text, start_s, end_s = value[0], _seconds(value[1]), _seconds(value[2])
    if not isinstance(text, str) or not 0 < len(text) <= MAX_WORD or end_s < start_s:
        raise _RefusedError
    return Word(text, start_s, end_s)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError
    return value


def _is_stream(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) == STREAM_DIGITS
        and all(digit in "0123456789abcdef" for digit in value)
    )


def _stream(fields: dict[str, Any]) -> str:
    stream = fields["stream"]
    if not _is_stream(stream) or fields.get("v") != 2:
        raise _RefusedError
    return str(stream)


def _read_stream_ended(fields: dict[str, Any]) -> StreamEnded:
    data = fields.get("data", {})
    if not isinstance(data, dict):
        raise _RefusedError
    return StreamEnded(
        _seconds(data.get("playback_position", 0.0)), _flag(data.get("interrupted", False))
    )


def _read_ready(fields: dict[str, Any]) -> AvatarReady:
    worker = fields["worker"]
    if not isinstance(worker, str) or not worker.isascii() or not 0 < len(worker) <= MAX_ID:
        raise _RefusedError
    face = None
    if "gestures" in fields:
        face = Face(*(_names(fields[kind]) for kind in ("gestures", "expressions", "postures")))
    if fields["stream"] is None and fields.get("v") == 2:
        return AvatarReady(worker, None, face)
    return AvatarReady(worker, _stream(fields), face)


def _read_progress(fields: dict[str, Any]) -> Progress:
    missing = fields["missing"]
    if not isinstance(missing, list) or len(missing) > MAX_RANGES:
        raise _RefusedError
    ranges = []
    for gap in missing:
        if not isinstance(gap, list) or len(gap) != 2:
            raise _RefusedError
        ranges.append((_whole(gap[0]), _whole(gap[1])))
    return Progress(
        _stream(fields),
        _turn(fields),
        _whole(fields["heard"]),
        _whole(fields["received"]),
        tuple(ranges),
    )


def _read_act_refused(fields: dict[str, Any]) -> ActRefused:
    if fields["of"] not in ACTS:
        raise _RefusedError
    return ActRefused(_stream(fields), str(fields["of"]), _number(fields), _names(fields["names"]))


def _read_words(fields: dict[str, Any]) -> Words:
    words = fields["words"]
    if not isinstance(words, list) or not 0 < len(words) <= MAX_WORDS:
        raise _RefusedError
    return Words(_stream(fields), _turn(fields), tuple(_word(word) for word in words))


def _read_ack(fields: dict[str, Any]) -> Ack:
    if fields["of"] not in ACKNOWLEDGED:
        raise _RefusedError
    return Ack(_stream(fields), str(fields["of"]), _turn(fields))


_READERS: Final[dict[str, Callable[[dict[str, Any]], Message]]] = {
    "segment_end": lambda fields: SegmentEnd(),
    "stream_ended": _read_stream_ended,
    "avatar_ready": _read_ready,
    "agent_hello": lambda f: AgentHello(
        _stream(f), _turn(f), _whole(f["sample"]), _rate(f["sample_rate"])
    ),
    "not_obeyed": lambda f: NotObeyed(_stream(f), _flag(f["named"])),
    TURN_END: lambda f: TurnEnd(_stream(f), _turn(f), _whole(f["samples"])),
    TURN_INTERRUPT: lambda f: TurnInterrupt(_stream(f), _turn(f)),
    PLAYBACK_STARTED: lambda f: PlaybackStarted(_stream(f), _turn(f)),
    "progress": _read_progress,
    TURN_ENDED: lambda f: TurnEnded(
        _stream(f), _turn(f), _seconds(f["position"]), _flag(f["interrupted"])
    ),
    GESTURE: lambda f: Gesture(_stream(f), _number(f), _name(f["name"])),
    EXPRESSION: lambda f: Expression(
        _stream(f), _number(f), _name(f["name"]), _share(f["intensity"])
    ),
    POSTURE: lambda f: Posture(_stream(f), _number(f), _name(f["name"])),
    "act_refused": _read_act_refused,
    "words": _read_words,
    "ack": _read_ack,
}


# Repetition ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Waiting:
    message: Message
    due: float
    interval: float


class Repeater:
    """Sends control again until it is acknowledged: at once, then after 0.1 s, 0.2 s, 0.4 s ...

    The interval doubles up to `slowest_s`. Holds no clock: the caller passes the time.
    """

    FIRST_S: Final = 0.1

    def __init__(self, slowest_s: float = 1.0, most: int | None = None) -> None:
        self.given_up = 0
        """Messages that were never acknowledged and had to make room."""
        self._slowest_s = slowest_s
        self._most = most
        self._waiting: dict[Hashable, _Waiting] = {}

    def add(self, key: Hashable, message: Message, now: float) -> None:
        """Repeat `message` from now on, in place of what `key` stood for.

        With more than `most` that wait, the oldest is given up.
        """
        self._waiting[key] = _Waiting(message, now, self.FIRST_S)
        if self._most is not None and len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]
            self.given_up += 1

    def done(self, key: Hashable) -> None:
        """`key` needs no repetition any more, if it ever did."""
        self._waiting.pop(key, None)

    def clear(self) -> None:
        """Nobody listens any more."""
        self._waiting.clear()

    def due(self, now: float) -> list[Message]:
        """What has to be sent now, in the order in which it was added."""
        return list(self._due(now))

    def pop_due(self, now: float) -> Message | None:
        """The first message that has to be sent now; None when there is none."""
        return next(self._due(now), None)

    def _due(self, now: float) -> Iterator[Message]:
        for waiting in self._waiting.values():
            if waiting.due <= now:
                waiting.due = now + waiting.interval
                waiting.interval = min(2 * waiting.interval, self._slowest_s)
                yield waiting.message

    @property
    def messages(self) -> tuple[Message, ...]:
        """What has not been acknowledged yet, in the order in which it was added."""
        return tuple(waiting.message for waiting in self._waiting.values())

    @property
    def next_due(self) -> float | None:
        """When `due` has something again; None if nothing waits."""
        return min((waiting.due for waiting in self._waiting.values()), default=None)
