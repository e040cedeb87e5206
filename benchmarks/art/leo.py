"""Draws Leo, a character that ships with the worker, and writes his folder.

Everything that is seen of him comes from this file: run it, and the committed pictures come out
again. Needs the extra ``art``; a worker needs only what this writes.

    python -m benchmarks.art.leo worker/characters/leo

Lengths are units of the square frame of 1024 in which he is composed. x is 0 at the middle of
his face and grows to the right of the picture; y is 0 at the top of the frame. The light comes
from the upper left, a warm rim of it from behind on the right. Skin, wool and hand are reliefs
that `sculpt` lights; eyes, lips, teeth, hair and glasses are painted on them.
"""

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information
from PIL import Image

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
from benchmarks.art.sculpt import Field, Finish, Ground, blurred, image_of, lit, smooth
from benchmarks.art.sheets import save, sheet

# The figure's canvas: wider and taller than the frame, so that no shape of picture cuts it.
WIDTH: Final = 1600
HEIGHT: Final = 1500
FRAME: Final = 1024
LEFT: Final = WIDTH // 2

# Palette: deep warm skin and ochre wool before a dark plum wall.
SKIN: Final = Finish(
    ramp=(
        (0.00, "#24100C"),
        (0.18, "#432015"),
        (0.40, "#713A23"),
        (0.62, "#985836"),
        (0.82, "#B5764C"),
        (1.00, "#D59D70"),
    ),
    gloss=0.20,
    hardness=16,
    rim="#FFB784",
    rim_strength=2.6,
)
PALM: Final = Finish(
    ramp=(
        (0.00, "#3A1B14"),
        (0.25, "#7C4532"),
        (0.50, "#B07050"),
        (0.75, "#D49A76"),
        (1.00, "#EEC3A0"),
    ),
    gloss=0.10,
    rim="#FFC79A",
    rim_strength=1.6,
    depth=0.02,
    reach=8,
)
WOOL: Final = Finish(
    ramp=(
        (0.00, "#2A1207"),
        (0.25, "#54290D"),
        (0.50, "#875016"),
        (0.75, "#AE7321"),
        (1.00, "#DCA648"),
    ),
    rim="#FFD59A",
    rim_strength=1.1,
    depth=0.014,
    reach=18,
)
SKIN_DEEP: Final = "#3A1B12"
SKIN_MID: Final = "#7E452B"
SKIN_LIGHT: Final = "#C98D61"
HAIR: Final = "#1B1210"
HAIR_LIGHT: Final = "#5C4032"
HAIR_CREST: Final = "#94704F"
BEARD: Final = "#2A1812"
LIP: Final = "#A45A50"
LIP_DARK: Final = "#6A322C"
LIP_LIGHT: Final = "#D28C7C"
MOUTH: Final = "#2A080C"
TONGUE: Final = "#B9545A"
TEETH: Final = "#F6EFE6"
IRIS: Final = "#5A3318"
LINE: Final = "#170C0A"
BRASS: Final = "#C99A55"
BRASS_LIGHT: Final = "#FBE3AE"
BRASS_DARK: Final = "#6B4520"

OPENINGS: Final = (0.0, 0.08, 0.18, 0.3, 0.45, 0.62, 0.8, 1.0)
WIDTHS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
MOOD_OPENINGS: Final = (0.0, 0.1, 0.25, 0.45, 0.7, 1.0)
MOOD_WIDTHS: Final = (-1.0, 0.0, 1.0)
LIDS: Final = (-0.3, 0.0, 0.2, 0.45, 0.75, 1.0)
SQUINT_LIDS: Final = (0.0, 0.35, 0.7)
GAZES: Final = (
    (0.0, 0.0),
    (-0.6, 0.05),
    (0.6, 0.05),
    (-0.4, -0.5),
    (0.45, -0.45),
    (0.0, 0.6),
)
SQUINT_GAZES: Final = GAZES[:3]
RAISED: Final = (-0.5, 0.0, 0.5, 1.0)
SLANTS: Final = (-1.0, 0.0, 1.0)
SKEW_RAISED: Final = (-0.3, 0.3, 0.8)
CONTACTS: Final = (
    # Opening, width, teeth on the lower lip (f, v), tongue: between the teeth (th) below an
    # opening of .27, behind the upper teeth (l, d, n) above.
    (0.05, 0.0, 1, 0),
    (0.05, -0.5, 1, 0),
    (0.05, 0.6, 1, 0),
    (0.2, 0.0, 1, 0),
    (0.1, 0.0, 0, 1),
    (0.1, 0.6, 0, 1),
    (0.22, 0.0, 0, 1),
    (0.22, 0.6, 0, 1),
    (0.32, 0.0, 0, 1),
    (0.32, 0.6, 0, 1),
    (0.32, -0.5, 0, 1),
    (0.45, 0.0, 0, 1),
    (0.45, 0.6, 0, 1),
    (0.65, 0.0, 0, 1),
)
RISING: Final = 7
SWINGING: Final = 9
WAVE_FRAMES: Final = RISING + SWINGING
SWINGS: Final = 2.5
WAVE_SECONDS: Final = 2.4
WAVE_SHOWN: Final = round(WAVE_SECONDS * 25)
WAVE_KEYS: Final = (
    (0.3, {"x": 0.15, "y": -0.15, "turn": 0.3, "tilt": 1.2, "raised": 0.7}),
    (0.9, {"x": 0.3, "y": 0.1, "turn": 0.4, "tilt": 2.0, "raised": 0.5}),
    (1.6, {"x": 0.2, "turn": 0.3, "tilt": 1.5, "raised": 0.3}),
)

# Where the face changes: left, top, right, bottom. Nothing outside differs between sprites.
MOUTH_BOX: Final = (-166, 496, 166, 764)
EYES_BOX: Final = (-150, 398, 150, 496)
BROWS_BOX: Final = (-156, 296, 156, 398)
LIPS_BOX: Final = (-70, 580, 70, 668)
"""Where the inside of the mouth may show, and nothing else is as dark."""
FACE_BOX: Final = (-172, 280, 172, 764)
FACE_FADE: Final = (56, 60, 56, 56)
WAVE_BOX: Final = (110, 440, 530, 1290)

# The head moves whole within its box; over `fade` (left, top, right, bottom) it comes to rest.
HEAD_BOX: Final = (-312, 24, 312, 820)
HEAD_FADE: Final = (60, 56, 60, 84)
# Breathing lifts what is between these heights little by little, and the shoulders fully.
NECK_Y: Final = 740
SHOULDER_Y: Final = 870

LIPS_Y: Final = 602.0
"""Where the lips meet at rest."""
CHIN_Y: Final = 704.0
EYE: Final = (80.0, 444.0)


