"""What the flight recorder costs: a speaking session in real time, with it and without.

    PYTHONPATH=tests/support:benchmarks:. .venv/bin/python benchmarks/recording.py

The tick is what the event loop does 25 times a second: a face at 25 fps has 40 ms for it. Written
to a folder in memory where there is one, as only the recorder is to be measured.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final
from unittest.mock import patch

from conversing import play
from script import Action, Interrupts, Pause, Say
from stage import stage

from worker.process.loading import load_renderer
from worker.recording.recorder import recorder
from worker.session import Session
from worker.settings import Settings

SHARED_MEMORY: Final = Path("/dev/shm")
SPEECH_S: Final = 12
SCRIPT: Final[list[Action]] = [
    Say(SPEECH_S * 24_000, 960, 0.02),
    Interrupts(1),
    Pause(0.5),
    Say(SPEECH_S * 24_000, 960, 0.02),
    Pause(1.0),
]


async def session(settings: Settings) -> tuple[list[float], float, float]:
    """Its ticks (ms), the process's CPU time (s) and how long it took (s)."""
    ticks: list[float] = []
    tick = Session._tick

    def timed(self: Session, now: float) -> None:
        began = time.perf_counter()
        tick(self, now)
        ticks.append(1000 * (time.perf_counter() - began))

    renderer = load_renderer(settings)
    began, cpu = time.perf_counter(), time.process_time()
    with (
        patch.object(Session, "_tick", timed),
        recorder(settings, asyncio.get_running_loop().time) as record,
    ):
        async with stage(renderer=renderer, settings=settings, record=record) as scene:
            await play(scene, SCRIPT)
            await scene.agent.wait_for_playout()
    return ticks, time.process_time() - cpu, time.perf_counter() - began


def main() -> int:
    print(f"{'recorder':12} {'tick ms: median':>15} {'p99':>7} {'CPU':>7} {'file kB/s':>10}")
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    for name in ("off", "on", "on, sound") * 2:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            record = replace(
                Settings(), record="" if name == "off" else folder, record_sound="," in name
            )
            ticks, cpu_s, took_s = asyncio.run(session(record))
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
        ticks.sort()
        print(
            f"{name:12} {statistics.median(ticks):15.3f} {ticks[len(ticks) * 99 // 100]:7.3f} "
            f"{cpu_s / took_s:6.1%} {size / took_s / 1000:10.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
