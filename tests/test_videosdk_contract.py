"""The real SDK in the local room keeps the contract of a meeting, and notices when it is over."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from meeting_contract import MeetingContract, Stage
from room_stage import RoomStage, room_process

from localroom.faults import DatagramFaults, Faults, MessageFaults
from localroom.launch import LocalRoom
from worker.errors import JoinError, MeetingLost

NOTICE_S = 5.0
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

    def stage(self) -> AbstractAsyncContextManager[Stage]:
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


@pytest.mark.parametrize("end", [drop, cut, dismiss, evict])
def test_a_meeting_that_is_lost_is_noticed(
    local: LocalRoom, end: Callable[[RoomStage], Awaitable[None]]
) -> None:
    async def read(stage: RoomStage) -> None:
        meeting = stage.meeting()
        await meeting.join()
        await end(stage)
        lost_at = time.monotonic()
        with pytest.raises(MeetingLost):
            async for _ in meeting.messages():
                pass
        assert time.monotonic() - lost_at < NOTICE_S

    asyncio.run(_play(partial(RoomStage, local, f"lost-{end.__name__}"), read))


@pytest.mark.parametrize("entry", ["401", "500"])
def test_a_room_that_refuses_says_so(local: LocalRoom, entry: str) -> None:
    async def join(stage: RoomStage) -> None:
        with pytest.raises(JoinError, match=entry):
            await stage.meeting().join()

    faults = Faults(entry=entry)
    asyncio.run(_play(partial(RoomStage, local, f"entry-{entry}", faults), join))


async def _play(
    make: Callable[[], RoomStage], scene: Callable[[RoomStage], Awaitable[None]]
) -> None:
    async with asyncio.timeout(30), make().open() as stage:
        await scene(stage)
