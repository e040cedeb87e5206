"""A program: an agent on the real SDK asks a dispatcher for a face, speaks, and interrupts it.

Usage: real_agent.py DISPATCHER_URL SIGNALING_BASE_URL. Prints one line of JSON: the protocol's
version and each turn's [position in seconds, interrupted, number].
"""

import asyncio
import json
import sys
from typing import Any

from stage import voice
from videosdk import VideoSDK

from agent_side import AvatarAudioOut, AvatarCredentials

WAIT_TIMEOUT_S = 50.0


async def main(dispatcher_url: str, signaling_base_url: str) -> dict[str, Any]:
    ended: list[tuple[float, bool, int]] = []
    out = AvatarAudioOut(
        credentials=AvatarCredentials("face", "worker-token"),
        avatar_dispatcher_url=dispatcher_url,
        room_id="whole-way",
        on_stream_ended=lambda *how: ended.append(how),
    )
    await out.connect()
    meeting = VideoSDK.init_meeting(
        meeting_id="whole-way",
        token="agent-token",
        participant_id="agent",
        name="agent",
        peer_type="agent",
        mic_enabled=False,
        webcam_enabled=False,
        signaling_base_url=signaling_base_url,
        loop=asyncio.get_running_loop(),
    )
    await meeting.async_join()
    out._set_meeting(meeting)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await out.wait_until_ready()
        version = out.protocol_version
        await out.handle_audio_input(voice(36_000).tobytes())
        await out.send_segment_end()
        await out.wait_for_playout()
        await out.handle_audio_input(voice(72_000, seed=2).tobytes())
        await asyncio.sleep(0.7)
        await out.interrupt()
        await out.handle_audio_input(voice(12_000, seed=3).tobytes())
        await out.send_segment_end()
        await out.wait_for_playout()
    await out.aclose()
    meeting.leave()
    await asyncio.sleep(0.2)
    return {"version": version, "ended": ended}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(*sys.argv[1:]))) + "\n")
