"""The whole line: agents come and go, speech stumbles, meetings and renderers fail."""

import asyncio
import threading

import numpy as np
import pytest
from expressive_renderer import ExpressiveRenderer
from oracle import heard
from plain_renderer import BrokenRenderer, PlainRenderer
from stage import CLOSED, QuickRenderer, stage, voice
from stock_agent import StockAgent

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.wire import AgentHello, TurnInterrupt, Word, Words
from worker.errors import JoinError, MeetingLost, RendererError
from worker.media import SAMPLE_RATE, AvatarFrame
from worker.meetings.memory import MemoryRoom
from worker.session import Session
from worker.settings import Settings
from worker.sound import Resampler


def agent_of(peer, rate=SAMPLE_RATE):
    """An agent that speaks through the avatar, and the acks that it gets."""
    agent = AvatarAudioOut(
        credentials=AvatarCredentials("avatar", "token"), room_id="memory", sample_rate=rate
    )
    acks = []
    agent.on_stream_ended = lambda position, interrupted, turn: acks.append(
        (turn, position, interrupted)
    )
    agent._set_meeting(peer)
    return agent, acks


async def say(agent, pcm, piece=960):
    """A turn, handed over at once."""
    data = pcm.tobytes()
    for at in range(0, len(data), piece):
        await agent.handle_audio_input(data[at : at + piece])
    await agent.send_segment_end()


def spoken(film, segment):
    """What was handed to the tracks of a segment of whole frames."""
    return np.concatenate(
        [each.frame.pcm for each in film.published if each.frame.segment == segment]
    )


async def stock(scene):
    """The agent is a stock one, and no other."""
    await scene.agent.aclose()
    await asyncio.sleep(0.1)
    return StockAgent(scene.peer)


# Agents come and go ---------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_turn_is_heard_whole_and_acknowledged():
    async with stage() as scene:
        pcm = voice(30_001)
        await say(scene.agent, pcm)
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 30_001}
        assert scene.acks == [(1, 30_001 / SAMPLE_RATE, False)]
        assert scene.started == [1]
        assert not scene.session.counters


@pytest.mark.virtual_time
async def test_two_agents_are_served_one_after_the_other():
    async with stage() as scene:
        first, second = voice(20_000, 1), voice(30_000, 2)
        await say(scene.agent, first)
        await scene.agent.wait_for_playout()
        await scene.agent.aclose()
        scene.peer.leave()
        other, acks = agent_of(scene.room.peer("other"))
        await say(other, second)
        await other.wait_for_playout()
        assert heard(scene.film, {1: first, 2: second}).samples == {1: 20_000, 2: 30_000}
        assert acks == [(1, 1.25, False)]
        await other.aclose()


@pytest.mark.virtual_time
async def test_an_agent_that_leaves_in_mid_sentence_is_heard_as_far_as_it_came():
    async with stage() as scene:
        pcm = voice(72_000)
        await say(scene.agent, pcm)
        await asyncio.sleep(1)
        scene.peer.leave()
        await asyncio.sleep(2)
        samples = heard(scene.film, {1: pcm}).samples[1]
        assert SAMPLE_RATE < samples < 1.5 * SAMPLE_RATE
        assert not scene.session._engine.segments.living
        assert scene.film.published[-1].frame.picture is CLOSED


@pytest.mark.virtual_time
async def test_a_stock_agent_that_leaves_in_mid_sentence_is_heard_to_what_it_said():
    async with stage() as scene:
        agent, pcm = await stock(scene), voice(36_000)
        await agent.say(pcm)
        await asyncio.sleep(0.5)
        scene.peer.leave()
        await asyncio.sleep(2)
        assert heard(scene.film, {1: pcm}).samples == {1: 36_000}
        assert not scene.session._engine.segments.living
        assert agent.acks == []


