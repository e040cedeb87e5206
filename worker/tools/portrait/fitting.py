"""Landmarks made exact: a net is right to a few pixels, a lid or a lip has to be right to one."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.tools.portrait.landmarks import Iris, Points
from worker.tools.portrait.warp import Floats, Values, curve, sampled

SIDES: Final = np.radians([*range(-40, 41, 5), *range(140, 221, 5)])
"""Where lids leave the iris's rim free: to the left and right of its middle."""
RADII: Final = np.linspace(0.82, 1.32, 26)
SHIFTS: Final = np.linspace(-0.24, 0.24, 13)
CLOSE: Final = 0.16
"""How little a fit has to differ from the net's to be believed as much, in radii."""

LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)

LINE_STEPS: Final = 81
LINE_REACH: Final = 0.075
"""How far from the net's line the lips' own is looked for, in parts of the mouth's width."""
LINE_LEVELS: Final = 41
LID_REACH: Final = 0.075
"""How far below the net's line a lower lid is looked for, in parts of the eye's width."""
BENDS: Final = 0.9
"""What a step up or down costs, in parts of the darkness that is to be gained."""


def between(line: Points, corners: Points) -> Points:
    """A lid's line moved and stretched so that it runs from corner to corner of the eye."""
    share = (line[:, 0] - line[0, 0]) / max(line[-1, 0] - line[0, 0], 1e-6)
    first, last = corners[0] - line[0], corners[1] - line[-1]
    moved = line + first + (last - first) * share[:, None]
    moved[:, 0] = np.maximum.accumulate(moved[:, 0] + np.arange(len(line)) * 1e-3)
    return np.asarray(moved)


def fitted_iris(photo: Image.Image, iris: Iris) -> Iris:
    """The circle near `iris` across which the picture brightens most, left and right."""
    reach = 2.2 * iris.radius
    picture, low = _grey(photo, iris.middle - reach, iris.middle + reach)
    x, y = iris.middle - low
    best, found = -math.inf, iris
    step = max(0.6, 0.09 * iris.radius)
    for radius in RADII * iris.radius:
        for shift_x in SHIFTS * iris.radius:
            for shift_y in (SHIFTS * iris.radius)[3:-3:3]:
                out, within = (
                    sampled(
                        picture,
                        (x + shift_x + np.cos(SIDES) * far).astype(np.float32),
                        (y + shift_y + np.sin(SIDES) * far).astype(np.float32),
                    )
                    for far in (radius + step, radius - step)
                )
                rise = float(np.minimum(out - within, 60).mean())
                far = math.hypot(shift_x, shift_y) / iris.radius + abs(radius / iris.radius - 1)
                score = rise / (1 + (far * CLOSE / 0.16) ** 2)
                if score > best:
                    best = score
                    found = Iris(iris.middle + np.array([shift_x, shift_y]), float(radius))
    return found


def fitted_lid(photo: Image.Image, line: Points) -> Points:
    """The lower lid's line, where the eyeball's colours turn into the skin's."""
    width = float(line[-1, 0] - line[0, 0])
    reach = LID_REACH * width
    picture, low = _colours(photo, line.min(axis=0) - 2 * reach, line.max(axis=0) + 2 * reach)
    xs = np.linspace(line[0, 0], line[-1, 0], LINE_STEPS).astype(np.float32)
    levels = np.linspace(-0.6 * reach, reach, LINE_LEVELS).astype(np.float32)
    room = np.sin(np.linspace(0, math.pi, LINE_STEPS)).astype(np.float32) ** 0.7
    middle = curve(line, xs)
    y = middle[None] + levels[:, None] * room[None]
    x = np.broadcast_to(xs[None], y.shape)
    step = max(1.0, 0.015 * width)
    above, below = (
        sampled(picture, (x - low[0]).astype(np.float32), (y - low[1] + side).astype(np.float32))
        for side in (-step, step)
    )
    change = np.abs(below - above).sum(axis=2)
    far = np.abs(levels[:, None]) / reach * float(np.ptp(change))
    way = _darkest(np.asarray(0.25 * far - change, np.float32))
    fitted = np.stack([xs, middle + levels[way] * room], axis=1).astype(np.float64)
    for _ in range(4):
        fitted[1:-1, 1] = (fitted[:-2, 1] + 2 * fitted[1:-1, 1] + fitted[2:, 1]) / 4
    return _thinned(fitted, 2 * len(line) - 1)


