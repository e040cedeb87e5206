"""Whatever comes on either channel, from whomever: the worker goes on speaking."""

import asyncio
import json
from collections import Counter

import pytest
import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from oracle import heard
from stage import stage, voice
from stock_agent import RELIABLE, UNRELIABLE, StockAgent
from thorough import thorough

from agent_side.wire import MAX_PAYLOAD, AgentHello, Interrupt, SegmentEnd, decode

STREAM = "00112233445566aa"
NOT_JSON = [
    b"",
    b"\xff\xfe\xfd",
    b"INTERRUPT ",
    b"interrupt",
    b"{" * MAX_PAYLOAD,
    b"[" * MAX_PAYLOAD,
    b'{"a":' * 2000,
    b'{"type":"segment_end"',
    b"\xef\xbb\xbf{}",
]
NOT_OURS = [
    b"5",
    b"[]",
    b"null",
    b"true",
    b'"INTERRUPT"',
    b"{}",
    b"NaN",
    b"-Infinity",
    b"1" * 5000,
    b'{"type":null}',
    b'{"type":["segment_end"]}',
    b'{"type":{"type":"segment_end"}}',
    b'{"type":"SEGMENT_END"}',
    b'{"type":"unknown","v":2}',
    json.dumps([[[[{"type": "segment_end"}]]]]).encode(),
]


def field(**changes):
    """A TurnInterrupt with some fields changed."""
    fields = {"type": "turn_interrupt", "v": 2, "stream": STREAM, "turn": 1, **changes}
    return json.dumps(fields).encode()


WRONG_TYPES = [
    b'{"type":"stream_ended","data":{"playback_position":NaN,"interrupted":true}}',
    b'{"type":"stream_ended","data":{"playback_position":Infinity,"interrupted":true}}',
    b'{"type":"stream_ended","data":{"playback_position":-1,"interrupted":true}}',
    b'{"type":"stream_ended","data":[]}',
    field(turn="1"),
    field(turn=1.0),
    field(turn=True),
    field(turn=-1),
    field(turn=2**32),
    field(turn=None),
    field(turn=[1]),
    field(v=3),
    field(v="2"),
    field(stream=1),
    field(stream="z" * 16),
    field(stream=STREAM.upper()),
    field(stream=STREAM + "00"),
    field(type="turn_end", samples=1e400),
    field(type="turn_end", samples=2**60),
    field(type="turn_end"),
    field(type="agent_hello", sample="x"),
    field(type="ack", of="everything"),
    field(type="ack", of=["turn_end"]),
]
CONTROL = NOT_JSON + NOT_OURS + WRONG_TYPES
"""Packets of the reliable channel that are none of ours."""

SPEECH = [b"", b"\1", b"\xffAV", b"\xffAV2", b"\xffAV2" + bytes(35), b"abc"]
"""Packets of the unreliable channel that are no speech, not even of version 1."""


@pytest.mark.parametrize("payload", CONTROL)
def test_garbage_is_no_control(payload):
    assert decode(payload, reliable=True) is None


@pytest.mark.parametrize("payload", SPEECH)
def test_garbage_is_no_speech(payload):
    assert decode(payload, reliable=False) is None or len(payload) % 2 == 0


async def throw(peer, packets, reliability, every_s=0.01):
    for packet in packets:
        await peer.send(packet, reliability)
        await asyncio.sleep(every_s)


@pytest.mark.virtual_time
async def test_an_agent_that_sends_garbage_too_is_heard_whole():
    odd = [packet for packet in SPEECH if len(packet) % 2 or not packet]

    async with stage() as scene:
        pcm = voice(48_000)
        await scene.agent.wait_until_ready()
        await scene.agent.handle_audio_input(pcm.tobytes())
        await scene.agent.send_segment_end()
        await throw(scene.peer, CONTROL, RELIABLE)
        await throw(scene.peer, odd, UNRELIABLE)
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 48_000}
        assert scene.acks == [(1, 2.0, False)]
        assert scene.session.counters == {"packet_refused": len(CONTROL) + len(odd)}


@pytest.mark.virtual_time
async def test_strangers_that_send_garbage_disturb_nobody():
    valid = [b"INTERRUPT", b'{"type":"segment_end"}', field(), field(type="turn_end", samples=0)]

    async with stage() as scene:
        pcm = voice(96_000)
        await scene.agent.handle_audio_input(pcm.tobytes())
        await scene.agent.send_segment_end()
        await scene.agent.wait_until_ready()
        for name, kind in (("user", "normal"), ("other", "agent")):
            stranger = scene.room.peer(name, kind)
            await throw(stranger, CONTROL + valid, RELIABLE)
            await throw(stranger, [b"\1\2" * 500] * 10, UNRELIABLE)
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 96_000}
        assert scene.acks == [(1, 4.0, False)]
        assert scene.session.counters == {
            "packet_refused": 2 * len(CONTROL),
            "sender_ignored": 2 * (len(valid) + 10),
        }


@pytest.mark.virtual_time
async def test_a_stock_agent_that_sends_garbage_as_control_is_heard_whole():
    async with stage() as scene:
        await scene.agent.aclose()
        await asyncio.sleep(0.1)
        agent, pcm = StockAgent(scene.peer), voice(48_000)
        speaking = asyncio.create_task(agent.say(pcm, every_s=0.01))
        await throw(scene.peer, CONTROL, RELIABLE)
        await speaking
        await agent.end()
        await asyncio.sleep(2)
        assert heard(scene.film, {1: pcm}).samples == {1: 48_000}
        assert agent.acks == [(2.0, False)]
        assert scene.session.counters == {"packet_refused": len(CONTROL)}


anything = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(CONTROL + SPEECH),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=9)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["type", "v", "stream", "turn", "samples", "data", "of"]),
                st.one_of(
                    inner, st.sampled_from(["turn_end", "agent_hello", "stream_ended", STREAM, 2])
                ),
                max_size=7,
            ),
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)
packets = st.lists(
    st.tuples(anything, st.booleans(), st.booleans()).filter(lambda packet: is_garbage(*packet)),
    max_size=40,
)


def is_garbage(payload, reliable, is_stranger):
    """Whether the packet is none that an agent may send."""
    message = decode(payload, reliable=reliable)
    return is_stranger or not isinstance(message, Interrupt | SegmentEnd | AgentHello)


@thorough(400)
@given(packets=packets)
def test_random_garbage_changes_nothing_but_the_counters(packets):
    async def conversation():
        async with stage(agent_id="agent") as scene:
            stranger = scene.room.peer("user", "normal")
            pcm, expected = voice(24_000), Counter()
            await scene.agent.wait_until_ready()
            await scene.agent.handle_audio_input(pcm.tobytes())
            await scene.agent.send_segment_end()
            for payload, reliable, is_stranger in packets:
                sender = stranger if is_stranger else scene.peer
                expected[consequence(payload, reliable, is_stranger)] += 1
                await sender.send(payload, RELIABLE if reliable else UNRELIABLE)
                await asyncio.sleep(0.01)
            await scene.agent.wait_for_playout()
            assert heard(scene.film, {1: pcm}).samples == {1: 24_000}
            assert scene.acks == [(1, 1.0, False)]
            assert scene.session.counters == +expected

    virtual_time.run(conversation())


def consequence(payload, reliable, is_stranger):
    """The counter that a packet of garbage raises."""
    message = decode(payload, reliable=reliable)
    if message is None:
        return "packet_refused"
    if is_stranger:
        return "sender_ignored"
    return "message_unexpected" if reliable else "audio_of_version_1"
