"""A renderer for measurements: a box that is white in each picture whose 40 ms are loud.

    AVATAR_RENDERER=marker_renderer:create

It looks ahead of nothing and smooths nothing, so what is between sound and picture at a viewer
is all on the way there.
"""

from typing import Final

import numpy as np

from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.renderer import Renderer
from worker.settings import Settings

LOUD: Final = 1000
"""The mean amplitude of a block that is marked."""

WHITE: Final = 235
GREY: Final = 90


class MarkerRenderer(Renderer):
    """Two pictures, one for sound and one for silence."""

    def __init__(self, width: int, height: int) -> None:
        self._off = Picture.blank(width, height, GREY)
        luma = self._off.y.copy()
        luma[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = WHITE
        self._on = Picture(luma, self._off.u, self._off.v)
        self._ready: list[AvatarFrame] = []
        self._ended = False

    def push(self, segment: int, pcm: Pcm) -> None:
        loud = len(pcm) and float(np.abs(pcm.astype(np.int32)).mean()) > LOUD
        last = len(pcm) < FRAME_SAMPLES
        self._ready.append(AvatarFrame(segment, self._on if loud else self._off, pcm, last))
        self._ended = last

    def finish(self, segment: int) -> None:
        if not self._ended:
            self._ready.append(AvatarFrame(segment, self._off, np.zeros(0, np.int16), last=True))

    def drain(self) -> list[AvatarFrame]:
        ready, self._ready = self._ready, []
        return ready

    def reset(self) -> None:
        self._ready.clear()

    def idle(self) -> Picture:
        return self._off

    def close(self) -> None:
        self._ready.clear()


def create(settings: Settings) -> MarkerRenderer:
    return MarkerRenderer(settings.width, settings.height)


def marked(picture: Picture) -> bool:
    """Whether the box is white."""
    height, width = picture.y.shape
    return bool(picture.y[height // 2, width // 2] > (WHITE + GREY) // 2)
