"""The brush that the shipped characters are painted with: colours, curves, gradients, light.

Everything is drawn with Skia in the units of a square frame of 1024, supersampled, and comes
out the same, byte for byte, with the same versions of Skia, numpy and Pillow. A character's own
file says what is drawn; `sheets` cuts it into a folder. Needs the extra ``art``.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information
from PIL import Image

Point = tuple[float, float]

SUPERSAMPLING: Final = 2


def colour(text: str, alpha: float = 1.0) -> int:
    """Skia's colour from ``#RRGGBB``."""
    value = int(text[1:], 16)
    return int(skia.ColorSetARGB(round(255 * alpha), value >> 16, value >> 8 & 255, value & 255))


def mix(first: str, second: str, share: float) -> str:
    """The colour that is `share` of the way from the first to the second."""
    pairs = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def dots(text: str) -> list[Point]:
    """Points from ``x,y x,y ...``."""
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def mirrored(points: Sequence[Point]) -> list[Point]:
    """A symmetric outline from its right half, given from top to bottom."""
    return [*points, *((-x, y) for x, y in reversed(points) if x)]


def curve(points: Sequence[Point], *, closed: bool = False) -> skia.Path:
    """A smooth line through `points` (Catmull-Rom)."""
    count = len(points)

    def at(index: int) -> Point:
        return points[index % count] if closed else points[min(max(index, 0), count - 1)]

    path = skia.PathBuilder()
    path.moveTo(*points[0])
    for index in range(count if closed else count - 1):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = (at(index + step) for step in (-1, 0, 1, 2))
        path.cubicTo(
            bx + (cx - ax) / 6, by + (cy - ay) / 6, cx - (dx - bx) / 6, cy - (dy - by) / 6, cx, cy
        )
    if closed:
        path.close()
    return path.detach()


def shape(points: Sequence[Point]) -> skia.Path:
    return curve(points, closed=True)


def oval(x: float, y: float, rx: float, ry: float) -> skia.Path:
    return skia.Path.Oval(skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry))


def slope(a: Point, b: Point, *stops: tuple[float, str, float]) -> skia.Shader:
    """A gradient from `a` to `b`: (place, colour, alpha) each."""
    return skia.GradientShader.MakeLinear(
        [skia.Point(*a), skia.Point(*b)],
        [colour(c, o) for _, c, o in stops],
        [p for p, _, _ in stops],
    )


def glow(centre: Point, radius: float, *stops: tuple[float, str, float]) -> skia.Shader:
    """A round gradient."""
    return skia.GradientShader.MakeRadial(
        skia.Point(*centre), radius, [colour(c, o) for _, c, o in stops], [p for p, _, _ in stops]
    )


class Brush:
    """A canvas with the few strokes that this drawing is made of."""

    def __init__(self, canvas: skia.Canvas) -> None:
        self.canvas = canvas

    def paint(self, ink: str | skia.Shader, alpha: float, blur: float) -> skia.Paint:
        paint = skia.Paint(AntiAlias=True, Dither=True)
        if isinstance(ink, str):
            paint.setColor(colour(ink, alpha))
        else:
            paint.setShader(ink)
            paint.setAlphaf(alpha)
        if blur:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        return paint

    def fill(
        self, path: skia.Path, ink: str | skia.Shader, alpha: float = 1.0, blur: float = 0.0
    ) -> None:
        self.canvas.drawPath(path, self.paint(ink, alpha, blur))

    def line(
        self,
        path: skia.Path,
        ink: str | skia.Shader,
        width: float,
        alpha: float = 1.0,
        blur: float = 0.0,
    ) -> None:
        paint = self.paint(ink, alpha, blur)
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
        paint.setStrokeWidth(width)
        self.canvas.drawPath(path, paint)

    def still(self, draw: "Callable[[Brush], None]") -> None:
        """What `draw` draws and always draws alike: it is worked out once only."""
        self.canvas.drawPicture(_recorded(draw))

    def relief(self, image: skia.Image, left: float, top: float, scale: float = 1.0) -> None:
        """An image, its left upper corner at that place, one of its pixels `scale` units wide."""
        rect = skia.Rect.MakeXYWH(left, top, image.width() * scale, image.height() * scale)
        self.canvas.drawImageRect(image, rect, skia.SamplingOptions(skia.CubicResampler.Mitchell()))

    @contextmanager
    def layer(
        self, alpha: float = 1.0, blend: skia.BlendMode = skia.BlendMode.kSrcOver, blur: float = 0.0
    ) -> Iterator[None]:
        """What is drawn within is put down as one: together transparent, multiplied, blurred."""
        paint = skia.Paint(Alphaf=alpha, BlendMode=blend)
        if blur:
            paint.setImageFilter(skia.ImageFilters.Blur(blur, blur))
        self.canvas.saveLayer(None, paint)
        yield
        self.canvas.restore()

    @contextmanager
    def turned(self, degrees: float, x: float, y: float) -> Iterator[None]:
        """What is drawn within is turned clockwise about a place."""
        self.canvas.save()
        self.canvas.rotate(degrees, x, y)
        yield
        self.canvas.restore()

    @contextmanager
    def sized(self, scale: float, x: float, y: float) -> Iterator[None]:
        """What is drawn within is made larger about a place."""
        self.canvas.save()
        self.canvas.translate(x, y)
        self.canvas.scale(scale, scale)
        self.canvas.translate(-x, -y)
        yield
        self.canvas.restore()

    @contextmanager
    def inside(self, path: skia.Path) -> Iterator[None]:
        """What is drawn within stays within `path`."""
        self.canvas.save()
        self.canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        yield
        self.canvas.restore()