@dataclass(frozen=True, slots=True)
class Face:
    """What a face does; the words and ranges are the manifest's."""

    opening: float = 0.0
    width: float = 0.0
    smile: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    lid: float = 0.0
    gaze: Point = (0.0, 0.0)
    squint: float = 0.0
    raised: float = 0.0
    slant: float = 0.0
    skew: float = 0.0

    @property
    def spread(self) -> float:
        return max(self.width, 0.0)

    @property
    def rounded(self) -> float:
        return max(-self.width, 0.0)

    def mouth(self) -> "Face":
        """The same mouth in a face that is otherwise at rest."""
        return Face(self.opening, self.width, self.smile, self.teeth, self.tongue)


def jaw_drop(face: Face) -> float:
    return 40.0 * face.opening * (1.0 - 0.2 * face.spread - 0.15 * face.rounded)


def sunk(y: float, drop: float) -> float:
    """How far a place at height `y` of the resting face goes down with the jaw."""
    share = min(1.0, max(0.0, (y - 560) / 110))
    return drop * share * share * (3 - 2 * share)


def face_points(drop: float) -> list[Point]:
    right = dots(
        "0,168 62,172 108,192 140,242 157,316 166,390 168,450 162,515 148,578 122,634 84,677 44,699"
        " 0,704"
    )
    return mirrored([(x, y + sunk(y, drop)) for x, y in right])


# The head: one relief from hairline to chin.


@lru_cache(maxsize=4)
def face_relief(mouth: Face) -> tuple[skia.Image, Point]:
    """The skin of the face, and its left upper corner."""
    box = (-200.0, 130.0, 200.0, 780.0)
    ground = Ground.over(box)
    drop = jaw_drop(mouth)
    heights = _head(ground, drop) + _features(ground, mouth, drop)
    heights = blurred(heights, 3.0)
    temple = 0.30 * ground.bump(185, 430, 60, 330) + 0.10 * ground.bump(-185, 520, 40, 200)
    under = 0.30 * smooth((ground.y - (CHIN_Y - 26 + drop)) / 40)
    hairline = 0.34 * np.clip(1 - (ground.y - 212) / 62, 0, 1) ** 1.6
    shade = np.clip(temple + under + hairline, 0, 0.75).astype(np.float32)
    red = 0.20 * ground.bump(-98, 522, 46, 32) + 0.12 * ground.bump(98, 522, 46, 32)
    red = red + 0.20 * ground.bump(0, 536, 34, 20)
    return lit(ground, heights, SKIN, shade=shade, blush=(("#C0523A", red),)), (box[0], box[1])


def _head(ground: Ground, drop: float) -> Field:
    outline = shape(face_points(drop))
    return 120 * ground.pillow(outline, 66) + 46 * ground.pillow(outline, 20)


def _features(ground: Ground, mouth: Face, drop: float) -> Field:
    x, y, bump = ground.x, ground.y, ground.bump
    jaw = drop * smooth((y - 560) / 110)
    low = Ground(ground.left, ground.top, ground.scale, x, y - jaw)
    smile = max(mouth.smile, 0.0)
    sad = max(-mouth.smile, 0.0)
    heights = 16 * bump(-16, 296, 96, 56) + 5 * bump(0, 398, 20, 12)
    profile = np.interp(y, [392, 420, 470, 515, 540, 556, 570], [0, 5, 19, 31, 34, 18, 0])
    bridge = np.interp(y, [396, 430, 480, 530, 560], [18, 16, 18, 24, 26])
    heights = heights + profile * np.exp(-((x / bridge) ** 2))
    heights = heights + 11 * bump(0, 533, 24, 17)
    for side in (-1, 1):
        heights = heights + 11 * bump(side * 74, 388, 50, 13)
        heights = heights - 20 * bump(side * 82, 440, 44, 25) - 9 * bump(side * 34, 434, 12, 22)
        heights = heights + 12 * bump(side * 80, 444, 34, 19)
        heights = heights + 13 * bump(side * (31 + 2 * smile), 541, 14, 13)
        heights = heights - 5 * bump(side * 48, 546, 9, 14)
        lift = 9 * smile
        heights = heights + (9 + 6 * smile) * bump(side * 100, 512 - 0.5 * lift, 46, 34)
        fold = [
            (side * (40 + 3 * smile), 548),
            (side * (62 + 8 * smile), 572 - 0.3 * lift),
            (side * (84 + 10 * smile), 606 - lift + 0.4 * drop),
        ]
        heights = heights - (3.5 + 5 * smile + 2 * sad) * ground.ridge(fold, 8)
        down = [(side * 78, 618 + 0.6 * drop), (side * 90, 650 + 0.8 * drop)]
        heights = heights - 4 * sad * ground.ridge(down, 7)
        heights = heights - 4 * low.bump(side * 126, 580, 30, 46)
        heights = heights - 9 * bump(side * 150, 340, 22, 54)
    pout = mouth.rounded
    heights = heights + (13 + 6 * pout) * low.bump(0, 600, 62 - 10 * pout, 40)
    heights = heights - 4 * bump(0, 572, 7, 10)
    heights = heights - 11 * low.bump(0, 641, 32, 9)
    heights = heights + (17 + 3 * sad) * low.bump(0, 672, 38, 20)
    return heights.astype(np.float32)


def draw_skin(brush: Brush, face: Face) -> None:
    image, corner = face_relief(face.mouth())
    with brush.inside(shape(face_points(jaw_drop(face)))):
        brush.relief(image, *corner)
        if face.raised > 0 or face.skew > 0:
            up = max(face.raised, 0.6 * face.skew)
            for y, wide in ((318, 78), (338, 92)):
                line = curve([(-wide, y - 5 * up), (0, y - 1 - 5 * up), (wide, y - 5 * up)])
                brush.line(line, SKIN_DEEP, 3.0, 0.16 * up, 2.0)
                brush.canvas.save()
                brush.canvas.translate(0, 4)
                brush.line(line, SKIN_LIGHT, 3.0, 0.12 * up, 2.0)
                brush.canvas.restore()


def draw_rim(brush: Brush, face: Face) -> None:
    """The light from behind, along the far cheek and jaw."""
    edge = [(x - 1, y) for x, y in face_points(jaw_drop(face))[6:11]]
    with brush.inside(shape(face_points(jaw_drop(face)))):
        brush.line(curve(edge), "#FFB784", 8, 0.34, 4)
        brush.line(curve(edge), "#FFD2A6", 2.6, 0.40, 1.2)


def draw_neck(brush: Brush) -> None:
    image, corner, outline = neck_relief()
    with brush.inside(outline):
        brush.relief(image, *corner)


