"""Draws Ada, the character that ships with the worker, and writes her folder.

Everything that is seen of her comes from this file: run it, and the committed pictures come
out again. Needs ``pip install skia-python``; a worker needs only what this writes.

    python -m benchmarks.art.ada worker/characters/ada

Lengths are units of the square frame of 1024 in which she is composed. x is 0 at the middle
of her face and grows to the right of the picture; y is 0 at the top of the frame. The light
comes from the upper left.
"""

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from benchmarks.art.brush import (
    Brush,
    Point,
    curve,
    dots,
    glow,
    mirrored,
    mix,
    oval,
    render,
    shape,
    slope,
    taper,
)
from benchmarks.art.sheets import save, sheet

# The figure's canvas: wider and taller than the frame, so that no shape of picture cuts it.
WIDTH: Final = 1600
HEIGHT: Final = 1500
# Palette: warm skin and hair before a cool, quiet wall.
SKIN_LIGHT: Final = "#FBDCC4"
SKIN: Final = "#F0BE9E"
SKIN_SHADE: Final = "#D58F70"
SKIN_DEEP: Final = "#A85D48"
BLUSH: Final = "#E4776A"
HAIR: Final = "#41262B"
HAIR_DARK: Final = "#24141B"
HAIR_LIGHT: Final = "#A4634A"
LIP: Final = "#CB6C66"
LIP_DARK: Final = "#A04B4C"
LIP_LIGHT: Final = "#EB9C90"
MOUTH: Final = "#3A0D16"
TONGUE: Final = "#C65F66"
TEETH: Final = "#F7EFE6"
IRIS: Final = "#45766A"
LINE: Final = "#3B2026"
KNIT: Final = "#F2E6D8"
BLAZER: Final = "#24545C"

OPENINGS: Final = (0.0, 0.08, 0.18, 0.3, 0.45, 0.62, 0.8, 1.0)
WIDTHS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
LIDS: Final = (0.0, 0.35, 0.7, 1.0)
GAZES: Final = ((0.0, 0.0), (-0.6, 0.05), (0.6, 0.0), (-0.35, -0.4), (0.4, 0.4))
BROWS: Final = (0.0, 0.5, 1.0)

# Where the face changes: left, top, right, bottom. Nothing outside differs between sprites.
MOUTH_BOX: Final = (-140, 548, 140, 724)
EYES_BOX: Final = (-144, 394, 144, 490)
BROWS_BOX: Final = (-148, 330, 148, 394)
LIPS_BOX: Final = (-80, 568, 80, 646)
"""Where the inside of the mouth may show, and nothing else is as dark."""

# The head moves whole within its box; over `fade` (left, top, right, bottom) it comes to rest.
HEAD_BOX: Final = (-312, 60, 312, 756)
HEAD_FADE: Final = (60, 60, 60, 62)
# Breathing lifts what is between these heights little by little, and the shoulders fully.
NECK_Y: Final = 720
SHOULDER_Y: Final = 850


@dataclass(frozen=True, slots=True)
class Face:
    """What a face does: the mouth's opening and width, the lids (1 is shut), gaze and brows."""

    opening: float = 0.0
    width: float = 0.0
    lid: float = 0.0
    gaze: Point = (0.0, 0.0)
    brow: float = 0.0


def strands(
    brush: Brush,
    first: Sequence[Point],
    second: Sequence[Point],
    *,
    count: int,
    seed: int,
    shine: float,
    light: float = 1.0,
    width: float = 3.0,
) -> None:
    """Hair that flows from guide `first` to guide `second`, with a band of light at `shine`."""
    dice = random.Random(seed)
    for index in range(count):
        share = (index + dice.uniform(-0.4, 0.4)) / max(count - 1, 1)
        wander = dice.uniform(-3, 3)
        points = [
            (ax + (bx - ax) * share + wander, ay + (by - ay) * share + wander / 2)
            for (ax, ay), (bx, by) in zip(first, second, strict=True)
        ]
        tone = dice.random()
        band = shine + dice.uniform(-0.06, 0.06)
        if tone < 0.45:
            ink = slope(
                points[0],
                points[-1],
                (0.0, HAIR_DARK, 0.5),
                (max(0.01, band - 0.25), HAIR_DARK, 0.25),
                (min(0.99, band + 0.25), HAIR_DARK, 0.2),
                (1.0, HAIR_DARK, 0.55),
            )
            alpha = 0.55
        else:
            ink = slope(
                points[0],
                points[-1],
                (0.0, HAIR_LIGHT, 0.0),
                (max(0.01, band - 0.22), HAIR_LIGHT, 0.06),
                (band, mix(HAIR_LIGHT, "#F0B48A", 0.45 * tone), 0.55),
                (min(0.99, band + 0.2), HAIR_LIGHT, 0.08),
                (1.0, HAIR_LIGHT, 0.03),
            )
            alpha = 0.75 * light
        brush.line(curve(points), ink, width * dice.uniform(0.5, 1.2), alpha)


