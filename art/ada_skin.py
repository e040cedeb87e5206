"""Ada's head: the round form of her face, her ear and her neck, in the light of the room."""

from functools import lru_cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.ada_look import EYE_X, EYE_Y, REST, SKIN, SKIN_DEEP, SKIN_LIGHT, AdaFace
from art.brush import Brush, Point, curve, dots, glow, mirrored, oval, shape, slope
from art.relief import Floats, grid, hill, lit, picture, step_between

MOUTH_TOP: Final = 498
"""Above it nothing changes with the mouth."""
FACE_BOX: Final = (-190, 160, 190, 760)
NECK_BOX: Final = (-260, 540, 260, 960)

OUTLINE: Final[tuple[tuple[float, float, float], ...]] = (
    (0, 172, 0),
    (98, 190, 0),
    (152, 276, 0),
    (168, 372, 0),
    (169, 446, 0),
    (162, 520, 0.02),
    (142, 582, 0.16),
    (105, 636, 0.5),
    (55, 675, 0.9),
    (0, 688, 1.0),
)
"""Half of the face: x, y, and how much of the jaw's drop reaches there."""


def outline(face: AdaFace) -> list[Point]:
    return mirrored([(x, y + share * face.drop) for x, y, share in OUTLINE])


def sinks(y: Floats, face: AdaFace) -> Floats:
    """How far what is at rest at height y goes down with the jaw."""
    return np.asarray(face.drop * step_between(590, 664, y))


def height(x: Floats, y: Floats, face: AdaFace) -> Floats:
    drop = face.drop
    # Where the jaw's parts were before they went down.
    rest_y = y - drop * step_between(596 + 0.2 * drop, 664 + drop, y)
    above, below = np.clip(452 - rest_y, 0, None) / 305, np.clip(rest_y - 452, 0, None) / 262
    radius = np.sqrt((x / 178) ** 2 + above**2 + below**2)
    z = 140 * np.sqrt(1 - np.clip(radius, 0, 0.999) ** 2.3)

    smile, sad = max(face.smile, 0.0), max(-face.smile, 0.0)
    for side in (-1, 1):
        eye = side * EYE_X
        z = z + hill(x, y, (eye, 390), (50, 18), 3.5)
        z = z + hill(x, y, (eye - side * 6, EYE_Y - 4), (46, 27), -13)
        z = z + hill(x, y, (eye, EYE_Y), (33, 24), 11)
        z = z + hill(x, y, (side * 96, 520), (44, 36), 12)
        z = z + hill(x, y, (side * 95, 520 - 4 * smile), (40, 28), 10 * smile)
        z = z + hill(x, y, (side * 150, 395), (24, 50), -5)
        # Wings of the nose.
        z = z + hill(x, y, (side * 22, 535 - smile), (9, 8.5), 10)
        # The fold from the nose to the corner of the mouth.
        z = z + hill(
            x,
            y,
            (side * (58 + 14 * smile), 572 - 6 * smile),
            (8, 24),
            -0.7 - 5.0 * smile,
            side * -32,
        )
        z = z + hill(x, rest_y, (side * 74, 612 + 4 * sad), (13, 12), -3 - 3 * smile - 3 * sad)
    # The nose: a ridge that rises to a round tip and ends above the lip.
    ends = 1 - step_between(532, 570, y)
    along = np.clip((y - 398) / 130, 0, 1)
    ridge = (2 + 17 * along**1.5) * np.exp(-0.5 * (x / (10 + 4 * along)) ** 2)
    z = z + hill(x, y, (0, 398), (24, 26), -4.5)
    z = z + ridge * step_between(380, 430, y) * ends
    z = z + hill(x, y, (0, 529), (16, 13), 11) * ends
    # Around the mouth.
    z = z + hill(x, rest_y, (0, 596), (60, 34), 13)
    z = z + hill(x, y, (0, 570), (5.5, 13), -3.0)
    z = z + hill(x, rest_y, (0, 643), (36, 11), -5)
    return np.asarray(z + hill(x, rest_y, (0, 674), (36, 24), 17))


@lru_cache(maxsize=4)
def skin_picture(face: AdaFace) -> skia.Image:
    colours = _colours(face)
    if face != REST:
        # Cheeks push up under the eyes, but a mouth's sprite ends there: it goes over softly.
        share = step_between(MOUTH_TOP, MOUTH_TOP + 40, grid(FACE_BOX)[1])[..., None]
        colours = _colours(REST) * (1 - share) + colours * share
    return picture(colours)


