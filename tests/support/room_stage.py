"""A stage in the local room: everybody on it is the real SDK, and so is what a viewer sees."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import av
import numpy as np
from videosdk import VideoSDK
from vsaiortc.mediastreams import MediaStreamError

from agent_side.join import JoinInfo
from avatar_runtime import logs
from localroom.faults import Faults
from localroom.launch import LocalRoom, local_room
from worker.meetings.videosdk import VideoSDKMeeting
from worker.settings import Settings

TOKEN = "eyJ.secret-token.sig"
WAIT_TIMEOUT_S = 30.0
POLL_S = 0.01


@contextmanager
def room_process(*arguments: str) -> Iterator[LocalRoom]:
    """A local room that the SDK in this process trusts, and an SDK that keeps quiet."""
    with local_room(*arguments) as room, trusting(room):
        yield room


@contextmanager
def trusting(room: LocalRoom) -> Iterator[None]:
    """The SDK in this process trusts `room`, and keeps quiet."""
    trusted = os.environ.get("REQUESTS_CA_BUNDLE")
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    for name, level in logs.QUIET.items():
        logging.getLogger(name).setLevel(level)
    try:
        os.environ.update(room.environment)
        yield
    finally:
        os.environ.pop("REQUESTS_CA_BUNDLE", None)
        if trusted is not None:
            os.environ["REQUESTS_CA_BUNDLE"] = trusted
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class RoomRecording:
    """What came out of the SDK's tracks of one participant; see `meeting_contract.Recording`."""

    def __init__(self) -> None:
        self.sound: list[tuple[float, int, Any]] = []
        self.pictures: list[tuple[float, int, av.VideoFrame]] = []

    async def record_sound(self, track: Any) -> None:
        async for frame in _frames(track):
            stereo = frame.to_ndarray().reshape(-1, 2).astype(np.float64)
            mono = stereo.mean(axis=1).reshape(-1, 2).mean(axis=1)
            pts = int(frame.pts * frame.time_base * 24_000)
            self.sound.append((time.monotonic(), pts, mono.astype(np.int16)))

    async def see(self, track: Any) -> None:
        async for frame in _frames(track):
            self.pictures.append((time.monotonic(), frame.pts, frame))


class RoomMeeting(VideoSDKMeeting):
    """A worker's meeting whose `join` returns when everybody in the room hears everybody.

    What is sent before that is lost, in this room as on the platform.
    """

    stage: "RoomStage"

    async def join(self) -> None:
        await super().join()
        await self.stage.is_connected()


class RoomStage:
    """One room of `local`, for one test, in which `faults` go wrong."""

    def __init__(self, local: LocalRoom, room_id: str, faults: Faults | None = None) -> None:
        self.local = local
        self.faults = faults or Faults()
        self.room_id = room_id
        self.tasks: list[asyncio.Task[None]] = []
        self._entered: list[Any] = []
        self._meetings: list[VideoSDKMeeting] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["RoomStage"]:
        """In the end everybody leaves, and nothing goes wrong any more."""
        await asyncio.to_thread(self.local.set_faults, self.faults)
        try:
            yield self
        finally:
            for meeting in self._meetings:
                await meeting.leave()
            for peer in self._entered:
                await leave(peer)
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await asyncio.to_thread(self.local.set_faults, Faults())

    def join_info(self, participant_id: str = "avatar") -> JoinInfo:
        return JoinInfo(self.room_id, TOKEN, participant_id, self.local.signaling_base_url)

    def meeting(self, participant_id: str = "avatar", join_timeout_s: float = 10.0) -> RoomMeeting:
        info = self.join_info(participant_id)
        meeting = RoomMeeting(info, Settings(join_timeout_s=join_timeout_s))
        meeting.stage = self
        self._meetings.append(meeting)
        return meeting

    def unreachable(self) -> VideoSDKMeeting:
        self.local.set_faults(Faults(entry="silent"))
        return self.meeting(join_timeout_s=0.5)

    async def enter(self, participant_id: str, *, is_agent: bool = False, **options: Any) -> Any:
        """An SDK meeting, joined and heard by all others."""
        peer = self.participant(participant_id, is_agent=is_agent, **options)
        await peer.async_join()
        client = peer._Meeting__room_client
        channels = [client._reliable_data_producer, client._unreliable_data_producer]
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while any(channel.readyState != "open" for channel in channels):
                await asyncio.sleep(POLL_S)
        await self.is_connected()
        return peer

    def participant(self, participant_id: str, *, is_agent: bool = False, **options: Any) -> Any:
        """An SDK meeting that has not been joined."""
        media = {"mic_enabled": False, "webcam_enabled": False}
        peer = VideoSDK.init_meeting(
            meeting_id=self.room_id,
            token=TOKEN,
            participant_id=participant_id,
            name=participant_id,
            signaling_base_url=self.local.signaling_base_url,
            peer_type="agent" if is_agent else "normal",
            **(media | options),
        )
        self._entered.append(peer)
        return peer

    async def exit(self, peer: Any) -> None:
        self._entered.remove(peer)
        await leave(peer)

    async def watch(self, peer: Any, participant_id: str = "avatar") -> RoomRecording:
        recording = RoomRecording()
        readers = {"audio": recording.record_sound, "video": recording.see}
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while readers:
                participant = peer.participants.get(participant_id)
                streams = list(participant.streams.values()) if participant else []
                for stream in streams:
                    if stream.kind in readers:
                        reading = readers.pop(stream.kind)(stream.track)
                        self.tasks.append(asyncio.create_task(reading, name=stream.kind))
                await asyncio.sleep(POLL_S)
            while not await self._asked_for(peer, participant_id):
                await asyncio.sleep(POLL_S)
        return recording

    async def is_connected(self) -> None:
        await asyncio.to_thread(self.local.wait_until_connected, self.room_id, WAIT_TIMEOUT_S)

    async def state(self) -> dict[str, Any]:
        """The room's peers, as the room sees them; none when there is no room."""
        state = await asyncio.to_thread(self.local.state)
        peers: dict[str, Any] = state.get(self.room_id, {}).get("peers", {})
        return peers

    async def _asked_for(self, peer: Any, participant_id: str) -> bool:
        state = await self.state()
        tracks = state[peer.local_participant.id]["consumes"]
        wanted = [track for track in tracks if track["from"] == participant_id]
        return len(wanted) == 2 and all(track["resumed"] for track in wanted)


async def leave(peer: Any) -> None:
    """The SDK's public ``leave`` does not wait until it has happened.

    Once its own tasks have been cancelled, as at the end of a test that fails, it never has.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await peer._Meeting__room_client.async_leave()


async def _frames(track: Any) -> AsyncIterator[Any]:
    while True:
        try:
            yield await track.recv()
        except MediaStreamError:
            return
