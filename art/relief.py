"""Light on soft round forms: a height over every place of the picture, shaded as skin is.

A face is a dome with hills and hollows, a hand a bundle of rounded limbs; both give a height
towards the viewer in units of the frame. The slope of the height says where the light falls, so
cheek, nose and chin of every state are lit by the same lamp. Brush strokes go on top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Point

Floats = npt.NDArray[np.float64]
Colours = Sequence[tuple[float, str]]
"""Shade 0 (dark) .. 1 (facing the light), and the colour there; rising shades."""

KEY: Final = (-0.50, -0.50, 0.707)
"""Where the warm lamp stands: left, above and before her (x right, y down, z to the viewer)."""
FILL: Final = (0.62, 0.18, 0.76)
"""A weak light from the other side, so that shadows keep their colour."""
RIM: Final = (0.95, -0.18, 0.05)
"""The cool light of the room behind her, on what turns away to the right."""
WRAP: Final = 0.32
"""How far light creeps round a soft form; skin does that."""


@dataclass(frozen=True, slots=True)
class Skin:
    """What light becomes on a skin: colours from shadow to light, its sheen and its rim."""

    ramp: Colours
    sheen: str
    sheen_strength: float
    rim: str
    rim_strength: float


def grid(box: tuple[int, int, int, int], step: float = 1.0) -> tuple[Floats, Floats]:
    """x and y of the middle of every place of `box`."""
    left, top, right, bottom = box
    across = np.arange(left, right, step) + step / 2
    down = np.arange(top, bottom, step) + step / 2
    x, y = np.meshgrid(across, down)
    return x, y


def hill(
    x: Floats, y: Floats, centre: Point, reach: Point, height: float, turn: float = 0.0
) -> Floats:
    """A soft bump (or a hollow): `reach` is how far it goes along its axes, `turn` in degrees."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    dx, dy = x - centre[0], y - centre[1]
    u, v = (c * dx + s * dy) / reach[0], (c * dy - s * dx) / reach[1]
    return np.asarray(height * np.exp(-0.5 * (u * u + v * v)))


def step_between(low: float, high: float, values: Floats) -> Floats:
    """0 at `low`, 1 at `high`, eased between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def lit(
    height: Floats,
    skin: Skin,
    *,
    step: float = 1.0,
    shade: Floats | None = None,
    blush: Sequence[tuple[Floats, str]] = (),
) -> Floats:
    """The colours (0..255) of a lit height. `shade` takes light away (0..1), `blush` tints."""
    down, across = np.gradient(height, step)
    length = np.sqrt(across * across + down * down + 1)
    nx, ny, nz = -across / length, -down / length, 1 / length

    def towards(light: tuple[float, float, float]) -> Floats:
        return np.asarray(nx * light[0] + ny * light[1] + nz * light[2])

    light = np.clip((towards(KEY) + WRAP) / (1 + WRAP), 0, 1)
    light = light + 0.16 * np.clip(towards(FILL), 0, 1) - 0.06
    if shade is not None:
        light = light * (1 - shade)
    colours = ramped(light, skin.ramp)
    for where, colour in blush:
        tint = rgb_of(colour) / 255
        colours = colours * (1 - where[..., None]) + colours * tint * where[..., None]
    half = np.array(KEY) + np.array((0.0, 0.0, 1.0))
    hx, hy, hz = (half / np.linalg.norm(half)).tolist()
    sheen = np.clip(towards((hx, hy, hz)), 0, 1) ** 26 * skin.sheen_strength
    if shade is not None:
        sheen = sheen * (1 - np.clip(1.6 * shade, 0, 1))
    colours = colours + (rgb_of(skin.sheen) - colours) * sheen[..., None]
    rim = np.clip(towards(RIM), 0, 1) ** 3 * np.clip(1 - nz, 0, 1) ** 0.8 * skin.rim_strength
    return np.asarray(colours + (rgb_of(skin.rim) - colours) * np.clip(rim, 0, 1)[..., None])


def picture(colours: Floats, alpha: Floats | None = None) -> skia.Image:
    """Colours 0..255 (and alpha 0..1) as an image for `Brush.relief`."""
    pixels = np.empty((*colours.shape[:2], 4), np.uint8)
    pixels[..., :3] = np.rint(np.clip(colours, 0, 255))
    pixels[..., 3] = 255 if alpha is None else np.rint(255 * np.clip(alpha, 0, 1))
    return skia.Image.fromarray(
        np.ascontiguousarray(pixels),
        colorType=skia.kRGBA_8888_ColorType,
        copy=True,
    )


def rgb_of(text: str) -> Floats:
    """Red, green and blue, 0..255, of ``#RRGGBB``."""
    return np.array(list(bytes.fromhex(text[1:])), np.float64)


def ramped(light: Floats, ramp: Colours) -> Floats:
    """The ramp's colour for each place's light."""
    places = [place for place, _ in ramp]
    stops = np.array([rgb_of(colour) for _, colour in ramp])
    return np.stack([np.interp(light, places, stops[:, band]) for band in range(3)], axis=-1)


def inflated(path: skia.Path, box: tuple[int, int, int, int], *rounds: Point) -> Floats:
    """A height that rises softly from a path's edge: for each (softness, height) a rounding."""
    left, top, right, bottom = box
    surface = skia.Surface(right - left, bottom - top)
    canvas = surface.getCanvas()
    canvas.clear(0)
    canvas.translate(-left, -top)
    canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=skia.ColorWHITE))
    mask = surface.makeImageSnapshot().toarray()[..., 3].astype(np.float64) / 255
    total = np.zeros_like(mask)
    for softness, tall in rounds:
        total += tall * smoothed(mask, softness)
    return np.asarray(total)


def smoothed(values: Floats, softness: float) -> Floats:
    """Blurred (three box filters, nearly a Gaussian of that standard deviation)."""
    reach = max(1, round(softness))
    for axis in (0, 1):
        for _ in range(3):
            values = _box_filtered(values, reach, axis)
    return values


def _box_filtered(values: Floats, reach: int, axis: int) -> Floats:
    pads = [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)]
    sums = np.cumsum(np.pad(values, pads, mode="edge"), axis=axis)
    wide, count = 2 * reach + 1, values.shape[axis]
    high = np.take(sums, range(wide, wide + count), axis=axis)
    return np.asarray((high - np.take(sums, range(count), axis=axis)) / wide)
