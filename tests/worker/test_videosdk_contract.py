"""The real SDK in the local room keeps the contract of a meeting, and notices when it is over."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from meeting_contract import MeetingContract, RoomFixture
from room_stage import RoomStage, room_process
from stage import QuickRenderer, voice

from agent_side import AvatarAudioOut, AvatarCredentials
from localroom.faults import DatagramFaults, Faults, MessageFaults, PeerFaults
from localroom.launch import LocalRoom
from worker.departure import STOPPED
from worker.errors import Dismissed, JoinError, JoinRefused, MeetingLost
from worker.media import SAMPLE_RATE
from worker.meeting import Meeting
from worker.meeting_support.reconnecting import Rejoining
from worker.meetings.videosdk import VideoSDKMeeting
from worker.session import Session
from worker.settings import Settings

NOTICE_S = 20.0
"""How soon a meeting that is lost has to be noticed."""

FAR_AWAY = Faults(
    MessageFaults(reorder=0.3, jitter_s=0.1),
    DatagramFaults(delay_s=0.02),
)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRoom]:
    with room_process() as room:
        yield room


class TestVideoSDKMeeting(MeetingContract):
    faults = Faults()

    @pytest.fixture(autouse=True)
    def room(self, local: LocalRoom, request: pytest.FixtureRequest) -> None:
        self.local = local
        self.room_id = request.node.name

    def stage(self) -> AbstractAsyncContextManager[RoomFixture]:
        return RoomStage(self.local, self.room_id, self.faults).open()


class TestVideoSDKMeetingFarAway(TestVideoSDKMeeting):
    """The same with 40 ms more to every server and back, and messages that change places."""

    faults = FAR_AWAY


async def drop(stage: RoomStage) -> None:
    stage.local.act(stage.room_id, "avatar", "drop")


async def cut(stage: RoomStage) -> None:
    stage.local.act(stage.room_id, "avatar", "cut")


async def dismiss(stage: RoomStage) -> None:
    stage.local.act(stage.room_id, "avatar", "dismiss")


async def evict(stage: RoomStage) -> None:
    await stage.enter("avatar")


async def freeze(stage: RoomStage) -> None:
    stage.local.act(stage.room_id, "avatar", "freeze")


async def deafen(stage: RoomStage) -> None:
    """No datagram of the worker's arrives any more, or comes to it."""
    nothing = PeerFaults(datagrams=DatagramFaults(loss=1.0))
    await asyncio.to_thread(stage.local.set_faults, Faults(peers={"avatar": nothing}))


@pytest.mark.parametrize(
    ("end", "loss"),
    [
        (drop, MeetingLost),
        (cut, MeetingLost),
        (freeze, MeetingLost),
        (deafen, MeetingLost),
        (dismiss, Dismissed),
        (evict, Dismissed),
    ],
)
def test_a_meeting_that_is_lost_is_noticed(
    local: LocalRoom, end: Callable[[RoomStage], Awaitable[None]], loss: type[MeetingLost]
) -> None:
    async def read(stage: RoomStage) -> None:
        meeting = stage.meeting()
        await meeting.join()
        listening = asyncio.create_task(_listen(meeting))
        await asyncio.sleep(1.0)
        assert not listening.done()
        await end(stage)
        async with asyncio.timeout(NOTICE_S):
            with pytest.raises(MeetingLost) as lost:
                await listening
        assert lost.type is loss

    asyncio.run(_play(partial(RoomStage, local, f"lost-{end.__name__}"), read))


@pytest.mark.parametrize(("entry", "refusal"), [("401", JoinRefused), ("500", JoinError)])
def test_a_room_that_refuses_says_so(
    local: LocalRoom, entry: str, refusal: type[JoinError]
) -> None:
    async def join(stage: RoomStage) -> None:
        with pytest.raises(JoinError, match=entry) as refused:
            await stage.meeting().join()
        assert refused.type is refusal

    faults = Faults(entry=entry)
    asyncio.run(_play(partial(RoomStage, local, f"entry-{entry}", faults), join))


def test_a_bad_way_to_the_media_servers_is_no_loss(local: LocalRoom) -> None:
    """Every third datagram is lost, both ways, and the rest takes 0.3 s more each way."""

    async def read(stage: RoomStage) -> None:
        meeting = stage.meeting(join_timeout_s=20.0)
        await meeting.join()
        bad = PeerFaults(datagrams=DatagramFaults(loss=0.33, delay_s=0.3))
        await asyncio.to_thread(stage.local.set_faults, Faults(peers={"avatar": bad}))
        listening = asyncio.create_task(_listen(meeting))
        await asyncio.sleep(8.0)
        assert not listening.done()
        listening.cancel()

    asyncio.run(_play(partial(RoomStage, local, "bad-way"), read))


async def _listen(meeting: Meeting) -> None:
    async for _ in meeting.messages():
        pass


@pytest.mark.parametrize("end", [drop, cut, freeze, deafen])
def test_a_place_that_is_lost_is_taken_anew_and_the_turn_goes_on(
    local: LocalRoom, end: Callable[[RoomStage], Awaitable[None]]
) -> None:
    async def speak(stage: RoomStage) -> None:
        reports: list[tuple[float, bool, int]] = []
        agent = AvatarAudioOut(
            credentials=AvatarCredentials("avatar", "token"),
            on_stream_ended=lambda *how: reports.append(how),
        )
        agent._set_meeting(await stage.enter("agent", is_agent=True))
        places: list[tuple[bool, str | None]] = []
        meeting = Rejoining(lambda: VideoSDKMeeting(stage.join_info(), Settings()))
        session = Session(
            meeting, QuickRenderer(), Settings(), None, lambda *place: places.append(place)
        )
        running = asyncio.create_task(session.run())
        await agent.wait_until_ready()
        await agent.handle_audio_input(voice(6 * SAMPLE_RATE).tobytes())
        await agent.send_segment_end()
        await asyncio.sleep(1.0)
        await end(stage)
        async with asyncio.timeout(NOTICE_S):
            while places[-1][0]:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(stage.local.set_faults, Faults())
        await agent.wait_for_playout()
        assert reports == [(6.0, False, 1)]
        assert [active for active, _ in places] == [True, False, True]
        session.finish()
        assert await running == STOPPED
        await agent.aclose()

    asyncio.run(_play(partial(RoomStage, local, f"again-{end.__name__}"), speak))


async def _play(
    make: Callable[[], RoomStage], scene: Callable[[RoomStage], Awaitable[None]]
) -> None:
    async with asyncio.timeout(30), make().open() as stage:
        await scene(stage)
