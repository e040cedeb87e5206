"""Soft relief in one light: heights over a rectangle, shaped by a few bumps, lit as one surface.

A surface is modelled as a field of heights (one number per pixel, in units of the drawing). Its
slopes give the direction that each place faces, and that and one light give its shade; a ramp of
colours turns shade into skin, wool or a wall. So every part of a figure is lit alike.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Point
from art.relief import Colours, picture, ramped, rgb_of

Field = npt.NDArray[np.float64]

KEY: Final = (-0.50, -0.56, 0.66)
"""Towards the light: from the upper left, in front. x right, y down, z to the viewer."""
RIM: Final = (0.93, -0.22)
"""Where the light that rims the far side comes from, in the picture's plane."""
WRAP: Final = 0.30
"""How far light reaches around what turns away; soft boxes are large."""


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """The places of a rectangle: `x`, `y` of the middle of every pixel, `scale` pixels a unit."""

    left: float
    top: float
    scale: float
    x: Field
    y: Field

    @classmethod
    def over(cls, box: tuple[float, float, float, float], scale: float = 1.0) -> Self:
        left, top, right, bottom = box
        columns, rows = round((right - left) * scale), round((bottom - top) * scale)
        x = left + (np.arange(columns, dtype=np.float64) + 0.5) / scale
        y = top + (np.arange(rows, dtype=np.float64) + 0.5) / scale
        return cls(
            left,
            top,
            scale,
            np.broadcast_to(x, (rows, columns)),
            np.broadcast_to(y[:, None], (rows, columns)),
        )

    def mask(self, path: skia.Path) -> Field:
        """How much of each pixel lies within `path`, 0..1."""
        rows, columns = self.x.shape
        surface = skia.Surface(columns, rows)
        canvas = surface.getCanvas()
        canvas.clear(0)
        canvas.scale(self.scale, self.scale)
        canvas.translate(-self.left, -self.top)
        canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=skia.ColorWHITE))
        pixels = surface.makeImageSnapshot().toarray(colorType=skia.kRGBA_8888_ColorType)
        return np.asarray(pixels[..., 3], np.float64) / 255

    def pillow(self, path: skia.Path, softness: float) -> Field:
        """`path` as a cushion: 0 at its edge and outside, 1 inside, round over `softness`."""
        soft = blurred(self.mask(path), softness * self.scale)
        return np.sqrt(np.clip(2 * soft - 1, 0, 1))

    def bump(self, x: float, y: float, wide: float, tall: float, turn: float = 0.0) -> Field:
        """A hill of height 1; `turn` in radians, clockwise."""
        dx, dy = self.x - x, self.y - y
        if turn:
            cos, sin = math.cos(turn), math.sin(turn)
            dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
        return np.exp(-((dx / wide) ** 2) - (dy / tall) ** 2)

    def ridge(self, points: Sequence[Point], wide: float) -> Field:
        """A ridge of height 1 along `points`."""
        return np.exp(-((self.distance(points) / wide) ** 2))

    def distance(self, points: Sequence[Point]) -> Field:
        """From every place to the line through `points`."""
        nearest = np.full(self.x.shape, np.inf, np.float64)
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            run = (bx - ax) ** 2 + (by - ay) ** 2 or 1.0
            share = np.clip(((self.x - ax) * (bx - ax) + (self.y - ay) * (by - ay)) / run, 0, 1)
            far = np.hypot(self.x - ax - share * (bx - ax), self.y - ay - share * (by - ay))
            nearest = np.minimum(nearest, far)
        return nearest


def blurred(field: Field, sigma: float) -> Field:
    """`field` under a Gaussian of `sigma` pixels; beyond its edges it goes on as it ends."""
    pad = math.ceil(2.5 * sigma)
    wide = np.pad(field, pad, mode="edge")
    rows, columns = wide.shape
    down = np.exp(-2 * (math.pi * sigma * np.fft.fftfreq(rows)) ** 2)
    across = np.exp(-2 * (math.pi * sigma * np.fft.rfftfreq(columns)) ** 2)
    soft = np.fft.irfft2(np.fft.rfft2(wide) * np.outer(down, across), wide.shape)
    return soft[pad : rows - pad, pad : columns - pad]


def smooth(values: Field) -> Field:
    """An eased step: 0 below 0, 1 above 1."""
    share = np.clip(values, 0, 1)
    return share * share * (3 - 2 * share)


@dataclass(frozen=True, slots=True)
class Finish:
    """What a surface is of: its colours, how it shines, and the colour of the light behind it."""

    ramp: Colours
    gloss: float = 0.0
    hardness: float = 14.0
    sheen: str = "#FFE2C4"
    rim: str = "#FFB27A"
    rim_strength: float = 0.0
    depth: float = 0.012
    """How much darker a hollow is per unit that it lies below what surrounds it."""
    reach: float = 14.0


def lit(
    raster: PixelGrid,
    heights: Field,
    finish: Finish,
    *,
    shade: Field | None = None,
    blush: Sequence[tuple[str, Field]] = (),
) -> skia.Image:
    """The surface in the light. `shade` (0..1) darkens it more; `blush` tints it by share."""
    slope_y, slope_x = np.gradient(heights, 1 / raster.scale)
    size = np.sqrt(slope_x**2 + slope_y**2 + 1)
    nx, ny, nz = -slope_x / size, -slope_y / size, 1 / size
    facing = nx * KEY[0] + ny * KEY[1] + nz * KEY[2]
    value = np.clip((facing + WRAP) / (1 + WRAP), 0, 1)
    value = value + 0.10 * np.clip(0.5 - 0.5 * ny, 0, 1) * (1 - value)
    hollow = blurred(heights, finish.reach * raster.scale) - heights
    value = value - finish.depth * np.clip(hollow, -6, 20)
    if shade is not None:
        value = value * (1 - shade)
    value = np.clip(value, 0, 1)
    rgb = ramped(value, finish.ramp)
    for tint, share in blush:
        rgb = rgb + (rgb_of(tint) * (0.35 + 0.75 * value[..., None]) - rgb) * share[..., None]
    half = np.array(KEY) + np.array((0, 0, 1))
    half = half / math.hypot(*half)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** finish.hardness
    if shade is not None:
        shine = shine * (1 - shade) ** 2
    rgb = rgb + (255 - rgb) * (rgb_of(finish.sheen) / 255) * (finish.gloss * shine)[..., None]
    edge = np.clip(nx * RIM[0] + ny * RIM[1] - 0.42, 0, 1) ** 1.5 * (1 - nz)
    rgb = (
        rgb
        + (255 - rgb)
        * (rgb_of(finish.rim) / 255)
        * (np.clip(finish.rim_strength * edge, 0, 1))[..., None]
    )
    return picture(rgb)