@pytest.mark.virtual_time
async def test_an_agent_that_comes_back_goes_on_where_it_was_heard_to():
    async with stage() as scene:
        pcm = voice(72_000)
        await say(scene.agent, pcm)
        await asyncio.sleep(1)
        scene.peer.leave()
        await asyncio.sleep(3)
        scene.peer.rejoin()
        scene.agent._set_meeting(scene.peer)
        async with asyncio.timeout(20):
            await scene.agent.wait_for_playout()
        assert scene.acks == [(1, 3.0, False)]
        before, after = (spoken(scene.film, segment) for segment in (1, 2))
        assert np.array_equal(before, pcm[: len(before)])
        assert np.array_equal(after, pcm[-len(after) :])
        assert 0 <= len(before) + len(after) - len(pcm) < SAMPLE_RATE


@pytest.mark.virtual_time
async def test_a_browser_user_can_neither_speak_nor_interrupt():
    async with stage() as scene:
        pcm = voice(36_000)
        await say(scene.agent, pcm)
        user = StockAgent(scene.room.peer("user", "normal"))
        for _ in range(10):
            await asyncio.sleep(0.1)
            await user.interrupt()
            await user.say(voice(480, 9))
            await user.end()
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 36_000}
        assert scene.acks == [(1, 1.5, False)]
        assert scene.session.counters["sender_ignored"] == 30


@pytest.mark.virtual_time
async def test_only_the_agent_that_was_named_is_obeyed():
    async with stage(agent_id="agent") as scene:
        other = StockAgent(scene.room.peer("other", "agent"))
        await asyncio.sleep(0.1)
        await other.say(voice(4000, 9))
        pcm = voice(12_000)
        await say(scene.agent, pcm)
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 12_000}
        assert scene.session.counters == {"sender_ignored": 9}


# Speech that stumbles -------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_sender_slower_than_real_time_is_heard_whole():
    async with stage() as scene:
        agent, pcm = await stock(scene), voice(48_000)
        await agent.say(pcm, piece=960, every_s=0.03)
        await agent.end()
        await asyncio.sleep(1)
        assert heard(scene.film, {1: pcm}).samples == {1: 48_000}
        assert agent.acks == [(2.0, False)]
        assert 3 <= scene.session.counters["underruns"] <= 10


@pytest.mark.virtual_time
@pytest.mark.parametrize("seed", range(6))
async def test_a_sender_of_bursts_and_pauses_is_heard_whole(seed):
    random = np.random.default_rng(seed)
    async with stage() as scene:
        agent, pcm, at = await stock(scene), voice(60_000), 0
        while at < len(pcm):
            burst = int(random.integers(1, 9000))
            await agent.say(pcm[at : at + burst], piece=4000)
            at += burst
            await asyncio.sleep(random.uniform(0, 0.5))
        await agent.end()
        await asyncio.sleep(3)
        assert heard(scene.film, {1: pcm}).samples == {1: 60_000}
        assert agent.acks == [(2.5, False)]
        assert scene.session.counters["underruns"] > 0


@pytest.mark.virtual_time
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_speech_at_any_rate_sounds_as_if_its_file_had_been_resampled(rate):
    async with stage(rate=rate) as scene:
        pcm = voice(rate + 123)
        await say(scene.agent, pcm, piece=1234)
        await scene.agent.wait_for_playout()
        expected = Resampler(rate).push(pcm, last=True)
        sound = np.concatenate(
            [each.frame.pcm for each in scene.film.published if each.frame.segment]
        )
        assert np.array_equal(sound[: len(expected)], expected)
        assert 0 <= len(sound) - len(expected) < 960
        assert scene.acks == [(1, (rate + 123) / rate, False)]


@pytest.mark.virtual_time
@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_speech_of_version_1_is_taken_at_the_rate_that_the_operator_chose(rate):
    async with stage(settings=Settings(input_rate=rate)) as scene:
        agent, pcm = await stock(scene), voice(rate)
        await agent.say(pcm)
        await agent.end()
        await asyncio.sleep(2)
        expected = Resampler(rate).push(pcm, last=True)
        assert heard(scene.film, {1: expected}).samples == {1: len(expected)}
        assert agent.acks == [(len(expected) / SAMPLE_RATE, False)]