def jaw_drop(face: Face) -> float:
    return 25.0 * face.opening * (1.0 - 0.15 * face.width)


def face_points(face: Face) -> list[Point]:
    drop = jaw_drop(face)
    return mirrored(
        [
            (0, 178),
            (100, 196),
            (150, 282),
            (163, 380),
            (164, 452),
            (155, 520),
            (136, 580 + 0.15 * drop),
            (102, 633 + 0.5 * drop),
            (57, 670 + 0.9 * drop),
            (0, 684 + drop),
        ]
    )


def draw_hair_behind(brush: Brush) -> None:
    back = shape(
        dots(
            "20,128 112,150 188,216 226,330 238,460 238,580 214,664 160,696 96,676"
            " 0,640 -104,684 -166,700 -216,668 -238,590 -236,460 -218,330 -176,224"
            " -90,152"
        )
    )
    brush.fill(
        back,
        slope(
            (-230, 150),
            (230, 700),
            (0, mix(HAIR, HAIR_LIGHT, 0.18), 1),
            (0.5, HAIR, 1),
            (1, HAIR_DARK, 1),
        ),
    )
    with brush.inside(back):
        brush.fill(oval(0, 600, 150, 170), HAIR_DARK, 0.9, 40)
        strands(
            brush,
            dots("60,140 170,230 205,400 190,560 140,690"),
            dots("70,135 200,220 240,400 242,590 190,696"),
            count=26,
            seed=5,
            shine=0.36,
            light=0.5,
        )


def draw_neck(brush: Brush) -> None:
    neck = shape(
        dots(
            "-82,560 82,560 79,670 84,726 112,768 200,806 220,900 0,950 -220,900"
            " -200,806 -112,768 -84,726 -79,670"
        )
    )
    brush.fill(
        neck,
        slope(
            (-120, 700),
            (130, 740),
            (0, mix(SKIN, SKIN_LIGHT, 0.3), 1),
            (0.45, mix(SKIN, SKIN_SHADE, 0.25), 1),
            (1, SKIN_SHADE, 1),
        ),
    )
    with brush.inside(neck):
        cast = shape(dots("-110,560 110,560 104,680 70,732 10,752 -40,736 -84,694"))
        brush.fill(cast, SKIN_DEEP, 0.6, 12)
        brush.fill(oval(96, 710, 28, 110), SKIN_DEEP, 0.42, 18)
        brush.line(curve(dots("-68,706 -44,762 -14,804")), SKIN_DEEP, 7, 0.2, 6)
        brush.line(curve(dots("72,714 44,766 16,804")), SKIN_DEEP, 8, 0.28, 6)
        brush.fill(oval(-50, 762, 16, 46), SKIN_LIGHT, 0.35, 14)
        brush.fill(oval(0, 822, 13, 9), SKIN_DEEP, 0.26, 7)
        for side in (-1, 1):
            brush.line(
                curve([(side * 150, 808), (side * 80, 808), (side * 22, 826)]),
                SKIN_DEEP,
                6,
                0.25,
                5,
            )
        brush.line(curve(dots("-150,799 -80,800 -26,816")), SKIN_LIGHT, 7, 0.4, 5)


def draw_clothes(brush: Brush) -> None:
    neckline = dots("-128,800 -104,830 -58,862 0,874 58,862 104,830 128,800")
    knit = shape(
        [*neckline, (190, 900), (230, 1100), (240, 1540), (-240, 1540), (-230, 1100), (-190, 900)]
    )
    brush.fill(
        knit,
        slope(
            (-200, 860),
            (220, 1100),
            (0, mix(KNIT, "#FFFFFF", 0.35), 1),
            (0.5, KNIT, 1),
            (1, "#D2BBA8", 1),
        ),
    )
    with brush.inside(knit):
        for index in range(-30, 31):
            x = index * 10.0
            brush.line(
                curve([(x * 0.75, 870), (x, 1010), (x * 1.06, 1500)]), "#BFA48D", 2.0, 0.2, 0.7
            )
        brush.line(curve(neckline), "#A98C78", 38, 0.30, 4)
        brush.line(curve(neckline), mix(KNIT, "#FFFFFF", 0.3), 29)
        for index in range(-24, 25):
            angle = index / 24 * math.pi * 0.42
            x, y = 134 * math.sin(angle) / math.sin(math.pi * 0.42), 874 - 78 * (index / 24) ** 2
            brush.line(curve([(x * 0.97, y - 15), (x * 1.02, y + 15)]), "#C9AF98", 1.6, 0.45, 0.4)
        brush.fill(oval(130, 1010, 50, 240), "#A88C78", 0.4, 34)
        brush.fill(oval(-150, 1000, 34, 220), "#A88C78", 0.35, 24)
    for side in (-1, 1):
        draw_jacket(brush, side)


