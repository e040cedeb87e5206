"""Recordings of sessions in virtual time, and what comes of them when they are replayed."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from expressive_renderer import ExpressiveRenderer
from stage import SessionFixture, stage

from worker.media import AvatarFrame, Pcm, Picture
from worker.meeting_support.memory_network import NetworkFaults
from worker.recording.file import RecordingReader
from worker.recording.recorder import recorder
from worker.renderer import Renderer
from worker.settings import Settings
from worker.tools.replay import Replay, Shot

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"

UNBOUNDED = 2**40
"""Virtual time is faster than any disk: all notes may wait."""


class CountingRenderer(ExpressiveRenderer):
    """No two of its pictures are alike, and each depends on all that it was told before."""

    def __init__(self) -> None:
        super().__init__()
        self._state = 1

    def push(self, segment: int, pcm: Pcm) -> None:
        self._stir(segment, int(pcm.astype(int).sum()))
        self._ready.append(AvatarFrame(segment, self._picture(), pcm))

    def finish(self, segment: int) -> None:
        self._stir(segment)
        self._ready.append(AvatarFrame(segment, self._picture(), np.zeros(0, np.int16), last=True))

    def reset(self) -> None:
        super().reset()
        self._stir(7)

    def idle(self) -> Picture:
        self._stir(11)
        return self._picture()

    def _note(self) -> None:
        self._stir(*(ord(letter) for letter in f"{self.made}{self.worn}{self.held}{self.prompts}"))

    def _stir(self, *numbers: int) -> None:
        for number in numbers:
            self._state = (self._state * 6364136223846793005 + number + 1) % 2**64

    def _picture(self) -> Picture:
        self._stir(0)
        luma = np.frombuffer(self._state.to_bytes(8, "little"), np.uint8)
        return Picture(np.resize(luma, (4, 4)), np.zeros((2, 2), np.uint8), luma[:4].reshape(2, 2))


@asynccontextmanager
async def recorded(
    folder: Path,
    renderer: Renderer,
    settings: Settings,
    faults: NetworkFaults | None = None,
    seed: int = 0,
) -> AsyncIterator[SessionFixture]:
    """A stage whose session is recorded in `folder`, with its sound unless `settings` differ."""
    now = asyncio.get_running_loop().time
    with recorder(settings, now, "session-1", UNBOUNDED) as record:
        async with stage(
            faults, seed=seed, renderer=renderer, settings=settings, record=record
        ) as scene:
            yield scene


def recording(folder: Path) -> Path:
    """The only recording in a folder."""
    (path,) = folder.iterdir()
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    """Its lines, read by nothing of ours."""
    return [json.loads(text) for text in gzip.decompress(path.read_bytes()).splitlines()]


def replayed(path: Path, renderer: Renderer) -> list[Shot]:
    """What a new renderer makes of it."""
    return list(Replay(renderer).shots(RecordingReader(path).lines()))


def planes(picture: Picture) -> tuple[bytes, bytes, bytes]:
    return picture.y.tobytes(), picture.u.tobytes(), picture.v.tobytes()


def check(scene: SessionFixture, shots: list[Shot]) -> None:
    """The replay shows and sounds what the room saw and heard, bit for bit."""
    published = [each.frame for each in scene.film.published]
    assert all(shot.as_shown for shot in shots)
    assert [shot.segment for shot in shots] == [frame.segment for frame in published]
    assert [planes(shot.picture) for shot in shots] == [planes(each.picture) for each in published]
    heard = scene.film.heard()
    sound = np.concatenate([shot.pcm for shot in shots])
    assert np.array_equal(sound[: len(heard)], heard)
    assert 0 <= len(sound) - len(heard) <= 960


@contextmanager
def worker(**settings: str) -> Iterator["subprocess.Popen[str]"]:
    """The worker program in a process of its own, with small pictures."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("AVATAR_")}
    environ |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]), "AVATAR_SIZE": "64x64"}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "worker"],
        env=environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
