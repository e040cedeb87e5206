"""What one session costs a machine: CPU and memory of a worker, at rest and while it speaks.

`avatar serve --local` runs beside this program, which is all the agents; each session draws Ada and
sends her to the room, as in a meeting. CPU is what the kernel counted for the worker's process, so
it holds on a busy machine, too. Memory is proportional: what workers share is divided among them.
"""

import asyncio
import json
import os
import statistics
import sys
import wave
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from caller import RoomAgent, caller
from processes import shown
from room_stage import RoomStage
from soaking import LocalService, house, process

from worker.media import SAMPLE_RATE, Pcm

AT_ONCE: Final = (1, 4)
SIZES: Final = ("512x512", "1280x720")
SETTLE_S: Final = 8.0
"""Encoders have found their rate by then."""

WINDOW_S: Final = 15.0
SPEECH: Final = Path(__file__).parent / "speech.wav"
TICKS: Final = os.sysconf("SC_CLK_TCK")


def main(out: Path) -> int:
    """Print the table and write sizing.json."""
    rows = [dict(row) for size in SIZES for row in measured(size)]
    print("| picture | sessions | CPU at rest, ms a second | speaking | its MB | MB of the rest |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(str(each) for each in row.values()) + " |")
    out.mkdir(parents=True, exist_ok=True)
    (out / "sizing.json").write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def measured(size: str) -> Iterator[dict[str, object]]:
    """A row for each number of sessions at once, with this picture."""
    for sessions in AT_ONCE:
        settings = {"AVATAR_RENDERER": "character", "AVATAR_SIZE": size}
        with (
            TemporaryDirectory(prefix="sizing-") as name,
            house(Path(name), sessions, **settings) as home,
        ):
            yield {"picture": size, "sessions": sessions, **asyncio.run(costs(home, sessions))}
            home.running.stop()


async def costs(home: LocalService, sessions: int) -> dict[str, float]:
    """Of one of `sessions` at once: CPU (ms a second), and memory (MB)."""
    async with AsyncExitStack() as stack:
        agents = [await _session(stack, home, f"room-{number}") for number in range(sessions)]
        workers = [
            home.running.worker(each["session_id"])
            for each in await asyncio.to_thread(home.running.sessions)
        ]
        await asyncio.sleep(SETTLE_S)
        at_rest = await _cpu(workers)
        for agent in agents:
            await agent.say(_speech(SETTLE_S + WINDOW_S + 5))
        await asyncio.sleep(SETTLE_S)
        speaking = await _cpu(workers)
        memory = [process(pid).proportional for pid in workers]
        rest = [process(pid).proportional for pid in _others(home, workers)]
    return {
        "cpu_rest_ms_per_s": round(at_rest, 1),
        "cpu_speaking_ms_per_s": round(speaking, 1),
        "worker_mb": round(statistics.mean(memory), 1),
        "rest_mb": round(sum(rest), 1),
    }


async def _session(stack: AsyncExitStack, home: LocalService, room: str) -> RoomAgent:
    stage = RoomStage(home.room, room)
    await stack.enter_async_context(stage.open())
    return await stack.enter_async_context(caller(stage, home.running))


def _others(home: LocalService, workers: list[int]) -> set[int]:
    """The dispatcher, the zygote and the workers that wait; not the room, which stands in."""
    zygote = home.running.zygote()
    room = home.running.children() - {zygote}
    return ({home.running.process.pid} | home.running.family()) - room - set(workers)


async def _cpu(workers: list[int]) -> float:
    """What each of the workers takes over the window, ms of CPU a second."""
    before = sum(map(_ticks, workers))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(WINDOW_S)
    taken_s = (sum(map(_ticks, workers)) - before) / TICKS
    return 1000 * taken_s / (loop.time() - began) / len(workers)


def _ticks(pid: int) -> int:
    """CPU that the process has taken, by itself and for it in the kernel."""
    fields = shown(pid, "stat").decode().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _speech(seconds: float) -> Pcm:
    with wave.open(str(SPEECH)) as file:
        assert file.getframerate() == SAMPLE_RATE
        once = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.resize(once, round(seconds * SAMPLE_RATE))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
