"""The Meeting port on VideoSDK's SDK: tracks out, data both ways, and a watch over it all."""

import asyncio
import logging
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any, Final

import av
from videosdk import CustomAudioTrack, CustomVideoTrack, VideoSDK
from videosdk.videosdk import SIGNALLING_BASE_URL
from vsaiortc.mediastreams import MediaStreamError

from agent_side.join import JoinInfo
from agent_side.wire import Message, decode, encode
from worker import clock
from worker.errors import Dismissed, JoinError, JoinRefused, MeetingError, MeetingLost
from worker.media import PIECE_SAMPLES, SAMPLE_RATE, AvatarFrame
from worker.meeting import Joined, Left, MeetingEvent, Received
from worker.meeting_support.pending_sends import PendingSends
from worker.meeting_support.sdk_internals import SdkInternals, fetch_config
from worker.meeting_support.tracks import Tracks, TracksClosed
from worker.process.logs import hash_of
from worker.settings import Settings
from worker.sound import Doubler

DISPLAY_NAME: Final = "Avatar"

MAX_SPEECH: Final = 1024
MAX_EVENTS: Final = 2048
"""Packets that may wait to be read: speech up to the first, control up to the second (15 kB
each at most). What comes then is dropped and counted; joining and leaving never is."""

POLL_S: Final = 0.005
WATCH_S: Final = 0.25
LEAVE_S: Final = 5.0

logger = logging.getLogger("avatar.worker.meetings.videosdk")


def create(join: JoinInfo, settings: Settings) -> "VideoSDKMeeting":
    """The choice that this module is: ``AVATAR_MEETING=videosdk``."""
    return VideoSDKMeeting(join, settings)


class SoundTrack(CustomAudioTrack):  # type: ignore[misc]  # the SDK has no types
    """`Tracks` as the sound track that the SDK's sender reads: mono s16 at 48 kHz.

    At any other rate, the SDK's resampler would hold 20 ms back for the length of the meeting.
    """

    def __init__(self, tracks: Tracks) -> None:
        super().__init__()
        self._tracks = tracks
        self._doubler = Doubler()

    async def recv(self) -> av.AudioFrame:
        """20 ms, when they are due. Raises MediaStreamError once the track has ended."""
        if self.readyState != "live":
            raise MediaStreamError
        try:
            pts, pcm = await self._tracks.next_piece()
        except TracksClosed as end:
            self.stop()
            raise MediaStreamError from end
        frame = av.AudioFrame(format="s16", layout="mono", samples=2 * PIECE_SAMPLES)
        frame.planes[0].update(self._doubler.push(pcm).tobytes())
        frame.sample_rate = 2 * SAMPLE_RATE
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = 2 * pts
        return frame


class PictureTrack(CustomVideoTrack):  # type: ignore[misc]  # the SDK has no types
    """`Tracks` as the picture track that the SDK's sender reads."""

    def __init__(self, tracks: Tracks) -> None:
        super().__init__()
        self._tracks = tracks

    async def recv(self) -> av.VideoFrame:
        """The next picture. Raises MediaStreamError once the track has ended."""
        if self.readyState != "live":
            raise MediaStreamError
        try:
            return await self._tracks.next_picture()
        except TracksClosed as end:
            self.stop()
            raise MediaStreamError from end