@lru_cache(maxsize=1)
def neck_relief() -> tuple[skia.Image, Point, skia.Path]:
    outline = shape(
        mirrored(dots("0,560 104,570 106,640 108,696 116,732 144,768 200,800 240,900 0,960"))
    )
    box = (-260.0, 540.0, 260.0, 980.0)
    ground = Ground.over(box)
    heights = 80 * ground.pillow(outline, 56) + 20 * ground.pillow(outline, 14)
    for side in (-1, 1):
        heights = heights + 4 * ground.ridge([(side * 92, 690), (side * 20, 836)], 17)
        heights = heights + 9 * ground.ridge([(side * 170, 824), (side * 34, 836)], 12)
    heights = heights - 9 * ground.bump(0, 842, 20, 16) + 6 * ground.bump(0, 752, 16, 20)
    cast = shape(dots("-150,540 150,540 140,690 108,752 34,782 -30,776 -84,742 -128,680"))
    shade = 0.62 * blurred(ground.mask(cast), 13) + 0.22 * ground.bump(120, 720, 50, 190)
    image = lit(ground, blurred(heights, 2), SKIN, shade=np.clip(shade, 0, 0.8).astype(np.float32))
    return image, (box[0], box[1]), outline


def draw_ears(brush: Brush) -> None:
    for side in (-1, 1):
        image, corner, outline = ear_relief(side)
        with brush.inside(outline):
            brush.relief(image, *corner)


@lru_cache(maxsize=2)
def ear_relief(side: int) -> tuple[skia.Image, Point, skia.Path]:
    def at(text: str) -> list[Point]:
        return [(side * x, y) for x, y in dots(text)]

    outline = shape(at("148,436 164,416 182,418 190,440 189,470 182,500 172,524 160,532 146,522"))
    box = (-212.0, 396.0, -130.0, 560.0) if side < 0 else (130.0, 396.0, 212.0, 560.0)
    ground = Ground.over(box)
    heights = 22 * ground.pillow(outline, 7)
    heights = heights - 12 * ground.ridge(at("166,438 177,440 179,464 174,490"), 5)
    heights = heights - 14 * ground.bump(side * 163, 476, 8, 20)
    heights = heights + 6 * ground.ridge(at("169,458 171,482 166,504"), 4)
    shade = 0.42 * ground.bump(side * 150, 470, 20, 90)
    return lit(ground, blurred(heights, 1.6), SKIN, shade=shade), (box[0], box[1]), outline


# What he wears.

NECKLINE: Final = "-140,760 -124,790 -92,822 -48,843 0,849 48,843 92,822 124,790 140,760"


def body_outline() -> skia.Path:
    right = dots(
        "0,790 70,790 116,768 146,760 168,766 206,782 268,806 344,838 410,886 452,954 478,1060"
        " 498,1200 512,1340 524,1580 0,1620"
    )
    return shape(mirrored(right))


@lru_cache(maxsize=1)
def body_relief() -> tuple[skia.Image, Point]:
    box = (-540.0, 720.0, 540.0, 1520.0)
    ground = Ground.over(box)
    outline = body_outline()
    x, y = ground.x, ground.y
    heights = 110 * ground.pillow(outline, 52) + 26 * ground.pillow(outline, 18)
    heights = heights + 90 * ground.bump(0, 960, 300, 330)
    for side in (-1, 1):
        arm = [(side * px, py) for px, py in dots("338,1040 348,1130 362,1270 376,1540")]
        start = smooth((y - 980) / 150)
        heights = heights - 26 * ground.ridge(arm, 12) * start
        heights = heights + 34 * ground.ridge([(px + side * 74, py) for px, py in arm], 52) * start
        heights = heights + 26 * ground.bump(side * 150, 1000, 130, 100)
        heights = heights + 16 * ground.bump(side * 390, 930, 60, 60)
        raglan = [(side * px, py) for px, py in dots("146,790 196,872 262,956 334,1030")]
        heights = heights - 4.0 * ground.ridge(raglan, 3.4)
        for fold, high in (
            ("300,1046 250,1084 190,1106", 7),
            ("306,1076 266,1128 226,1170", 6),
            ("412,1030 440,1084 480,1116", 6),
            ("404,1084 440,1150 484,1180", 5),
        ):
            line = [(side * px, py) for px, py in dots(fold)]
            heights = heights - high * ground.ridge(line, 17)
    heights = heights - 6 * ground.ridge([(0, 900), (10, 1000)], 50)
    # Ribs that run down the body and out along the sleeves.
    sleeve = smooth((np.abs(x) - 334 - 0.07 * np.clip(y - 1030, 0, None)) / 8) * smooth(
        (y - 1000) / 60
    )
    slant = (np.abs(x) - 0.09 * (y - 900)) * np.sign(x)
    ribs = np.cos(2 * math.pi * x / 11) * (1 - sleeve)
    ribs = ribs + np.cos(2 * math.pi * slant / 11) * sleeve
    heights = blurred(heights, 3) + 0.5 * ribs
    neck = ground.distance(dots(NECKLINE))
    shade = 0.40 * np.exp(-(((neck - 12) / 26) ** 2)) * smooth((neck - 8) / 20)
    shade = shade + 0.13 + 0.20 * ground.bump(330, 1150, 190, 360) + 0.34 * smooth((y - 860) / 560)
    return lit(ground, heights, WOOL, shade=np.clip(shade, 0, 0.8).astype(np.float32)), (
        box[0],
        box[1],
    )


@lru_cache(maxsize=1)
def collar_relief() -> tuple[skia.Image, Point, skia.Path]:
    top = dots(NECKLINE)
    low = [(x * 1.17, y + 32 - 16 * abs(x / 140) ** 2) for x, y in top]
    outline = shape([*top, *reversed(low)])
    box = (-190.0, 730.0, 190.0, 910.0)
    ground = Ground.over(box)
    heights = 15 * ground.pillow(outline, 8)
    angle = np.arctan2(ground.x, ground.y - 684)
    heights = blurred(heights, 1.2) + 0.9 * np.cos(angle * 115 / 1.0)
    shade = 0.30 * ground.bump(110, 830, 70, 70)
    return lit(ground, heights, replace(WOOL, reach=8), shade=shade), (box[0], box[1]), outline


def draw_clothes(brush: Brush) -> None:
    image, corner = body_relief()
    opening = skia.Path(curve(dots(NECKLINE)))
    chest = skia.Op(body_outline(), _above(opening), skia.PathOp.kDifference_PathOp)
    with brush.inside(chest):
        brush.relief(image, *corner)
    image, corner, outline = collar_relief()
    brush.line(curve([(x, y - 2) for x, y in dots(NECKLINE)]), SKIN_DEEP, 9, 0.55, 5)
    brush.fill(outline, "#3B1D0A", 0.6, 6)
    with brush.inside(outline):
        brush.relief(image, *corner)


def _above(line: skia.Path) -> skia.Path:
    """Everything between the neckline and a line above the shoulders."""
    path = skia.PathBuilder(line)
    path.lineTo(140, 680)
    path.lineTo(-140, 680)
    path.close()
    return path.detach()


# Hair and beard.


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
    ground = Ground.over(box)
    dome = blurred(70 * ground.pillow(whole, 24) + 80 * ground.pillow(whole, 50), 4)
    dome = dome + 14 * ground.bump(0, 165, 150, 40)
    slope_y, slope_x = np.gradient(dome)
    facing = (0.50 * slope_x + 0.56 * slope_y + 0.66) / np.sqrt(slope_x**2 + slope_y**2 + 1)
    inside = blurred(ground.mask(mass), 2.5)
    brush.fill(mass, HAIR, 1.0, 1.2)
    with brush.inside(mass):
        brush.relief(lit(ground, dome, HAIR_FINISH), box[0], box[1])
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


