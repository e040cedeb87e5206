"""Reads a mouth's opening back from the pixels of a finished picture, for measuring."""

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
    placed = model.place(width, height).to_picture(model.inside_mouth)
    left, top, right, bottom = placed.within(Box(0, 0, width, height)).whole
    return dark_share(y_plane[top:bottom, left:right].astype(np.float32))


def dark_share(luma: npt.NDArray[np.float32]) -> float:
    """How much of a region is dark against its skin; `luma` is of the limited range."""
    light = luma - BLACK
    skin = max(float(np.percentile(light, SKIN_PERCENTILE)), 1.0)
    darkness = np.clip((NOT_DARK - light / skin) / (NOT_DARK - DARK), 0, 1)
    rows, columns = luma.shape
    y = (np.arange(rows) + 0.5) / rows * 2 - 1
    x = (np.arange(columns) + 0.5) / columns * 2 - 1
    darkness[np.add.outer(np.square(y), np.square(x)) > ROUND] = 0
    return float(darkness.mean())
