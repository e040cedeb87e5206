"""Leo's eyes, brows and glasses."""

import math
import random
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Brush, Point, curve, dots, glow, mix, oval, shape, slope, taper
from art.leo_look import (
    BRASS,
    BRASS_DARK,
    BRASS_LIGHT,
    EYE,
    HAIR,
    HAIR_LIGHT,
    IRIS,
    LINE,
    SKIN_DEEP,
    SKIN_LIGHT,
    SKIN_MID,
    LeoFace,
    face_points,
)


def draw_eye(brush: Brush, side: int, face: LeoFace) -> None:
    x0, y0 = side * EYE[0], EYE[1]
    lid, squint = face.lid, face.squint

    def at(point: Point) -> Point:
        """x counts from the eye's middle towards the temple."""
        return x0 + side * point[0], y0 + point[1]

    def lidded(opened: float, shut: float) -> float:
        return opened + (shut - opened) * lid

    look = face.gaze[1] * 4.0 * (1 - max(lid, 0))
    low = -7.0 * squint * (1 - max(lid, 0))
    dip = 1.5 * squint * (1 - max(lid, 0))
    inner, outer = (-41.0, 6.0), (42.0, -3.0)
    upper = [
        inner,
        (-33, lidded(-7 + 0.4 * look + dip * 0.5, 9.5)),
        (-16, lidded(-17 + look + dip, 13.5)),
        (5, lidded(-19.8 + look + dip, 14.5)),
        (26, lidded(-14.5 + look + dip, 10)),
        outer,
    ]
    lower = [
        (29, lidded(9.5 + low, 10.5)),
        (8, lidded(16 + low, 16)),
        (-15, lidded(15.5 + low, 15)),
        (-31, lidded(12 + low * 0.6, 11)),
    ]
    opening = shape([at(p) for p in (*upper, *lower)])
    lash_line = [at(p) for p in upper]
    crease = [
        at(p)
        for p in (
            (-40, lidded(-4, 2)),
            (-24, lidded(-23 + 0.5 * look, -12)),
            (4, lidded(-32 + 0.5 * look, -17)),
            (30, lidded(-25 + 0.5 * look, -12)),
            (48, lidded(-8, -5)),
        )
    ]
    upper_lid = shape([*crease, *reversed(lash_line)])
    brush.fill(upper_lid, mix(SKIN_MID, SKIN_DEEP, 0.25), 0.75, 1.8)
    with brush.inside(upper_lid):
        brush.fill(oval(*at((-4 * side, lidded(-25, 0))), 22, 6), SKIN_LIGHT, 0.42, 4.5)
    brush.line(curve(crease), SKIN_DEEP, 3.0, 0.65, 1.2)
    if lid < 1:
        draw_eyeball(brush, opening, side, face, (x0, y0))
        rim = curve([at(p) for p in (outer, *lower, inner)])
        brush.line(rim, "#C98A72", 3.0, 0.50 * min(1.0, 1 - lid), 1.0)
        brush.line(rim, "#3A1A14", 2.0, 0.6, 0.8)
    # The bag under the eye, fuller when the cheek pushes up.
    bag = curve([at((-36, 22 + low)), at((-4, 29 + 0.8 * low)), at((34, 20 + low))])
    brush.line(bag, SKIN_DEEP, 3.6, 0.22 + 0.30 * squint, 2.2)
    if squint:
        puff = curve([at((-28, 19 + low)), at((0, 24 + low)), at((28, 16 + low))])
        brush.line(puff, SKIN_LIGHT, 4, 0.30 * squint, 2.4)
        for rise, length in ((-3, 12), (5, 11)):
            crow = curve([at((50, rise)), at((50 + length, rise + (rise + 1) * 0.7))])
            brush.line(crow, SKIN_DEEP, 2.2, 0.30 * squint, 1.2)
    brush.line(curve(lash_line), LINE, 5, 0.40, 2.4)
    brush.fill(
        taper([*lash_line, at((45, lidded(-4.5, -1)))], [1.2, 2.6, 3.8, 4.4, 4.2, 3.2, 0.5]),
        LINE,
    )


