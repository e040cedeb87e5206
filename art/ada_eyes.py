"""Ada's eyes and brows."""

import math
import random
from typing import Final

import numpy as np

from art.ada_look import EYE_X, EYE_Y, HAIR, LINE, SKIN_DEEP, SKIN_LIGHT, AdaFace
from art.brush import Brush, Point, curve, glow, mix, oval, shape, slope, taper

IRIS_RADIUS: Final = 30.0
SIZE: Final = 1.17
GAZE_X: Final = 14.0
GAZE_Y: Final = 8.5

INNER: Final = (-46.0, 10.0)
OUTER: Final = (48.0, -4.0)
UPPER: Final = ((-37, -4), (-24, -17.5), (-4, -25.5), (16, -24.5), (34, -16))
UPPER_SHUT: Final = ((-37, 12), (-22, 17.5), (-2, 20.5), (18, 18), (35, 10))
UPPER_MOVES: Final = (0.45, 0.85, 1.0, 0.95, 0.55)
LOWER: Final = ((36, 9), (16, 18.5), (-6, 20.5), (-28, 16.5))
LOWER_SHUT: Final = ((36, 10.5), (18, 18.8), (-4, 21.0), (-26, 17.0))
LOWER_MOVES: Final = (0.6, 1.0, 1.0, 0.75)
CREASE: Final = ((-46, -1), (-31, -22), (-5, -37), (20, -36), (42, -25), (55, -10))
CREASE_SHUT: Final = ((-45, 2), (-30, -11), (-4, -21), (20, -20), (41, -13), (54, -6))


class AdaEye:
    """The lines of one eye in one state; `at` counts x from its middle towards the temple."""

    def __init__(self, side: int, face: AdaFace) -> None:
        self.side, self.face = side, face
        shut = max(face.lid, 0.0)
        wide = max(-face.lid, 0.0) / 0.3
        look = face.gaze[1] * 3.0 * (1 - shut)
        squeeze = (0.28 + 0.72 * face.squint) * (1 - shut)

        def blend(opened: tuple[Point, ...], closed: tuple[Point, ...]) -> list[Point]:
            return [
                (ax + (bx - ax) * shut, ay + (by - ay) * shut)
                for (ax, ay), (bx, by) in zip(opened, closed, strict=True)
            ]

        up = 3.8 - 8.5 * wide + look + 4.0 * squeeze
        # The lids' middles move most; their ends stay.
        upper = [
            (x, y + up * share)
            for (x, y), share in zip(blend(UPPER, UPPER_SHUT), UPPER_MOVES, strict=True)
        ]
        low = 0.35 * look - 8.5 * squeeze + 1.5 * wide
        lower = [
            (x, y + low * share)
            for (x, y), share in zip(blend(LOWER, LOWER_SHUT), LOWER_MOVES, strict=True)
        ]
        crease = blend(CREASE, CREASE_SHUT)
        self.upper = [self.at(p) for p in (INNER, *upper, OUTER)]
        self.lower = [self.at(p) for p in lower]
        fold = -4.0 * wide + 0.5 * look + 2.0 * squeeze
        self.crease = [self.at((x, y + fold)) for x, y in crease]
        self.opening = shape([*self.upper, *self.lower])
        self.shut = shut

    def at(self, point: Point) -> Point:
        return self.side * (EYE_X + SIZE * point[0]), EYE_Y + SIZE * point[1]


def draw_eye(brush: Brush, side: int, face: AdaFace) -> None:
    eye = AdaEye(side, face)
    draw_lid(brush, eye)
    if face.lid < 1:
        draw_eyeball(brush, eye)
    draw_lower_lid(brush, eye)
    draw_lashes(brush, eye)


