"""How fast the face answers and falls silent: percentiles in virtual and in real time.

In virtual time the figures are those of the design, the same on every machine; in real time
they are those of the whole process on this machine, event loop, render thread and all.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import measure
import numpy as np
import virtual_time
from stage import SessionFixture, stage, voice

from worker.media import SAMPLE_RATE, TICK_S, Pcm
from worker.process.loading import load_renderer
from worker.settings import Settings

VIRTUAL_TURNS: Final = 400
REAL_TURNS: Final = 40
PIECE_S: Final = 0.02
SPEECH_S: Final = 1.2


@dataclass(frozen=True, slots=True)
class LatencyFigure:
    """One measured latency and what it may be at most (ms, 95th percentile)."""

    name: str
    values_ms: list[float]
    limit_ms: float

    def line(self) -> str:
        p50, p95, p99 = (measure.percentile(self.values_ms, percent) for percent in (50, 95, 99))
        return (
            f"| {self.name} | {len(self.values_ms)} | {p50:.1f} | {p95:.1f} | {p99:.1f} "
            f"| {self.limit_ms:.0f} |"
        )


async def _deliver(scene: SessionFixture, speech: Pcm, speed: float) -> float:
    """Hand speech over in 20 ms pieces, `speed` times as fast as it is heard; returns when the
    first piece went."""
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    data = speech.tobytes()
    size = round(PIECE_S * SAMPLE_RATE) * 2
    for count, at in enumerate(range(0, len(data), size)):
        await asyncio.sleep(max(0.0, begin_s + count * PIECE_S / speed - loop.time()))
        await scene.agent.handle_audio_input(data[at : at + size])
    return begin_s


async def _conversation(turns: int) -> list[LatencyFigure]:
    settings = Settings.from_env(os.environ)
    random = Random(3)
    fast: list[float] = []
    slow: list[float] = []
    silent: list[float] = []
    closed: list[float] = []
    loop = asyncio.get_running_loop()
    speech = spoken()
    async with stage(renderer=load_renderer(settings), settings=settings, raw=False) as scene:
        await scene.agent.wait_until_ready()
        for turn in range(turns):
            await asyncio.sleep(0.2 + random.uniform(0, TICK_S))
            scene.film.pictures.clear()
            real_time = turn % 2
            said_s = await _deliver(scene, speech, 1 if real_time else 17)
            if not real_time:
                await asyncio.sleep(random.uniform(0.3, 0.8))
            (slow if real_time else fast).append(measure.first_frame_ms(scene.film, said_s))
            interrupted_s = loop.time()
            await scene.agent.interrupt()
            await scene.agent.wait_for_playout()
            await asyncio.sleep(0.2)
            silent.append(measure.silence_ms(scene.film, interrupted_s, loop.time()))
            closed.append(measure.closed_ms(scene.film, interrupted_s))
    return [
        LatencyFigure("first PCM in to first talking frame out, agent at 17 x real time", fast, 60),
        LatencyFigure("first PCM in to first talking frame out, agent at real time", slow, 160),
        LatencyFigure("INTERRUPT in to last voiced sample out", silent, 40),
        LatencyFigure("INTERRUPT in to mouth closed", closed, 80),
    ]


def spoken() -> Pcm:
    """A vowel-like sound that keeps the mouth open: a buzz with two formants."""
    seconds = np.arange(round(SPEECH_S * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * 120 * n * seconds) * gain for n, gain in _HARMONICS)
    noise = voice(len(seconds), loudness=300)
    return np.asarray(6000 * buzz / np.abs(buzz).max() + noise, np.int16)


_HARMONICS: Final = [
    (n, np.exp(-(((120 * n - 700) / 250) ** 2)) + 0.6 * np.exp(-(((120 * n - 1200) / 250) ** 2)))
    for n in range(1, 30)
]


def main(out: Path) -> int:
    """Print both tables, write bench.json; returns 1 if a limit is not kept in virtual time."""
    results = {
        "virtual time": virtual_time.run(_conversation(VIRTUAL_TURNS)),
        "real time": asyncio.run(_conversation(REAL_TURNS)),
    }
    for kind, rows in results.items():
        print(f"| {kind}, ms | runs | p50 | p95 | p99 | limit of p95 |")
        print("|---|---|---|---|---|---|")
        print("\n".join(row.line() for row in rows), end="\n\n")
    out.mkdir(parents=True, exist_ok=True)
    figures = {
        kind: {
            row.name: {f"p{p}": measure.percentile(row.values_ms, p) for p in (50, 95, 99)}
            for row in rows
        }
        for kind, rows in results.items()
    }
    (out / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    kept = all(np.percentile(r.values_ms, 95) <= r.limit_ms for r in results["virtual time"])
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