def beard_outline(face: Face) -> skia.Path:
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


def _beard_place(x: float, y: float, face: Face, drop: float) -> Point:
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
    outline = beard_outline(Face())
    roots = []
    while len(roots) < 2100:
        x, y = dice.uniform(-176, 176), dice.uniform(420, 742)
        if outline.contains(x, y):
            roots.append((x, y, dice.uniform(5, 10), dice.random()))
    return tuple(roots)


def draw_beard(brush: Brush, face: Face) -> None:
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


# Nose.


def draw_nose(brush: Brush, face: Face) -> None:
    flare = 1.5 * max(face.smile, 0.0)
    brush.fill(oval(2, 556, 30, 5), SKIN_DEEP, 0.45, 5)
    for side, strength in ((-1, 0.55), (1, 0.8)):
        wing = curve(
            [
                (side * (34 + flare), 524),
                (side * (44 + flare), 540),
                (side * (38 + flare), 553),
                (side * 28, 554),
            ]
        )
        brush.line(wing, SKIN_DEEP, 3.6, strength * 0.8, 1.8)
        nostril = shape(
            [(side * 8, 553), (side * 15, 547), (side * (27 + flare), 550), (side * 18, 555)]
        )
        brush.fill(nostril, "#1E0B08", 0.85, 1.3)
    brush.fill(oval(-6, 528, 9, 6), "#FFE3C4", 0.42, 4)


# Mouth.


@dataclass(frozen=True, slots=True)
class Lips:
    """The lines of a mouth; each goes from the left corner to the right one."""

    corner: float
    inner: float
    ends: float
    top: float
    bottom: float
    upper: float
    lower: float
    above: list[Point]
    below: list[Point]
    outer_top: list[Point]
    outer_bottom: list[Point]

    @property
    def gap(self) -> float:
        return self.bottom - self.top


def lip_line(reach: float, ends: float, height: float, ease: float, bow: float = 0) -> list[Point]:
    """An edge of a lip, `height` below its ends.

    `ease` 0 is the slack line of lips at rest, 1 an ellipse; `bow` is the depth of the dip of an
    upper lip's middle.
    """
    points = []
    for step in range(-12, 13):
        share = step / 12
        slack = 0.5 + 0.5 * math.cos(math.pi * abs(share) ** 1.15)
        round_ = math.sqrt(1 - share * share)
        dip = bow * math.exp(-((share / 0.14) ** 2))
        points.append((reach * share, ends + height * (slack + (round_ - slack) * ease) + dip))
    return points


def lips_of(face: Face) -> Lips:
    opening, spread, round_ = face.opening, face.spread, face.rounded
    smile, sad = max(face.smile, 0.0), max(-face.smile, 0.0)
    gap = 74 * opening + 4.5 * min(1.0, opening / 0.08) * (1 - opening)
    gap *= 1 - 0.34 * spread - 0.22 * round_
    wide_open = min(1.0, gap / 40)
    corner = 66 + 10 * spread - 27 * round_ + (13 * smile - 2 * sad) * (1 - 0.7 * round_)
    corner -= 2.5 * wide_open * (1 - spread)
    upper = (19.0 + 3.0 * round_ - 4 * smile) * (1 - 0.12 * wide_open - 0.14 * spread)
    lower = (24.0 + 3.5 * round_ - 4 * smile) * (1 - 0.12 * wide_open - 0.14 * spread)
    lift = (9.5 + 2.5 * spread + 10 * smile - 13 * sad) * (1 - 0.8 * round_)
    top = LIPS_Y - 0.12 * gap - 4 * smile - 2 * sad
    bottom = top + gap
    ends = LIPS_Y - 3 * smile - lift * (1 - 0.35 * wide_open) + 0.34 * gap
    if between_teeth(face):
        bottom = top + max(14.0, gap)
    if face.teeth:
        # The lower lip is drawn in under the upper teeth.
        top, bottom, lower, upper = top - 3, top + 7, lower * 0.62, upper * 0.92
        ends = LIPS_Y - 1
    inner = corner * (0.96 - 0.05 * wide_open - 0.07 * round_)
    ease = 0.35 * round_ + 0.8 * wide_open + 0.22 * spread * min(1.0, gap / 8)
    ease = min(1.0, ease + 0.2 * opening)
    bow = 1.8 * (1 - wide_open)
    return Lips(
        corner=corner,
        inner=inner,
        ends=ends,
        top=top,
        bottom=bottom,
        upper=upper,
        lower=lower,
        above=lip_line(inner, ends, top - ends, ease, bow),
        below=lip_line(inner, ends, bottom - ends, ease, bow),
        outer_top=lip_line(
            corner, ends, top - upper - ends, 0.16 + 0.55 * ease, 0.30 * upper * (1 - 0.4 * round_)
        ),
        outer_bottom=lip_line(corner, ends, bottom + lower - ends, 0.6 + 0.4 * ease),
    )


def draw_mouth(brush: Brush, face: Face) -> None:
    lips = lips_of(face)
    upper_lip = shape([*lips.outer_top, *reversed(lips.above)])
    lower_lip = shape([*lips.outer_bottom, *reversed(lips.below)])
    hole = shape([*lips.above, *reversed(lips.below[1:-1])])
    corner, top, bottom = lips.corner, lips.top, lips.bottom

    # Bare skin around the lips, and the soft shadow below them.
    whole = shape([*lips.outer_top, *reversed(lips.outer_bottom[1:-1])])
    brush.line(whole, SKIN_MID, 6, 0.55, 3)
    brush.fill(oval(2, bottom + lips.lower + 5, corner * 0.6, 6), SKIN_DEEP, 0.42, 6)
    for side in (-1, 1):
        brush.fill(oval(side * (corner + 4), lips.ends, 8, 8), SKIN_DEEP, 0.34, 5)

    brush.fill(
        upper_lip,
        slope(
            (-16, top - lips.upper),
            (6, top + 3),
            (0, mix(LIP, LIP_DARK, 0.30), 1),
            (0.55, mix(LIP, LIP_DARK, 0.55), 1),
            (1, LIP_DARK, 1),
        ),
    )
    brush.fill(
        lower_lip,
        slope(
            (-8, bottom - 2),
            (8, bottom + lips.lower),
            (0, mix(LIP, LIP_DARK, 0.40), 1),
            (0.40, mix(LIP, LIP_LIGHT, 0.45), 1),
            (1, mix(LIP, LIP_DARK, 0.55), 1),
        ),
    )
    with brush.inside(lower_lip):
        glint = lips.bottom + lips.lower * 0.42
        brush.fill(oval(-9, glint, corner * 0.42, lips.lower * 0.22), "#F3BBA6", 0.55, 4.5)
        brush.fill(oval(-14, glint - 1, corner * 0.16, lips.lower * 0.08), "#FFF1E6", 0.55, 1.8)
        brush.fill(oval(corner * 0.8, glint, 20, 18), LIP_DARK, 0.4, 8)
        for step in range(-6, 7):
            x = corner * step / 8.5
            fold = curve([(x * 0.95, bottom + 2), (x, bottom + lips.lower * 0.8)])
            brush.line(fold, LIP_DARK, 1.4, 0.10 + 0.22 * face.rounded, 0.9)
    with brush.inside(upper_lip):
        brush.line(curve(lips.outer_top[2:12]), "#F0B79C", 3.2, 0.55, 1.8)
        brush.line(curve(lips.outer_top[13:22]), "#E0A084", 2.4, 0.25, 1.8)
    if lips.gap > 0.5:
        with brush.inside(hole):
            draw_inner_mouth(brush, hole, face, lips)
        if between_teeth(face):
            draw_tip(brush, lips)
        brush.line(curve(lips.below), "#4A1B1C", 1.8, 0.0 if between_teeth(face) else 0.6, 0.8)
        brush.line(curve(lips.above), "#3A1113", 2.0, 0.7, 0.8)
    else:
        brush.line(curve(lips.above), "#3E1A17", 5.0, 0.5, 2.0)
        brush.line(curve(lips.above), "#4C2420", 2.8, 1.0, 0.5)
    for side in (-1, 1):
        brush.fill(oval(side * (corner - 1.5), lips.ends, 3.6, 2.4), "#45201C", 0.65, 1.8)