def draw_lid(brush: Brush, eye: AdaEye) -> None:
    lid = shape([*eye.crease, *reversed(eye.upper)])
    middle = eye.at((2, -26 + 24 * eye.shut))
    brush.fill(
        lid,
        slope(
            eye.at((0, -38 + 18 * eye.shut)),
            eye.at((0, -20 + 40 * eye.shut)),
            (0, "#C98468", 0.55),
            (0.35, "#E9AE8E", 0.75),
            (0.75, "#DB9A7C", 0.75),
            (1, "#B4705A", 0.85),
        ),
        1.0,
        1.0,
    )
    with brush.inside(lid):
        brush.fill(oval(*middle, 20, 4.5 + 6 * eye.shut), SKIN_LIGHT, 0.55, 4)
    brush.line(curve(eye.crease), SKIN_DEEP, 5, 0.22, 3.0)
    widths = [0.5, 1.8, 2.4, 2.4, 1.8, 0.5]
    brush.fill(taper(eye.crease, widths), mix(SKIN_DEEP, LINE, 0.25), 0.75, 0.7)


def draw_eyeball(brush: Brush, eye: AdaEye) -> None:
    x0, y0 = eye.at((0, 0))
    side, face = eye.side, eye.face
    brush.fill(
        eye.opening,
        glow((x0 - 3, y0 + 2), 54, (0, "#FFFDFA", 1), (0.5, "#F6EFEA", 1), (1, "#C9B3AE", 1)),
    )
    with brush.inside(eye.opening):
        x = x0 - side * 2.0 + face.gaze[0] * GAZE_X
        y = y0 - 3.0 + face.gaze[1] * GAZE_Y
        brush.fill(oval(*eye.at((-45, 9)), 9, 7), "#E08F86", 0.85, 2.5)
        brush.fill(oval(*eye.at((-44, 10)), 3, 2), "#FFE3DA", 0.6, 0.8)
        draw_iris(brush, x, y)
        # The lid and its lashes throw a shadow on the ball.
        cast = [(px, py + 7.5) for px, py in eye.upper]
        roof = [(cast[-1][0], y0 - 70), (cast[0][0], y0 - 70)]
        brush.fill(shape([*cast, *roof]), "#3A2028", 0.55, 4.2)
        brush.line(curve([(px, py + 2) for px, py in eye.upper]), "#1C0D12", 4, 0.5, 2)
        # Catchlights: a soft window from the lamp, and its answer from below.
        brush.fill(oval(x - 9.5, y - 9.5, 7.2, 8.0), "#FFFFFF", 0.98, 0.8)
        brush.fill(oval(x + 11, y + 12, 3.6, 3.2), "#FFFFFF", 0.55, 1.1)


def draw_iris(brush: Brush, x: float, y: float) -> None:
    r = IRIS_RADIUS
    brush.fill(oval(x, y, r + 0.6, r + 0.6), "#16262A", 0.95, 1.3)
    brush.fill(
        oval(x, y, r - 1.2, r - 1.2),
        glow(
            (x + 3.5, y + 9),
            r * 1.25,
            (0, "#B4D2A4", 1),
            (0.3, "#74AC97", 1),
            (0.62, "#387873", 1),
            (1, "#173E46", 1),
        ),
    )
    dice = random.Random(7)
    for _ in range(64):
        angle = dice.uniform(0, 2 * math.pi)
        ends = [
            (x + radius * math.cos(angle), y + radius * math.sin(angle))
            for radius in (dice.uniform(12, 14.5), dice.uniform(18, r - 2.5))
        ]
        brush.line(curve(ends), dice.choice(["#D9EDC0", "#123A40"]), 1.5, 0.17, 0.4)
    brush.fill(oval(x, y, 16, 16), "#C79A56", 0.34, 2.6)
    brush.fill(oval(x, y, 12.2, 12.2), "#0B1012", 1.0, 0.7)
    with brush.inside(oval(x, y, r - 1, r - 1)):
        brush.fill(oval(x + 2, y + 20, 15, 7), "#E2F4CF", 0.38, 4.0)


