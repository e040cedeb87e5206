"""Speech whose bytes are text, which the SDK delivers as text, is heard bit by bit."""

import asyncio

import numpy as np
import pytest
from oracle import heard
from stage import stage, voice
from stock_agent import StockAgent

from worker.media import SAMPLE_RATE

KINDS = ["silence", "small", "ascii", "multi-byte"]


def text(kind):
    """0.4 s of PCM, every packet of which is valid UTF-8."""
    random = np.random.default_rng(5)
    match kind:
        case "silence":
            return np.zeros(9600, np.int16)
        case "small":
            return random.integers(0, 128, 9600).astype(np.int16)
        case "ascii":
            data = random.integers(1, 128, 19_200, np.uint8).tobytes()
        case _:
            data = "".join(random.choice(["🎺", "äß", "éa\n"], 4800)).encode()
    return np.frombuffer(data, "<i2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_packets_are_text(kind):
    data = text(kind).tobytes()
    assert len(data) == 19_200
    for at in range(0, len(data), 960):
        assert data[at : at + 960].decode()


async def said(scene, pcm, piece):
    """A stock agent says `pcm`; returns its acks."""
    await scene.agent.aclose()
    await asyncio.sleep(0.1)
    agent = StockAgent(scene.peer)
    await agent.say(pcm, piece)
    await agent.end()
    await asyncio.sleep(len(pcm) / SAMPLE_RATE + 1)
    return agent.acks


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece", [960, 15_000])
async def test_text_between_ordinary_speech_comes_through_bit_by_bit(kind, piece):
    async with stage() as scene:
        clean = text(kind)
        parts = [voice(9600, 1), clean, voice(9600, 2), clean, clean, voice(9600, 3)]
        pcm = np.concatenate(parts)
        acks = await said(scene, pcm, piece)
        assert heard(scene.film, {1: pcm}).samples == {1: len(pcm)}
        assert np.array_equal(scene.heard_of()[: len(pcm)], pcm)
        assert acks == [(len(pcm) / SAMPLE_RATE, False)]
        assert not scene.session.counters


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", KINDS)
async def test_a_turn_of_nothing_but_text_is_a_turn(kind):
    async with stage() as scene:
        pcm = text(kind)
        acks = await said(scene, pcm, 960)
        voiced = [each.frame.pcm for each in scene.film.published if each.frame.segment]
        assert np.array_equal(np.concatenate(voiced), pcm)
        assert acks == [(0.4, False)]