def draw_inner_mouth(brush: Brush, hole: skia.Path, face: Face, lips: Lips) -> None:
    gap, top, bottom, inner = lips.gap, lips.top, lips.bottom, lips.inner
    brush.fill(
        hole,
        slope((0, top), (0, bottom), (0, "#170306", 1), (0.6, MOUTH, 1), (1, "#3A0F14", 1)),
    )
    if gap > 15 and not face.tongue:
        draw_tongue(brush, lips, min(gap * 0.40, 24), inner * 0.70)
    elif face.tongue and not between_teeth(face):
        # The tip is up behind the upper teeth.
        draw_raised_tongue(brush, lips, upper_teeth(face, lips), inner * 0.44)
    length = upper_teeth(face, lips)
    if length > 3:
        reach = inner * (0.90 - 0.06 * face.rounded)
        draw_teeth(brush, lips, reach, length)
    draw_lower_teeth(brush, face, lips)
    with brush.inside(hole):
        brush.line(curve(lips.above), "#0E0204", 6, 0.75, 2.2)


def upper_teeth(face: Face, lips: Lips) -> float:
    """How much of the upper teeth shows: they stand still while the lip is drawn up."""
    if face.teeth:
        return lips.gap + 1.5
    edge = (
        LIPS_Y
        + 9
        + 3 * face.spread
        - (3 + 8 * face.rounded) * face.rounded
        + 2 * max(face.smile, 0.0)
    )
    return min(edge - lips.top, 20.0)


TOOTH_WIDTHS: Final = (13.6, 11.0, 10.6, 8.6, 7.2, 6.0)
"""From the middle outward; those at the side are seen from the front."""


def draw_teeth(brush: Brush, lips: Lips, reach: float, length: float) -> None:
    scale = reach / sum(TOOTH_WIDTHS)
    scale = min(max(scale, 0.62), 1.12)
    shade = slope(
        (-reach, 0),
        (reach, 0),
        (0, "#3A1A1A", 1),
        (0.14, "#8E7468", 1),
        (0.32, TEETH, 1),
        (0.58, TEETH, 1),
        (0.84, "#93796E", 1),
        (1, "#2E1213", 1),
    )
    gums = skia.Path.Rect(skia.Rect.MakeLTRB(-reach, lips.top - 12, reach, lips.top + length - 3.5))
    brush.fill(gums, shade, 0.6)
    for side in (-1, 1):
        x = 0.0
        for index, wide in enumerate(TOOTH_WIDTHS):
            wide *= scale
            share = min(1.0, x / reach)
            edge = lips.top + length - (1.2 if index == 1 else 0.0) - 5 * share**2
            left, right = sorted((side * (x + 0.12), side * (x + wide - 0.12)))
            tooth = skia.RRect.MakeRectXY(
                skia.Rect.MakeLTRB(left, edge - 34, right, edge), 2.6, 3.2
            )
            brush.fill(skia.Path.RRect(tooth), shade)
            x += wide
    brush.fill(
        skia.Path.Rect(skia.Rect.MakeLTRB(-reach, lips.top - 12, reach, lips.top + length)),
        slope(
            (0, lips.top - 1),
            (0, lips.top + length),
            (0, "#4A2020", 0.6),
            (0.45, "#4A2020", 0.0),
            (1, "#FFFFFF", 0.0),
        ),
    )


def draw_lower_teeth(brush: Brush, face: Face, lips: Lips) -> None:
    seen = (2.5 + 6.5 * face.spread + 2.0 * max(face.smile, 0.0)) * (1 - 1.4 * face.rounded)
    seen = min(seen, 0.36 * lips.gap) * min(1.0, max(0.0, 1.9 - lips.gap / 34 + 0.5 * face.spread))
    if seen < 2 or face.teeth or face.tongue:
        return
    edge = lips.bottom - seen
    reach = lips.inner * 0.72
    widths = (8.4, 8.8, 9.0, 8.0, 7.0)
    scale = reach / sum(widths)
    shade = slope(
        (-reach, 0),
        (reach, 0),
        (0, "#3A1A1A", 1),
        (0.2, "#8F766C", 1),
        (0.4, "#E4D8CC", 1),
        (0.58, "#DDD0C4", 1),
        (0.82, "#7E645C", 1),
        (1, "#2E1213", 1),
    )
    for side in (-1, 1):
        x = 0.0
        for wide in widths:
            wide *= scale
            y = edge - 3.5 * (x / reach) ** 2 * (lips.gap / 20)
            left, right = sorted((side * (x + 0.15), side * (x + wide - 0.15)))
            tooth = skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(left, y, right, y + 30), 1.8, 2)
            brush.fill(skia.Path.RRect(tooth), shade, 0.95)
            x += wide


def draw_tongue(brush: Brush, lips: Lips, height: float, reach: float) -> None:
    bottom = lips.bottom
    tongue = shape(
        [
            (-reach, bottom + 12),
            (-reach * 0.86, bottom - height * 0.45),
            (-reach * 0.5, bottom - height * 0.9),
            (0, bottom - height),
            (reach * 0.5, bottom - height * 0.9),
            (reach * 0.86, bottom - height * 0.45),
            (reach, bottom + 12),
        ]
    )
    brush.fill(
        tongue,
        slope(
            (-6, bottom - height),
            (8, bottom + 4),
            (0, mix(TONGUE, "#E08A86", 0.35), 1),
            (0.5, TONGUE, 1),
            (1, mix(TONGUE, MOUTH, 0.55), 1),
        ),
    )
    with brush.inside(tongue):
        brush.line(curve([(0, bottom - height), (0, bottom + 6)]), MOUTH, 3.4, 0.32, 2.2)
        brush.fill(
            oval(-reach * 0.3, bottom - height * 0.72, reach * 0.28, 2.6), "#FFC0B8", 0.5, 2.2
        )


