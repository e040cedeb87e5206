"""Leo's face, nose, ears and neck."""

from functools import lru_cache

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Brush, Point, curve, dots, mirrored, oval, shape
from art.leo_look import CHIN_Y, SKIN, SKIN_DEEP, SKIN_LIGHT, LeoFace, face_points, jaw_drop
from art.sculpt import Field, PixelGrid, blurred, lit, smooth


@lru_cache(maxsize=4)
def face_relief(mouth: LeoFace) -> tuple[skia.Image, Point]:
    """The skin of the face, and its left upper corner."""
    box = (-200.0, 130.0, 200.0, 780.0)
    raster = PixelGrid.over(box)
    drop = jaw_drop(mouth)
    heights = _head(raster, drop) + _features(raster, mouth, drop)
    heights = blurred(heights, 3.0)
    temple = 0.30 * raster.bump(185, 430, 60, 330) + 0.10 * raster.bump(-185, 520, 40, 200)
    under = 0.30 * smooth((raster.y - (CHIN_Y - 26 + drop)) / 40)
    hairline = 0.34 * np.clip(1 - (raster.y - 212) / 62, 0, 1) ** 1.6
    shade = np.clip(temple + under + hairline, 0, 0.75)
    red = 0.20 * raster.bump(-98, 522, 46, 32) + 0.12 * raster.bump(98, 522, 46, 32)
    red = red + 0.20 * raster.bump(0, 536, 34, 20)
    return lit(raster, heights, SKIN, shade=shade, blush=(("#C0523A", red),)), (box[0], box[1])


def _head(raster: PixelGrid, drop: float) -> Field:
    outline = shape(face_points(drop))
    return 120 * raster.pillow(outline, 66) + 46 * raster.pillow(outline, 20)


def _features(raster: PixelGrid, mouth: LeoFace, drop: float) -> Field:
    x, y, bump = raster.x, raster.y, raster.bump
    jaw = drop * smooth((y - 560) / 110)
    low = PixelGrid(raster.left, raster.top, raster.scale, x, y - jaw)
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
        heights = heights - (3.5 + 5 * smile + 2 * sad) * raster.ridge(fold, 8)
        down = [(side * 78, 618 + 0.6 * drop), (side * 90, 650 + 0.8 * drop)]
        heights = heights - 4 * sad * raster.ridge(down, 7)
        heights = heights - 4 * low.bump(side * 126, 580, 30, 46)
        heights = heights - 9 * bump(side * 150, 340, 22, 54)
    pout = mouth.rounded
    heights = heights + (13 + 6 * pout) * low.bump(0, 600, 62 - 10 * pout, 40)
    heights = heights - 4 * bump(0, 572, 7, 10)
    heights = heights - 11 * low.bump(0, 641, 32, 9)
    return heights + (17 + 3 * sad) * low.bump(0, 672, 38, 20)


def draw_skin(brush: Brush, face: LeoFace) -> None:
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


def draw_rim(brush: Brush, face: LeoFace) -> None:
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
    raster = PixelGrid.over(box)
    heights = 80 * raster.pillow(outline, 56) + 20 * raster.pillow(outline, 14)
    for side in (-1, 1):
        heights = heights + 4 * raster.ridge([(side * 92, 690), (side * 20, 836)], 17)
        heights = heights + 9 * raster.ridge([(side * 170, 824), (side * 34, 836)], 12)
    heights = heights - 9 * raster.bump(0, 842, 20, 16) + 6 * raster.bump(0, 752, 16, 20)
    cast = shape(dots("-150,540 150,540 140,690 108,752 34,782 -30,776 -84,742 -128,680"))
    shade = 0.62 * blurred(raster.mask(cast), 13) + 0.22 * raster.bump(120, 720, 50, 190)
    image = lit(raster, blurred(heights, 2), SKIN, shade=np.clip(shade, 0, 0.8))
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
    raster = PixelGrid.over(box)
    heights = 22 * raster.pillow(outline, 7)
    heights = heights - 12 * raster.ridge(at("166,438 177,440 179,464 174,490"), 5)
    heights = heights - 14 * raster.bump(side * 163, 476, 8, 20)
    heights = heights + 6 * raster.ridge(at("169,458 171,482 166,504"), 4)
    shade = 0.42 * raster.bump(side * 150, 470, 20, 90)
    return lit(raster, blurred(heights, 1.6), SKIN, shade=shade), (box[0], box[1]), outline


def draw_nose(brush: Brush, face: LeoFace) -> None:
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
