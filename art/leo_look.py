"""How Leo looks: his colours, his features' places, and what his face can do.

Lengths are units of the square frame of 1024 in which he is composed. x is 0 at the middle of
his face and grows to the right of the picture; y is 0 at the top of the frame. The light comes
from the upper left, a warm rim of it from behind on the right. Skin, wool and hand are reliefs
that `sculpt` lights; eyes, lips, teeth, hair and glasses are painted on them.
"""

from dataclasses import dataclass
from typing import Final

from art.brush import Point, dots, mirrored
from art.sculpt import Finish
from art.sheets import DrawnState

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

LIPS_Y: Final = 602.0
"""Where the lips meet at rest."""
CHIN_Y: Final = 704.0
EYE: Final = (80.0, 444.0)


@dataclass(frozen=True, slots=True)
class LeoFace(DrawnState):
    """What his face does."""

    @property
    def spread(self) -> float:
        return max(self.width, 0.0)

    @property
    def rounded(self) -> float:
        return max(-self.width, 0.0)

    def mouth(self) -> "LeoFace":
        """The same mouth in a face that is otherwise at rest."""
        return LeoFace(self.opening, self.width, self.teeth, self.tongue, self.smile)


def jaw_drop(face: LeoFace) -> float:
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
