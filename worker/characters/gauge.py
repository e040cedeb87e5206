"""Reads a mouth's opening back from the pixels of a finished picture, for measuring."""

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.characters import atlas
from worker.characters.folder import Character
from worker.characters.parts import Box
from worker.media import Plane

Floats = npt.NDArray[np.float32]

LOOK: Final = (24, 16)
"""A mouth is looked at in so many columns and rows: coarse enough for a codec not to matter."""
AROUND: Final = 0.2
"""How much of its surroundings is looked at, in parts of the region's size on each side."""
REACH: Final = 1 / 40
"""How far from its place the mouth is looked for, in parts of the frame: heads move."""
PLACES: Final = 6
"""In so many steps to each side."""

BLACK: Final = 16
SKIN_PERCENTILE: Final = 75
DARK: Final = 0.30
"""Luma of the inside of a mouth, relative to the skin around it; lips are above 0.4."""
NOT_DARK: Final = 0.38
LINE_FRAME: Final = 512
"""For each so many pixels of the frame's height, darkness has to go on for a row more."""
ROUND: Final = 1.15
"""A mouth opens in an ellipse (1 touches the region's sides); hair that a moving head brings
into the region's corners is none of it."""


class Gauge:
    """Reads the mouth of one character in pictures of one size.

    It compares the region of the mouth with all of the character's mouths, at all places to
    which its head may have brought them, and names the opening of the one that is most alike.
    """

    def __init__(self, character: Character, width: int, height: int) -> None:
        built = atlas.build(character, width, height)
        self._region = _grown(built.placement.to_picture(character.inside_mouth), AROUND)
        step = built.frame_px * REACH / PLACES
        places = [step * place for place in range(-PLACES, PLACES + 1)]
        luma = built.rest[0][0].copy()
        left, top, right, bottom = built.mouth.box
        looks, openings = [], []
        for sprite, state in zip(built.mouth.states[0], character.mouth.states, strict=True):
            luma[top:bottom, left:right] = sprite
            image = Image.fromarray(luma)
            looks += [self._look(image, x, y) for x in places for y in places]
            openings += [state[0]] * len(places) ** 2
        self._looks = np.stack(looks)
        self._sizes = np.square(self._looks).sum(axis=1)
        self._openings = np.array(openings)

    def opening(self, luma: Plane) -> float:
        """0 shut .. 1 wide open, as the character's manifest counts.

        `luma` is of a whole picture as the renderer composes it, also after an encoder had it.
        """
        look = self._look(Image.fromarray(np.ascontiguousarray(luma)), 0.0, 0.0)
        return float(self._openings[int(np.argmin(self._sizes - 2 * (self._looks @ look)))])

    def _look(self, image: Image.Image, x: float, y: float) -> Floats:
        box = self._region
        moved = Box(box.left + x, box.top + y, box.right + x, box.bottom + y)
        seen = moved.within(Box(0, 0, image.width, image.height))
        edges = (seen.left, seen.top, seen.right, seen.bottom)
        small = np.asarray(image.resize(LOOK, Image.Resampling.BOX, edges), np.float32)
        return np.asarray((small - small.mean()).ravel(), np.float32)


@lru_cache(maxsize=8)
def gauge(character: str, width: int, height: int) -> Gauge:
    """The gauge of a character that ships. Raises InputError for an unknown one."""
    return Gauge(Character.load(character), width, height)


def mouth_opening(luma: Plane, character: str = "ada") -> float:
    """How far the mouth of a character that ships is open in a picture; see `Gauge.opening`."""
    height, width = luma.shape
    return gauge(character, width, height).opening(luma)


def _grown(box: Box, share: float) -> Box:
    x, y = share * box.width, share * box.height
    return Box(box.left - x, box.top - y, box.right + x, box.bottom + y)


def dark_share(luma: Floats, frame_px: float) -> float:
    """How much of a region is dark against its skin; `luma` is of the limited range.

    `frame_px` is the height of the frame of which it is a part. The line between two lips,
    which is thinner than a 300th of that, is none of it.
    """
    light = luma - BLACK
    skin = max(float(np.percentile(light, SKIN_PERCENTILE)), 1.0)
    darkness = np.clip((NOT_DARK - light / skin) / (NOT_DARK - DARK), 0, 1)
    rows, columns = luma.shape
    y = (np.arange(rows) + 0.5) / rows * 2 - 1
    x = (np.arange(columns) + 0.5) / columns * 2 - 1
    darkness[np.add.outer(np.square(y), np.square(x)) > ROUND] = 0
    for _ in range(math.ceil(frame_px / LINE_FRAME - 0.25)):
        darkness = np.minimum(darkness[:-1], darkness[1:])
    return float(darkness.sum()) / luma.size
