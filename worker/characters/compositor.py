"""Draws one picture after another from an atlas, straight into YUV planes.

A picture is a copy of the figure at rest, the body at this moment's breath, the head, whose
mouth, eyes and brows are copied onto its canvas before the whole is moved by a fraction of a
pixel and faded into its surroundings, and the face, drawn from the same canvas a little further
where the head turns. What is seen is counted in whole steps, a `Stance`; as long as it stays, so
does the picture.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from worker.characters import atlas
from worker.characters.acting import Mood
from worker.characters.atlas import Atlas
from worker.characters.life import Pose
from worker.characters.planes import OverlayFrame, Rect, Region, Words
from worker.lipsync.shape import MouthShape
from worker.media import Picture, Plane

PLACE: Final = 3
"""The first of a stance's numbers that says how all of the picture stands."""
FAINT: Final = 8
"""Steps in which an overlay that is broken off fades."""


class Stance(NamedTuple):
    """All that is seen of a picture, in whole numbers: alike stances are alike pictures.

    `mouth`, `eyes`, `brows` and `breath` count the atlas's states. `right`, `down` are the
    head's place in eighths of a pixel, `face_right`, `face_down` how much further the face is,
    `tilt` is in tenths of a degree. `overlay` counts the films of all overlays, -1 is none;
    `seen` is how much of it, in eighths.
    """

    mouth: int
    eyes: int
    brows: int
    breath: int
    right: int
    down: int
    tilt: int
    face_right: int
    face_down: int
    overlay: int
    seen: int


