"""Rejoining: a place in the room is taken anew, and the face goes on where it was."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import virtual_time
from oracle import heard
from stage import QuickRenderer, voice
from stock_agent import StockAgent

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.wire import AvatarReady
from worker.errors import Dismissed, JoinError, JoinRefused, MeetingLost
from worker.media import FRAME_SAMPLES, SAMPLE_RATE, AvatarFrame, Picture
from worker.meeting import Away, Back, Joined, MeetingEvent
from worker.meeting_support.reconnecting import PAUSES_S, STEADY_S, Rejoining
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.session import Session
from worker.settings import Settings
from worker.sound import FADE_SAMPLES

FRAME = AvatarFrame(0, Picture.blank(2, 2), np.ones(FRAME_SAMPLES, np.int16))


class Room:
    """A room that takes a worker's places away, and what became of each."""

    def __init__(self) -> None:
        self.memory = MemoryRoom(raw=True)
        self.viewer = self.memory.peer("viewer", "normal")
        self.film = self.viewer.watch()
        self.made: list[MemoryMeeting] = []
        self.refusals: list[JoinError] = []
        self.rejoining = Rejoining(self._make)

    def _make(self) -> MemoryMeeting:
        meeting = Hesitant(self.memory, "avatar", 5.0)
        meeting.refusals = self.refusals
        self.made.append(meeting)
        return meeting

    def lose(self) -> None:
        self.memory.lose(self.made[-1])


