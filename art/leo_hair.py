"""Leo's hair and beard, cut short."""

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Brush, Point, curve, dots, mirrored, mix, oval, shape, slope
from art.leo_look import (
    BEARD,
    HAIR,
    HAIR_CREST,
    HAIR_LIGHT,
    SKIN_DEEP,
    LeoFace,
    face_points,
    jaw_drop,
    sunk,
)
from art.sculpt import Finish, PixelGrid, blurred, lit


def hair_outline() -> skia.Path:
    right = dots(
        "0,108 46,111 90,123 124,148 147,184 160,230 165,278 161,292 152,282 144,268 134,254"
        " 112,240 60,230 0,227"
    )
    return shape(mirrored(right))


SIDES: Final = (
    "100,224 146,224 160,246 166,290 169,344 168,430 160,462 155,458 155,414 152,376 148,342"
    " 143,306 138,272 130,244"
)


def draw_sides(brush: Brush) -> None:
    """The sides, cut short: hair that thins out into the skin before the ears."""
    dice = random.Random(8)
    thinning = slope(
        (0, 236), (0, 452), (0, HAIR, 1), (0.25, HAIR, 0.94), (0.7, HAIR, 0.42), (1, HAIR, 0.0)
    )
    for side in (-1, 1):
        whole = shape([(side * x, y) for x, y in dots(SIDES)])
        with brush.inside(whole):
            brush.fill(whole, slope((0, 230), (0, 450), (0, "#33190F", 1), (1, "#6A3A26", 1)))
        brush.fill(whole, thinning, 1.0, 2.2)
        with brush.inside(shape(face_points(0))):
            brush.fill(whole, thinning, 0.75, 9)
        for _ in range(620):
            x, y = dice.uniform(124, 174), dice.uniform(236, 456)
            if whole.contains(side * x, y) and dice.random() < 1.1 - (y - 236) / 200:
                lit_ = side < 0 and dice.random() < 0.35
                ink = HAIR_LIGHT if lit_ else "#0B0605"
                brush.fill(oval(side * x, y, 1.3, 1.3), ink, 0.5)
        if side > 0:
            rim = curve([(x, y) for x, y in dots("158,240 165,290 168,344 167,410")])
            brush.line(rim, "#FFB784", 3, 0.30, 2)


@lru_cache(maxsize=1)
def hair_picture() -> skia.Picture:
    recorder = skia.PictureRecorder()
    canvas = recorder.beginRecording(skia.Rect.MakeLTRB(-240, 40, 240, 500))
    _paint_hair(Brush(canvas))
    return recorder.finishRecordingAsPicture()


def draw_hair(brush: Brush) -> None:
    brush.canvas.drawPicture(hair_picture())


def ragged(path: skia.Path, dice: random.Random) -> skia.Path:
    """`path` with the small unevenness of curls along it."""
    measure = skia.PathMeasure(path, True)
    count = round(measure.getLength() / 4.5)
    points = []
    for step in range(count):
        place, along = measure.getPosTan(measure.getLength() * step / count)
        out = dice.uniform(-2.0, 2.0)
        points.append((place.x() + along.y() * out, place.y() - along.x() * out))
    return shape(points)


HAIR_FINISH: Final = Finish(
    ramp=((0.0, "#0C0706"), (0.45, HAIR), (0.75, "#33231B"), (1.0, HAIR_LIGHT)),
    rim="#FFB784",
    rim_strength=0.8,
)


