"""Finds a face in a photo: MediaPipe's three small nets, run by LiteRT.

Kept apart because nothing else needs LiteRT: whoever tells the landmarks needs no finder. The
nets come from `models.py`; what is around them here is as their graphs have it: how a picture is
cut out and scaled, and what the outputs mean.
"""

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from PIL import Image

from worker.errors import InputError
from worker.tools.portrait.fitting import between, fitted_iris, fitted_lid, fitted_lips
from worker.tools.portrait.landmarks import Eye, Iris, Landmarks, Points
from worker.tools.portrait.warp import Floats, Values


class FaceNet(Protocol):
    """What of LiteRT's interpreter is used here."""

    def allocate_tensors(self) -> None: ...
    def get_input_details(self) -> list[dict[str, int]]: ...
    def get_output_details(self) -> list[dict[str, int]]: ...
    def set_tensor(self, index: int, value: Floats) -> None: ...
    def get_tensor(self, index: int) -> Floats: ...
    def invoke(self) -> None: ...


INSTALL: Final = "pip install 'avatar-face[worker,portrait]'"

# BlazeFace, short range: 128x128 pixels of -1..1, two anchors on each of 16x16 places, six on
# each of 8x8.
DETECTOR_SIZE: Final = 128
ANCHORS: Final = ((16, 2), (8, 6))
SURE: Final = 0.6
SAME_FACE: Final = 0.3
"""Overlap, in parts of what two boxes cover together, from which on they are of one face."""
TILES: Final = (1, 2, 4)
"""The detector sees faces down to a sixth of what it is shown: it is shown the whole photo, and
then, where it finds none, ever smaller parts of it that overlap by half."""

# Face mesh: 192x192 pixels of 0..1, 468 places.
MESH_SIZE: Final = 192
MESH_MARGIN: Final = 1.5
MESH_PASSES: Final = 3
"""Each cuts the face out by the landmarks of the one before; the third changes little."""

# Iris: 64x64 pixels of 0..1 around one eye, 71 places of lids and brow, 5 of the iris.
IRIS_SIZE: Final = 64
IRIS_MARGIN: Final = 2.3

# Places of the mesh, in the order of our landmarks (see `landmarks.py`).
OVAL: Final = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS_OUTER_TOP: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_BOTTOM: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_INNER_TOP: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_BOTTOM: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
EYES: Final = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
"""Left and right in the photo; upper and lower lid, from left to right."""
BROWS: Final = (
    ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
    ((336, 296, 334, 293, 300), (285, 295, 282, 283, 276)),
)
"""Left and right in the photo; upper and lower edge, from left to right."""
NOSE_TIP: Final = 1
NOSE_BASE: Final = 2
EYE_CORNERS: Final = ((33, 133), (362, 263))

# Places of the iris net's lids, of an eye at the left of the photo, from left to right.
IRIS_LOWER: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8)
IRIS_UPPER: Final = (0, 9, 10, 11, 12, 13, 14, 15, 8)

REACH: Final = 0.75
"""From a square's middle, in its sides: a little beyond its corners, however it is turned."""


