"""What Leo wears: an ochre jumper with a ribbed collar."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Brush, Point, curve, dots, mirrored, shape
from art.leo_look import SKIN_DEEP, WOOL
from art.sculpt import PixelGrid, blurred, lit, smooth

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
    raster = PixelGrid.over(box)
    outline = body_outline()
    x, y = raster.x, raster.y
    heights = 110 * raster.pillow(outline, 52) + 26 * raster.pillow(outline, 18)
    heights = heights + 90 * raster.bump(0, 960, 300, 330)
    for side in (-1, 1):
        arm = [(side * px, py) for px, py in dots("338,1040 348,1130 362,1270 376,1540")]
        start = smooth((y - 980) / 150)
        heights = heights - 26 * raster.ridge(arm, 12) * start
        heights = heights + 34 * raster.ridge([(px + side * 74, py) for px, py in arm], 52) * start
        heights = heights + 26 * raster.bump(side * 150, 1000, 130, 100)
        heights = heights + 16 * raster.bump(side * 390, 930, 60, 60)
        raglan = [(side * px, py) for px, py in dots("146,790 196,872 262,956 334,1030")]
        heights = heights - 4.0 * raster.ridge(raglan, 3.4)
        for fold, high in (
            ("300,1046 250,1084 190,1106", 7),
            ("306,1076 266,1128 226,1170", 6),
            ("412,1030 440,1084 480,1116", 6),
            ("404,1084 440,1150 484,1180", 5),
        ):
            line = [(side * px, py) for px, py in dots(fold)]
            heights = heights - high * raster.ridge(line, 17)
    heights = heights - 6 * raster.ridge([(0, 900), (10, 1000)], 50)
    # Ribs that run down the body and out along the sleeves.
    sleeve = smooth((np.abs(x) - 334 - 0.07 * np.clip(y - 1030, 0, None)) / 8) * smooth(
        (y - 1000) / 60
    )
    slant = (np.abs(x) - 0.09 * (y - 900)) * np.sign(x)
    ribs = np.cos(2 * math.pi * x / 11) * (1 - sleeve)
    ribs = ribs + np.cos(2 * math.pi * slant / 11) * sleeve
    heights = blurred(heights, 3) + 0.5 * ribs
    neck = raster.distance(dots(NECKLINE))
    shade = 0.40 * np.exp(-(((neck - 12) / 26) ** 2)) * smooth((neck - 8) / 20)
    shade = shade + 0.13 + 0.20 * raster.bump(330, 1150, 190, 360) + 0.34 * smooth((y - 860) / 560)
    return lit(raster, heights, WOOL, shade=np.clip(shade, 0, 0.8)), (
        box[0],
        box[1],
    )


@lru_cache(maxsize=1)
def collar_relief() -> tuple[skia.Image, Point, skia.Path]:
    top = dots(NECKLINE)
    low = [(x * 1.17, y + 32 - 16 * abs(x / 140) ** 2) for x, y in top]
    outline = shape([*top, *reversed(low)])
    box = (-190.0, 730.0, 190.0, 910.0)
    raster = PixelGrid.over(box)
    heights = 15 * raster.pillow(outline, 8)
    angle = np.arctan2(raster.x, raster.y - 684)
    heights = blurred(heights, 1.2) + 0.9 * np.cos(angle * 115 / 1.0)
    shade = 0.30 * raster.bump(110, 830, 70, 70)
    return lit(raster, heights, replace(WOOL, reach=8), shade=shade), (box[0], box[1]), outline


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
