"""A renderer for tests: grey pictures, the brighter the louder the 40 ms that they show.

It looks two blocks ahead, and its last frame is short or empty, as the port allows.
"""

import numpy as np

from worker.errors import InputError
from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.renderer import Renderer
from worker.settings import Settings

LOOK_AHEAD = 2
REST = 40
"""Luma of the face at rest."""


class PlainRenderer(Renderer):
    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._held: list[tuple[int, Pcm]] = []
        self._ready: list[AvatarFrame] = []

    def push(self, segment: int, pcm: Pcm) -> None:
        assert 1 <= len(pcm) <= FRAME_SAMPLES
        self._held.append((segment, pcm))
        if len(self._held) > LOOK_AHEAD:
            self._ready.append(self._frame(*self._held.pop(0), last=False))

    def finish(self, segment: int) -> None:
        whole = not self._held or len(self._held[-1][1]) == FRAME_SAMPLES
        if whole:
            self._held.append((segment, np.zeros(0, np.int16)))
        for place, (number, pcm) in enumerate(self._held, 1):
            self._ready.append(self._frame(number, pcm, last=place == len(self._held)))
        self._held.clear()

    def drain(self) -> list[AvatarFrame]:
        ready, self._ready = self._ready, []
        return ready

    def reset(self) -> None:
        self._held.clear()
        self._ready.clear()

    def idle(self) -> Picture:
        return Picture.blank(*self._size, REST)

    def close(self) -> None:
        self._held.clear()

    def _frame(self, segment: int, pcm: Pcm, *, last: bool) -> AvatarFrame:
        return AvatarFrame(segment, Picture.blank(*self._size, luma(pcm)), pcm, last)


def luma(pcm: Pcm) -> int:
    """The grey of a picture that shows `pcm`."""
    return REST + min(190, int(np.abs(pcm.astype(int)).mean() / 20)) if len(pcm) else REST


def create(settings: Settings) -> PlainRenderer:
    """Knows one character, as a real renderer knows some."""
    if settings.character not in ("ada", "plain"):
        raise InputError(f"There is no character {settings.character!r}; choose plain.")
    return PlainRenderer(settings.width, settings.height)


class BrokenRenderer(PlainRenderer):
    """Is made well and fails when it is used."""

    def drain(self) -> list[AvatarFrame]:
        raise ZeroDivisionError("division by zero")


def broken(settings: Settings) -> BrokenRenderer:
    return BrokenRenderer(settings.width, settings.height)