class Inbox:
    """What the SDK reports, as the worker's events.

    The SDK calls `handle_event` while it reads the network. Whatever that raised would end
    the transport for good, so nothing gets out of it.
    """

    def __init__(self, own_id: str) -> None:
        self.joined = False
        self.closed = False
        self.problems: list[str] = []
        self.dropped = 0
        self.unreadable = 0
        self.own_id = own_id
        self._people: set[str] = set()
        self._events: asyncio.Queue[MeetingEvent | None] = asyncio.Queue()

    async def get(self) -> MeetingEvent | None:
        """The next event; None when there may be none any more."""
        return await self._events.get()

    def close(self) -> None:
        """The meeting is over; whoever waits for an event gets None."""
        self.closed = True
        self._events.put_nowait(None)

    def handle_event(self, action: str, data: Any) -> None:
        """Called by the SDK's meeting."""
        try:
            self._take(action, data)
        except Exception as error:  # noqa: BLE001 - see the class
            self.unreadable += 1
            logger.warning("event %s cannot be read: %s", action, type(error).__name__)

    def peer_closed(self, data: Any) -> None:
        """Called by the SDK's signalling, for everybody who leaves."""
        self.handle_event("peer-closed", data)

    def _take(self, action: str, data: Any) -> None:
        match action:
            case "data":
                self._receive(data["from"], data["payload"], data["reliability"] == "RELIABLE")
            case "participant-joined" | "agent-joined":
                self._join(data.id, is_agent=action == "agent-joined")
            case "participant-left" | "agent-left":
                self._leave(data.id)
            case "peer-closed":
                self._leave(data["peerId"])
            case "meeting-joined":
                self.joined = True
                for peer in data["participants"]:
                    self.handle_event("peer-listed", peer)
            case "peer-listed":
                self._join(data["id"], is_agent=data.get("peerType") == "agent")
            case "meeting-left":
                self.close()
            case "error":
                problem = str(data)[:200]
                self.problems.append(problem)
                del self.problems[:-8]
                logger.warning("the SDK reports: %s", problem)

    def _receive(self, sender: str, payload: object, reliable: bool) -> None:
        if self._events.qsize() >= (MAX_EVENTS if reliable else MAX_SPEECH):
            self.dropped += 1
            if self.dropped == 1:
                logger.warning("packets come faster than they are read; some are dropped")
            return
        message = decode(payload, reliable=reliable)
        self._events.put_nowait(Received(_name(sender), message))

    def _join(self, participant_id: str, *, is_agent: bool) -> None:
        if _name(participant_id) not in {self.own_id, *self._people}:
            self._people.add(participant_id)
            self._events.put_nowait(Joined(participant_id, is_agent))

    def _leave(self, participant_id: str) -> None:
        if _name(participant_id) in self._people:
            self._people.remove(participant_id)
            self._events.put_nowait(Left(participant_id))