def draw_lower_lid(brush: Brush, eye: AdaEye) -> None:
    rim = [eye.upper[-1], *eye.lower, eye.upper[0]]
    visible = 1 - eye.shut
    inside = [(x, y - 1.4) for x, y in rim[1:-1]]
    brush.line(curve(inside), "#F7C6B4", 2.6, 0.75 * visible, 0.8)
    below = [(x, y + 1.0) for x, y in rim]
    brush.fill(taper(below, [1.6, 2.2, 2.0, 1.6, 1.2, 0.8]), "#7A3C38", 0.55 * visible, 0.6)
    # The soft bag under the eye, full when she smiles.
    lift = 5.0 * eye.face.squint
    bag = [eye.at(p) for p in ((-36, 27 - lift), (-6, 34 - lift), (26, 29 - lift))]
    brush.line(curve(bag), "#B9674F", 4.5, 0.10 + 0.24 * eye.face.squint, 3.0)


def draw_lashes(brush: Brush, eye: AdaEye) -> None:
    """One strong line that thickens towards the temple, and lashes that leave it in curves."""
    line = eye.upper
    brush.line(curve(line), LINE, 4, 0.30, 2.4)
    brush.fill(taper(line, [0.6, 2.0, 3.4, 4.6, 5.6, 5.6, 3.0]), LINE)
    down = eye.shut
    for place, long in ((0.90, 10), (0.995, 13)):
        index = place * (len(line) - 1)
        low = min(int(index), len(line) - 2)
        part = index - low
        x = line[low][0] + (line[low + 1][0] - line[low][0]) * part
        y = line[low][1] + (line[low + 1][1] - line[low][1]) * part
        out = (0.1 + 1.0 * place**3) * long
        rise = (-0.8 + 1.35 * down) * long * (1.2 - 0.6 * place)
        hair = [
            (x - eye.side * 2.5, y),
            (x + eye.side * out * 0.55, y + rise * (0.35 + 0.25 * down)),
            (x + eye.side * out, y + rise),
        ]
        brush.fill(taper(hair, [4.5, 2.8, 0.3]), LINE, 0.95)


def draw_brow(brush: Brush, side: int, face: AdaFace) -> None:
    skew = face.skew * (1.0 if side > 0 else -0.25)

    def at(x: float, y: float) -> Point:
        inner = 1 - float(np.interp(x, [-54, 10], [0, 1]))
        arch = float(np.exp(-(((x - 18) / 40) ** 2)))
        rise = face.raised * (12.0 + 3.5 * arch) + skew * (8.0 + 5.0 * arch)
        rise += face.slant * ((16.0 if face.slant > 0 else 8.0) * inner - 5.5 * (1 - inner))
        pinch = -3.5 * abs(face.slant) * inner
        return side * (EYE_X - 3 + 1.04 * x + pinch), 377 + y - rise

    spine = ((-52, -1), (-36, -5), (-8, -11), (24, -13.5), (46, -8.5), (68, 5))
    half = (3.2, 5.8, 6.8, 5.8, 3.8, 0.5)
    body = taper([at(*p) for p in spine], [2 * h for h in half])
    brush.fill(body, mix(HAIR.mid, SKIN_DEEP, 0.35), 0.34, 4.0)
    brush.fill(body, mix(HAIR.mid, HAIR.light, 0.25), 0.62, 1.6)
    dice = random.Random(11)
    xs, ys = [p[0] for p in spine], [p[1] for p in spine]
    for index in range(130):
        x = -52 + index * 0.86 + dice.uniform(-1, 1)
        share = (x + 52) / 112
        y, tall = float(np.interp(x, xs, ys)), float(np.interp(x, xs, half))
        start = dice.uniform(-0.5, 0.8)
        lean = 5 + 9 * share
        hair = [
            at(x, y + tall * start),
            at(x + lean * 0.5, y + tall * (start * 0.8 - 0.5 * (1 - share))),
            at(x + lean, y + tall * (start * 0.5 - 0.8 * (1 - share)) + 1.5 * share),
        ]
        ink = mix(HAIR.dark, HAIR.light, dice.uniform(0.1, 0.6))
        brush.fill(taper(hair, [0.5, 1.5, 0.3]), ink, 0.45)
