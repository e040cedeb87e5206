"""Life: when a face blinks, looks aside, breathes and sways. Numbers only, one set per tick."""

import math
import random
from dataclasses import dataclass
from typing import Final

from worker.media import FPS

BLINK: Final = (0.7, 1.0, 1.0, 0.35)
"""How far the lids are shut in a blink's four pictures: 160 ms, faster down than up."""
BLINK_EVERY_S: Final = (2.0, 6.0)
DOUBLE_BLINKS: Final = 0.15
GAZE_EVERY_S: Final = (2.5, 7.0)
GLANCE_S: Final = (0.5, 1.4)
BROWS_EVERY_S: Final = (5.0, 12.0)
BROWS_S: Final = (0.6, 1.2)
BROW_STEP: Final = 0.25

BREATH_S: Final = 4.2
BREATH_IN: Final = 0.42
"""Share of a breath that goes in: out takes longer."""

# Slow waves without a common period, so that the sway never visibly repeats: (seconds, share).
SWAY_X: Final = ((9.7, 0.62), (5.3, 0.38))
SWAY_Y: Final = ((7.9, 0.6), (4.7, 0.4))


@dataclass(frozen=True, slots=True)
class Pose:
    """A face at one tick.

    `lid` 0 is open, 1 shut. `glance` 0 looks at you, else counts the character's other gazes.
    `brow` 0 is at rest, 1 raised. `breath` 0 is out, 1 in. `sway` is the head's place to the
    right and down, -1..1 each.
    """

    lid: float
    glance: int
    brow: float
    breath: float
    sway: tuple[float, float]


class Life:
    """Hands out one pose per tick; the same seed gives the same poses."""

    def __init__(self, seed: int, glances: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - small movements, no secrets
        self._glances = glances
        self._tick = 0
        self._phases = [self._dice.uniform(0, 2 * math.pi) for _ in (*SWAY_X, *SWAY_Y)]
        self._blink: list[float] = []
        self._blink_at = self._after(BLINK_EVERY_S)
        self._glance = 0
        self._glance_at = self._after(GAZE_EVERY_S)
        self._brow = 0.0
        self._brow_goal = 0.0
        self._brow_at = self._after(BROWS_EVERY_S)

    def step(self) -> Pose:
        """The pose one tick later."""
        self._tick += 1
        self._plan_blink()
        self._plan_glance()
        self._plan_brows()
        seconds = self._tick / FPS
        waves = [
            share * math.sin(2 * math.pi * seconds / period + phase)
            for (period, share), phase in zip((*SWAY_X, *SWAY_Y), self._phases, strict=True)
        ]
        return Pose(
            lid=self._blink.pop(0) if self._blink else 0.0,
            glance=self._glance,
            brow=self._brow,
            breath=breath(seconds),
            sway=(waves[0] + waves[1], waves[2] + waves[3]),
        )

    def _after(self, span_s: tuple[float, float]) -> int:
        return self._tick + round(self._dice.uniform(*span_s) * FPS)

    def _plan_blink(self) -> None:
        if self._tick < self._blink_at:
            return
        self._blink = list(BLINK)
        if self._dice.random() < DOUBLE_BLINKS:
            self._blink += [0.0, 0.0, *BLINK]
        self._blink_at = self._after(BLINK_EVERY_S)

    def _plan_glance(self) -> None:
        if self._tick < self._glance_at:
            return
        if self._glance or self._glances == 0:
            self._glance, span_s = 0, GAZE_EVERY_S
        else:
            self._glance, span_s = self._dice.randint(1, self._glances), GLANCE_S
        self._glance_at = self._after(span_s)

    def _plan_brows(self) -> None:
        if self._tick >= self._brow_at:
            rise = self._brow_goal == 0.0
            self._brow_goal = self._dice.choice((0.5, 1.0)) if rise else 0.0
            self._brow_at = self._after(BROWS_S if rise else BROWS_EVERY_S)
        self._brow += max(-BROW_STEP, min(BROW_STEP, self._brow_goal - self._brow))


def breath(seconds: float) -> float:
    """How far the breath is in, 0..1, smooth, in faster than out."""
    share = seconds / BREATH_S % 1.0
    turn = (
        share / BREATH_IN / 2
        if share < BREATH_IN
        else 0.5 + (share - BREATH_IN) / (1 - BREATH_IN) / 2
    )
    return 0.5 - 0.5 * math.cos(2 * math.pi * turn)
