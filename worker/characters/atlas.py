"""A character at one size, ready to be copied: YUV planes of the whole and of every state."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.characters.folder import Box, Character, Placement, Sheet, even_pixels
from worker.media import Plane

Planes = tuple[Plane, Plane, Plane]
"""Luma and the two chroma planes of half its width and height."""

Words = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]

FILTER: Final = Image.Resampling.LANCZOS
FILTER_REACH: Final = 3
"""Pixels around a place that the filter looks at."""

# Movements, in parts of the frame's height.
BREATH: Final = 3.0 / 1024
SWAY_X: Final = 4.5 / 1024
SWAY_Y: Final = 3.0 / 1024
NOD: Final = 2.4 / 1024
"""How much of the breath lifts the head too."""
BREATH_STEP_PX: Final = 0.125

SUBPIXELS: Final = 16
"""The head stands on a sixteenth of a pixel; finer is not seen."""

# BT.601, limited range; rows are y, u, v, columns are r, g, b of 0..255.
RGB_TO_YUV: Final = (
    np.array(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]],
        np.float32,
    )
    / 255
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the face in all its states: `left`, `top` in luma pixels of the head's canvas."""

    left: int
    top: int
    states: list[tuple[Words, Words, Words]]


@dataclass(frozen=True, slots=True)
class Head:
    """The part of the picture that moves as one, in pixels of the picture.

    `canvas` is the head at rest with `pad` luma pixels more on every side, `mask` how much of
    it is drawn at each place of `box`, 0..256.
    """

    box: tuple[int, int, int, int]
    pad: int
    canvas: tuple[Words, Words, Words]
    mask: tuple[Words, Words, Words]
    still: tuple[Words, Words, Words]
    """256 - mask."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """Everything that is drawn of a character at one size; never written to once built."""

    character: Character
    placement: Placement
    width: int
    height: int
    rest: Planes
    breath_top: int
    breaths: list[Planes]
    """What is below `breath_top`, from breathed out to breathed in."""
    head: Head
    mouth: Part
    eyes: Part
    brows: Part


def build(character: Character, width: int, height: int) -> Atlas:
    """Scale `character` to a picture of width x height. Raises InputError for unusable files."""
    placement = character.place(width, height)
    figure = character.image(character.figure)
    wall = character.image(character.wall).resize((width, height), Image.Resampling.BICUBIC)
    stage = _Stage(figure, wall, placement)
    rest = stage.planes(figure, (0, 0, width, height))
    head = _head(character, placement, rest)

    def part(sheet: Sheet) -> Part:
        left, top, right, bottom = even_pixels(placement.to_picture(sheet.box))
        states = [
            _words(stage.planes(state, (left, top, right, bottom)))
            for state in stage.states(sheet, character.image(sheet.file))
        ]
        return Part(left - head.box[0] + head.pad, top - head.box[1] + head.pad, states)

    breath_top, breaths = _breaths(character, placement, rest)
    return Atlas(
        character=character,
        placement=placement,
        width=width,
        height=height,
        rest=rest,
        breath_top=breath_top,
        breaths=breaths,
        head=head,
        mouth=part(character.mouth),
        eyes=part(character.eyes),
        brows=part(character.brows),
    )


class _Stage:
    """Figures before the wall, seen through the picture's frame."""

    def __init__(self, figure: Image.Image, wall: Image.Image, placement: Placement) -> None:
        self._figure = figure
        self._wall = wall
        self._placement = placement

    def planes(self, figure: Image.Image, box: tuple[int, int, int, int]) -> Planes:
        """What is seen of `figure` within `box` of the picture."""
        source = self._placement.to_figure(Box(*box))
        near = self._near(source)
        offset = Box(
            source.left - near[0],
            source.top - near[1],
            source.right - near[0],
            source.bottom - near[1],
        )
        size = (box[2] - box[0], box[3] - box[1])
        seen = figure.crop(near).resize(
            size, FILTER, box=(offset.left, offset.top, offset.right, offset.bottom)
        )
        picture = self._wall.crop(box)
        picture.alpha_composite(seen)
        return to_planes(picture)

    def states(self, sheet: Sheet, images: Image.Image) -> Iterator[Image.Image]:
        """The figure in each state of a sheet."""
        left, top = round(sheet.box.left), round(sheet.box.top)
        width, height = round(sheet.box.width), round(sheet.box.height)
        figure = self._figure.copy()
        for row in range(sheet.states):
            figure.paste(images.crop((0, row * height, width, (row + 1) * height)), (left, top))
            yield figure

    def _near(self, source: Box) -> tuple[int, int, int, int]:
        reach = source.grown(1 + FILTER_REACH * max(1.0, 1 / self._placement.scale))
        return (
            math.floor(reach.left),
            math.floor(reach.top),
            math.ceil(reach.right),
            math.ceil(reach.bottom),
        )


