"""The photo made ready: upright, scaled, cropped or extended; and where its face is then."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.errors import InputError
from worker.tools.portrait.landmarks import Landmarks, Points
from worker.tools.portrait.warp import Floats, blurred, eased

MIN_FACE: Final = 180
"""Pixels from the chin to the top of the face's oval; below that lips are a smear."""
MAX_ROLL: Final = math.radians(20)
MAX_YAW: Final = 0.30
MAX_GAP: Final = 0.07
"""Lips further apart than that show teeth or a dark gap."""
STRAIGHT: Final = math.radians(1)

FRAME: Final = 1000
"""The most that the square of a square picture is scaled to: 720 are shown, and to spare."""
FRAME_FACES: Final = 2.35
"""The frame's side in heights of the face: head, hair and shoulders."""
TIGHT_FACES: Final = 1.35
HEAD_FACES: Final = 1.45
"""From the chin to the top of the hair."""
CHIN_AT: Final = (0.70, 0.84)
"""Where the chin may be in the frame, from its top: the lower the less room there is."""
WIDE: Final = 16 / 9
ABOVE: Final = 0.28
BELOW: Final = 0.22
"""What is kept of the photo above and below the frame, in sides of the frame."""
EDGE: Final = 0.16
"""How far a photo that is too small is continued beyond its edge, in sides of the frame."""
SMEAR: Final = 0.02
WALL_SIZE: Final = (320, 180)
OTHER: Final = 110
"""Sum of the colours' differences that makes something else of a wall."""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """The photo as the character's figure.

    `pixels` has shape (height, width, 4), 0..255, alpha last. `face` and `frame` (left, top,
    side) are in its pixels.
    """

    pixels: Floats
    face: Landmarks
    frame: tuple[int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]


def check(face: Landmarks, photo: str) -> None:
    """Raises InputError when no character can be made of such a face."""
    if abs(face.roll) > MAX_ROLL:
        raise InputError(
            f"The head in {photo} leans by {abs(math.degrees(face.roll)):.0f} degrees; "
            f"turn the photo upright (up to {math.degrees(MAX_ROLL):.0f} are evened out)."
        )
    if abs(face.yaw) > MAX_YAW:
        raise InputError(
            f"The face in {photo} is turned to the side; use a photo taken from the front."
        )
    if face.height < MIN_FACE:
        raise InputError(
            f"The face in {photo} is only {face.height:.0f} pixels tall; "
            f"it has to be {MIN_FACE} or more from the chin to the forehead."
        )
    if face.gap > MAX_GAP:
        raise InputError(
            f"The mouth in {photo} is open; use a photo with the lips closed, or, if they are, "
            "correct lips_inner_top and lips_inner_bottom and give --landmarks."
        )


def make(photo: Image.Image, face: Landmarks) -> Figure:
    """The figure of an RGB photo with that face in it."""
    turn = face.roll if abs(face.roll) > STRAIGHT else 0.0
    about = face.nose_base
    upright = face.mapped(-turn, about, 1.0, np.zeros(2))
    left, top, side = _frame(upright, photo.size)
    scale = min(1.0, FRAME / side)
    low_x, high_x = _kept(
        left - (WIDE - 1) / 2 * side, left + (WIDE + 1) / 2 * side, side, photo.width
    )
    low_y, high_y = top - ABOVE * side, top + (1 + BELOW) * side
    need = upright.chin[1] + 0.36 * upright.height
    low_y, high_y = _kept(low_y, max(high_y, need), side, photo.height)
    low_y, high_y = min(low_y, top), max(min(high_y, photo.height), need, top + side)
    origin = np.array([math.floor(low_x), math.floor(low_y)], np.float64)
    width, height = (round((high_x - low_x) * scale), round((high_y - low_y) * scale))
    opaque, cover = _cut(photo, turn, about, scale, origin, (width, height))
    pixels = np.concatenate([_continued(opaque, cover, side * scale), cover[..., None]], axis=2)
    pixels[..., 3] = 255 * _faded(cover, side * scale)
    frame = tuple(
        round(v) for v in ((left - origin[0]) * scale, (top - origin[1]) * scale, side * scale)
    )
    made = upright.mapped(0.0, np.zeros(2), scale, origin)
    return Figure(pixels.astype(np.float32), made, (frame[0], frame[1], frame[2]))


def _frame(face: Landmarks, size: tuple[int, int]) -> tuple[float, float, float]:
    """Left, top and side of the square around the head, inside the photo where that goes."""
    middle = float(face.oval[:, 0].min() + face.oval[:, 0].max()) / 2
    side = min(FRAME_FACES * face.height, max(TIGHT_FACES * face.height, float(min(size))))
    chin_at = min(max(HEAD_FACES * face.height / side, CHIN_AT[0]), CHIN_AT[1])
    left, top = middle - side / 2, float(face.chin[1]) - chin_at * side

    def inside(low: float, length: int) -> float:
        return min(max(low, 0.0), length - side) if side <= length else low

    return inside(left, size[0]), inside(top, size[1]), side