@lru_cache(maxsize=4)
def _colours(face: AdaFace) -> Floats:
    x, y = grid(FACE_BOX)
    drop = face.drop
    shade = np.zeros_like(x)
    for side in (-1, 1):
        shade += hill(x, y, (side * (EYE_X - 8), 424), (44, 13), 0.13)
        shade += hill(x, y, (side * 33, 438), (11, 20), 0.08)
        shade += hill(x, y, (side * 150, 440), (18, 90), 0.08)
    shade += hill(x, y, (5, 556), (26, 6), 0.04)
    shade += hill(x, y, (17, 474), (6, 46), 0.10)
    shade += hill(x, y, (0, 712 + drop), (120, 16), 0.16)
    forehead = 1 - step_between(150, 330, y + 0.32 * x)
    shade += 0.22 * forehead
    shade += 0.30 * step_between(118, 178, -x - 0.05 * (y - 420))
    cheeks = sum(
        (hill(x, y, (side * 104, 515), (44, 30), 0.36) for side in (-1, 1)),
        np.zeros_like(x),
    )
    warm = (
        cheeks + hill(x, y, (0, 528), (22, 18), 0.30) + hill(x, y, (0, 680 + drop), (34, 18), 0.16)
    )
    eyes = sum(
        (hill(x, y, (side * EYE_X, 430), (46, 16), 0.28) for side in (-1, 1)), np.zeros_like(x)
    )
    return lit(
        height(x, y, face),
        SKIN,
        shade=np.clip(shade, 0, 0.8),
        blush=((np.clip(warm, 0, 1), "#F59A88"), (eyes, "#D99A8C")),
    )


def draw_face(brush: Brush, face: AdaFace) -> None:
    state = AdaFace(opening=face.opening, width=face.width, teeth=face.teeth, smile=face.smile)
    with brush.inside(shape(outline(face))):
        brush.relief(skin_picture(state), FACE_BOX[0], FACE_BOX[1])


def draw_nose(brush: Brush) -> None:
    """What the form alone does not give: nostrils, the wings' soft edge."""
    for side, strength in ((-1, 0.42), (1, 0.60)):
        wing = curve([(side * 28, 525), (side * 32.5, 536), (side * 28.5, 546), (side * 21, 547)])
        brush.line(wing, "#A8573F", 3.6, strength, 2.2)
        nostril = shape([(side * 7, 549), (side * 13, 543.5), (side * 21.5, 546), (side * 16, 551)])
        brush.fill(nostril, "#6B2C28", 0.62, 1.4)
    brush.fill(oval(-4, 522, 7, 5.5), "#FFFFFF", 0.42, 4.5)
    brush.fill(oval(-4, 462, 3.5, 34), "#FFF4E6", 0.28, 5)
    brush.fill(oval(0, 545, 15, 5), "#F6B895", 0.40, 4)
    brush.line(curve(dots("-8,551 0,555 8,551")), SKIN_DEEP, 3, 0.35, 1.8)


@lru_cache(maxsize=2)
def neck_picture() -> skia.Image:
    x, y = grid(NECK_BOX)
    open_ = step_between(710, 830, y)
    wide = 92 + 150 * open_
    across = np.clip(np.abs(x) / wide, 0, 0.999)
    z = 95 * np.sqrt(1 - across**2.2) * (1 - 0.35 * open_)
    for side in (-1, 1):
        z = z + hill(x, y, (side * (42 - 0.0), 742), (11, 70), 4.5, side * 22)
        z = z + hill(x, y, (side * 104, 806), (62, 10), 5.5, side * -5)
        z = z + hill(x, y, (side * 90, 786), (40, 16), -4, side * -8)
    z = z + hill(x, y, (0, 818), (14, 13), -5)
    shade = 0.62 * (1 - step_between(-26, 46, y - 716 - 0.16 * x + 0.0016 * x * x))
    shade += 0.30 * step_between(30, 96, x) * (1 - open_)
    shade += 0.5 * step_between(56, 90, x) * (1 - step_between(690, 760, y))
    blush = hill(x, y, (0, 850), (120, 40), 0.22)
    return picture(lit(z, SKIN, shade=np.clip(shade, 0, 0.8), blush=((blush, "#F0A08C"),)))


def draw_neck(brush: Brush) -> None:
    neck = shape(
        dots(
            "-84,560 84,560 81,670 86,722 112,764 190,812 204,900 0,950 -204,900"
            " -190,812 -112,764 -86,722 -81,670"
        )
    )
    with brush.inside(neck):
        brush.relief(neck_picture(), NECK_BOX[0], NECK_BOX[1])


def draw_ear(brush: Brush) -> None:
    """Only the ear on the right is seen; the hair is tucked behind it."""
    ear = shape(dots("150,440 170,426 188,433 196,456 191,486 181,508 174,526 162,533 142,506"))
    brush.fill(
        ear,
        slope((146, 430), (204, 500), (0, "#E39C78", 1), (0.6, "#D98C6B", 1), (1, "#B4664F", 1)),
    )
    with brush.inside(ear):
        brush.fill(oval(166, 478, 13, 30), "#7A3530", 0.62, 7)
        brush.line(curve(dots("158,446 174,440 184,452 181,480 172,502")), "#8E443B", 5, 0.5, 3)
        brush.line(curve(dots("168,452 178,462 174,486 164,500")), "#F2B996", 4, 0.5, 2.2)
        brush.line(
            curve(dots("152,438 172,427 188,435 195,458 190,486 180,508")), SKIN_LIGHT, 4, 0.55, 1.6
        )
        brush.fill(oval(166, 519, 10, 9), "#FACFB0", 0.45, 4)
        brush.line(curve(dots("190,436 198,460 192,488 182,508")), "#BFE0EA", 3.4, 0.6, 1.2)
    brush.fill(oval(171, 534, 8, 7), "#5B2A1C", 0.4, 3.5)
    brush.fill(
        oval(169, 531, 7, 7),
        glow((166.5, 528), 10, (0, "#FFF8DF", 1), (0.35, "#EBC474", 1), (1, "#8A561F", 1)),
    )
