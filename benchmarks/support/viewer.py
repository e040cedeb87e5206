"""A viewer: a participant on the real SDK that keeps what arrives of one other, and when.

    python benchmarks/support/viewer.py ROOM SIGNALING_BASE_URL PARTICIPANT FILE

Prints ``watching`` once it is in the room, records until its standard input ends, then leaves
and writes a pickled `Viewing`. Times are those of `time.monotonic`, which all processes of a
machine share. Nothing is decoded here but by the SDK itself, so that the viewer is light.
"""

import asyncio
import pickle
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from videosdk import MeetingEventHandler, ParticipantEventHandler, VideoSDK
from vsaiortc.mediastreams import MediaStreamError
from vsaiortc.rtp import RtcpSrPacket


class Arrival(NamedTuple):
    """An RTP packet that has arrived."""

    time_s: float
    timestamp: int


class Coded(NamedTuple):
    """What the SDK gave to its decoder: a whole picture, or 20 ms of sound."""

    timestamp: int
    data: bytes


class SenderReport(NamedTuple):
    """A sender report: the sender's clock (s, NTP) at an RTP time stamp."""

    ntp_s: float
    timestamp: int


@dataclass(slots=True)
class RecordedTrack:
    """What came of one track. Time stamps are those on the wire."""

    kind: str
    began_s: float
    arrivals: list[Arrival] = field(default_factory=list)
    coded: list[Coded] = field(default_factory=list)
    reports: list[SenderReport] = field(default_factory=list)


@dataclass(slots=True)
class Viewing:
    """All tracks of one participant, in the order in which they appeared; two for each life."""

    tracks: list[RecordedTrack] = field(default_factory=list)


class TrackRecorder(MeetingEventHandler, ParticipantEventHandler):  # type: ignore[misc]
    """Watches one participant of a meeting, however often it comes."""

    def __init__(self, meeting: Any, participant_id: str) -> None:
        super().__init__()
        self.viewing = Viewing()
        self._meeting = meeting
        self._participant_id = participant_id
        self._draining: set[asyncio.Task[None]] = set()

    def on_participant_joined(self, participant: Any) -> None:
        if participant.id == self._participant_id:
            participant.add_event_listener(self)
            for stream in list(participant.streams.values()):
                self.on_stream_enabled(stream)

    def on_stream_enabled(self, stream: Any) -> None:
        receiver = self._receiver_of(stream.track)
        track = RecordedTrack(stream.track.kind, time.monotonic())
        self.viewing.tracks.append(track)
        tap(receiver, track)
        draining = asyncio.get_running_loop().create_task(drain(stream.track))
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)

    def _receiver_of(self, track: Any) -> Any:
        connection = self._meeting._Meeting__room_client._RoomClient__recv_transport.handler.pc
        for receiver in connection.getReceivers():
            if receiver.track is track:
                return receiver
        raise LookupError("The SDK shows a track that it does not receive.")


def tap(receiver: Any, track: RecordedTrack) -> None:
    """Note every packet and sender report, and what is decoded; the SDK goes on as before."""
    plain_rtp, plain_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet
    queue = receiver._RTCRtpReceiver__decoder_queue
    plain_put = queue.put
    mapper = receiver._RTCRtpReceiver__timestamp_mapper

    async def on_rtp(packet: Any, arrival_time_ms: int) -> None:
        track.arrivals.append(Arrival(time.monotonic(), packet.timestamp))
        await plain_rtp(packet, arrival_time_ms)

    async def on_rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            track.reports.append(SenderReport(info.ntp_timestamp / 2**32, info.rtp_timestamp))
        await plain_rtcp(packet)

    def put(task: Any, *more: Any) -> None:
        if task is not None:
            track.coded.append(Coded(mapper._last, bytes(task[1].data)))
        plain_put(task, *more)

    receiver._handle_rtp_packet, receiver._handle_rtcp_packet = on_rtp, on_rtcp
    queue.put = put


async def drain(track: Any) -> None:
    """The SDK keeps what nobody reads."""
    try:
        while True:
            await track.recv()
    except MediaStreamError:
        return


async def watch(room: str, host: str, participant_id: str) -> Viewing:
    """Watch until standard input ends."""
    loop = asyncio.get_running_loop()
    meeting = VideoSDK.init_meeting(
        meeting_id=room,
        token="viewer-token",
        participant_id="viewer",
        name="viewer",
        mic_enabled=False,
        webcam_enabled=False,
        signaling_base_url=host,
        loop=loop,
    )
    eyes = TrackRecorder(meeting, participant_id)
    meeting.add_event_listener(eyes)
    await meeting.async_join()
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())
    await meeting._Meeting__room_client.async_leave()
    return eyes.viewing


def main(room: str, host: str, participant_id: str, file: str) -> None:
    """Watch, and write what was seen."""
    viewing = asyncio.run(watch(room, host, participant_id))
    Path(file).write_bytes(pickle.dumps(viewing))


if __name__ == "__main__":
    main(*sys.argv[1:])