def _kept(low: float, high: float, side: float, length: int) -> tuple[float, float]:
    """A stretch of the photo; where it ends before, a soft edge more."""
    return max(low, -EDGE * side), min(high, length + EDGE * side)


def _cut(
    photo: Image.Image,
    turn: float,
    about: Points,
    scale: float,
    origin: Points,
    size: tuple[int, int],
) -> tuple[Floats, Floats]:
    """That piece of the photo, turned and scaled, and where there is any of it (0 or 1)."""
    small = photo
    if scale < 1:
        smaller = (round(photo.width * scale), round(photo.height * scale))
        small = photo.resize(smaller, Image.Resampling.LANCZOS)
    across, down = small.width / photo.width, small.height / photo.height
    cos, sin = math.cos(turn), math.sin(turn)
    # From figure to photo: unscale, then turn back around `about`.
    a, b, d, e = cos / scale, -sin / scale, sin / scale, cos / scale
    start = origin - about
    c = about[0] + start[0] * cos - start[1] * sin
    f = about[1] + start[0] * sin + start[1] * cos
    matrix = (a * across, b * across, c * across, d * down, e * down, f * down)
    seen = small.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    solid = Image.new("L", small.size, 255)
    cover = solid.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
    return np.asarray(seen, np.float32), (np.asarray(cover) > 0).astype(np.float32)


def _continued(picture: Floats, cover: Floats, side: float) -> Floats:
    """The picture with the colours of its edge where there is none of it."""
    if cover.min() > 0:
        return picture
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    # One pixel inwards: the outermost are mixed with nothing.
    y = np.clip(np.arange(picture.shape[0]), top + 1, bottom - 1)
    x = np.clip(np.arange(picture.shape[1]), left + 1, right - 1)
    spread = picture[np.ix_(y, x)]
    holes = cover[np.ix_(y, x)] < 1
    if holes.any():
        # Corners that a turned photo leaves free.
        spread = np.where(holes[..., None], spread[~holes].mean(axis=0), spread)
    soft = blurred(spread, max(1.0, SMEAR * side))
    share = eased(blurred(cover, max(1.0, 0.004 * side)), 0.5, 1.0)
    return np.asarray(soft + (spread - soft) * share[..., None], np.float32)


def _faded(cover: Floats, side: float) -> Floats:
    """1 on the photo, falling to 0 at the sides and the top of what continues it."""
    if cover.min() > 0:
        return np.ones_like(cover)
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    x, y = np.arange(cover.shape[1], dtype=np.float32), np.arange(cover.shape[0], dtype=np.float32)
    edge = np.float32(EDGE * side)
    across = np.maximum(columns[0] - x, x - columns[-1])
    above = rows[0] - y
    fade = 1 - eased(across / edge, 0.05, 0.95)
    return np.asarray(np.outer(1 - eased(above / edge, 0.05, 0.95), fade), np.float32)


def wall(figure: Figure) -> Image.Image:
    """What is behind the photo: a gradient of the colours of its sides."""
    width, _ = figure.size
    opaque = figure.pixels[..., 3] > 250
    columns = np.flatnonzero(opaque.any(axis=0))
    band = max(2, round(0.04 * width))
    # A wide picture shows the frame's height, so that the wall goes on beside the photo.
    top = max(0, figure.frame[1])
    rows = np.s_[top : figure.frame[1] + figure.frame[2]]
    left = _side(figure.pixels[rows, columns[0] : columns[0] + band, :3])
    right = _side(figure.pixels[rows, columns[-1] - band : columns[-1], :3])
    # A wide picture shows the wall beside the photo: there it has the colour of that side.
    share = eased(np.linspace(0, 1, WALL_SIZE[0], dtype=np.float32), 0.2, 0.8)[None, :, None]
    whole = left[:, None] + (right - left)[:, None] * share
    return Image.fromarray(np.rint(np.clip(whole, 0, 255)).astype(np.uint8))


def _side(edge: Floats) -> Floats:
    """The colour of a side at each height of the wall."""
    line = np.median(edge, axis=1)
    usual = np.median(line[: max(2, len(line) // 2)], axis=0)
    # Shoulders are not wall: where a side turns into something else, what was above goes on.
    plain = np.abs(line - usual).sum(axis=1) < OTHER
    last = np.maximum.accumulate(np.where(plain, np.arange(len(line)), 0))
    place = np.linspace(0, len(line) - 1, WALL_SIZE[1]).astype(int)
    soft = blurred(np.asarray(line[last[place]], np.float32)[:, None], WALL_SIZE[1] / 16)
    return np.asarray(soft[:, 0])


def to_picture(pixels: npt.NDArray[np.float32]) -> Image.Image:
    """Values of 0..255 as an RGB or RGBA picture."""
    return Image.fromarray(np.ascontiguousarray(np.rint(np.clip(pixels, 0, 255)), np.uint8))