class Hesitant(MemoryMeeting):
    """A meeting that fails to be joined as long as there are refusals."""

    refusals: list[JoinError]

    async def join(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        await super().join()


def play(scene: Callable[[Room], Awaitable[None]]) -> None:
    async def run() -> None:
        room = Room()
        try:
            await scene(room)
        finally:
            await room.rejoining.leave()

    virtual_time.run(run())


async def events_of(room: Room, count: int) -> list[MeetingEvent]:
    found = []
    async for event in room.rejoining.messages():
        found.append(event)
        if len(found) == count:
            break
    return found


def test_a_place_that_is_lost_is_taken_anew() -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()
        await asyncio.sleep(0)
        room.lose()
        first, away, back, again = await events_of(room, 4)
        assert first == again == Joined("viewer", is_agent=False)
        assert away == Away("The room was taken away.")
        assert back == Back()
        assert len(room.made) == 2

    play(scene)


def test_nobody_takes_a_place_anew_before_he_may() -> None:
    """And asks before each attempt, as it may not be his any more by then."""
    asked: list[asyncio.Event] = []

    async def ask() -> None:
        asked.append(asyncio.Event())
        await asked[-1].wait()

    async def scene(room: Room) -> None:
        room.rejoining = Rejoining(room._make, ask)
        await room.rejoining.join()
        await asyncio.sleep(0)
        room.refusals.append(JoinError("The room is closed for now."))
        room.lose()
        coming = asyncio.create_task(events_of(room, 3))
        for attempt in (1, 2):
            await asyncio.sleep(100.0)
            assert (len(asked), len(room.made)) == (attempt, 1 + attempt), (
                "the first was made by the room"
            )
            asked[-1].set()
        assert (await coming)[-1] == Back()

    play(scene)


def test_nothing_is_published_while_the_worker_is_away() -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()
        await asyncio.sleep(0)
        room.lose()
        async for event in room.rejoining.messages():
            room.rejoining.publish(FRAME)
            if isinstance(event, Away):
                assert room.rejoining.cut() == 0
            if isinstance(event, Back):
                break
        assert len(room.film.published) == 2, "before it was away, and when it was back"

    play(scene)


def test_what_is_sent_meanwhile_waits() -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()
        room.lose()
        room.refusals += [JoinError("not now")] * 3
        listening = asyncio.create_task(events_of(room, 3))
        await asyncio.sleep(0.01)
        sending = asyncio.create_task(room.rejoining.send(AvatarReady("worker", None)))
        await asyncio.sleep(0.1)
        assert not sending.done()
        await listening
        await sending
        assert room.memory.counts["avatar"].delivered == 1

    play(scene)


def test_a_place_that_cannot_be_had_is_given_up_after_a_few_attempts() -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()
        room.lose()
        room.refusals += [JoinError(f"no {n}") for n in range(99)]
        began = asyncio.get_running_loop().time()
        with pytest.raises(MeetingLost, match="6 attempts: no 5"):
            await events_of(room, 99)
        assert asyncio.get_running_loop().time() - began == pytest.approx(sum(PAUSES_S))
        assert len(room.made) == 1 + len(PAUSES_S)

    play(scene)


def test_places_that_do_not_last_count_as_failures() -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()

        async def lose_each() -> None:
            async for event in room.rejoining.messages():
                if isinstance(event, Joined):
                    room.lose()

        with pytest.raises(MeetingLost, match="attempts"):
            await lose_each()
        assert len(room.made) == 1 + len(PAUSES_S)

    play(scene)


def test_after_a_steady_while_the_count_begins_anew() -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()
        lost = 0
        async for event in room.rejoining.messages():
            if isinstance(event, Joined):
                if lost == 20:
                    break
                lost += 1
                await asyncio.sleep(STEADY_S)
                room.lose()

    play(scene)


@pytest.mark.parametrize("final", [Dismissed, JoinRefused])
def test_what_is_final_is_not_tried_again(final: type[Exception]) -> None:
    async def scene(room: Room) -> None:
        await room.rejoining.join()
        if final is JoinRefused:
            room.refusals.append(JoinRefused("That token is dead."))
            room.lose()
        else:
            room.made[0].dismissed("Somebody else has that id.")
        with pytest.raises(final):
            await events_of(room, 99)
        assert len(room.made) == (2 if final is JoinRefused else 1)

    play(scene)


# The whole line -------------------------------------------------------------------------------


class Scene:
    """A session over places that are lost, and an agent."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.places: list[tuple[bool, str | None]] = []
        self.session = Session(
            room.rejoining,
            QuickRenderer(),
            Settings(),
            None,
            lambda *place: self.places.append(place),
        )
        self.peer = room.memory.peer("agent", "agent")
        self.running = asyncio.create_task(self.session.run())

    async def end(self) -> str:
        self.session.leave()
        return await self.running


def test_a_version_2_turn_goes_on_where_it_was_last_heard() -> None:
    async def scene(room: Room) -> None:
        pcm = voice(5 * SAMPLE_RATE)
        reports = []
        agent = AvatarAudioOut(
            credentials=AvatarCredentials("avatar", "token"), room_id=room.memory.id
        )
        agent.on_stream_ended = lambda *how: reports.append(how)
        stage = Scene(room)
        agent._set_meeting(stage.peer)
        await agent.wait_until_ready()
        await agent.handle_audio_input(pcm.tobytes())
        await agent.send_segment_end()
        await asyncio.sleep(2.03)
        room.lose()
        before = len(room.film.sound)
        await agent.wait_for_playout()
        assert reports == [(5.0, False, 1)]
        assert stage.places == [(True, None), (False, "The room was taken away."), (True, None)]
        first = np.concatenate([piece.pcm for piece in room.film.sound[:before]])
        second = np.concatenate([piece.pcm for piece in room.film.sound[before:]])
        voiced = first[first != 0]
        assert np.array_equal(voiced, pcm[: len(voiced)])
        rest = second[second != 0][: -FADE_SAMPLES + 1]
        repeated = len(voiced) + len(rest) - len(pcm)
        settled = rest[FADE_SAMPLES:]
        assert np.array_equal(settled, pcm[len(pcm) - len(settled) :])
        assert 0 <= repeated <= 0.3 * SAMPLE_RATE, "nothing skipped, and little said twice"
        await agent.aclose()
        await stage.end()

    play(scene)


def test_a_version_1_turn_waits_and_goes_on() -> None:
    async def scene(room: Room) -> None:
        stage = Scene(room)
        agent = StockAgent(stage.peer)
        await asyncio.sleep(0.1)
        pcm = voice(3 * SAMPLE_RATE)
        await agent.say(pcm)
        await agent.end()
        await asyncio.sleep(1.01)
        room.refusals.append(JoinError("not now"))
        room.lose()
        await asyncio.sleep(4)
        sound = room.film.heard()
        voiced = len(sound[sound != 0])
        assert len(pcm) - 2 * FRAME_SAMPLES <= voiced <= len(pcm) + FADE_SAMPLES
        assert agent.acks == [(3.0, False)]
        await stage.end()

    play(scene)


def test_an_agent_that_left_while_the_worker_was_away_has_left() -> None:
    async def scene(room: Room) -> None:
        stage = Scene(room)
        agent = StockAgent(stage.peer)
        await asyncio.sleep(0.1)
        await agent.say(voice(SAMPLE_RATE))
        await asyncio.sleep(0.2)
        room.refusals += [JoinError("not now")] * 2
        room.lose()
        await asyncio.sleep(0.1)
        stage.peer.leave()
        await asyncio.sleep(3)
        assert stage.session._conversation.bound is None
        other = StockAgent(room.memory.peer("other", "agent"))
        await asyncio.sleep(0.1)
        await other.say(voice(12_000, 2))
        await other.end()
        await asyncio.sleep(2)
        assert other.acks == [(0.5, False)]
        await stage.end()

    play(scene)


def test_a_worker_without_an_agent_leaves_and_says_why() -> None:
    async def scene(room: Room) -> None:
        stage = Scene(room)
        stage.peer.leave()
        assert await stage.running == "The agent never came: there was none within 30 s."

    play(scene)


def test_a_worker_that_is_told_to_stop_while_it_is_away_stops() -> None:
    async def scene(room: Room) -> None:
        stage = Scene(room)
        await asyncio.sleep(0.1)
        room.refusals += [JoinError("not now")] * 9
        room.lose()
        await asyncio.sleep(0.1)
        stage.session.finish()
        assert await stage.running == "The worker was told to stop."

    play(scene)


def test_a_message_of_the_agent_that_was_sent_to_the_lost_place_is_lost_with_it() -> None:
    async def scene(room: Room) -> None:
        stage = Scene(room)
        await asyncio.sleep(0.1)
        room.refusals.append(JoinError("not now"))
        room.lose()
        await asyncio.sleep(0.01)
        await StockAgent(stage.peer).end()
        await asyncio.sleep(2)
        assert not stage.session._engine.segments.living
        assert heard(room.film, {}).samples == {}
        await stage.end()

    play(scene)
