"""The protocol's bytes: whatever is encoded is decoded again, and nothing that comes can hurt."""

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_side.protocol import codec
from agent_side.protocol.acts import ACTS
from agent_side.protocol.fields import MAX_NAME, MAX_NAMES, MAX_RANGES, MAX_WORD, MAX_WORDS
from agent_side.wire import (
    ACKNOWLEDGED,
    CHUNK_HEADER,
    CHUNK_MAGIC,
    MAX_CHUNK_PCM,
    MAX_PAYLOAD,
    TURN_END,
    TURN_INTERRUPT,
    Ack,
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
    Posture,
    Progress,
    Repeated,
    Repeater,
    SegmentEnd,
    StreamEnded,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
    ack_of,
    decode,
    encode,
    split_pcm,
)

STREAM = "0123456789abcdef"

calm = settings(deadline=None)
"""The time that an example takes says something about the machine only."""

streams = st.text("0123456789abcdef", min_size=16, max_size=16)
turns = st.integers(0, 2**32 - 1)
samples = st.integers(0, 2**53 - 1)
seconds = st.floats(0, allow_infinity=False, allow_nan=False)
speech = st.integers(1, 600).flatmap(lambda n: st.binary(min_size=2 * n, max_size=2 * n))
workers = st.text(st.characters(codec="ascii"), min_size=1, max_size=64)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=MAX_NAME)
rows_of_names = st.lists(names, max_size=MAX_NAMES).map(tuple)
faces = st.builds(Face, rows_of_names, rows_of_names, rows_of_names)
words = st.builds(
    lambda text, a, b: Word(text, min(a, b), max(a, b)),
    st.text(min_size=1, max_size=MAX_WORD),
    seconds,
    seconds,
)
gaps = st.lists(st.tuples(samples, samples), max_size=MAX_RANGES).map(tuple)

version1 = st.one_of(
    st.builds(Pcm, speech),
    st.builds(SegmentEnd),
    st.builds(Interrupt),
    st.builds(StreamEnded, seconds, st.booleans()),
)
chunks = st.builds(
    AudioChunk,
    streams,
    turns,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(4000, 192_000),
    speech,
)
version2 = st.one_of(
    chunks,
    st.builds(AvatarReady, workers, st.none() | streams, st.none() | faces),
    st.builds(Gesture, streams, turns, names),
    st.builds(Expression, streams, turns, names, st.floats(0, 1)),
    st.builds(Posture, streams, turns, names),
    st.builds(ActRefused, streams, st.sampled_from(ACTS), turns, rows_of_names),
    st.builds(Words, streams, turns, st.lists(words, min_size=1, max_size=MAX_WORDS).map(tuple)),
    st.builds(AgentHello, streams, turns, samples, st.integers(4000, 192_000)),
    st.builds(NotObeyed, streams, st.booleans()),
    st.builds(TurnEnd, streams, turns, samples),
    st.builds(TurnInterrupt, streams, turns),
    st.builds(PlaybackStarted, streams, turns),
    st.builds(Progress, streams, turns, samples, samples, gaps),
    st.builds(TurnEnded, streams, turns, seconds, st.booleans()),
    st.builds(Ack, streams, st.sampled_from(ACKNOWLEDGED), turns),
)
messages = version1 | version2