# Renderers ------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_renderer_that_looks_ahead_loses_nothing():
    async with stage(renderer=PlainRenderer(2, 2)) as scene:
        turns = {1: voice(30_000, 1), 2: voice(700, 2), 3: voice(9600, 3)}
        for pcm in turns.values():
            await say(scene.agent, pcm)
        await scene.agent.wait_for_playout()
        assert heard(scene.film, turns).samples == {1: 30_000, 2: 700, 3: 9600}
        assert [turn for turn, _, _ in scene.acks] == [1, 2, 3]
        assert not scene.session.counters


@pytest.mark.virtual_time
@pytest.mark.parametrize("after_s", np.arange(0, 0.9, 0.037).round(3))
async def test_a_renderer_that_looks_ahead_is_interrupted_at_any_time(after_s):
    async with stage(renderer=PlainRenderer(2, 2)) as scene:
        turns = {1: voice(9000, 1), 2: voice(12_000, 2), 3: voice(6000, 3)}
        await scene.agent.wait_until_ready()
        await say(scene.agent, turns[1])
        await say(scene.agent, turns[2])
        await asyncio.sleep(after_s)
        await scene.agent.interrupt()
        interrupted_at = asyncio.get_running_loop().time()
        await say(scene.agent, turns[3])
        await scene.agent.wait_for_playout()
        result = heard(scene.film, turns)
        samples = result.samples
        assert all(result.last_left.get(turn, 0) <= interrupted_at for turn in (1, 2))
        assert [turn for turn, _, _ in scene.acks] == [1, 2, 3]
        for turn, position, interrupted in scene.acks:
            assert position * SAMPLE_RATE == pytest.approx(samples.get(turn, 0), abs=1e-6)
            assert interrupted or samples[turn] == len(turns[turn])
        assert samples[3] == 6000


class CountingRenderer(QuickRenderer):
    """Counts what a session has to do once."""

    def __init__(self):
        super().__init__()
        self.resets = self.closed = 0

    def reset(self):
        self.resets += 1
        super().reset()

    def close(self):
        self.closed += 1


@pytest.mark.virtual_time
async def test_an_interrupted_renderer_is_told_once_to_forget():
    renderer = CountingRenderer()
    async with stage(renderer=renderer) as scene:
        await say(scene.agent, voice(24_000, 1))
        await asyncio.sleep(0.5)
        assert renderer.resets == 0
        await scene.agent.interrupt()
        await asyncio.sleep(0.5)
        assert renderer.resets == 1
        await say(scene.agent, voice(24_000, 2))
        await scene.agent.wait_for_playout()
        assert renderer.resets == 1


class LongRenderer(QuickRenderer):
    """Breaks its contract: its frames have the sound of two."""

    def push(self, segment, pcm):
        self._ready.append(AvatarFrame(segment, CLOSED, np.concatenate([pcm, pcm])))


class SilentRenderer(QuickRenderer):
    """Breaks its contract: its frames have no sound at all."""

    def push(self, segment, pcm):
        self._ready.append(AvatarFrame(segment, CLOSED, pcm[:0]))


async def run_alone(renderer, room=None, speech=True):
    """A session in a room with an agent that speaks; returns once the session is over."""
    room = room or MemoryRoom(raw=True)
    viewer = room.peer("viewer", "normal")
    meeting = room.join_worker(join_timeout_s=5)
    running = asyncio.create_task(Session(meeting, renderer, Settings(), None).run())
    agent = StockAgent(room.peer("agent"))
    await asyncio.sleep(0.1)
    if speech:
        await agent.say(voice(24_000))
    return viewer, meeting, running


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("renderer", "said"),
    [
        (BrokenRenderer(2, 2), "ZeroDivisionError: division by zero"),
        (LongRenderer(), "1920 samples"),
        (SilentRenderer(), " 0 samples"),
    ],
)
async def test_a_renderer_that_fails_ends_the_session_with_a_text_that_helps(renderer, said):
    viewer, _, running = await run_alone(renderer)
    with pytest.raises(RendererError, match=said) as error:
        await running
    assert "AVATAR_RENDERER=character" in str(error.value)
    await asyncio.sleep(0)
    assert "avatar" not in viewer.participants