def draw_jacket(brush: Brush, side: int) -> None:
    def at(text: str) -> list[Point]:
        return [(side * x, y) for x, y in dots(text)]

    lit = side < 0
    near = mix(BLAZER, "#6FA3A6", 0.40 if lit else 0.10)
    far = mix(BLAZER, "#0D2229", 0.25 if lit else 0.5)
    jacket = shape(
        at(
            "108,752 150,778 230,806 330,846 398,902 436,1000 462,1180 482,1380"
            " 490,1560 10,1560 14,1330 76,1130 116,980 124,860 112,800"
        )
    )
    brush.fill(
        jacket,
        slope((side * 330, 840), (side * 190, 1400), (0, near, 1), (0.35, BLAZER, 1), (1, far, 1)),
    )
    with brush.inside(jacket):
        brush.fill(
            shape(at("345,960 352,1100 372,1300 384,1560 356,1560 350,1300 336,1100")),
            "#0A1D22",
            0.55,
            12,
        )
        brush.fill(
            shape(at("410,960 440,1200 460,1500 430,1500 414,1200")),
            "#8FBDBC",
            0.22 if lit else 0.08,
            16,
        )
        brush.line(curve(at("330,840 322,900 330,980")), "#0A1D22", 4, 0.35, 3)
        brush.line(
            curve(at("108,756 230,808 334,850 404,908 440,1010")),
            "#BFDEDA",
            12,
            0.42 if lit else 0.14,
            8,
        )
        brush.fill(
            shape(at("250,960 300,1120 270,1300 200,1400 240,1150")),
            "#0A1D22",
            0.22,
            26,
        )
    lapel = shape(
        at(
            "106,750 128,762 176,812 222,884 236,912 206,926 186,934 234,962"
            " 242,974 204,1090 120,1240 16,1375 10,1345 66,1150 108,980 114,870"
            " 104,790"
        )
    )
    with brush.inside(jacket):
        brush.fill(lapel, "#06141A", 0.5, 9)
    brush.fill(
        lapel,
        slope(
            (side * 230, 860),
            (side * 60, 1250),
            (0, mix(near, "#8FBDBC", 0.16), 1),
            (0.5, mix(BLAZER, near, 0.45), 1),
            (1, mix(BLAZER, "#0D2229", 0.3), 1),
        ),
    )
    with brush.inside(lapel):
        brush.fill(
            shape(at("80,740 130,750 140,860 128,980 80,1160 60,1100")),
            "#06141A",
            0.32,
            14,
        )
    brush.line(
        curve(at("106,752 114,870 108,980 66,1150 12,1350")),
        "#C4E2DD",
        2.0,
        0.45 if lit else 0.22,
        0.5,
    )
    brush.line(
        curve(at("128,762 176,812 222,884 236,912")),
        "#C4E2DD",
        2.0,
        0.35 if lit else 0.15,
        0.6,
    )
    brush.line(curve(at("188,933 150,914 118,900")), "#06141A", 2.6, 0.6, 0.6)


def draw_ear(brush: Brush) -> None:
    """Only the ear on the right is seen; the hair is tucked behind it."""
    ear = shape(dots("150,424 178,412 199,430 201,466 190,502 178,528 160,536 140,500"))
    brush.fill(ear, slope((150, 420), (196, 520), (0, SKIN, 1), (1, SKIN_SHADE, 1)))
    with brush.inside(ear):
        brush.line(
            curve(dots("166,440 186,438 190,462 178,494 172,514")),
            SKIN_DEEP,
            6,
            0.6,
            2.5,
        )
        brush.fill(oval(168, 474, 10, 22), SKIN_DEEP, 0.65, 5)
        brush.fill(shape(dots("140,400 210,400 206,480 190,446 150,430")), SKIN_DEEP, 0.5, 8)
        brush.line(curve(dots("194,436 197,466 187,500 176,524")), SKIN_LIGHT, 3.5, 0.7, 1.6)
    brush.fill(oval(172, 532, 8, 8), "#5B3A1C", 0.4, 4)
    brush.fill(
        oval(170, 529, 7.5, 7.5),
        glow((167.5, 526), 10, (0, "#FFF6D8", 1), (0.4, "#E6BC68", 1), (1, "#8C5A22", 1)),
    )