class Compositor:
    """Draws one picture after another from an atlas; keeps room to work in and its last picture.

    What it hands out is never written to again; numpy sees to that. A picture depends on its
    stance alone: where only mouth, eyes and brows have changed, it is the last picture with
    their surroundings drawn anew, and that is the same as if all of it had been.
    """

    def __init__(self, built: Atlas) -> None:
        self._atlas = built
        self._canvas = [plane.astype(np.uint16) for plane in built.head.canvas]
        self._room = [np.empty(self._canvas[0].size, np.uint16) for _ in range(3)]
        self._films: list[OverlayFrame] = []
        self._first_film: dict[str, int] = {}
        for name, films in built.overlays.items():
            self._first_film[name] = len(self._films)
            self._films += films
        self._parts = (-1, -1, -1)
        self._last: tuple[Stance, list[Plane], Picture] | None = None

    def picture(self, pose: Pose, mouth: MouthShape | None) -> Picture:
        """The face in `pose`; `mouth` is what it says, None where it says nothing.

        The same picture as before, the very same planes, where nothing has changed.
        """
        return self.draw(self.stance(pose, mouth))

    def stance(self, pose: Pose, mouth: MouthShape | None) -> Stance:
        """What is seen of `pose` and `mouth`."""
        built, character = self._atlas, self._atlas.character
        mood, move = pose.mood, pose.move
        opening, width, teeth, tongue = mood.opening, mood.width, 0.0, 0.0
        if mouth is not None:
            opening, width, teeth, tongue = mouth.opening, mouth.width, mouth.teeth, mouth.tongue
        unit = built.frame_px * atlas.STEPS
        breaths = len(built.breaths) - 1
        breath = round(pose.breath * breaths)
        lifted = breath / max(breaths, 1) * atlas.BREATH_HEAD
        overlay, seen = -1, 0
        if pose.overlay is not None:
            name, frame, share = pose.overlay
            overlay, seen = self._first_film[name] + frame, round(share * FAINT)
        return Stance(
            mouth=character.mouth.nearest((opening, width, teeth, tongue, mood.smile)),
            eyes=character.eyes.nearest((mood.lid, mood.gaze_x, mood.gaze_y, mood.squint)),
            brows=character.brows.nearest((mood.raised, mood.slant, mood.skew)),
            breath=breath,
            right=round(_within(move.x, atlas.FARTHEST) * atlas.REACH * unit),
            down=round((_within(move.y, atlas.FARTHEST) * atlas.REACH - lifted) * unit),
            tilt=round(_within(move.tilt, atlas.MOST_TILT) * atlas.TILT_STEPS),
            face_right=round(_within(move.turn, 1.0) * atlas.TURN * unit),
            face_down=round(_within(move.pitch, 1.0) * atlas.TURN * unit),
            overlay=overlay if seen else -1,
            seen=seen,
        )

    def shows(self, expression: str) -> bool:
        """Whether that expression looks different from a face at rest; neutral always does."""
        if expression == "neutral":
            return True
        mood = self._atlas.character.expressions[expression]
        return self.stance(Pose(mood), None) != self.stance(Pose(Mood()), None)

    def draw(self, stance: Stance) -> Picture:
        """The picture of that stance."""
        if self._last is not None and self._last[0] == stance:
            return self._last[2]
        self._put_parts(stance)
        windows = self._changed(stance)
        if self._last is None or windows is None:
            planes = [np.empty_like(plane) for plane in self._atlas.rest]
            windows = [self._atlas.whole]
        else:
            planes = [plane.copy() for plane in self._last[1]]
        for window in windows:
            self._compose(planes, window, stance)
        for plane in planes:
            plane.flags.writeable = False
        picture = Picture(planes[0][0], *planes[1])
        self._last = (stance, planes, picture)
        return picture

    def _changed(self, stance: Stance) -> list[Rect] | None:
        """Where the picture differs from the last one; None for anywhere."""
        if self._last is None:
            return None
        before, built = self._last[0], self._atlas
        same_place = before[PLACE:] == stance[PLACE:]
        if not same_place or stance.overlay >= 0:
            return None
        sprites = (built.mouth, built.eyes, built.brows)
        changed = [
            self._seen_at(each.box, stance)
            for each, a, b in zip(sprites, before[:3], stance[:3], strict=True)
            if a != b
        ]
        if built.badge is not None and any(_shared(w, built.badge.box) for w in changed):
            return None
        return changed

    def _seen_at(self, box: Rect, stance: Stance) -> Rect:
        """Where a rectangle of the head may be seen when the head has moved."""
        head, built = self._atlas.head, self._atlas
        high = max(abs(box[1] - head.pivot_y), abs(box[3] - head.pivot_y))
        right = max(abs(stance.right), abs(stance.right + stance.face_right)) / atlas.STEPS
        down = max(abs(stance.down), abs(stance.down + stance.face_down)) / atlas.STEPS
        x = 2 * math.ceil((right + abs(_lean(stance.tilt)) * (high + 4) + 4) / 2)
        y = 2 * math.ceil((down + 4) / 2)
        left, top, right_edge, bottom = box
        return _within_rect((left - x, top - y, right_edge + x, bottom + y), built.whole)

    def _compose(self, planes: list[Plane], window: Rect, stance: Stance) -> None:
        """Draw all of the picture that is within `window`."""
        built, head = self._atlas, self._atlas.head
        left, _, right, _ = window
        for step, plane, rest, body in zip(
            (1, 2), planes, built.rest, built.breaths[stance.breath], strict=True
        ):
            columns = slice(left // step, right // step)
            first, middle, last = window[1] // step, built.breath_top // step, window[3] // step
            upper = slice(first, min(middle, last))
            plane[:, upper, columns] = rest[:, upper, columns]
            if last > middle:
                begin = max(first, middle)
                plane[:, begin:last, columns] = body[:, begin - middle : last - middle, columns]
        self._put_region(planes, head.region, window, stance.right, stance.down, stance.tilt)
        if head.face is not None and (stance.face_right or stance.face_down):
            x, y = stance.right + stance.face_right, stance.down + stance.face_down
            self._put_region(planes, head.face, window, x, y, stance.tilt)
        if window != built.whole:
            return
        if stance.overlay >= 0:
            _put_film(planes, self._films[stance.overlay], stance.seen)
        if built.badge is not None:
            _put_film(planes, built.badge, FAINT)

    def _put_parts(self, stance: Stance) -> None:
        """Mouth, eyes and brows onto the canvas, all three: rounded to pixels they may touch."""
        parts = (stance.mouth, stance.eyes, stance.brows)
        if parts == self._parts:
            return
        self._parts = parts
        built = self._atlas
        left, top = (edge - built.head.pad for edge in built.head.region.box[:2])
        for sprites, state in zip((built.mouth, built.eyes, built.brows), parts, strict=True):
            for step, canvas, states in zip((1, 2), self._canvas, sprites.states, strict=True):
                rows, columns = _slices(sprites.box, (left, top), step)
                canvas[:, rows, columns] = states[state]

    def _put_region(
        self,
        planes: list[Plane],
        region: Region,
        window: Rect,
        right: int,
        down: int,
        tilt: int,
    ) -> None:
        """Blend what is within `window` of a region into the picture, moved and leaning."""
        rect = _shared(region.box, window)
        if rect is None:
            return
        whole = _shared(region.core, rect) == rect
        for step, plane in zip((1, 2), planes, strict=True):
            moved = self._moved(step, rect, right, down, _lean(tilt))
            rows, columns = _slices(rect, (0, 0), step)
            behind = plane[:, rows, columns]
            if not whole:
                rows, columns = _slices(rect, region.box, step)
                moved *= region.mask[step - 1][rows, columns]
                still = region.still[step - 1][rows, columns]
                moved += np.multiply(behind, still, out=self._space(2, moved.shape))
                moved += np.uint16(128)
                moved >>= np.uint16(8)
            behind[...] = moved

    def _moved(self, step: int, rect: Rect, right: int, down: int, lean: float) -> Words:
        """The canvas within `rect`, first moved along its rows, then along its columns.

        `right`, `down` are in eighths of a luma pixel. All sums stay within 16 bits: two blends
        of sixteenths, so 256ths of 255.
        """
        head, one, canvas = self._atlas.head, atlas.SUBPIXELS, self._canvas[step - 1]
        rows, columns = (rect[3] - rect[1]) // step, (rect[2] - rect[0]) // step
        # Where the rectangle stands in the canvas, in sixteenths of this plane's pixels.
        scale = one // (atlas.STEPS * step)
        x = (rect[0] - head.region.box[0] + head.pad) // step * one - right * scale
        y = (rect[1] - head.region.box[1] + head.pad) // step * one - down * scale
        y, y_share = divmod(y, one)
        sums = self._space(0, (len(canvas), rows + 1, columns))
        far = self._space(2, sums.shape)
        if lean:
            self._lean_rows(step, x, y, lean, sums, far)
        else:
            x, x_share = divmod(x, one)
            source = canvas[:, y : y + rows + 1]
            np.multiply(source[:, :, x : x + columns], np.uint16(one - x_share), out=sums)
            np.multiply(source[:, :, x + 1 : x + columns + 1], np.uint16(x_share), out=far)
        sums += far
        moved = self._space(1, (len(canvas), rows, columns))
        below = self._space(2, moved.shape)
        np.multiply(sums[:, :-1], np.uint16(one - y_share), out=moved)
        moved += np.multiply(sums[:, 1:], np.uint16(y_share), out=below)
        moved += np.uint16(128)
        moved >>= np.uint16(8)
        return moved

    def _lean_rows(self, step: int, x: int, y: int, lean: float, sums: Words, far: Words) -> None:
        """Rows of the canvas from `y` on, each moved by how high it is above the neck.

        A shear; at so few degrees it is seen as a turn. Rows go in bands that are moved by the
        same whole pixel.
        """
        head, one, canvas = self._atlas.head, atlas.SUBPIXELS, self._canvas[step - 1]
        _, rows, columns = sums.shape
        at_rest = y + (head.region.box[1] - head.pad) // step
        above = head.pivot_y / step - (np.arange(at_rest, at_rest + rows) + 0.5)
        places = x - np.rint(above * (lean * one)).astype(np.intp)
        shares = (places % one).astype(np.uint16)[:, None]
        rest = np.uint16(one) - shares
        for begin, end, left in _bands(places // one):
            source, band = canvas[:, y + begin : y + end], slice(begin, end)
            np.multiply(source[:, :, left : left + columns], rest[band], out=sums[:, band])
            right = source[:, :, left + 1 : left + columns + 1]
            np.multiply(right, shares[band], out=far[:, band])

    def _space(self, place: int, shape: tuple[int, ...]) -> Words:
        """Room to work in, of that shape, with whatever was left there."""
        return self._room[place][: math.prod(shape)].reshape(shape)


def _lean(tilt: int) -> float:
    """The slope of that many tenths of a degree."""
    return math.tan(math.radians(tilt / atlas.TILT_STEPS))


def _shared(a: Rect, b: Rect) -> Rect | None:
    """What both have; None for nothing."""
    shared = _within_rect(a, b)
    return shared if shared[0] < shared[2] and shared[1] < shared[3] else None


def _within_rect(a: Rect, b: Rect) -> Rect:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _slices(rect: Rect, origin: tuple[int, ...], step: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle in a plane that begins at `origin`."""
    left, top = origin[:2]
    return (
        slice((rect[1] - top) // step, (rect[3] - top) // step),
        slice((rect[0] - left) // step, (rect[2] - left) // step),
    )


def _bands(steps: npt.NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    """(begin, end, value) of each run of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    for begin, end in itertools.pairwise(edges):
        yield begin, end, int(steps[begin])


def _put_film(planes: list[Plane], film: OverlayFrame, seen: int) -> None:
    """Draw something over the picture, `seen` eighths of it."""
    for step, plane, colour, share in zip((1, 2), planes, film.colour, film.alpha, strict=True):
        rows, columns = _slices(film.box, (0, 0), step)
        behind = plane[:, rows, columns]
        alpha = share.astype(np.uint16)
        alpha += alpha >> np.uint16(7)  # so that 255 is all of 256
        if seen < FAINT:
            alpha *= np.uint16(seen)
            alpha //= np.uint16(FAINT)
        mixed = colour * alpha
        mixed += behind * (np.uint16(256) - alpha)
        mixed += np.uint16(128)
        mixed >>= np.uint16(8)
        behind[...] = mixed


def _within(value: float, most: float) -> float:
    return min(most, max(-most, value))