# The end of a session -------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_lost_meeting_ends_the_session_with_its_error():
    room, renderer = MemoryRoom(raw=True), CountingRenderer()
    _, meeting, running = await run_alone(renderer, room)
    room.lose(meeting)
    with pytest.raises(MeetingLost, match="taken away"):
        await running
    assert renderer.closed == 1
    assert meeting.tracks._closed


@pytest.mark.virtual_time
async def test_a_meeting_that_cannot_be_joined_ends_the_session_with_its_error():
    room, renderer = MemoryRoom(raw=True), CountingRenderer()
    room.join_delay_s = 30
    _, _, running = await run_alone(renderer, room, speech=False)
    with pytest.raises(JoinError, match="did not let the worker in"):
        await running
    assert renderer.closed == 1


@pytest.mark.virtual_time
async def test_a_session_that_is_cancelled_leaves_the_meeting():
    renderer = CountingRenderer()
    viewer, _, running = await run_alone(renderer)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert renderer.closed == 1
    assert "avatar" not in viewer.participants


async def finishing(scene, *calls_s):
    """`finish` is called after the first of `calls_s`, `leave` after the others; returns how long
    the worker stayed on."""
    begin = asyncio.get_running_loop().time()
    for number, seconds in enumerate(calls_s):
        await asyncio.sleep(seconds)
        scene.session.leave() if number else scene.session.finish()
    while "avatar" in scene.peer.participants:
        await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - begin


@pytest.mark.virtual_time
async def test_a_session_that_finishes_speaks_out_what_was_begun_and_leaves():
    async with stage() as scene:
        pcm = voice(48_000)
        await say(scene.agent, pcm)
        assert await finishing(scene, 0.5) == pytest.approx(2.2, abs=0.2)
        assert heard(scene.film, {1: pcm}).samples == {1: 48_000}
        assert scene.acks == [(1, 2.0, False)]


@pytest.mark.virtual_time
async def test_a_session_that_finishes_begins_no_new_turn():
    async with stage() as scene:
        agent = await stock(scene)
        first, second = voice(24_000, 1), voice(24_000, 2)
        await agent.say(first)
        await agent.end()
        await asyncio.sleep(0.5)
        scene.session.finish()
        await agent.say(second)
        await agent.end()
        assert await finishing(scene) < 1
        assert heard(scene.film, {1: first, 2: second}).samples == {1: 24_000}
        assert agent.acks == [(1.0, False)]


@pytest.mark.virtual_time
async def test_a_session_that_is_told_twice_leaves_at_once():
    async with stage() as scene:
        await say(scene.agent, voice(240_000))
        assert await finishing(scene, 0.5, 0.3) == pytest.approx(0.8, abs=0.1)


@pytest.mark.virtual_time
async def test_a_session_that_has_nothing_to_say_leaves_at_once():
    async with stage() as scene:
        assert await finishing(scene, 0.5) == pytest.approx(0.5, abs=0.1)


@pytest.mark.virtual_time
async def test_a_session_that_finishes_leaves_at_its_deadline():
    async with stage(settings=Settings(finish_s=3.0)) as scene:
        agent = await stock(scene)
        await agent.say(voice(480_000))
        assert await finishing(scene, 0.5) == pytest.approx(3.5, abs=0.1)


# Beside speech --------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_the_face_changes_within_the_next_picture_at_rest():
    face = ExpressiveRenderer()
    async with stage(renderer=face) as scene:
        await scene.agent.wait_until_ready()
        await asyncio.sleep(1.01)
        pictures = len(scene.film.published)
        scene.agent.gesture("nod")
        await asyncio.sleep(0)
        await asyncio.sleep(0.04)
        assert face.made == ["nod"]
        assert len(scene.film.published) <= pictures + 1


@pytest.mark.virtual_time
async def test_a_gesture_in_mid_sentence_is_begun_at_once_and_speech_goes_on():
    face = ExpressiveRenderer()
    async with stage(renderer=face) as scene:
        pcm = voice(48_000)
        await say(scene.agent, pcm)
        await asyncio.sleep(1)
        scene.agent.gesture("nod")
        await asyncio.sleep(0.04)
        assert face.made == ["nod"]
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 48_000}
        assert scene.acks == [(1, 2.0, False)]


