"""Ada's palette and proportions, and what her face can do."""

from dataclasses import dataclass
from typing import Final

from art.brush import Fibre
from art.relief import Skin
from art.sheets import DrawnState

SKIN: Final = Skin(
    ramp=(
        (0.0, "#6E2F2E"),
        (0.14, "#94493F"),
        (0.28, "#C97C5F"),
        (0.42, "#E5A081"),
        (0.56, "#F3BC9C"),
        (0.72, "#FBD2B7"),
        (0.88, "#FFE4D0"),
        (1.06, "#FFF1E4"),
    ),
    sheen="#FFF6EA",
    sheen_strength=0.30,
    rim="#BFE0EA",
    rim_strength=0.62,
)
SKIN_MID: Final = "#F2B996"
SKIN_LIGHT: Final = "#FEE2C9"
SKIN_SHADE: Final = "#C47757"
SKIN_DEEP: Final = "#8E443B"
BLUSH: Final = "#EE8A78"

HAIR: Final = Fibre(dark="#2A151A", mid="#54302C", light="#95573C", crest="#DC9C68")
LINE: Final = "#33191D"

LIP: Final = "#D45F5E"
LIP_DARK: Final = "#9E3A44"
LIP_LIGHT: Final = "#F3958A"
MOUTH: Final = "#35090F"
TONGUE: Final = "#D0686C"
TEETH: Final = "#FBF4EC"

KNIT: Final = "#F3E7DA"
BLAZER: Final = "#22565E"
BLAZER_DARK: Final = "#0C2A33"
BLAZER_LIGHT: Final = "#4E8E90"


@dataclass(frozen=True, slots=True)
class AdaFace(DrawnState):
    """What her face does."""

    @property
    def drop(self) -> float:
        """How far the jaw hangs: less when the lips are spread."""
        return 36.0 * self.opening * (1.0 - 0.18 * self.width) + 2.0 * self.teeth


REST: Final = AdaFace()
EYE_X: Final = 84.0
EYE_Y: Final = 446.0