def draw_skin(brush: Brush, face: Face) -> None:
    head = shape(face_points(face))
    drop = jaw_drop(face)
    brush.fill(
        head,
        slope(
            (-150, 300),
            (165, 600),
            (0, SKIN_LIGHT, 1),
            (0.42, mix(SKIN_LIGHT, SKIN, 0.7), 1),
            (0.75, SKIN, 1),
            (1, mix(SKIN, SKIN_SHADE, 0.6), 1),
        ),
    )
    with brush.inside(head):
        # The side that turns from the light, and the underside of jaw and cheeks.
        brush.fill(
            shape(
                [
                    (190, 300),
                    (150, 380),
                    (146, 480),
                    (124, 580),
                    (60, 662 + drop),
                    (40, 720 + drop),
                    (220, 720),
                    (230, 320),
                ]
            ),
            SKIN_DEEP,
            0.34,
            24,
        )
        brush.fill(
            shape(
                [
                    (-190, 420),
                    (-158, 480),
                    (-142, 560),
                    (-104, 632 + 0.5 * drop),
                    (-60, 680 + drop),
                    (-200, 720),
                ]
            ),
            SKIN_SHADE,
            0.5,
            18,
        )
        brush.fill(oval(0, 700 + drop, 90, 22), SKIN_DEEP, 0.3, 12)
        # Hair's shadow on the forehead.
        brush.fill(
            shape(
                dots(
                    "-190,180 190,180 180,330 150,300 90,250 30,250 -60,300 -130,380"
                    " -150,500 -190,520"
                )
            ),
            SKIN_DEEP,
            0.42,
            16,
        )
        brush.fill(oval(-30, 345, 74, 30), "#FFF1E2", 0.5, 26)
        # Cheeks.
        for side, strength in ((-1, 0.27), (1, 0.30)):
            brush.fill(oval(side * 104, 524, 40, 28), BLUSH, strength, 24)
        brush.fill(oval(-96, 496, 34, 15), "#FFF3E6", 0.55, 13)
        brush.fill(oval(92, 500, 24, 11), "#FFEBDA", 0.3, 11)
        # Eye sockets.
        for side in (-1, 1):
            brush.fill(oval(side * 78, 416, 56, 26), SKIN_DEEP, 0.2, 14)
            brush.fill(oval(side * 34, 424, 13, 28), SKIN_DEEP, 0.26 if side > 0 else 0.14, 10)
            brush.line(
                curve([(side * 44, 474), (side * 76, 484), (side * 110, 472)]),
                SKIN_DEEP,
                5,
                0.16,
                4,
            )
        # Chin and the hollow under the lower lip.
        lower = 624 + 0.85 * drop
        brush.fill(oval(2, lower, 36, 7), SKIN_DEEP, 0.36, 7)
        brush.fill(oval(-8, lower + 28, 26, 13), "#FFF0E2", 0.45, 11)


def draw_nose(brush: Brush) -> None:
    brush.fill(shape(dots("12,420 18,470 34,520 30,546 12,540 6,470")), SKIN_DEEP, 0.32, 8)
    brush.fill(shape(dots("-7,424 -4,424 0,470 0,508 -9,508 -8,470")), "#FFF4E8", 0.65, 5)
    brush.fill(oval(-4, 522, 12, 9), "#FFF8F0", 0.75, 6)
    brush.fill(oval(2, 549, 30, 6), SKIN_DEEP, 0.4, 6)
    for side, strength in ((-1, 0.5), (1, 0.75)):
        wing = curve([(side * 27, 520), (side * 34, 534), (side * 29, 546), (side * 21, 546)])
        brush.line(wing, SKIN_DEEP, 3.6, strength * 0.75, 1.6)
        nostril = shape([(side * 7, 546), (side * 14, 541), (side * 22, 545), (side * 15, 549)])
        brush.fill(nostril, "#6B2F2A", 0.75, 1.4)
    brush.line(curve(dots("-7,549 0,552 7,549")), SKIN_DEEP, 3, 0.5, 1.5)


def lip_line(
    reach: float, ends: float, height: float, ease: float, bow: float = 0.0
) -> list[Point]:
    """An edge of a lip from the left corner to the right one, `height` below the corners.

    `ease` 0 is the slack line of lips at rest, 1 an ellipse; `bow` is the depth of the dip of
    an upper lip's middle.
    """
    points = []
    for step in range(-10, 11):
        share = step / 10
        slack = 0.5 + 0.5 * math.cos(math.pi * abs(share) ** 1.15)
        round_ = math.sqrt(1 - share * share)
        dip = bow * math.exp(-((share / 0.13) ** 2))
        points.append((reach * share, ends + height * (slack + (round_ - slack) * ease) + dip))
    return points