def draw_eyeball(brush: Brush, opening: skia.Path, side: int, face: LeoFace, centre: Point) -> None:
    x0, y0 = centre
    brush.fill(
        opening,
        slope(
            (x0, y0 - 24), (x0, y0 + 18), (0, "#A8988F", 1), (0.5, "#F6EFE6", 1), (1, "#E2D3C6", 1)
        ),
    )
    with brush.inside(opening):
        brush.fill(oval(x0 - side * 40, y0 + 6, 8, 6), "#A65D50", 0.7, 2.5)
        brush.fill(oval(x0 + 40, y0, 14, 24), "#7E6A62", 0.5, 7)
        x, y = x0 - side * 1.5 + face.gaze[0] * 15, y0 - 2.5 + face.gaze[1] * 9
        brush.fill(oval(x, y, 23.5, 23.5), "#1C0D07", 1.0, 1.0)
        brush.fill(
            oval(x, y, 21.5, 21.5),
            glow((x + 4, y + 10), 27, (0, "#C07A3A", 1), (0.45, IRIS, 1), (1, "#27120A", 1)),
        )
        dice = random.Random(7)
        for _ in range(40):
            angle = dice.uniform(0, 2 * math.pi)
            ends = [
                (x + r * math.cos(angle), y + r * math.sin(angle))
                for r in (dice.uniform(10, 13), dice.uniform(15, 20))
            ]
            brush.line(curve(ends), dice.choice(["#D99A58", "#2A1208"]), 1.2, 0.26)
        brush.fill(oval(x, y, 10.0, 10.0), "#0A0504", 1.0, 0.8)
        lid = max(face.lid, 0.0)
        shade = shape(
            [
                (x0 - 60, y0 - 50),
                (x0 + 60, y0 - 50),
                (x0 + 50, y0 - 8 + 24 * lid),
                (x0, y0 - 13 + 29 * lid),
                (x0 - 50, y0 - 4 + 20 * lid),
            ]
        )
        brush.fill(shade, "#120806", 0.45, 4.5)
        brush.fill(oval(x - 7.5, y - 8, 5.4, 6.0), "#FFFFFF", 0.97, 0.7)
        brush.fill(oval(x + 8.5, y + 9, 3.0, 3.0), "#FFE7C8", 0.45, 1.0)


BROW: Final = ((-50, 5), (-30, 0), (2, -5), (32, -4), (57, 8))
"""A brow's middle line, from its inner end to the temple."""


def draw_brow(brush: Brush, side: int, face: LeoFace) -> None:
    up = face.raised + (0.85 * face.skew if side > 0 else -0.25 * face.skew)

    def at(x: float, y: float) -> Point:
        share = (x + 48) / 110
        rise = up * (11 + 9 * math.sin(math.pi * min(1.0, max(0.0, 0.15 + 0.75 * share))))
        rise += face.slant * (9 * (1 - share) - 4 * share)
        pinch = 4.0 * max(-face.slant, 0.0) * (1 - share)
        return side * (EYE[0] + x - pinch), 373 + y - rise

    brow = taper([at(*p) for p in BROW], [6.0, 14.5, 16.0, 12.0, 1.5])
    brush.fill(brow, HAIR, 0.30, 4)
    brush.fill(brow, mix(HAIR, HAIR_LIGHT, 0.12), 0.72, 1.8)
    dice = random.Random(11)
    for index in range(80):
        x = -51 + index * 1.36 + dice.uniform(-1, 1)
        share = (x + 48) / 110
        spine_y = float(np.interp(x, [p[0] for p in BROW], [p[1] for p in BROW]))
        half = 6.6 * math.sin(math.pi * min(1.0, max(0.1, share * 0.85 + 0.2))) ** 0.6
        tilt = 3 + 8 * share
        hair = [
            at(x, spine_y + half),
            at(x + tilt * 0.4, spine_y),
            at(x + tilt, spine_y - half * (0.9 - 0.5 * share)),
        ]
        ink = mix("#0C0706", HAIR_LIGHT, dice.uniform(0, 0.55))
        brush.fill(taper(hair, [0.5, 1.8, 0.3]), ink, 0.6)


# Glasses: thin brass, round; they stand still and lie over every state of eyes and brows.

LENS: Final = 54.0


def lens_path(side: int) -> skia.Path:
    x, y = side * EYE[0], EYE[1] + 3
    points = []
    for step in range(24):
        angle = 2 * math.pi * step / 24
        cos, sin = math.cos(angle), math.sin(angle)
        tall = 0.93 if sin < 0 else 0.97
        points.append(
            (
                x + LENS * math.copysign(abs(cos) ** 0.92, cos),
                y + LENS * tall * math.copysign(abs(sin) ** 0.92, sin),
            )
        )
    return shape(points)


def draw_glasses(brush: Brush) -> None:
    lenses = [lens_path(side) for side in (-1, 1)]
    bridge = curve(dots("-28,434 -14,424 0,421 14,424 28,434"))
    temples = [curve([(side * 133, 436), (side * 150, 431), (side * 170, 434)]) for side in (-1, 1)]
    with brush.inside(shape(face_points(0))):
        brush.canvas.save()
        brush.canvas.translate(4, 9)
        for path in (*lenses, bridge, *temples):
            brush.line(path, SKIN_DEEP, 6, 0.42, 3.5)
        brush.canvas.restore()
    for path in temples:
        brush.line(path, BRASS_DARK, 6.5)
        brush.line(path, BRASS, 3.0, 0.9)
    for lens, side in zip(lenses, (-1, 1), strict=True):
        x = side * EYE[0]
        with brush.inside(lens):
            streak = shape(
                [(x - 52, 460), (x - 10, 390), (x + 8, 390), (x - 40, 478), (x - 54, 484)]
            )
            brush.fill(streak, "#FFF3E0", 0.07, 3)
            brush.line(lens, "#000000", 5, 0.22, 2)
    metal = slope(
        (-130, 392),
        (130, 500),
        (0, BRASS_LIGHT, 1),
        (0.3, BRASS, 1),
        (0.55, BRASS_LIGHT, 1),
        (0.8, BRASS, 1),
        (1, BRASS_DARK, 1),
    )
    for path in (*lenses, bridge):
        brush.line(path, "#3A2210", 6.4, 0.9)
        brush.line(path, metal, 4.4)