@pytest.mark.virtual_time
async def test_an_interrupt_takes_speech_back_and_no_expression():
    face = ExpressiveRenderer()
    async with stage(renderer=face) as scene:
        await say(scene.agent, voice(48_000))
        await asyncio.sleep(1)
        scene.agent.expression("surprised", 0.8)
        scene.agent.gesture("shake")
        await scene.agent.interrupt()
        await scene.agent.wait_for_playout()
        assert face.worn == ("surprised", 0.8)
        assert face.made == ["shake"]


@pytest.mark.virtual_time
async def test_a_renderer_that_can_only_speak_refuses_politely():
    async with stage() as scene:
        await scene.agent.wait_until_ready()
        assert scene.agent.gestures == scene.agent.expressions == scene.agent.postures == ()
        scene.agent.words([("hello", 0.0, 0.4)])
        pcm = voice(24_000)
        await say(scene.agent, pcm)
        await scene.agent.wait_for_playout()
        assert heard(scene.film, {1: pcm}).samples == {1: 24_000}


@pytest.mark.virtual_time
async def test_the_face_of_an_agent_that_has_left_is_plain_again():
    face = ExpressiveRenderer()
    async with stage(renderer=face) as scene:
        await scene.agent.wait_until_ready()
        scene.agent.expression("sad")
        await asyncio.sleep(0.1)
        assert face.worn == ("sad", 1.0)
        scene.peer.leave()
        await asyncio.sleep(0.1)
        assert face.worn == ("neutral", 1.0)


@pytest.mark.virtual_time
async def test_a_worker_that_was_away_wears_what_it_wore():
    face = ExpressiveRenderer()
    async with stage(renderer=face) as scene:
        await scene.agent.wait_until_ready()
        scene.agent.expression("sad")
        await asyncio.sleep(0.1)
        scene.session._conversation.away()
        await asyncio.sleep(0.1)
        assert face.worn == ("neutral", 1.0)
        scene.session._conversation.announce(asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        assert face.worn == ("sad", 1.0)


def test_words_of_a_turn_that_was_interrupted_meanwhile_reach_no_renderer():
    stream = "00112233445566aa"
    session = Session(MemoryRoom().join_worker(), ExpressiveRenderer(), Settings(), None)
    for message in (
        AgentHello(stream, 1, 0, SAMPLE_RATE),
        Words(stream, 1, (Word("dead", 0.0, 0.5),)),
        TurnInterrupt(stream, 1),
        Words(stream, 2, (Word("alive", 0.0, 0.5),)),
    ):
        session._conversation.receive("agent", message, 0.0)
    (prompt,) = session._engine._take_cues()
    assert prompt.words[0].text == "alive"


class FailingFace(ExpressiveRenderer):
    def cue(self, cue):
        raise KeyError(cue)


@pytest.mark.virtual_time
async def test_a_face_that_fails_at_a_gesture_ends_the_session_with_one_clear_error():
    room, renderer = MemoryRoom(raw=True), FailingFace()
    session = Session(room.join_worker(), renderer, Settings(), None)
    running = asyncio.create_task(session.run())
    agent, _ = agent_of(room.peer("agent"))
    await agent.wait_until_ready()
    agent.gesture("nod")
    with pytest.raises(RendererError, match="KeyError"):
        await running
    await agent.aclose()


async def test_all_calls_of_the_renderer_come_from_one_thread():
    class OneThread(ExpressiveRenderer):
        def push(self, segment, pcm):
            self._note()
            super().push(segment, pcm)

    face = OneThread()
    async with stage(renderer=face) as scene:
        scene.agent.words([("hello", 0.0, 0.1)])
        await say(scene.agent, voice(2_400))
        scene.agent.expression("happy")
        async with asyncio.timeout(5):
            await scene.agent.wait_for_playout()
        assert face.worn == ("happy", 1.0)
        assert face.prompts
        assert len(face.threads) == 1
        assert face.threads != {threading.get_ident()}