def draw_mouth(brush: Brush, face: Face) -> None:
    opening, width = face.opening, face.width
    spread, round_ = max(width, 0.0), max(-width, 0.0)
    corner = 62 + 9 * spread - 20 * round_ - 7 * opening * (1 - spread)
    gap = 60 * opening * (1 - 0.2 * spread - 0.22 * round_)
    wide_open = min(1.0, gap / 34)
    upper = (16.0 + 2.5 * round_) * (1 - 0.12 * wide_open - 0.12 * spread)
    lower = (20.5 + 3.5 * round_) * (1 - 0.12 * wide_open - 0.12 * spread)
    inner = corner * (0.95 - 0.05 * wide_open - 0.05 * round_)
    smile = 6.5 * (1 - round_) * (1 - 0.6 * wide_open) + 2.5 * spread
    top = 588.0 - 0.14 * gap
    bottom = top + gap
    ends = 588.0 - smile + 0.36 * gap
    ease = min(1.0, 0.25 * round_ + 0.75 * wide_open)

    above = lip_line(inner, ends, top - ends, ease, 1.6 * (1 - wide_open))
    below = lip_line(inner, ends, bottom - ends, ease, 1.6 * (1 - wide_open))
    outer_top = lip_line(
        corner, ends, top - upper - ends, 0.12 + 0.6 * ease, 0.34 * upper * (1 - 0.4 * round_)
    )
    outer_bottom = lip_line(corner, ends, bottom + lower - ends, 0.62 + 0.3 * ease)
    hole = shape([*above, *reversed(below[1:-1])])
    upper_lip = shape([*outer_top, *reversed(above)])
    lower_lip = shape([*outer_bottom, *reversed(below)])

    # The lips' soft shadow on the skin.
    brush.fill(oval(2, bottom + lower + 4, corner * 0.62, 6), SKIN_DEEP, 0.36, 6)
    for side in (-1, 1):
        brush.line(curve([(side * 8, 562), (side * 9, top - upper - 2)]), SKIN_DEEP, 3, 0.15, 3)
        brush.fill(oval(side * (corner + 5), ends + 1, 9, 8), SKIN_DEEP, 0.26, 6)

    brush.line(curve(outer_top), mix(LIP, SKIN, 0.4), 3, 0.5, 1.6)
    brush.fill(
        upper_lip,
        slope(
            (-20, top - upper),
            (6, top + 4),
            (0, mix(LIP, LIP_LIGHT, 0.15), 1),
            (1, mix(LIP, LIP_DARK, 0.8), 1),
        ),
    )
    brush.fill(
        lower_lip,
        slope(
            (-10, bottom - 2),
            (8, bottom + lower),
            (0, mix(LIP, LIP_DARK, 0.35), 1),
            (0.45, mix(LIP, LIP_LIGHT, 0.4), 1),
            (1, mix(LIP, LIP_DARK, 0.22), 1),
        ),
    )
    with brush.inside(lower_lip):
        brush.fill(oval(-8, bottom + lower * 0.44, corner * 0.38, lower * 0.22), "#FFD9CE", 0.55, 4)
        brush.fill(
            oval(-12, bottom + lower * 0.38, corner * 0.14, lower * 0.08), "#FFFFFF", 0.5, 1.8
        )
        brush.fill(oval(corner * 0.75, bottom + lower * 0.5, 18, 16), LIP_DARK, 0.3, 8)
    with brush.inside(upper_lip):
        brush.line(curve(outer_top[3:10]), "#FFD3C6", 2.6, 0.5, 1.6)
    if opening:
        with brush.inside(hole):
            draw_inner_mouth(brush, hole, face, inner, top, bottom, gap, above)
        brush.line(curve(below), "#6E2A30", 1.6, 0.55, 0.8)
    else:
        brush.line(curve(above), "#8A3B40", 2.6, 0.95, 0.6)
    for side in (-1, 1):
        brush.fill(oval(side * (corner - 1.5), ends, 3.4, 2.0), "#7A3838", 0.55, 1.6)


def draw_inner_mouth(
    brush: Brush,
    hole: skia.Path,
    face: Face,
    inner: float,
    top: float,
    bottom: float,
    gap: float,
    above: Sequence[Point],
) -> None:
    spread, round_ = max(face.width, 0.0), max(-face.width, 0.0)
    brush.fill(
        hole, slope((0, top), (0, bottom), (0, "#26070E", 1), (0.6, MOUTH, 1), (1, "#4A151D", 1))
    )
    if gap > 12:
        height = min(gap * 0.38, 20)
        tongue = shape(
            [
                (-inner * 0.72, bottom + 10),
                (-inner * 0.5, bottom - height * 0.66),
                (-inner * 0.2, bottom - height),
                (0, bottom - height * 0.9),
                (inner * 0.2, bottom - height),
                (inner * 0.5, bottom - height * 0.66),
                (inner * 0.72, bottom + 10),
            ]
        )
        brush.fill(
            tongue,
            slope(
                (0, bottom - height),
                (0, bottom + 4),
                (0, mix(TONGUE, MOUTH, 0.12), 1),
                (1, mix(TONGUE, MOUTH, 0.5), 1),
            ),
        )
        with brush.inside(tongue):
            brush.line(curve([(0, bottom - height), (0, bottom + 6)]), MOUTH, 3, 0.35, 2)
            brush.fill(
                oval(-inner * 0.2, bottom - height * 0.7, inner * 0.16, 2.2), "#F3A9A6", 0.5, 2
            )
    # Upper teeth: a gentle arch behind the lip, less of it when the lips are rounded.
    length = min(14.0, gap * (0.36 + 0.22 * spread)) * (1 - 0.7 * round_)
    if length > 3.5:
        reach = inner * (0.84 - 0.1 * round_)
        arch = [(x * reach / inner, y) for x, y in above[1:-1]]
        edge = [(x, top + length + 1.0 + 0.35 * (y - top)) for x, y in arch]
        teeth = shape([*((x, y - 8) for x, y in arch), *reversed(edge)])
        draw_teeth(brush, teeth, reach, top - 1, top + length, (0.0, 0.21, 0.40, 0.57, 0.72))
    low = (
        max(0.0, min(7.0, gap * 0.24 - 0.4))
        * (1 - round_)
        * (1.0 if gap < 24 else max(0.35, 1.6 - gap / 40))
    )
    if low > 1.2:
        edge_y = bottom - low
        reach = inner * 0.66
        teeth = shape(
            [
                (-reach, edge_y - 0.06 * gap),
                (-reach * 0.6, edge_y),
                (0, edge_y + 0.6),
                (reach * 0.6, edge_y),
                (reach, edge_y - 0.06 * gap),
                (reach * 0.8, bottom + 8),
                (-reach * 0.8, bottom + 8),
            ]
        )
        draw_teeth(brush, teeth, reach, bottom + 6, edge_y, (0.0, 0.18, 0.36, 0.54, 0.72))
    brush.line(curve(above), "#1E040A", 5, 0.85, 1.4)


