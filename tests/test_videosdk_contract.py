"""The real SDK in the local room keeps the contract of a meeting."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from meeting_contract import MeetingContract, Stage
from room_stage import RoomStage, room_process

from localroom.launch import LocalRoom


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRoom]:
    with room_process() as room:
        yield room


class TestVideoSDKMeeting(MeetingContract):
    @pytest.fixture(autouse=True)
    def room(self, local: LocalRoom, request: pytest.FixtureRequest) -> None:
        self.local = local
        self.room_id = request.node.name

    def stage(self) -> AbstractAsyncContextManager[Stage]:
        return RoomStage(self.local, self.room_id).open()