@cache
def _recorded(draw: Callable[[Brush], None]) -> skia.Picture:
    recorder = skia.PictureRecorder()
    draw(Brush(recorder.beginRecording(skia.Rect.MakeLTRB(-4000, -4000, 4000, 4000))))
    return recorder.finishRecordingAsPicture()


def taper(points: Sequence[Point], widths: Sequence[float]) -> skia.Path:
    """A stroke of changing width along `points`, as an outline: brows, lashes, locks."""
    left, right = [], []
    for index, ((x, y), width) in enumerate(zip(points, widths, strict=True)):
        ax, ay = points[max(index - 1, 0)]
        bx, by = points[min(index + 1, len(points) - 1)]
        length = math.hypot(bx - ax, by - ay) or 1.0
        nx, ny = (ay - by) / length * width / 2, (bx - ax) / length * width / 2
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    return shape([*left, *reversed(right)])


def between(first: Sequence[Point], second: Sequence[Point], share: float) -> list[Point]:
    """The line that is `share` of the way from one guide to another with as many points."""
    return [
        (ax + (bx - ax) * share, ay + (by - ay) * share)
        for (ax, ay), (bx, by) in zip(first, second, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Fibre:
    """The colours of hair: in the depth, of its mass, where light lies, and on the very crest."""

    dark: str
    mid: str
    light: str
    crest: str


def lock(
    brush: Brush,
    first: Sequence[Point],
    second: Sequence[Point],
    fibre: Fibre,
    *,
    seed: int,
    shine: float = 0.35,
    light: float = 1.0,
    round_: float = 1.0,
) -> None:
    """A lock of hair between two edges, given from root to tip by as many points each.

    It is round: dark along both edges (`round_` says how much) and lit on its middle, brightest
    at the share `shine` of its length. The strands along it come from `seed`.
    """
    outline = shape([*first, *reversed(second)])
    dice = random.Random(seed)
    root, tip = between(first, second, 0.5)[0], between(first, second, 0.5)[-1]
    wide = max(math.dist(a, b) for a, b in zip(first, second, strict=True))
    brush.fill(
        outline,
        slope(
            root,
            tip,
            (0.0, mix(fibre.mid, fibre.dark, 0.55), 1),
            (shine, mix(fibre.mid, fibre.light, 0.35 * light), 1),
            (min(1.0, shine + 0.4), mix(fibre.mid, fibre.dark, 0.25), 1),
            (1.0, mix(fibre.mid, fibre.dark, 0.55), 1),
        ),
    )
    with brush.inside(outline):
        for edge, strength in ((first, 0.6), (second, 0.85)):
            brush.line(curve(edge), fibre.dark, wide * 0.3, strength * round_, wide * 0.11 + 0.5)
        middle = curve(between(first, second, 0.42))
        glint = slope(
            root,
            tip,
            (max(0.0, shine - 0.3), fibre.light, 0.0),
            (shine, fibre.crest, 0.75),
            (min(1.0, shine + 0.3), fibre.light, 0.0),
        )
        brush.line(middle, glint, wide * 0.24, light, wide * 0.09 + 0.5)
        for _ in range(max(8, round(wide / 1.5))):
            share = dice.random()
            crest = math.sin(math.pi * share) ** 0.7
            wander = [p + dice.uniform(-0.05, 0.05) for p in (share, share, share)]
            line = [
                between([a], [b], min(1.0, max(0.0, wander[0] + (wander[2] - wander[0]) * i)))[0]
                for a, b, i in zip(
                    first, second, np.linspace(0, 1, len(first)).tolist(), strict=True
                )
            ]
            band = min(0.9, max(0.1, shine + dice.uniform(-0.12, 0.12)))
            if dice.random() < 0.42:
                ink = slope(
                    root, tip, (0, fibre.dark, 0.5), (band, fibre.dark, 0.16), (1, fibre.dark, 0.5)
                )
                strength = 0.45
            else:
                ink = slope(
                    root,
                    tip,
                    (0, fibre.light, 0.05),
                    (band, mix(fibre.light, fibre.crest, dice.random()), 0.8),
                    (min(1.0, band + 0.35), fibre.light, 0.08),
                    (1, fibre.light, 0.12),
                )
                strength = 0.42 * light * crest
            brush.line(curve(line), ink, dice.uniform(0.8, 2.2), strength, 0.3)


def render(draw: Callable[[Brush], None], box: tuple[float, float, float, float]) -> Image.Image:
    """What `draw` draws within `box`, supersampled, as RGBA with straight alpha."""
    left, top, right, bottom = box
    width, height = round(right - left), round(bottom - top)
    scale = SUPERSAMPLING
    surface = skia.Surface(width * scale, height * scale)
    canvas = surface.getCanvas()
    canvas.clear(0)
    canvas.scale(scale, scale)
    canvas.translate(-left, -top)
    draw(Brush(canvas))
    pixels = surface.makeImageSnapshot().toarray(
        colorType=skia.kRGBA_8888_ColorType, alphaType=skia.kUnpremul_AlphaType
    )
    image = Image.fromarray(np.ascontiguousarray(pixels), "RGBA")
    return image.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