def draw_raised_tongue(brush: Brush, lips: Lips, teeth: float, reach: float) -> None:
    """Its tip behind the upper teeth, its underside to the viewer."""
    top, low = lips.top + max(teeth, 4) - 6, lips.bottom
    half = (top + low) / 2
    tongue = shape(
        [
            (-reach * 0.92, low + 14),
            (-reach, half + 4),
            (-reach * 0.82, top + 3),
            (-reach * 0.4, top),
            (reach * 0.4, top),
            (reach * 0.82, top + 3),
            (reach, half + 4),
            (reach * 0.92, low + 14),
        ]
    )
    brush.fill(
        tongue,
        slope(
            (0, top),
            (0, low + 2),
            (0, mix(TONGUE, MOUTH, 0.2), 1),
            (0.45, mix(TONGUE, "#E08A86", 0.3), 1),
            (1, mix(TONGUE, MOUTH, 0.5), 1),
        ),
        blur=0.8,
    )
    with brush.inside(tongue):
        for side in (-1, 1):
            edge = curve([(side * reach, top), (side * reach, low + 6)])
            brush.line(edge, MOUTH, reach * 0.5, 0.5, reach * 0.2)
        brush.line(curve([(0, half), (0, low + 6)]), MOUTH, 2.6, 0.4, 1.6)
        brush.fill(oval(-reach * 0.25, half, reach * 0.22, 2.2), "#FFC0B8", 0.5, 1.8)


def between_teeth(face: Face) -> bool:
    """Whether the tongue's tip shows between the teeth (th), not behind the upper ones (l)."""
    return face.tongue > 0 and face.opening < 0.27


def draw_tip(brush: Brush, lips: Lips) -> None:
    reach = lips.inner * 0.42
    top, low = lips.top + min(8.5, 0.42 * lips.gap), lips.bottom + 3
    tip = shape(
        [
            (-reach, top + 3),
            (-reach * 0.5, top + 0.5),
            (0, top),
            (reach * 0.5, top + 0.5),
            (reach, top + 3),
            (reach * 0.86, low - 3),
            (reach * 0.4, low),
            (-reach * 0.4, low),
            (-reach * 0.86, low - 3),
        ]
    )
    brush.fill(tip, "#2E0E0D", 0.5, 3)
    brush.fill(
        tip,
        slope(
            (0, top),
            (0, low),
            (0, mix(TONGUE, MOUTH, 0.35), 1),
            (0.5, "#CC7872", 1),
            (1, "#AE565A", 1),
        ),
    )
    with brush.inside(tip):
        brush.line(curve([(0, top), (0, low - 3)]), "#8E3A40", 2.4, 0.4, 1.4)
        brush.fill(oval(-reach * 0.34, (top + low) / 2 + 2, 4, 1.3), "#FFD9D0", 0.55, 1.0)


# Eyes and brows.


def draw_eye(brush: Brush, side: int, face: Face) -> None:
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


def draw_eyeball(brush: Brush, opening: skia.Path, side: int, face: Face, centre: Point) -> None:
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


def draw_brow(brush: Brush, side: int, face: Face) -> None:
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


# The hand that waves.

ELBOW: Final = (404.0, 1240.0)
WRIST: Final = (340.0, 838.0)
FINGERS: Final = (
    # Root, middle, tip, radii: index, middle, ring and little finger, then the thumb.
    ((280, 642), (268, 576), (260, 522), (19.5, 17.5, 14.5)),
    ((316, 630), (312, 552), (308, 494), (20.5, 18.0, 15.0)),
    ((352, 636), (358, 564), (362, 510), (19.5, 17.0, 14.0)),
    ((384, 658), (400, 604), (410, 564), (17.0, 14.5, 12.0)),
    ((290, 760), (236, 702), (204, 650), (27.0, 21.0, 15.0)),
)
HAND_SCALE: Final = 2.0
"""Pixels of the hand's relief per unit: it is turned, so finer than it is shown."""


@lru_cache(maxsize=1)
def hand_image() -> tuple[skia.Image, Point]:
    """The hand, upright, its palm to the viewer."""
    box = (150.0, 450.0, 450.0, 920.0)
    ground = Ground.over(box, HAND_SCALE)
    heights, cover = _hand(ground)
    skin = _pixels(
        lit(ground, heights, PALM, shade=_hand_shade(ground, cover), blush=_palm(ground))
    )
    # The cuff's shadow on the wrist.
    dark = 1 - 0.5 * np.exp(-(((ground.y - 852) / 22) ** 2))[..., None]
    return image_of(skin * dark, cover), (box[0], box[1])


@lru_cache(maxsize=1)
def sleeve_image() -> tuple[skia.Image, Point]:
    """The forearm in its sleeve, from the cuff to the elbow."""
    box = (250.0, 810.0, 540.0, 1400.0)
    ground = Ground.over(box, HAND_SCALE)
    heights, cover = _sleeve(ground)
    shade = 0.15 + 0.22 * ground.bump(470, 1080, 70, 280) + 0.30 * smooth((ground.y - 900) / 420)
    return image_of(_pixels(lit(ground, heights, WOOL, shade=shade)), cover), (box[0], box[1])


