"""Reads a mouth's opening back from the pixels of a finished picture, for measuring."""

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.characters.folder import Character
from worker.characters.parts import Box
from worker.media import Plane

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


@lru_cache(maxsize=8)
def _character(name: str) -> Character:
    return Character.load(name)


def mouth_opening(y_plane: Plane, character: Character | str = "ada") -> float:
    """The share of the mouth's region that is dark inside: 0 when shut, about 0.3 wide open.

    `y_plane` is the luma of a whole picture as the renderer composes it, of any size, also
    after an encoder had it; `character` whose face it is, or the name of one that ships. Teeth
    and tongue are not dark, so it grows with the opening but not in proportion. Raises
    InputError for an unknown character.
    """
    model = _character(character) if isinstance(character, str) else character
    height, width = y_plane.shape
    placement = model.place(width, height)
    placed = placement.to_picture(model.inside_mouth)
    left, top, right, bottom = placed.within(Box(0, 0, width, height)).whole
    region = y_plane[top:bottom, left:right].astype(np.float32)
    return dark_share(region, model.frame.height * placement.scale)


def dark_share(luma: npt.NDArray[np.float32], frame_px: float) -> float:
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