class VideoSDKMeeting:
    """The Meeting port in a room on VideoSDK's servers, or on any that speak their protocol.

    Nobody else's sound and pictures are taken: they would be decoded for nothing, and the SDK
    keeps what nobody reads. The SDK does not reconnect, so a meeting that is lost stays lost.
    """

    def __init__(self, join: JoinInfo, settings: Settings) -> None:
        self._info = join
        self._called = hash_of(join.room_name)
        """The room in logs and errors, which do not have its name."""
        self._host = join.signaling_base_url or SIGNALLING_BASE_URL
        self._join_timeout_s = settings.join_timeout_s
        self._tracks = Tracks()
        self._sdk: Any = None
        self._internals: SdkInternals | None = None
        self._inbox: Inbox | None = None
        self._pending_sends = PendingSends()
        self._stage = ""
        self._suspected = False
        self._leaving = asyncio.Lock()
        self._left = False

    async def join(self) -> None:
        if self._info.fault is not None:
            raise JoinRefused(self._info.fault)
        began = clock.now()
        try:
            async with asyncio.timeout(self._join_timeout_s):
                await self._join()
        except TimeoutError:
            raise JoinError(
                f"Meeting {self._called} was not joined within "
                f"{self._join_timeout_s:g} s: {self._stage}"
            ) from None
        logger.info(
            "joined meeting %s as %s in %.0f ms",
            self._called,
            self._sdk.local_participant.id,
            1000 * (clock.now() - began),
        )

    async def messages(self) -> AsyncIterator[MeetingEvent]:
        if self._internals is None or self._inbox is None:
            raise MeetingError("The meeting was not joined; call join() first.")
        watch_at = clock.now()
        while not self._left:
            if clock.now() >= watch_at:
                since_s = min(2 * WATCH_S, WATCH_S + clock.now() - watch_at)
                watch_at = clock.now() + WATCH_S
                self._check(self._internals, self._inbox, since_s)
            try:
                async with asyncio.timeout_at(watch_at):
                    event = await self._inbox.get()
            except TimeoutError:
                continue
            if event is None:
                watch_at = clock.now()
            else:
                yield event

    async def send(self, message: Message) -> None:
        packet = encode(message)
        options = {"reliability": "RELIABLE" if packet.reliable else "UNRELIABLE"}
        if self._sdk is None or self._left:
            raise MeetingError("Nothing can be sent: the worker is not in the meeting.")
        try:
            await self._pending_sends.wait(self._sdk.send(packet.payload, options))
        except MeetingError:
            raise
        except Exception as error:
            raise MeetingError(
                f"The data channel refused a packet ({type(error).__name__}); try again later."
            ) from error

    def publish(self, frame: AvatarFrame) -> None:
        self._tracks.publish(frame)

    def cut(self) -> int:
        return self._tracks.cut()

    @property
    def offset_s(self) -> float | None:
        return self._tracks.offset_s

    async def leave(self) -> None:
        async with self._leaving:
            if self._left:
                return
            self._left = True
            self._tracks.close()
            if self._internals is None or self._inbox is None:
                return
            self._inbox.close()
            try:
                async with asyncio.timeout(LEAVE_S):
                    await self._internals.leave()
            except TimeoutError:
                logger.warning("leaving took longer than %g s and was given up", LEAVE_S)
            self._pending_sends.close()
            logger.info(
                "left meeting %s; %d packets dropped, %d events unreadable",
                self._called,
                self._inbox.dropped,
                self._inbox.unreadable,
            )

    async def _join(self) -> None:
        self._stage = f"{self._host} did not answer; check the network and signaling_base_url."
        config = await fetch_config(self._info.room_name, self._info.token, self._host)

        self._stage = "the signalling server did not answer; try again later."
        self._sdk = VideoSDK.init_meeting(**self._options())
        self._internals = internals = SdkInternals(self._sdk)
        self._inbox = inbox = Inbox(self._sdk.local_participant.id)
        internals.decline_media()
        internals.on_peer_closed(inbox.peer_closed)
        self._sdk.add_event_listener(inbox)
        await internals.join(config)
        if not inbox.joined or not internals.published:
            problem = internals.refusal or ", then ".join(inbox.problems) or "no reason was given"
            kind = JoinRefused if internals.refused else JoinError
            raise kind(
                f"Meeting {self._called} did not let the worker in: {problem}; "
                "check the token and the meeting's id."
            )

        self._stage = "its media servers did not answer; let UDP through to them."
        while not internals.open:
            reason = "the server ended it for the worker" if inbox.closed else internals.lost()
            if reason is not None:
                raise JoinError(
                    f"Meeting {self._called} was lost while joining it: {reason}; "
                    "let UDP through to its media servers, or try again later."
                )
            await clock.sleep_until(clock.now() + POLL_S)

    def _options(self) -> dict[str, Any]:
        """Options left out are left out: the SDK takes a None for a value."""
        options = {
            "meeting_id": self._info.room_name,
            "token": self._info.token,
            "participant_id": self._info.participant_id,
            "signaling_base_url": self._info.signaling_base_url,
            "name": DISPLAY_NAME,
            "custom_microphone_audio_track": SoundTrack(self._tracks),
            "custom_camera_video_track": PictureTrack(self._tracks),
        }
        return {name: value for name, value in options.items() if value is not None}

    def _check(self, internals: SdkInternals, inbox: Inbox, since_s: float) -> None:
        """Raises Dismissed, and MeetingLost at the second look.

        A server that sends the worker away may close its channels before its goodbye is read,
        and who took that for a loss would come back and evict whoever is wanted instead.
        """
        room = self._called
        if inbox.closed or internals.leaving:
            raise Dismissed(
                f"The server of meeting {room} told the worker to leave: it was removed, the "
                f"meeting was closed, or another participant joined as {inbox.own_id}; "
                "launch it again if it is still wanted."
            )
        reason = internals.lost() or internals.ask(since_s)
        if reason is not None and self._suspected:
            raise MeetingLost(f"Meeting {room} is gone: {reason}.")
        self._suspected = reason is not None


def _name(participant_id: object) -> str:
    if not isinstance(participant_id, str):
        raise TypeError("A participant's id is not a string.")
    return participant_id