def draw_teeth(
    brush: Brush, teeth: skia.Path, reach: float, root: float, edge: float, joints: Sequence[float]
) -> None:
    brush.fill(
        teeth,
        slope(
            (-reach, 0),
            (reach, 0),
            (0, "#4A2428", 1),
            (0.1, "#8F6F6A", 1),
            (0.28, TEETH, 1),
            (0.6, TEETH, 1),
            (0.9, "#7A5A58", 1),
            (1, "#40181E", 1),
        ),
    )
    with brush.inside(teeth):
        for joint in joints:
            for side in (-1, 1) if joint else (1,):
                x = side * joint * reach
                brush.line(curve([(x, root), (x * 1.02, edge)]), "#9C7F78", 1.1, 0.5)
        brush.fill(
            skia.Path.Rect(skia.Rect.MakeLTRB(-reach, min(root, edge), reach, max(root, edge))),
            slope(
                (0, root),
                (0, edge),
                (0, "#5A3036", 0.45),
                (0.5, "#5A3036", 0.0),
                (1, "#FFFFFF", 0.12),
            ),
        )


def draw_eye(brush: Brush, side: int, face: Face) -> None:
    x0, y0 = side * 79.0, 441.0

    def at(point: Point) -> Point:
        """x counts from the eye's middle towards the temple."""
        return x0 + side * point[0], y0 + point[1]

    def lidded(opened: float, shut: float) -> float:
        return opened + (shut - opened) * face.lid

    lift = -face.gaze[1] * 2.5
    inner, outer = (-43.0, 7.0), (45.0, -5.0)
    upper = [
        inner,
        (-34, lidded(-7, 10)),
        (-16, lidded(-19.5 - lift, 14)),
        (6, lidded(-23.5 - lift, 15)),
        (28, lidded(-17.5 - lift, 10)),
        outer,
    ]
    lower = [
        (31, lidded(10, 11)),
        (8, lidded(17.5, 16.5)),
        (-16, lidded(17, 15.5)),
        (-33, lidded(12.5, 11.5)),
    ]
    opening = shape([at(p) for p in (*upper, *lower)])
    lash_line = [at(p) for p in upper]

    # The lid above the eye, and its crease.
    crease = [
        at(p)
        for p in (
            (-41, lidded(-3, 2)),
            (-24, lidded(-24, -14)),
            (4, lidded(-35, -19)),
            (32, lidded(-27, -14)),
            (51, lidded(-10, -7)),
        )
    ]
    lid = shape([*crease, *reversed(lash_line)])
    brush.fill(lid, mix(SKIN, SKIN_SHADE, 0.5), 0.8, 1.6)
    with brush.inside(lid):
        brush.fill(oval(*at((2, lidded(-27, 2))), 20, 5), SKIN_LIGHT, 0.55, 4)
    brush.line(curve(crease), SKIN_DEEP, 2.8, 0.6, 1.1)

    if face.lid < 1:
        draw_eyeball(brush, opening, side, face, (x0, y0))
        rim = curve([at(p) for p in (outer, *lower, inner)])
        brush.line(rim, "#F2B9A6", 3.0, 0.6 * (1 - face.lid), 1.0)
        brush.line(rim, "#8C4B42", 1.8, 0.5, 0.8)

    # Lashes: one strong line that thickens towards the temple and leaves the eye in a flick.
    brush.line(curve(lash_line), LINE, 4, 0.35, 2.2)
    flick = [at((52, lidded(-10.5, 0))), at((59, lidded(-17, 3)))]
    brush.fill(taper([*lash_line, *flick], [1.0, 3.4, 5.6, 6.8, 7.0, 5.6, 3.2, 0.4]), LINE)


