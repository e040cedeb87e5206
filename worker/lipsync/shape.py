"""What lip-sync says and what a face draws: mouth shapes, and the visemes behind them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

HOP_S: Final = 0.01
"""Visemes come at 100 Hz; hop i speaks of the moment (i + 0.5) * HOP_S."""

VISEMES: Final = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U",
)  # fmt: skip
"""The 15 visemes of Oculus LipSync, in its order; `VisemeTrack.visemes` has a column for each."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class VisemeTrack:
    """What is seen of a mouth, `n` hops of 10 ms each; all float32.

    `visemes` has shape (n, 15), rows sum to 1, the greatest is the viseme of the hop. `opening`
    is 0 shut .. 1 wide open, `rounding` 0 .. 1, `closed` how surely the lips are pressed
    together, 0 .. 1; these have shape (n,).
    """

    visemes: Floats
    opening: Floats
    rounding: Floats
    closed: Floats


@dataclass(frozen=True, slots=True)
class MouthShape:
    """The mouth of one picture.

    `opening` 0 is shut, 1 wide open; `width` -1 is rounded, 1 spread. `teeth` 1 puts the upper
    teeth on the lower lip (f, v), `tongue` 1 shows its tip at the teeth (th, l).
    """

    opening: float
    width: float
    teeth: float = 0.0
    tongue: float = 0.0


SHUT: Final = MouthShape(0.0, 0.0)
