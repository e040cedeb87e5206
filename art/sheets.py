"""Cuts a painted figure into a character's folder: sheets of states, and the manifest."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from art.brush import Brush, Point, render

Box = tuple[int, int, int, int]
Draw = Callable[[Brush], None]

# The figure's canvas: wider and taller than the frame, so that no shape of picture cuts it.
WIDTH: Final = 1600
HEIGHT: Final = 1500
FRAME: Final = 1024
LEFT: Final = WIDTH // 2

SPARE: Final = 64
"""Drawn around a part and cut off, so that blurs and filters see what they see in the whole."""
SAME: Final = 2
"""Levels by which dithering alone lets two renderings of the same thing differ."""
EDGE: Final = 5
"""Pixels over which a state comes out of the figure at its box's edge, so that no seam shows."""
QUALITY: Final = 96
"""Of nearly lossless pictures, of 100."""
TALLEST: Final = 16383
"""WebP's limit for a sheet's height."""


@dataclass(frozen=True, slots=True)
class DrawnState:
    """What a face does; docs/characters.md explains each number."""

    opening: float = 0.0
    width: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    smile: float = 0.0
    lid: float = 0.0
    gaze: Point = (0.0, 0.0)
    squint: float = 0.0
    raised: float = 0.0
    slant: float = 0.0
    skew: float = 0.0


def on_figure(box: Box) -> list[int]:
    """`box` in the figure's pixels, which are counted from its left edge."""
    left, top, right, bottom = box
    return [left + LEFT, top, right + LEFT, bottom]


def part(draw: Draw, box: Box) -> Image.Image:
    """What `draw` draws within `box`."""
    left, top, right, bottom = box
    image = render(draw, (left - SPARE, top - SPARE, right + SPARE, bottom + SPARE))
    return image.crop((SPARE, SPARE, image.width - SPARE, image.height - SPARE))


def changes(state: Image.Image, rest: Image.Image) -> Image.Image:
    """`state` where it differs from `rest`, transparent elsewhere and at the very edge."""
    new, old = (np.asarray(image, np.int16) for image in (state, rest))
    differs = Image.fromarray(
        np.uint8(255) * (np.abs(new - old).max(axis=2) > SAME).astype(np.uint8)
    )
    mask = np.asarray(differs.filter(ImageFilter.MaxFilter(5)), np.float32) / 255
    height, width = mask.shape
    mask *= np.outer(_ramp(height), _ramp(width))
    pixels = np.array(state)
    pixels[..., 3] = np.rint(pixels[..., 3] * mask)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels, "RGBA")


def _ramp(length: int) -> npt.NDArray[np.float32]:
    place = np.arange(length, dtype=np.float32) + np.float32(0.5)
    return np.asarray(np.minimum(1, np.minimum(place, length - place) / EDGE))


def sheet(states: Sequence[Draw], box: Box, rest: Draw | None = None) -> Image.Image:
    """The `box` of every state, one below the other; only what differs from `rest` if given."""
    still = part(rest, box) if rest else None
    images = [part(draw, box) for draw in states]
    if still:
        images = [changes(image, still) for image in images]
    width, height = images[0].size
    if height * len(images) > TALLEST:
        raise ValueError(f"{len(images)} states of {height} px do not fit a sheet; split them.")
    column = Image.new("RGBA", (width, height * len(images)))
    for row, image in enumerate(images):
        column.paste(image, (0, row * height))
    return column


def save(
    folder: Path,
    images: Mapping[str, Image.Image],
    manifest: Mapping[str, object],
    *,
    nearly: Collection[str] = (),
) -> None:
    """Write the pictures and the manifest.

    Pictures are written without loss, but those named in `nearly` lose a trifle that nobody
    sees (a level or two) and a good half of their size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        if name in nearly:
            image.save(folder / name, quality=QUALITY, method=6, use_sharp_yuv=True)
        else:
            image.save(folder / name, lossless=True, quality=100, method=6)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
