"""A voice agent with a face, on the plain `videosdk` package: it says what a WAV file has.

It needs `pip install avatar-face videosdk`. In one shell, a room and a dispatcher on this machine,
without an account (`pip install 'avatar-face[all]'`):

    avatar serve --local --env-file local.env

In another one, this agent:

    set -a; . ./local.env; set +a
    python examples/agent.py

It prints where to watch the face, speaks, waits until all of it was heard, and leaves. On
VideoSDK's own servers, leave SIGNALING_BASE_URL out, and give it a token of yours in
VIDEOSDK_AUTH_TOKEN and a room of yours with --room.
"""

import argparse
import asyncio
import os
import sys
import wave
from pathlib import Path

from videosdk import MeetingEventHandler, VideoSDK

from agent_side import AvatarAudioOut, AvatarCredentials, AvatarError

SPEECH = Path(__file__).parents[1] / "benchmarks" / "speech.wav"
FACE = "avatar"
PIECE_S = 0.02
READY_S = 30.0
"""How long the face may take to join and to hear."""


class Errors(MeetingEventHandler):  # type: ignore[misc]  # the SDK has no types
    """Says what goes wrong in the meeting: joining it raises nothing."""

    def on_error(self, data: object) -> None:
        sys.stderr.write(f"the meeting: {data}\n")


def read_speech(path: Path) -> tuple[bytes, int]:
    """The samples, mono s16le, and their rate (Hz)."""
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise SystemExit(f"{path} has to be mono with 16 bits for a sample.")
        return file.readframes(file.getnframes()), file.getframerate()


def report(position: float, interrupted: bool, turn: int) -> None:
    """Each turn ends in exactly one of these."""
    print(f"turn {turn}: {position:.2f} s were heard, {interrupted=}", flush=True)


async def speak(speech: bytes, rate: int, room: str, token: str) -> None:
    """Get a face into the room, say the speech, and leave."""
    avatar = AvatarAudioOut(
        credentials=AvatarCredentials(FACE, token),
        avatar_dispatcher_url=os.environ["AVATAR_DISPATCHER_URL"],
        room_id=room,
        sample_rate=rate,
        on_stream_ended=report,
    )
    await avatar.connect()

    where = os.environ.get("SIGNALING_BASE_URL")
    meeting = VideoSDK.init_meeting(
        meeting_id=room,
        token=token,
        name="agent",
        peer_type="agent",
        mic_enabled=False,
        webcam_enabled=False,
        loop=asyncio.get_running_loop(),
        **({"signaling_base_url": where} if where else {}),
    )
    meeting.add_event_listener(Errors())
    await meeting.async_join()
    avatar.attach(meeting)
    try:
        async with asyncio.timeout(READY_S):
            await avatar.wait_until_ready()
        # A synthesizer's output as it comes, in pieces of any length; faster than it is spoken.
        piece = int(PIECE_S * rate) * 2
        for at in range(0, len(speech), piece):
            await avatar.handle_audio_input(speech[at : at + piece])
        await avatar.send_segment_end()
        await avatar.wait_for_playout()
    finally:
        await avatar.aclose()
        meeting.leave()
        await asyncio.sleep(0.5)  # `leave` returns before the goodbye is sent


def main() -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description="Says what a WAV file has, with a face.")
    parser.add_argument("speech", nargs="?", type=Path, default=SPEECH, help="mono, 16 bits")
    parser.add_argument("--room", default="example", help="the meeting's id (%(default)s)")
    given = parser.parse_args()
    if "AVATAR_DISPATCHER_URL" not in os.environ:
        sys.stderr.write("Set AVATAR_DISPATCHER_URL: see the beginning of this file.\n")
        return 2
    if control := os.environ.get("LOCALROOM_CONTROL"):
        print(f"watch the face: {control}/watch/{given.room}/{FACE}", flush=True)
    token = os.environ.get("VIDEOSDK_AUTH_TOKEN", "any-token")  # a room of our own takes any
    speech, rate = read_speech(given.speech)
    try:
        asyncio.run(speak(speech, rate, given.room, token))
    except AvatarError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except TimeoutError:
        sys.stderr.write(f"No face was ready within {READY_S:.0f} s; see the dispatcher's log.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
