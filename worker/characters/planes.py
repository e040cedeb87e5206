"""Planes of pictures, what an atlas keeps in them, and colours to YUV 4:2:0."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.media import Plane

Planes = tuple[Plane, Plane]
"""Luma of shape (1, rows, columns), and both chroma planes of half its size in one array, of
shape (2, rows / 2, columns / 2). One of them is drawn as the other, with a step of 1 or 2."""

Rect = tuple[int, int, int, int]
"""Left, top, right, bottom in even pixels of the picture."""

Words = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]

# BT.601, limited range; rows are y, u, v, columns are r, g, b of 0..255.
RGB_TO_YUV: Final = (
    np.array(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]],
        np.float32,
    )
    / 255
)


@dataclass(frozen=True, slots=True)
class Sprites:
    """A part of the face in all its states, at `box` of the picture when the head is at rest.

    `states` are planes of which there is one more dimension, the first, that counts states.
    """

    box: Rect
    states: Planes


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the picture, `box`, in which a canvas is drawn faded at its edges.

    `mask` is how much of the canvas is drawn at each place, 0..256, for luma and for chroma;
    `still` is 256 - mask. All of it is drawn within `core`, a part of `box`.
    """

    box: Rect
    core: Rect
    mask: tuple[Words, Words]
    still: tuple[Words, Words]


@dataclass(frozen=True, slots=True)
class Head:
    """The part of the picture that moves as one, and the face, which moves a little more.

    `canvas` is the head at rest with `pad` luma pixels more on every side, around
    `region.box`. It leans about the height `pivot_y` of the picture.
    """

    region: Region
    face: Region | None
    pad: int
    canvas: Planes
    pivot_y: float


@dataclass(frozen=True, slots=True)
class OverlayFrame:
    """One picture of an overlay: what is drawn in `box` and how much of it, 0..255."""

    box: Rect
    colour: Planes
    alpha: tuple[Plane, Plane]
    """For luma and for chroma, of two dimensions."""


def to_planes(picture: Image.Image) -> Planes:
    """An RGB picture of even size as YUV 4:2:0, BT.601, limited range."""
    rgb = np.asarray(picture.convert("RGB"), np.float32)
    luma: Floats = np.asarray(rgb @ RGB_TO_YUV[0] + 16, np.float32)
    chroma: Floats = np.asarray(halved(rgb) @ RGB_TO_YUV[1:].T + 128, np.float32)
    return rounded(luma[None]), rounded(np.moveaxis(chroma, -1, 0).astype(np.float32))


def halved(values: Floats) -> Floats:
    """Means of squares of two by two pixels."""
    rows, columns, *rest = values.shape
    quads = values.reshape(rows // 2, 2, columns // 2, 2, *rest)
    return np.asarray(quads.mean(axis=(1, 3)), np.float32)


def rounded(values: Floats) -> Plane:
    return np.ascontiguousarray(np.rint(values), np.uint8)


def smooth(values: Floats) -> Floats:
    """An eased step: 0 below 0, 1 above 1."""
    share = np.clip(values, 0, 1)
    return share * share * (3 - 2 * share)


def centres(first: int, last: int, step: int) -> Floats:
    """Middles of the pixels from `first` to `last`, of a plane that is `step` times smaller."""
    return np.arange(first, last, step).astype(np.float32) + np.float32(step / 2)