def _pixels(image: skia.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(image.toarray(colorType=skia.kRGBA_8888_ColorType)[..., :3], np.float64)


def _capsule(
    ground: Ground, points: Sequence[Point], radii: Sequence[float]
) -> tuple[Field, Field]:
    """Height and cover of a limb along `points` with a radius at each."""
    height = np.zeros(ground.x.shape, np.float32)
    outside = np.full(ground.x.shape, np.inf, np.float32)
    for (ax, ay), (bx, by), ra, rb in zip(points, points[1:], radii, radii[1:], strict=False):
        run = (bx - ax) ** 2 + (by - ay) ** 2
        share = np.clip(((ground.x - ax) * (bx - ax) + (ground.y - ay) * (by - ay)) / run, 0, 1)
        far = np.hypot(ground.x - ax - share * (bx - ax), ground.y - ay - share * (by - ay))
        radius = ra + (rb - ra) * share
        height = np.maximum(height, np.sqrt(np.clip(radius**2 - far**2, 0, None)))
        outside = np.minimum(outside, far - radius)
    cover = np.clip(0.5 - outside * ground.scale, 0, 1)
    return height.astype(np.float32), cover.astype(np.float32)


def _palm_outline() -> skia.Path:
    return shape(
        dots(
            "262,646 282,626 316,614 352,620 382,636 404,664 410,708 402,756 388,800 380,850"
            " 384,910 298,910 300,850 286,812 262,782 248,744 250,706 256,676"
        )
    )


def _hand(ground: Ground) -> tuple[Field, Field]:
    palm = _palm_outline()
    heights, cover = 26 * ground.pillow(palm, 13), ground.mask(palm)
    for index, (root, middle, tip, radii) in enumerate(FINGERS):
        limb, seen = _capsule(ground, (root, middle, tip), radii)
        heights = np.maximum(heights, limb * (0.92 if index < 4 else 0.85))
        cover = np.maximum(cover, seen)
    heights = blurred(heights.astype(np.float32), 3.0 * ground.scale)
    heights = heights + 10 * ground.bump(286, 752, 36, 46, -0.5)
    heights = heights + 7 * ground.bump(380, 744, 20, 52)
    for x, y in ((286, 652), (318, 642), (352, 646), (382, 666)):
        heights = heights + 4.0 * ground.bump(x, y, 16, 14)
    heights = heights - 7 * ground.bump(338, 718, 26, 34)
    for text, wide, deep in CREASES:
        heights = heights - deep * ground.ridge(bent(dots(text)), wide)
    return heights.astype(np.float32), cover.astype(np.float32)


CREASES: Final = (
    ("258,690 280,692 300,708 314,736 320,772 316,796", 3.4, 1.3),
    ("256,680 288,688 322,702 350,724 366,744", 3.0, 1.1),
    ("404,694 380,686 350,676 328,662 318,648", 3.0, 1.1),
)
"""The lines of the palm, how wide and how deep."""


def bent(points: Sequence[Point]) -> list[Point]:
    """A smooth line through `points`, in short steps."""
    measure = skia.PathMeasure(curve(points), False)
    count = 24
    places = [measure.getPosTan(measure.getLength() * step / count)[0] for step in range(count + 1)]
    return [(place.x(), place.y()) for place in places]


def _palm(ground: Ground) -> tuple[tuple[str, Field], ...]:
    creases = np.zeros(ground.x.shape, np.float32)
    for text, wide, _ in CREASES:
        creases = np.maximum(creases, ground.ridge(bent(dots(text)), wide * 0.6))
    for root, middle, tip, radii in FINGERS:
        for a, b, share, strength in ((root, middle, 0.55, 0.6), (middle, tip, 0.1, 0.75)):
            x, y = a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
            dx, dy = tip[0] - root[0], tip[1] - root[1]
            size = math.hypot(dx, dy)
            half = radii[1] * 0.55
            line = [
                (x - dy / size * half, y + dx / size * half),
                (x + dx / size * 1.5, y + dy / size * 1.5),
                (x + dy / size * half, y - dx / size * half),
            ]
            creases = np.maximum(creases, strength * ground.ridge(bent(line), 1.6))
    warm = np.zeros(ground.x.shape, np.float32)
    for _, _, tip, radii in FINGERS:
        warm = np.maximum(warm, ground.bump(tip[0], tip[1], radii[2], radii[2] * 1.3))
    warm = np.maximum(warm, 0.8 * ground.bump(288, 752, 32, 38))
    warm = np.maximum(warm, 0.7 * ground.bump(336, 654, 60, 14))
    return (("#D9705A", 0.24 * warm), ("#7A3A28", 0.42 * creases))


def _hand_shade(ground: Ground, cover: Field) -> Field:
    """The back's darker skin shows at the edges; the wrist lies in a little shade."""
    inward = blurred(cover, 4.0 * ground.scale)
    edge = np.clip(1 - (inward - 0.5) / 0.36, 0, 1)
    shade = 0.06 + 0.50 * edge + 0.26 * smooth((ground.y - 790) / 70)
    return np.clip(shade, 0, 0.8).astype(np.float32)


def _cuff() -> skia.Path:
    return shape(dots("294,846 340,838 386,846 392,866 390,914 341,922 292,914 290,866"))


def _sleeve(ground: Ground) -> tuple[Field, Field]:
    outline = shape(
        dots(
            "294,896 341,902 390,896 406,960 432,1060 458,1180 474,1290 474,1420 320,1420 318,1290"
            " 306,1180 296,1060 290,960"
        )
    )
    heights = 66 * ground.pillow(outline, 26) + 16 * ground.pillow(outline, 8)
    cuff = _cuff()
    heights = np.maximum(heights, 30 * ground.pillow(cuff, 10) + 34 * ground.pillow(cuff, 22))
    for text, high in (
        ("424,1060 384,1092 340,1096", 6),
        ("304,1120 352,1154 400,1158", 6),
        ("452,1196 400,1226 360,1230", 6),
    ):
        heights = heights - high * ground.ridge(dots(text), 16)
    heights = heights - 6 * ground.ridge(bent(dots("290,917 341,925 392,917")), 4)
    heights = blurred(heights.astype(np.float32), 2.2 * ground.scale)
    run = (ground.y - 840) / 400
    ribs = np.cos(2 * math.pi * (ground.x - 341 - 44 * run) / (8 + 3 * run))
    cover = np.maximum(ground.mask(outline), ground.mask(cuff))
    return (heights + 0.5 * ribs).astype(np.float32), cover.astype(np.float32)


def wave_pose(index: int) -> tuple[float, float, float]:
    """A frame's way down, and how far forearm and hand are turned (degrees, clockwise).

    The first frames raise the arm, the others swing it from one side to the other.
    """
    if index < RISING:
        rise = float(smooth(np.float32((index + 1) / (RISING + 1))))
        return 620 * (1 - rise), 10 - 5.5 * rise, 4.0 * rise
    swing = 1 - 2 * (index - RISING) / (SWINGING - 1)
    return 0.0, 4.5 * swing, 9.0 * swing


def wave_order() -> list[int]:
    """The frames as they are shown, 25 a second: up, to and fro, down."""
    swings = WAVE_SHOWN - 2 * RISING
    middle = (SWINGING - 1) / 2
    to_and_fro = [
        RISING + round(middle - middle * math.cos(2 * math.pi * SWINGS * step / (swings - 1)))
        for step in range(swings)
    ]
    return [*range(RISING), *to_and_fro, *reversed(range(RISING))]


def draw_wave(brush: Brush, index: int) -> None:
    down, forearm, hand = wave_pose(index)
    left, top, right, bottom = WAVE_BOX
    with brush.layer():
        brush.canvas.translate(0, down)
        with brush.turned(forearm, *ELBOW):
            with brush.turned(hand, *WRIST):
                image, corner = hand_image()
                brush.relief(image, *corner, 1 / HAND_SCALE)
            image, corner = sleeve_image()
            brush.relief(image, *corner, 1 / HAND_SCALE)
        brush.canvas.translate(0, -down)
        # It ends softly on the sleeve of the arm that hangs down behind it.
        paint = skia.Paint(BlendMode=skia.BlendMode.kDstIn)
        paint.setShader(
            slope((0, bottom - 90), (0, bottom - 6), (0, "#FFFFFF", 1), (1, "#FFFFFF", 0))
        )
        brush.canvas.drawRect(
            skia.Rect.MakeLTRB(left - 99, top - 99, right + 99, bottom + 99), paint
        )


# The whole of him.


def draw_figure(brush: Brush, face: Face) -> None:
    draw_ears(brush)
    draw_neck(brush)
    draw_clothes(brush)
    draw_skin(brush, face)
    draw_sides(brush)
    draw_beard(brush, face)
    draw_rim(brush, face)
    draw_nose(brush, face)
    draw_mouth(brush, face)
    for side in (-1, 1):
        draw_eye(brush, side, face)
        draw_brow(brush, side, face)
    draw_hair(brush)
    draw_glasses(brush)


def draw_wall(brush: Brush) -> None:
    """A dark plum wall with a warm light on it, low behind his shoulder."""
    whole = skia.Path.Rect(skia.Rect.MakeWH(1024, 1024))
    brush.fill(
        whole,
        slope((0, 0), (1024, 1024), (0, "#4A2F36", 1), (0.5, "#38242D", 1), (1, "#241820", 1)),
    )
    stops = [
        (share / 12, "#B0684C", 0.62 * math.exp(-4 * (share / 12) ** 2) * (1 - (share / 12) ** 4))
        for share in range(13)
    ]
    brush.fill(whole, glow((600, 470), 760, *stops))


def on_figure(box: tuple[int, int, int, int]) -> list[int]:
    """`box` in the figure's pixels, which are counted from its left edge."""
    left, top, right, bottom = box
    return [left + LEFT, top, right + LEFT, bottom]


def states() -> dict[str, tuple[tuple[int, int, int, int], list[Face]]]:
    """The faces of every sheet, in its order, and the box that it shows."""

    def mouths(openings: Sequence[float], widths: Sequence[float], smile: float) -> list[Face]:
        return [Face(opening=o, width=w, smile=smile) for o in openings for w in widths]

    return {
        "mouths.webp": (MOUTH_BOX, mouths(OPENINGS, WIDTHS, 0)),
        "mouths_happy.webp": (MOUTH_BOX, mouths(MOOD_OPENINGS, MOOD_WIDTHS, 1)),
        "mouths_sad.webp": (MOUTH_BOX, mouths(MOOD_OPENINGS, MOOD_WIDTHS, -1)),
        "mouths_contact.webp": (
            MOUTH_BOX,
            [Face(opening=o, width=w, teeth=t, tongue=g) for o, w, t, g in CONTACTS],
        ),
        "eyes.webp": (EYES_BOX, [Face(lid=lid, gaze=gaze) for lid in LIDS for gaze in GAZES]),
        "eyes_squint.webp": (
            EYES_BOX,
            [Face(lid=lid, gaze=g, squint=1) for lid in SQUINT_LIDS for g in SQUINT_GAZES],
        ),
        "brows.webp": (BROWS_BOX, [Face(raised=r, slant=s) for r in RAISED for s in SLANTS]),
        "brows_skew.webp": (BROWS_BOX, [Face(raised=r, skew=1) for r in SKEW_RAISED]),
    }


SOFT: Final = (
    "mouths.webp",
    "mouths_happy.webp",
    "mouths_sad.webp",
    "mouths_contact.webp",
    "wave.webp",
)
"""Large sheets that are written with a loss that nobody sees: a fifth of the size."""
SOFT_QUALITY: Final = 96


def wave_sheet() -> Image.Image:
    left, top, right, bottom = WAVE_BOX
    column = Image.new("RGBA", (right - left, (bottom - top) * WAVE_FRAMES))
    for index in range(WAVE_FRAMES):
        column.paste(render(partial(draw_wave, index=index), WAVE_BOX), (0, index * (bottom - top)))
    return column


def manifest() -> dict[str, object]:
    return {
        "version": 2,
        "title": "Leo",
        "licence": "Apache-2.0",
        "made_by": "benchmarks/art/leo.py",
        "figure": "figure.webp",
        "figure_height": HEIGHT,
        "wall": "wall.webp",
        "frame": on_figure((-FRAME // 2, 0, FRAME // 2, FRAME)),
        "head": {"box": on_figure(HEAD_BOX), "fade": list(HEAD_FADE)},
        "face": {"box": on_figure(FACE_BOX), "fade": list(FACE_FADE)},
        "shoulders": {"from": NECK_Y, "to": SHOULDER_Y},
        "mouth": {
            "box": on_figure(MOUTH_BOX),
            "inside": on_figure(LIPS_BOX),
            "sheets": [
                {"file": "mouths.webp", "axes": {"opening": OPENINGS, "width": WIDTHS}},
                *(
                    {
                        "file": file,
                        "axes": {"opening": MOOD_OPENINGS, "width": MOOD_WIDTHS},
                        "always": {"smile": smile},
                    }
                    for file, smile in (("mouths_happy.webp", 1), ("mouths_sad.webp", -1))
                ),
                {
                    "file": "mouths_contact.webp",
                    "states": [
                        {"opening": o, "width": w, **({"teeth": t} if t else {"tongue": g})}
                        for o, w, t, g in CONTACTS
                    ],
                },
            ],
        },
        "eyes": {
            "box": on_figure(EYES_BOX),
            "sheets": [
                {"file": "eyes.webp", "axes": {"lid": LIDS, "gaze": GAZES}},
                {
                    "file": "eyes_squint.webp",
                    "axes": {"lid": SQUINT_LIDS, "gaze": SQUINT_GAZES},
                    "always": {"squint": 1},
                },
            ],
        },
        "brows": {
            "box": on_figure(BROWS_BOX),
            "sheets": [
                {"file": "brows.webp", "axes": {"raised": RAISED, "slant": SLANTS}},
                {
                    "file": "brows_skew.webp",
                    "states": [{"raised": raised, "skew": 1} for raised in SKEW_RAISED],
                },
            ],
        },
        "overlays": {
            "wave": {"file": "wave.webp", "box": on_figure(WAVE_BOX), "frames": WAVE_FRAMES}
        },
        "gestures": {
            "wave_hello": {
                "seconds": WAVE_SECONDS,
                "keys": WAVE_KEYS,
                "overlay": "wave",
                "frames": wave_order(),
                "expression": ["happy", 0.7],
            }
        },
    }


def write(folder: Path) -> None:
    """Every file of the character, and the manifest that says what they are."""
    rest = partial(draw_figure, face=Face())
    images = {
        "figure.webp": render(rest, (-LEFT, 0, WIDTH - LEFT, HEIGHT)),
        "wall.webp": render(draw_wall, (0, 0, FRAME, FRAME)).convert("RGB").resize((256, 256)),
        "wave.webp": wave_sheet(),
    }
    for file, (box, faces) in states().items():
        images[file] = sheet([partial(draw_figure, face=face) for face in faces], box, rest)
    save(folder, {name: images[name] for name in images if name not in SOFT}, manifest())
    for name in SOFT:
        images[name].save(folder / name, quality=SOFT_QUALITY, alpha_quality=100, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw Leo into a character folder.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