def fitted_lips(photo: Image.Image, top: Points, bottom: Points) -> tuple[Points, Points]:
    """The inner lines of lips, on the dark line where shut lips meet.

    Between the corners the darkest smooth way near the middle of both lines is looked for
    (dynamic programming over columns); lines that are apart, of an open mouth, stay as they are.
    """
    width = float(top[-1, 0] - top[0, 0])
    if width < 8 or float((bottom[:, 1] - top[:, 1]).mean()) > 0.07 * width:
        return top, bottom
    reach = LINE_REACH * width
    every = np.concatenate([top, bottom])
    picture, low = _grey(photo, every.min(axis=0) - 2 * reach, every.max(axis=0) + 2 * reach)
    xs = np.linspace(top[0, 0], top[-1, 0], LINE_STEPS).astype(np.float32)
    middle = (curve(top, xs) + curve(bottom, xs)) / 2
    levels = np.linspace(-reach, reach, LINE_LEVELS).astype(np.float32)
    # Corners are the net's; towards them the way has less and less room.
    room = np.sin(np.linspace(0, math.pi, LINE_STEPS)).astype(np.float32) ** 0.5
    y = middle[None] + levels[:, None] * room[None]
    x = np.broadcast_to(xs[None], y.shape)
    dark = sampled(picture, (x - low[0]).astype(np.float32), (y - low[1]).astype(np.float32))
    way = _darkest(dark[..., 0] + 0.35 * np.abs(levels[:, None]) / reach * float(np.ptp(dark)))
    line = np.stack([xs, middle + levels[way] * room], axis=1).astype(np.float64)
    smooth = line.copy()
    for _ in range(3):
        smooth[1:-1, 1] = (smooth[:-2, 1] + 2 * smooth[1:-1, 1] + smooth[2:, 1]) / 4
    fitted = _thinned(smooth, len(top))
    return fitted, fitted.copy()


def _thinned(line: Points, count: int) -> Points:
    """Every so many-th of its points, the ends among them."""
    return np.asarray(line[np.linspace(0, len(line) - 1, count).round().astype(int)])


def _darkest(cost: Values) -> npt.NDArray[np.intp]:
    """The row in each column of the way through `cost` that is cheapest and does not jump."""
    rows, columns = cost.shape
    bend = BENDS * float(np.ptp(cost)) / rows
    total = cost[:, 0].astype(np.float64)
    came = np.zeros((columns, rows), np.intp)
    steps = np.arange(-2, 3)
    for column in range(1, columns):
        wide = np.pad(total, 2, constant_values=np.inf)
        ways = np.stack([wide[2 + s : 2 + s + rows] + bend * abs(s) for s in steps])
        best = ways.argmin(axis=0)
        came[column] = np.arange(rows) + steps[best]
        total = ways.min(axis=0) + cost[:, column]
    way = np.empty(columns, np.intp)
    way[-1] = total.argmin()
    for column in range(columns - 1, 0, -1):
        way[column - 1] = came[column, way[column]]
    return way


def _grey(photo: Image.Image, low: Points, high: Points) -> tuple[Floats, Points]:
    """The luma of a piece of the photo, shape (h, w, 1), and where its corner is."""
    colours, corner = _colours(photo, low, high)
    return np.asarray(colours @ LUMA, np.float32)[..., None], corner


def _colours(photo: Image.Image, low: Points, high: Points) -> tuple[Floats, Points]:
    """A piece of the photo, shape (h, w, 3), and where its corner is."""
    left, top = (math.floor(value) for value in low)
    right, bottom = (math.ceil(value) for value in high)
    piece = photo.crop((left, top, right, bottom))
    return np.asarray(piece, np.float32), np.array([left, top], np.float64)