def _paint_hair(brush: Brush) -> None:
    """Tight curls on a dome: each a small arc, dark in the depth, lit where the dome is."""
    dice = random.Random(4)
    mass = ragged(hair_outline(), dice)
    whole = skia.Op(hair_outline(), shape(face_points(0)), skia.PathOp.kUnion_PathOp)
    with brush.inside(shape(face_points(0))):
        brush.fill(mass, SKIN_DEEP, 0.55, 8)
    box = (-220.0, 60.0, 220.0, 340.0)
    raster = PixelGrid.over(box)
    dome = blurred(70 * raster.pillow(whole, 24) + 80 * raster.pillow(whole, 50), 4)
    dome = dome + 14 * raster.bump(0, 165, 150, 40)
    slope_y, slope_x = np.gradient(dome)
    facing = (0.50 * slope_x + 0.56 * slope_y + 0.66) / np.sqrt(slope_x**2 + slope_y**2 + 1)
    inside = blurred(raster.mask(mass), 2.5)
    brush.fill(mass, HAIR, 1.0, 1.2)
    with brush.inside(mass):
        brush.relief(lit(raster, dome, HAIR_FINISH), box[0], box[1])
    spots = []
    step = 6.0
    for row in range(46):
        for column in range(72):
            x = -214 + column * step + (step / 2 if row % 2 else 0) + dice.uniform(-2.2, 2.2)
            y = 92 + row * step * 0.9 + dice.uniform(-2.2, 2.2)
            cell = (int(y - 60), int(x + 220))
            if inside[cell] > 0.44:
                spots.append((y, x, float(facing[cell])))
    dice.shuffle(spots)
    for y, x, light in spots:
        radius, start = dice.uniform(2.8, 4.8), dice.uniform(0, 360)
        tone = min(1.0, max(0.0, (light - 0.15) * 1.1 + dice.uniform(-0.28, 0.2)))
        curl = skia.PathBuilder()
        curl.addArc(skia.Rect.MakeLTRB(x - radius, y - radius, x + radius, y + radius), start, 215)
        path = curl.detach()
        if dice.random() < 0.5:
            brush.line(path, "#0B0605", 2.6, 0.55, 0.4)
        else:
            ink = mix(HAIR, HAIR_LIGHT, tone) if tone < 0.8 else mix(HAIR_LIGHT, HAIR_CREST, 0.5)
            brush.line(path, ink, 2.0, 0.35 + 0.5 * tone, 0.3)
    rim = curve(dots("60,114 94,126 126,150 149,187 161,232"))
    brush.line(rim, "#FFB784", 4, 0.32, 3)


BEARD_RIGHT: Final = (
    "170,424 158,470 150,510 138,546 120,574 100,590 84,598 72,590 62,580 40,572 16,570 0,573"
)
BEARD_UNDER: Final = "170,424 178,520 172,600 150,660 110,708 60,734 0,742"


def beard_outline(face: LeoFace) -> skia.Path:
    """Sideburn, jaw and moustache, without the lips and the bare skin around them."""
    drop = jaw_drop(face)
    edge = [(x, y) for x, y in dots(BEARD_RIGHT)]
    under = [(x, y) for x, y in dots(BEARD_UNDER)]

    def moved(points: Sequence[Point]) -> list[Point]:
        return [_beard_place(x, y, face, drop) for x, y in points]

    top, low = moved(edge), moved(under)
    whole = [*top, *((-x, y) for x, y in reversed(top[:-1]))]
    below = [*((-x, y) for x, y in low[1:]), *(p for p in reversed(low[1:-1]))]
    return shape([*whole, *below])


def _beard_place(x: float, y: float, face: LeoFace, drop: float) -> Point:
    """Where the root of a beard's hair goes with the jaw and the corners of the mouth."""
    near = math.exp(-(((abs(x) - 76) / 34) ** 2) - ((y - 598) / 30) ** 2)
    pull = (9 * face.spread - 16 * face.rounded + 9 * face.smile) * near
    lip = 5 * face.smile if face.smile > 0 else 4 * face.smile
    side = math.copysign(1, x) if x else 0.0
    return x + side * pull, y + sunk(y, drop) - lip * near


@lru_cache(maxsize=1)
def beard_roots() -> tuple[tuple[float, float, float, float], ...]:
    """Place, length and darkness of every hair, right half and left half alike."""
    dice = random.Random(21)
    outline = beard_outline(LeoFace())
    roots: list[tuple[float, float, float, float]] = []
    while len(roots) < 2100:
        x, y = dice.uniform(-176, 176), dice.uniform(420, 742)
        if outline.contains(x, y):
            roots.append((x, y, dice.uniform(5, 10), dice.random()))
    return tuple(roots)


def draw_beard(brush: Brush, face: LeoFace) -> None:
    drop = jaw_drop(face)
    outline = beard_outline(face)
    with brush.inside(shape(face_points(drop))):
        brush.fill(outline, BEARD, 0.32, 9)
        brush.fill(outline, BEARD, 0.34, 4)
        for x, y, length, tone in beard_roots():
            px, py = _beard_place(x, y, face, drop)
            # Hair grows down, outward on the cheeks and inward below the chin.
            lean = math.copysign(0.35, x) if y < 660 else -x / 260
            light = 0.5 - px / 400 - (py - 600) / 600
            ink = mix("#1E110C", "#6B4634", max(0.0, tone * 1.4 - 0.6) * light * 2)
            brush.line(curve([(px, py), (px + lean * length, py + length)]), ink, 1.15, 0.40)