def draw_eyeball(brush: Brush, opening: skia.Path, side: int, face: Face, centre: Point) -> None:
    x0, y0 = centre
    brush.fill(
        opening,
        slope(
            (x0, y0 - 24), (x0, y0 + 18), (0, "#C9BDBE", 1), (0.5, "#FAF5F0", 1), (1, "#EFE3DD", 1)
        ),
    )
    with brush.inside(opening):
        brush.fill(oval(x0 - side * 42, y0 + 7, 8, 6), "#D98880", 0.7, 2.5)
        brush.fill(oval(x0 + 40, y0, 14, 24), "#A99A9E", 0.45, 7)
        x, y = x0 - side * 1.5 + face.gaze[0] * 15, y0 - 3.5 + face.gaze[1] * 9
        brush.fill(oval(x, y, 24.5, 24.5), "#22332F", 1.0, 1.0)
        brush.fill(
            oval(x, y, 22.5, 22.5),
            glow((x + 3, y + 9), 26, (0, "#A3C7A4", 1), (0.5, IRIS, 1), (1, "#234A48", 1)),
        )
        dice = random.Random(7)
        for _ in range(46):
            angle = dice.uniform(0, 2 * math.pi)
            ends = [
                (x + r * math.cos(angle), y + r * math.sin(angle))
                for r in (dice.uniform(10, 13), dice.uniform(16, 21.5))
            ]
            brush.line(curve(ends), dice.choice(["#C4DDBE", "#1B3D3C"]), 1.2, 0.28)
        brush.fill(oval(x, y, 10.5, 10.5), "#0F1415", 1.0, 0.8)
        shade = shape(
            [
                (x0 - 60, y0 - 50),
                (x0 + 60, y0 - 50),
                (x0 + 50, y0 - 8 + 24 * face.lid),
                (x0, y0 - 14 + 30 * face.lid),
                (x0 - 50, y0 - 4 + 20 * face.lid),
            ]
        )
        brush.fill(shade, "#1A0E14", 0.42, 4.5)
        brush.fill(oval(x - 8, y - 8.5, 5.8, 6.4), "#FFFFFF", 0.97, 0.7)
        brush.fill(oval(x + 9, y + 9.5, 3.0, 3.0), "#FFFFFF", 0.5, 1.0)


def draw_brow(brush: Brush, side: int, face: Face) -> None:
    def at(x: float, y: float) -> Point:
        rise = face.brow * (7.0 if x < -20 else 10.0)
        return side * (79 + x), 379 + y - rise

    spine = ((-50, 3), (-30, -2.5), (0, -8), (30, -8), (62, 8))
    brow = taper([at(*p) for p in spine], [3.5, 12.5, 12.5, 8.5, 0.8])
    brush.fill(brow, mix(HAIR, SKIN_DEEP, 0.4), 0.35, 4)
    brush.fill(brow, mix(HAIR, HAIR_LIGHT, 0.22), 0.72, 1.6)
    dice = random.Random(11)
    for index in range(70):
        x = -50 + index * 1.5 + dice.uniform(-1, 1)
        share = (x + 50) / 112
        spine_y = float(np.interp(x, [p[0] for p in spine], [p[1] for p in spine]))
        half = 5.6 * math.sin(math.pi * min(1.0, share * 0.9 + 0.16)) ** 0.6
        tilt = 3 + 7 * share
        hair = [
            at(x, spine_y + half),
            at(x + tilt * 0.4, spine_y),
            at(x + tilt, spine_y - half * (0.9 - 0.5 * share)),
        ]
        brush.fill(taper(hair, [0.5, 1.7, 0.3]), mix(HAIR, HAIR_LIGHT, dice.uniform(0, 0.35)), 0.6)


def draw_hair_right(brush: Brush) -> None:
    """The short side of the parting, tucked behind the ear."""
    lock = shape(
        dots(
            "36,133 70,135 124,149 188,198 222,290 236,400 240,500 238,590 222,640"
            " 212,600 207,530 209,494 205,452 190,424 168,404 158,352 142,292"
            " 110,244 72,206 44,186"
        )
    )
    with brush.inside(shape(face_points(Face()))):
        brush.fill(lock, "#8A4638", 0.55, 9)
    brush.fill(
        lock,
        slope(
            (60, 150),
            (220, 520),
            (0, mix(HAIR, HAIR_LIGHT, 0.15), 1),
            (0.5, HAIR, 1),
            (1, HAIR_DARK, 1),
        ),
    )
    with brush.inside(lock):
        strands(
            brush,
            dots("44,188 76,212 116,252 146,304 162,372 200,444 211,560 220,640"),
            dots("50,122 150,146 212,240 232,330 242,420 246,520 244,590 230,650"),
            count=74,
            seed=2,
            shine=0.30,
            light=0.85,
        )
        brush.line(
            curve(dots("44,186 72,206 110,244 142,292 158,352 168,408 186,442 201,480 208,540")),
            HAIR_DARK,
            9,
            0.6,
            5,
        )
        brush.line(
            curve(dots("120,140 192,196 230,290 240,400 243,540")),
            "#B9CBD0",
            5,
            0.35,
            4,
        )


