"""A program: an agent in the local room that says the matrix's script through a face.

Usage: matrix_agent.py KIND ROOM AGENT FACE SIGNALING_BASE_URL [DISPATCHER_URL]

KIND is ``ours`` or ``stock``: the two classes of that name have the same constructor and
methods. Prints ``ready`` when its face can hear it, waits for a line on its stdin, says the
script, and prints one line of JSON: a `Diary`.
"""

import asyncio
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import matrix_script
from matrix_peer import enter, leave
from matrix_script import NEXT_AFTER_S, PHASES, PIECE_BYTES, PIECE_EVERY_S, Phase
from videosdk import VideoSDK

from worker.media import SAMPLE_RATE, Pcm

READY_S = 20.0
WAIT_TIMEOUT_S = {"ours": 60.0, "stock": 4.0}
"""How long turns may take beyond their speech. Ours says when all have ended; the stock one
does not, and acks that are swallowed never come."""
STUCK_S = {"ours": 450.0, "stock": 75.0}
"""After this a conversation is given up. The stock agent waits for ever for an SDK that has
stopped sending, and on a bad network the SDK does."""
LINGER_S = 0.6
"""Sound and acks that nobody asked for would come now."""


@dataclass(slots=True)
class Diary:
    """What the agent did and was told; times are monotonic seconds.

    `acks`: (when, position in seconds, interrupted, turn or None), in the order of arrival.
    `outcomes`: of each turn by number; only our agent is told it.
    `phases`: when each phase began, and when the last was over.
    `hung`: how often our `wait_for_playout` did not return, and once for one that was given up.
    """

    version: int = 1
    begun: dict[int, float] = field(default_factory=dict)
    interrupted_at: float = math.inf
    acks: list[tuple[float, float, bool, int | None]] = field(default_factory=list)
    outcomes: dict[int, str] = field(default_factory=dict)
    phases: list[float] = field(default_factory=list)
    hung: int = 0


def _agent(kind: str, face: str, room: str, dispatcher_url: str | None) -> Any:
    if kind == "stock":
        from videosdk.agents.avatar import AvatarAudioOut, AvatarAuthCredentials

        credentials = AvatarAuthCredentials(participant_id=face, token="worker-token")
        return AvatarAudioOut(
            credentials=credentials, avatar_dispatcher_url=dispatcher_url, room_id=room
        )
    import agent_side
    from agent_side import handshake

    if dispatcher_url is not None:
        # It is our worker, however long a busy machine and a bad network keep its greeting.
        handshake.HELLO_TIMEOUT_S = 60.0  # type: ignore[misc]
    return agent_side.AvatarAudioOut(
        credentials=agent_side.AvatarCredentials(face, "worker-token"),
        avatar_dispatcher_url=dispatcher_url,
        room_id=room,
    )


class MatrixAgent:
    def __init__(self, kind: str, out: Any, speech: dict[int, Pcm]) -> None:
        self.diary = Diary()
        self._kind = kind
        self._out = out
        self._speech = speech
        if kind == "ours":
            out.on_stream_ended = self._ended
            out.on_turn_over = self._over
        else:
            out._on_stream_ended = self._ended

    def _ended(self, position: float, interrupted: bool, turn: int | None = None) -> None:
        self.diary.acks.append((time.monotonic(), position, interrupted, turn))

    def _over(self, turn: Any) -> None:
        self.diary.outcomes[turn.turn] = turn.outcome

    async def say_all(self) -> None:
        """Say the script, or what of it can be said in `STUCK_S`.

        What is stuck is left, as the SDK does not survive being cancelled.
        """
        saying = asyncio.create_task(self._say_all(), name="script")
        await asyncio.wait([saying], timeout=STUCK_S[self._kind])
        if saying.done():
            saying.result()
            return
        self.diary.hung += 1
        missing = len(PHASES) + 1 - len(self.diary.phases)
        self.diary.phases += [time.monotonic()] * missing

    async def _say_all(self) -> None:
        for phase in PHASES:
            self.diary.phases.append(time.monotonic())
            await self._play(phase)
        await asyncio.sleep(LINGER_S)
        self.diary.phases.append(time.monotonic())

    async def _play(self, phase: Phase) -> None:
        acks = len(self.diary.acks) + len(phase.turns)
        for turn in phase.turns[: 1 if phase.interrupts else None]:
            await self._hand_over(turn)
            if not phase.interrupts:
                await self._out.send_segment_end()
        if phase.interrupts:
            begun = self.diary.begun[phase.turns[0]]
            await asyncio.sleep(begun + matrix_script.INTERRUPT_AFTER_S - time.monotonic())
            self.diary.interrupted_at = time.monotonic()
            await self._out.interrupt()
            await asyncio.sleep(NEXT_AFTER_S)
            await self._hand_over(phase.turns[1])
            await self._out.send_segment_end()
        seconds = sum(len(self._speech[turn]) for turn in phase.turns) / SAMPLE_RATE
        give_up = time.monotonic() + seconds + WAIT_TIMEOUT_S[self._kind]
        if self._kind == "ours":
            try:
                async with asyncio.timeout_at(give_up):
                    await self._out.wait_for_playout()
            except TimeoutError:
                self.diary.hung += 1
        while len(self.diary.acks) < acks and time.monotonic() < give_up:
            await asyncio.sleep(0.02)

    async def _hand_over(self, turn: int) -> None:
        """At the pace of a synthesizer, or as fast as the platform takes it."""
        data = self._speech[turn].tobytes()
        due = self.diary.begun[turn] = time.monotonic()
        for at in range(0, len(data), PIECE_BYTES):
            await self._out.handle_audio_input(data[at : at + PIECE_BYTES])
            due += PIECE_EVERY_S
            await asyncio.sleep(due - time.monotonic())


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(kind: str, room: str, agent_id: str, face: str, host: str, *url: str) -> None:
    out = _agent(kind, face, room, url[0] if url else None)
    await out.connect()
    meeting = VideoSDK.init_meeting(
        meeting_id=room,
        token="agent-token",
        participant_id=agent_id,
        name=agent_id,
        peer_type="agent",
        mic_enabled=False,
        webcam_enabled=False,
        signaling_base_url=host,
    )
    await enter(meeting)
    agent = MatrixAgent(kind, out, matrix_script.speech(room))
    out._set_meeting(meeting)
    if kind == "ours":
        async with asyncio.timeout(READY_S):
            await out.wait_until_ready()
        agent.diary.version = out.protocol_version
    _tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await agent.say_all()
    _tell(json.dumps(asdict(agent.diary)))
    await asyncio.to_thread(sys.stdin.read)
    await out.aclose()
    await leave(meeting)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