def to_planes(picture: Image.Image) -> Planes:
    """An RGB picture of even size as YUV 4:2:0, BT.601, limited range."""
    rgb = np.asarray(picture.convert("RGB"), np.float32)
    luma: Floats = np.asarray(rgb @ RGB_TO_YUV[0] + 16, np.float32)
    rows, columns = luma.shape
    quads = rgb.reshape(rows // 2, 2, columns // 2, 2, 3).mean(axis=(1, 3))
    chroma: Floats = np.asarray(quads @ RGB_TO_YUV[1:].T + 128, np.float32)
    return _bytes(luma), _bytes(chroma[..., 0]), _bytes(chroma[..., 1])


def _bytes(values: Floats) -> Plane:
    return np.ascontiguousarray(np.rint(values), np.uint8)


def _words(planes: Planes) -> tuple[Words, Words, Words]:
    y, u, v = (plane.astype(np.uint16) for plane in planes)
    return y, u, v


def _smooth(values: Floats) -> Floats:
    """An eased step: 0 below 0, 1 above 1."""
    share = np.clip(values, 0, 1)
    return share * share * (3 - 2 * share)


def _centres(first: int, last: int, step: int) -> Floats:
    """Middles of the pixels from `first` to `last`, of a plane that is `step` times smaller."""
    return np.arange(first, last, step).astype(np.float32) + np.float32(step / 2)


def _head(character: Character, placement: Placement, rest: Planes) -> Head:
    height, width = rest[0].shape
    whole = placement.to_picture(character.head)
    box = even_pixels(whole.within(Box(0, 0, width, height)))
    left, top, right, bottom = box
    frame = character.frame.height * placement.scale
    pad = 2 * math.ceil(frame * max(SWAY_X, SWAY_Y + NOD) / 2) + 2
    fade = [max(length * placement.scale, 1.0) for length in character.head_fade]

    def mask(step: int) -> Words:
        x, y = _centres(left, right, step), _centres(top, bottom, step)
        across = _smooth((x - whole.left) / fade[0]) * _smooth((whole.right - x) / fade[2])
        down = _smooth((y - whole.top) / fade[1]) * _smooth((whole.bottom - y) / fade[3])
        return np.asarray(np.rint(256 * np.outer(down, across)), np.uint16)

    def canvas(plane: Plane, step: int) -> Words:
        more = pad // step
        wide = np.pad(plane, more, mode="edge").astype(np.uint16)
        return np.ascontiguousarray(
            wide[top // step : bottom // step + 2 * more, left // step : right // step + 2 * more]
        )

    luma, chroma = mask(1), mask(2)
    return Head(
        box=box,
        pad=pad,
        canvas=(canvas(rest[0], 1), canvas(rest[1], 2), canvas(rest[2], 2)),
        mask=(luma, chroma, chroma),
        still=(256 - luma, 256 - chroma, 256 - chroma),
    )


def _breaths(character: Character, placement: Placement, rest: Planes) -> tuple[int, list[Planes]]:
    """The body from breathed out to breathed in: shoulders rise, neck and elbows stay."""
    height = rest[0].shape[0]
    reach = BREATH * character.frame.height * placement.scale
    low, high = ((y - placement.top) * placement.scale for y in character.shoulders)
    top = min(max(0, 2 * math.floor(low / 2)), height)

    def risen(plane: Plane, step: int, rise: float) -> Plane:
        y = _centres(top, height, step)
        lift = _smooth((y - low) / (high - low)) * _smooth((height - y) / max(height - high, 1.0))
        place = np.clip((y + rise * lift) / step - 0.5, 0, len(plane) - 1)
        row = np.floor(place).astype(np.intp)
        share = (place - row).astype(np.float32)[:, None]
        below = np.minimum(row + 1, len(plane) - 1)
        return _bytes(plane[row] * (1 - share) + plane[below] * share)

    count = math.ceil(reach / BREATH_STEP_PX) + 1
    rises = np.linspace(0, reach, count)
    return top, [
        (risen(rest[0], 1, rise), risen(rest[1], 2, rise), risen(rest[2], 2, rise))
        for rise in rises
    ]