@dataclass(frozen=True, slots=True)
class _Crop:
    """A square of a photo: its middle, side and how far it is turned (radians, clockwise)."""

    x: float
    y: float
    side: float
    turn: float = 0.0
    mirrored: bool = False

    def cut(self, photo: Image.Image, size: int) -> Floats:
        """Its pixels, shape (size, size, 3), 0..1; black beyond the photo's edges."""
        photo, crop = self._near(photo, size)
        step = crop.side / size
        across = -1 if self.mirrored else 1
        cos, sin = math.cos(crop.turn) * step, math.sin(crop.turn) * step
        middle = size / 2
        matrix = (
            cos * across, -sin, crop.x - (cos * across - sin) * middle,
            sin * across, cos, crop.y - (sin * across + cos) * middle,
        )  # fmt: skip
        cut = photo.transform(
            (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        return np.asarray(np.asarray(cut, np.float32) / 255, np.float32)

    def _near(self, photo: Image.Image, size: int) -> "tuple[Image.Image, _Crop]":
        """The photo scaled down so that a bilinear look at it misses no pixel."""
        factor = math.floor(self.side / size)
        if factor < 2:
            return photo, self
        reach = REACH * self.side
        left, top = max(0, int(self.x - reach)), max(0, int(self.y - reach))
        right = min(photo.width, math.ceil(self.x + reach))
        bottom = min(photo.height, math.ceil(self.y + reach))
        if left >= right or top >= bottom:
            return photo, self
        x, y = (self.x - left) / factor, (self.y - top) / factor
        small = photo.reduce(factor, (left, top, right, bottom))
        return small, _Crop(x, y, self.side / factor, self.turn, self.mirrored)

    def places(self, seen: Values) -> Points:
        """Where places of the cut, 0..1 each, shape (n, 2), are in the photo."""
        across = (seen[:, 0] - 0.5) * (-1 if self.mirrored else 1)
        down = seen[:, 1] - 0.5
        cos, sin = math.cos(self.turn) * self.side, math.sin(self.turn) * self.side
        return np.stack(
            [self.x + across * cos - down * sin, self.y + across * sin + down * cos], axis=1
        ).astype(np.float64)


class Finder:
    """Finds the faces of photos. Raises InputError when LiteRT is not installed.

    `nets` says in which folder the nets are; it is asked only when LiteRT is there.
    """

    def __init__(self, nets: Callable[[], Path]) -> None:
        try:
            interpreter = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise InputError(
                f"Finding a face needs one more package: {INSTALL}; or tell the landmarks "
                "with --landmarks FILE (docs/portrait.md)."
            ) from error

        folder = nets()

        # Without the delegate that greets on stderr; it would be no faster for three runs.
        plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES

        def net(name: str) -> FaceNet:
            # One thread: more add up in another order, and the last digits differ.
            path = str(folder / f"{name}.tflite")
            made: FaceNet = interpreter.Interpreter(
                model_path=path, num_threads=1, experimental_op_resolver_type=plain
            )
            return made

        self._detector = net("face_detection_short_range")
        self._mesh = net("face_landmark")
        self._iris = net("iris_landmark")

    def find(self, photo: Image.Image) -> list[Landmarks]:
        """The landmarks of each face in an RGB photo, from left to right."""
        found = [self._landmarks(photo, crop) for crop in self._faces(photo)]
        return sorted((face for face in found if face is not None), key=lambda face: face.chin[0])

    def _faces(self, photo: Image.Image) -> list[_Crop]:
        for parts in TILES:
            scored = [
                box for tile in _tiles(photo.size, parts) for box in self._detect(photo, tile)
            ]
            if scored:
                return [_mesh_crop(box) for box in _distinct(scored)]
        return []

    def _detect(self, photo: Image.Image, tile: _Crop) -> "Iterator[_Detection]":
        boxes, scores = _run(self._detector, tile.cut(photo, DETECTOR_SIZE) * 2 - 1)
        sure = 1 / (1 + np.exp(-np.clip(scores.reshape(-1), -80, 80)))
        places = boxes.reshape(-1, 8, 2) / DETECTOR_SIZE
        for index in np.flatnonzero(sure >= SURE):
            middle, size, *marks = places[index]
            anchor = _ANCHOR_PLACES[index]
            seen = np.array([middle + anchor, *(mark + anchor for mark in marks)], np.float32)
            x, y = tile.places(seen).T
            yield _Detection(
                float(sure[index]), x[0], y[0], float(size.max()) * tile.side,
                math.atan2(y[2] - y[1], x[2] - x[1]),
            )  # fmt: skip

    def _landmarks(self, photo: Image.Image, crop: _Crop) -> Landmarks | None:
        for _ in range(MESH_PASSES):
            places, score = _run(self._mesh, crop.cut(photo, MESH_SIZE))
            if float(score.reshape(-1)[0]) < 0:
                return None
            mesh = crop.places(places.reshape(-1, 3)[:, :2] / MESH_SIZE)
            crop = _crop_around(mesh, mesh[EYE_CORNERS[0][0]], mesh[EYE_CORNERS[1][1]])
        left, right = (self._eye(photo, mesh, side) for side in (0, 1))
        inner_top, inner_bottom = fitted_lips(
            photo, mesh[list(LIPS_INNER_TOP)], mesh[list(LIPS_INNER_BOTTOM)]
        )
        return Landmarks(
            oval=mesh[list(OVAL)],
            lips_outer_top=mesh[list(LIPS_OUTER_TOP)],
            lips_outer_bottom=mesh[list(LIPS_OUTER_BOTTOM)],
            lips_inner_top=inner_top,
            lips_inner_bottom=inner_bottom,
            left_eye=left,
            right_eye=right,
            nose_tip=mesh[NOSE_TIP],
            nose_base=mesh[NOSE_BASE],
            chin=mesh[OVAL[18]],
        )

    def _eye(self, photo: Image.Image, mesh: Points, side: int) -> Eye:
        corners = mesh[list(EYE_CORNERS[side])]
        turn = math.atan2(*(corners[1] - corners[0])[::-1])
        middle = corners.mean(axis=0)
        width = float(np.abs(corners[1] - corners[0]).max())
        crop = _Crop(middle[0], middle[1], width * IRIS_MARGIN, turn, mirrored=side == 1)
        contour, iris = _run(self._iris, crop.cut(photo, IRIS_SIZE))
        lids = crop.places(contour.reshape(-1, 3)[:, :2] / IRIS_SIZE)
        disc = crop.places(iris.reshape(-1, 3)[:, :2] / IRIS_SIZE)
        order = -1 if side else 1
        upper, lower = (lids[list(line)][::order] for line in (IRIS_UPPER, IRIS_LOWER))
        radius = float(np.linalg.norm(disc[1:] - disc[0], axis=1).mean())
        brow_top, brow_bottom = BROWS[side]
        return Eye(
            upper=between(upper, corners),
            lower=fitted_lid(photo, between(lower, corners)),
            iris=fitted_iris(photo, Iris(disc[0], radius)),
            brow_top=mesh[list(brow_top)],
            brow_bottom=mesh[list(brow_bottom)],
        )


@dataclass(frozen=True, slots=True)
class _Detection:
    score: float
    x: float
    y: float
    side: float
    turn: float

    def overlap(self, other: "_Detection") -> float:
        """What both boxes cover, in parts of what either does."""
        reach = (self.side + other.side) / 2
        across = min(self.side, other.side, reach - abs(self.x - other.x))
        down = min(self.side, other.side, reach - abs(self.y - other.y))
        both = max(across, 0) * max(down, 0)
        return both / (self.side**2 + other.side**2 - both)


def _anchor_places() -> Floats:
    rows = [
        ((x + 0.5) / places, (y + 0.5) / places)
        for places, each in ANCHORS
        for y in range(places)
        for x in range(places)
        for _ in range(each)
    ]
    return np.array(rows, np.float32)


_ANCHOR_PLACES: Final = _anchor_places()


def _run(net: FaceNet, cut: Floats) -> tuple[Floats, Floats]:
    """Both outputs of a net, in its own order."""
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], cut[None].astype(np.float32))
    net.invoke()
    first, second = (net.get_tensor(out["index"]) for out in net.get_output_details())
    return first, second


def _tiles(size: tuple[int, int], parts: int) -> Iterator[_Crop]:
    """Squares that cover a photo, `parts` across its longer side, each half over the next."""
    side = max(size) / parts
    for y in _middles(size[1], side):
        for x in _middles(size[0], side):
            yield _Crop(x, y, side)


def _middles(length: float, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return list(np.linspace(side / 2, length - side / 2, count))


def _distinct(found: list[_Detection]) -> list[_Detection]:
    kept: list[_Detection] = []
    for box in sorted(found, key=lambda box: -box.score):
        if all(box.overlap(other) < SAME_FACE for other in kept):
            kept.append(box)
    return kept


def _mesh_crop(box: _Detection) -> _Crop:
    return _Crop(box.x, box.y, box.side * MESH_MARGIN, box.turn)


def _crop_around(mesh: Points, left: Points, right: Points) -> _Crop:
    """What the mesh is looked for in next: upright by the eyes, half as large again."""
    turn = math.atan2(right[1] - left[1], right[0] - left[0])
    low, high = mesh.min(axis=0), mesh.max(axis=0)
    middle = (low + high) / 2
    return _Crop(middle[0], middle[1], float((high - low).max()) * MESH_MARGIN, turn)