def draw_hair_left(brush: Brush) -> None:
    """The long sweep across the forehead."""
    sweep = shape(
        dots(
            "66,140 20,124 -70,130 -160,180 -216,284 -240,420 -244,560 -228,650"
            " -194,690 -158,703 -134,694 -141,664 -152,620 -158,560 -163,490"
            " -160,430 -136,378 -92,334 -30,296 26,250 58,200"
        )
    )
    with brush.inside(shape(face_points(Face()))):
        brush.fill(sweep, "#8A4638", 0.6, 10)
    brush.fill(
        sweep,
        slope(
            (-40, 130),
            (-200, 690),
            (0, mix(HAIR, HAIR_LIGHT, 0.10), 1),
            (0.3, mix(HAIR, HAIR_LIGHT, 0.28), 1),
            (0.6, HAIR, 1),
            (1, HAIR_DARK, 1),
        ),
    )
    with brush.inside(sweep):
        strands(
            brush,
            dots("58,196 14,256 -86,332 -152,408 -162,520 -156,620 -124,694"),
            dots("60,138 -60,130 -170,188 -232,324 -248,480 -240,620 -170,706"),
            count=140,
            seed=3,
            shine=0.40,
        )
        brush.line(
            curve(dots("60,194 24,244 -56,302 -128,362 -158,430 -162,520 -155,620")),
            HAIR_DARK,
            9,
            0.6,
            5,
        )
        brush.line(curve(dots("-20,128 -150,176 -226,290 -246,430")), "#F2D9BF", 5, 0.28, 5)
    for points, wide in ((dots("60,190 14,252 -70,322 -124,372 -152,430"), 2.0),):
        brush.fill(taper(points, [0.4, *[wide] * (len(points) - 2), 0.3]), HAIR, 0.9, 0.4)


def draw_figure(brush: Brush, face: Face) -> None:
    draw_hair_behind(brush)
    draw_neck(brush)
    draw_clothes(brush)
    draw_ear(brush)
    draw_skin(brush, face)
    draw_nose(brush)
    draw_mouth(brush, face)
    for side in (-1, 1):
        draw_eye(brush, side, face)
        draw_brow(brush, side, face)
    draw_hair_right(brush)
    draw_hair_left(brush)


def draw_wall(brush: Brush) -> None:
    """A quiet wall with a wide soft light behind her."""
    brush.fill(
        skia.Path.Rect(skia.Rect.MakeWH(1024, 1024)),
        slope((0, 0), (1024, 1024), (0, "#DCE3DF", 1), (0.5, "#B9CBCA", 1), (1, "#88A5AA", 1)),
    )
    brush.fill(
        skia.Path.Rect(skia.Rect.MakeWH(1024, 1024)),
        glow(
            (430, 380),
            860,
            *(
                (
                    share / 12,
                    "#FBEFE0",
                    0.85 * math.exp(-5 * (share / 12) ** 2) * (1 - (share / 12) ** 4),
                )
                for share in range(13)
            ),
        ),
    )


FRAME: Final = 1024
LEFT: Final = WIDTH // 2


def on_figure(box: tuple[int, int, int, int]) -> list[int]:
    """`box` in the figure's pixels, which are counted from its left edge."""
    left, top, right, bottom = box
    return [left + LEFT, top, right + LEFT, bottom]


def write(folder: Path) -> None:
    """Every file of the character, and the manifest that says what they are."""
    rest = Face()
    mouths = [Face(opening=o, width=w) for o in OPENINGS for w in WIDTHS]
    eyes = [Face(lid=lid, gaze=gaze) for lid in LIDS for gaze in GAZES]
    images = {
        "figure.webp": render(partial(draw_figure, face=rest), (-LEFT, 0, WIDTH - LEFT, HEIGHT)),
        "mouths.webp": sheet([partial(draw_figure, face=f) for f in mouths], MOUTH_BOX),
        "eyes.webp": sheet([partial(draw_figure, face=f) for f in eyes], EYES_BOX),
        "brows.webp": sheet([partial(draw_figure, face=Face(brow=b)) for b in BROWS], BROWS_BOX),
        "wall.webp": render(draw_wall, (0, 0, FRAME, FRAME)).convert("RGB").resize((256, 256)),
    }
    manifest = {
        "title": "Ada",
        "licence": "Apache-2.0",
        "made_by": "benchmarks/art/ada.py",
        "figure": "figure.webp",
        "figure_height": HEIGHT,
        "wall": "wall.webp",
        "frame": on_figure((-FRAME // 2, 0, FRAME // 2, FRAME)),
        "head": {"box": on_figure(HEAD_BOX), "fade": list(HEAD_FADE)},
        "shoulders": {"from": NECK_Y, "to": SHOULDER_Y},
        "mouth": {
            "file": "mouths.webp",
            "box": on_figure(MOUTH_BOX),
            "openings": list(OPENINGS),
            "widths": list(WIDTHS),
            "inside": on_figure(LIPS_BOX),
        },
        "eyes": {
            "file": "eyes.webp",
            "box": on_figure(EYES_BOX),
            "lids": list(LIDS),
            "gazes": [list(g) for g in GAZES],
        },
        "brows": {"file": "brows.webp", "box": on_figure(BROWS_BOX), "raised": list(BROWS)},
    }
    save(folder, images, manifest)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw Ada into a character folder.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