wild = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([-1, 2**32, 2**53, 2**64, 10**400, -(10**30), 0.5, 1e308, math.nan, math.inf]),
    st.floats(),
    st.text(max_size=20),
    st.just(STREAM),
    st.lists(st.lists(st.integers() | st.floats() | st.none(), max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
field_names = st.sampled_from(
    [
        "v",
        "stream",
        "turn",
        "sample",
        "samples",
        "worker",
        "heard",
        "received",
        "missing",
        "position",
        "interrupted",
        "of",
        "data",
        "playback_position",
        "number",
        "name",
        "names",
        "intensity",
        "words",
        "gestures",
        "expressions",
        "postures",
    ]
)
json_types = st.sampled_from(
    [
        "segment_end",
        "stream_ended",
        "avatar_ready",
        "agent_hello",
        "progress",
        "act_refused",
        "words",
        "ack",
        *ACKNOWLEDGED,
    ]
)
any_json = st.recursive(
    wild,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


def as_delivered(payload: bytes) -> bytes | str:
    """What the SDK's ``on_data`` makes of a payload."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload


@calm
@given(messages)
def test_every_message_survives_its_way(message: Message) -> None:
    packet = encode(message)
    assert len(packet.payload) <= MAX_PAYLOAD
    assert decode(packet.payload, reliable=packet.reliable) == message
    assert decode(as_delivered(packet.payload), reliable=packet.reliable) == message


@calm
@given(st.binary(max_size=200) | st.text(max_size=200) | any_json, st.booleans())
def test_whatever_comes_is_a_message_or_nothing(payload: object, reliable: bool) -> None:
    message = decode(payload, reliable=reliable)
    assert message is None or isinstance(message, Message)
    assert message is None or len(encode(message).payload) <= MAX_PAYLOAD


@calm
@given(any_json, st.booleans())
def test_any_json_is_a_message_or_nothing(value: Any, reliable: bool) -> None:
    text = json.dumps(value)
    assert decode(text, reliable=reliable) == decode(text.encode(), reliable=reliable)


@calm
@given(json_types, st.dictionaries(field_names, wild))
def test_wild_fields_make_a_message_or_nothing(kind: str, fields: dict[str, Any]) -> None:
    message = decode(json.dumps({"type": kind, "v": 2, "stream": STREAM, **fields}), reliable=True)
    if message is not None:
        assert decode(encode(message).payload, reliable=True) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        "null",
        "NaN",
        "-Infinity",
        '"INTERRUPT"',
        "{",
        "{" * MAX_PAYLOAD,
        "[" * 10_000,
        '{"type":' * 1_500,
        '{"a":' * 3_000 + "1" + "}" * 3_000,
        '{"type": 5}',
        '{"type": null}',
        '{"type": ["segment_end"]}',
        '{"type": {"type": "segment_end"}}',
        '{"type": "ack", "v": 2, "stream": "0123456789abcdef", "of": [], "turn": 1}',
        '{"type": "ack", "v": 2, "stream": "0123456789abcdef", "of": {}, "turn": 1}',
        '{"type": "ack", "v": 2, "stream": "0123456789abcdef", "of": "hello", "turn": 1}',
        '{"type": "stream_ended", "data": {"playback_position": NaN}}',
        '{"type": "stream_ended", "data": {"playback_position": Infinity}}',
        '{"type": "stream_ended", "data": {"playback_position": -1}}',
        '{"type": "stream_ended", "data": {"playback_position": 1e999}}',
        '{"type": "stream_ended", "data": {"playback_position": true}}',
        '{"type": "stream_ended", "data": {"playback_position": "1.0"}}',
        '{"type": "stream_ended", "data": {"playback_position": 1' + "0" * 400 + "}}",
        '{"type": "stream_ended", "data": {"playback_position": ' + "9" * 5_000 + "}}",
        '{"type": "stream_ended", "data": {"interrupted": 1}}',
        '{"type": "stream_ended", "data": null}',
        '{"type": "stream_ended", "data": [1.0, true]}',
        '{"type": "turn_interrupt", "v": 2, "stream": "0123456789abcdef", "turn": true}',
        '{"type": "turn_interrupt", "v": 2, "stream": "0123456789abcdef", "turn": 1.0}',
        '{"type": "turn_interrupt", "v": 2, "stream": "0123456789abcdef", "turn": 4294967296}',
        '{"type": "turn_interrupt", "v": 2, "stream": "0123456789ABCDEF", "turn": 1}',
        '{"type": "turn_interrupt", "v": 2, "stream": "0123456789abcde\\u0661", "turn": 1}',
        '{"type": "turn_interrupt", "v": 2, "stream": "0123456789abcdef"}',
        '{"type": "turn_interrupt", "v": 3, "stream": "0123456789abcdef", "turn": 1}',
        '{"type": "turn_interrupt", "v": 2, "stream": 5, "turn": 1}',
        '{"type": "avatar_ready", "v": 2, "worker": "", "stream": null}',
        '{"type": "avatar_ready", "v": 2, "worker": "\\ud800", "stream": null}',
        '{"type": "avatar_ready", "v": 1, "worker": "w", "stream": null}',
        '{"type": "avatar_ready", "v": 2, "worker": "w", "stream": null, "gestures": ["nod"]}',
        '{"type": "gesture", "v": 2, "stream": "0123456789abcdef", "number": 1, "name": ""}',
        '{"type": "gesture", "v": 2, "stream": "0123456789abcdef", "number": 1, "name": "a b"}',
        '{"type": "gesture", "v": 2, "stream": "0123456789abcdef", "number": 1, "name": ["nod"]}',
        '{"type": "gesture", "v": 2, "stream": "0123456789abcdef", "number": -1, "name": "nod"}',
        '{"type": "posture", "v": 2, "stream": "0123456789abcdef", "name": "listening"}',
        '{"type": "act_refused", "v": 2, "stream": "0123456789abcdef", "of": "turn_end",'
        ' "number": 1, "names": []}',
        '{"type": "words", "v": 2, "stream": "0123456789abcdef", "turn": 1, "words": []}',
        '{"type": "words", "v": 2, "stream": "0123456789abcdef", "turn": 1, "words": [["",0,1]]}',
        '{"type": "words", "v": 2, "stream": "0123456789abcdef", "turn": 1, "words": "a"}',
        '{"type": "words", "v": 2, "stream": "0123456789abcdef", "turn": 1, "words": [["hi", 0]]}',
        '{"type": "\\ud800"}',
        "\ud800",
        "INTERRUPT\ud800",
    ],
)
def test_what_is_no_message_is_refused_in_silence(text: str) -> None:
    assert decode(text, reliable=True) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "segment_end", "v": 99, "more": [1]}', SegmentEnd()),
        ('{"type": "no", "type": "segment_end"}', SegmentEnd()),
        ('{"type": "stream_ended"}', StreamEnded(0.0, False)),
        ('{"type": "stream_ended", "data": {"playback_position": 2}}', StreamEnded(2.0, False)),
        (' {"type":"segment_end"}\n', SegmentEnd()),
        ("INTERRUPT", Interrupt()),
    ],
)
def test_what_stock_peers_may_say_is_understood(text: str, message: Message) -> None:
    assert decode(text, reliable=True) == message
    assert decode(text.encode(), reliable=True) == message


def test_stock_bytes_are_exactly_those_of_the_stock_peers() -> None:
    assert encode(Interrupt()) == (b"INTERRUPT", True)
    assert json.loads(encode(SegmentEnd()).payload) == {"type": "segment_end"}
    assert json.loads(encode(StreamEnded(1.5, True)).payload) == {
        "type": "stream_ended",
        "data": {"playback_position": 1.5, "interrupted": True},
    }
    assert encode(Pcm(b"\1\2")) == (b"\1\2", False)


@calm
@given(speech)
def test_speech_on_the_reliable_channel_is_never_speech(data: bytes) -> None:
    assert not isinstance(decode(data, reliable=True), Pcm | AudioChunk)


@calm
@given(messages.filter(lambda message: encode(message).reliable))
def test_control_on_the_unreliable_channel_is_speech_or_nothing(message: Message) -> None:
    payload = encode(message).payload
    expected = None if len(payload) % 2 else Pcm(payload)
    assert decode(payload, reliable=False) == expected
    assert decode(payload.decode(), reliable=False) == expected


@calm
@given(st.text(min_size=1).map(str.encode).filter(lambda data: len(data) % 2 == 0))
def test_speech_that_the_sdk_took_for_text_is_restored(pcm: bytes) -> None:
    assert decode(pcm.decode(), reliable=False) == Pcm(pcm)


@pytest.mark.parametrize("level", [0, 1, 100, 127])
def test_digital_silence_and_small_samples_are_speech(level: int) -> None:
    pcm = level.to_bytes(2, "little") * 480
    assert decode(pcm.decode(), reliable=False) == Pcm(pcm)


@calm
@given(chunks)
def test_a_chunk_is_never_text(chunk: AudioChunk) -> None:
    with pytest.raises(UnicodeDecodeError):
        encode(chunk).payload.decode()


@calm
@given(chunks, st.integers(0, CHUNK_HEADER - 1), st.integers(1, 255))
def test_a_damaged_header_is_no_chunk(chunk: AudioChunk, at: int, flip: int) -> None:
    payload = bytearray(encode(chunk).payload)
    payload[at] ^= flip
    assert not isinstance(decode(bytes(payload), reliable=False), AudioChunk)


@calm
@given(st.binary(max_size=100))
def test_what_only_begins_like_a_chunk_is_speech(rest: bytes) -> None:
    data = CHUNK_MAGIC + rest
    expected = None if len(data) % 2 else Pcm(data)
    assert decode(data, reliable=False) == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_is_read(kind: type) -> None:
    assert decode(kind(b"\1\2"), reliable=False) == Pcm(b"\1\2")
    assert decode(kind(b"INTERRUPT"), reliable=True) == Interrupt()


def test_a_payload_that_is_too_long_is_refused() -> None:
    assert decode(bytes(MAX_PAYLOAD + 2), reliable=False) is None
    assert decode(b" " * MAX_PAYLOAD + b"{}", reliable=True) is None


@calm
@given(st.binary(max_size=40_000), st.sampled_from([2, 960, MAX_CHUNK_PCM, 15_000]))
def test_speech_is_split_without_cutting_a_sample(data: bytes, limit: int) -> None:
    pieces = split_pcm(data, limit)
    assert b"".join(pieces) == data
    assert all(len(piece) <= limit for piece in pieces)
    assert all(len(piece) % 2 == 0 for piece in pieces[:-1])


@pytest.mark.parametrize(
    "message",
    [
        Pcm(b""),
        Pcm(b"\0"),
        Pcm(bytes(MAX_PAYLOAD + 2)),
        StreamEnded(math.nan, False),
        StreamEnded(math.inf, False),
        StreamEnded(-0.1, False),
        AvatarReady("", None),
        AvatarReady("w" * 65, None),
        AvatarReady("ä", None),
        AvatarReady("w", "no stream"),
        AgentHello("", 1, 0, 24_000),
        AgentHello(STREAM, -1, 0, 24_000),
        AgentHello(STREAM, 2**32, 0, 24_000),
        AgentHello(STREAM, 1, 2**53, 24_000),
        AgentHello(STREAM, 1, 0, 3_999),
        NotObeyed("", False),
        TurnEnd(STREAM, 1, -1),
        TurnInterrupt(STREAM, 2**32),
        TurnEnded(STREAM, 1, -1.0, False),
        Progress(STREAM, 1, 0, 0, ((0, 1),) * (MAX_RANGES + 1)),
        Progress(STREAM, 1, 0, 0, ((0, -1),)),
        AvatarReady("w", None, Face(("nod",) * (MAX_NAMES + 1))),
        AvatarReady("w", None, Face(expressions=("x" * (MAX_NAME + 1),))),
        Gesture(STREAM, -1, "nod"),
        Gesture(STREAM, 1, "n" * (MAX_NAME + 1)),
        Gesture(STREAM, 1, "nöd"),
        Expression(STREAM, 1, "happy", 1.1),
        Expression(STREAM, 1, "happy", -0.1),
        Expression(STREAM, 1, "happy", math.nan),
        Posture(STREAM, 2**32, "listening"),
        ActRefused(STREAM, "turn_end", 1, ()),
        Words(STREAM, 1, ()),
        Words(STREAM, 1, (Word("w", 0.0, 1.0),) * (MAX_WORDS + 1)),
        Words(STREAM, 1, (Word("w" * (MAX_WORD + 1), 0.0, 1.0),)),
        Words(STREAM, 1, (Word("w", 1.0, 0.5),)),
        Words(STREAM, 1, (Word("w", 0.0, math.inf),)),
        Ack(STREAM, "agent_hello", 1),
        AudioChunk("", 1, 1, 0, 24_000, b"\0\0"),
        AudioChunk(STREAM, -1, 1, 0, 24_000, b"\0\0"),
        AudioChunk(STREAM, 1, 2**32, 0, 24_000, b"\0\0"),
        AudioChunk(STREAM, 1, 1, -1, 24_000, b"\0\0"),
        AudioChunk(STREAM, 1, 1, 0, 3_999, b"\0\0"),
        AudioChunk(STREAM, 1, 1, 0, 24_000, b""),
        AudioChunk(STREAM, 1, 1, 0, 24_000, b"\0\0\0"),
        AudioChunk(STREAM, 1, 1, 0, 24_000, bytes(MAX_CHUNK_PCM + 2)),
    ],
    ids=repr,
)
def test_what_has_no_bytes_cannot_be_encoded(message: Message) -> None:
    with pytest.raises(ValueError):
        encode(message)


def test_the_longest_messages_fit() -> None:
    assert len(encode(Pcm(bytes(MAX_PAYLOAD))).payload) == MAX_PAYLOAD
    chunk = AudioChunk(STREAM, 2**32 - 1, 2**32 - 1, 2**64 - 1, 192_000, bytes(MAX_CHUNK_PCM))
    assert len(encode(chunk).payload) <= MAX_PAYLOAD
    last = 2**53 - 1
    progress = Progress(STREAM, 2**32 - 1, last, last, ((last, last),) * MAX_RANGES)
    assert decode(encode(progress).payload, reliable=True) == progress
    names = tuple(f"{number:0>{MAX_NAME}}" for number in range(MAX_NAMES))
    ready = AvatarReady("w" * 64, STREAM, Face(names, names, names))
    assert decode(encode(ready).payload, reliable=True) == ready
    word = Word("\U0001f600" * MAX_WORD, 1.1111111111111112e-300, 1.1111111111111112e300)
    words = Words(STREAM, 2**32 - 1, (word,) * MAX_WORDS)
    assert decode(encode(words).payload, reliable=True) == words


def test_a_worker_without_a_face_to_tell_of_says_what_older_ones_say() -> None:
    assert json.loads(encode(AvatarReady("w", None)).payload) == {
        "type": "avatar_ready",
        "v": 2,
        "worker": "w",
        "stream": None,
    }


def test_an_ack_names_what_it_answers() -> None:
    assert ack_of(TurnEnd(STREAM, 3, 100)) == Ack(STREAM, TURN_END, 3)
    assert ack_of(TurnInterrupt(STREAM, 3)) == Ack(STREAM, TURN_INTERRUPT, 3)
    kinds = [
        ack_of(message).of
        for message in (
            TurnEnd(STREAM, 1, 0),
            TurnInterrupt(STREAM, 1),
            PlaybackStarted(STREAM, 1),
            TurnEnded(STREAM, 1, 0.0, False),
            Gesture(STREAM, 1, "nod"),
            Expression(STREAM, 1, "happy", 1.0),
            Posture(STREAM, 1, "listening"),
        )
    ]
    assert sorted(kinds) == sorted(ACKNOWLEDGED)


# Repetition ----------------------------------------------------------------------------------


def due_times(repeater: Repeater, until_s: float) -> list[float]:
    """When the repeater sends, if it is asked exactly when it says."""
    times = []
    while repeater.next_due is not None and repeater.next_due <= until_s:
        now = repeater.next_due
        times.extend([now] * len(repeater.due(now)))
    return times


def test_control_is_repeated_ever_more_slowly() -> None:
    repeater = Repeater(slowest_s=1.0)
    repeater.add("key", SegmentEnd(), 5.0)
    times = due_times(repeater, 10.0)
    assert times == pytest.approx([5.0, 5.1, 5.3, 5.7, 6.5, 7.5, 8.5, 9.5])


def test_nothing_is_repeated_once_it_is_acknowledged() -> None:
    repeater = Repeater()
    repeater.add("key", SegmentEnd(), 0.0)
    assert repeater.due(0.0) == [SegmentEnd()]
    repeater.done("key")
    repeater.done("never added")
    assert repeater.next_due is None
    assert repeater.due(100.0) == []


def test_what_is_due_comes_once_and_in_order() -> None:
    repeater = Repeater()
    for turn in (1, 2, 3):
        repeater.add(turn, TurnInterrupt(STREAM, turn), 0.0)
    assert [m.turn for m in repeater.due(0.0) if isinstance(m, TurnInterrupt)] == [1, 2, 3]
    assert repeater.due(0.05) == []
    assert repeater.next_due == pytest.approx(0.1)


def test_the_newest_message_of_a_key_takes_the_place_of_the_last() -> None:
    repeater = Repeater()
    repeater.add("key", TurnInterrupt(STREAM, 1), 0.0)
    assert len(repeater.due(0.0)) == 1
    repeater.add("key", TurnInterrupt(STREAM, 2), 0.01)
    assert repeater.due(0.01) == [TurnInterrupt(STREAM, 2)]


def test_a_late_caller_gets_one_repetition_not_all_that_it_missed() -> None:
    repeater = Repeater()
    repeater.add("key", SegmentEnd(), 0.0)
    assert repeater.due(60.0) == [SegmentEnd()]
    assert repeater.next_due == pytest.approx(60.1)


def test_nobody_listens_after_clear() -> None:
    repeater = Repeater()
    repeater.add("key", SegmentEnd(), 0.0)
    repeater.clear()
    assert repeater.due(1.0) == []


def test_with_a_bound_the_oldest_is_given_up() -> None:
    repeater = Repeater(most=2)
    for turn in (1, 2, 3):
        repeater.add(turn, TurnInterrupt(STREAM, turn), 0.0)
    assert repeater.due(0.0) == [TurnInterrupt(STREAM, 2), TurnInterrupt(STREAM, 3)]
    repeater.add(3, TurnInterrupt(STREAM, 4), 0.1)
    assert repeater.messages == (TurnInterrupt(STREAM, 2), TurnInterrupt(STREAM, 4))
    assert repeater.given_up == 1


# Declarations --------------------------------------------------------------------------------


def test_every_declared_message_is_in_the_union_and_none_else() -> None:
    assert set(codec.messages()) == set(get_args(Message))
    assert {kind for kind in codec.messages() if codec.declared(kind).ack_field} == set(
        get_args(Repeated)
    )
