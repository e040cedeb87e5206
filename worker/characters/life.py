"""When a face blinks, looks aside, breathes, nods and moves. Numbers only, a pose per tick.

Every movement goes somewhere and then rests there, as people's do, so there are stretches in
which nothing but the breath moves. Each has a random generator of its own: speech or a gesture
changes when a brow is raised, and never when the next blink comes. The same seed and calls give
the same poses.
"""

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.characters.acting import EXPRESSIONS, GESTURES, STILL, GestureMotion, Mood, Move, eased
from worker.media import FPS

POSTURES: Final = ("resting", "listening", "thinking")

# How far the lids are shut in each picture of a blink: 160 ms, faster down than up; and of a
# slow one, 320 ms.
BLINK: Final = (0.7, 1.0, 1.0, 0.35)
SLOW_BLINK: Final = (0.35, 0.7, 1.0, 1.0, 1.0, 0.7, 0.35, 0.35)
BLINK_EVERY_S: Final = {"resting": (2.0, 6.0), "listening": (2.5, 6.0), "thinking": (3.5, 8.0)}
SPEAKING_BLINKS_S: Final = (1.7, 5.0)
DOUBLE_BLINKS: Final = 0.15
BLINK_WITH_GAZE: Final = 0.45
"""How often a large shift of the gaze brings a blink; it then hides the jump."""
BLINK_APART_S: Final = 1.4

# Until the gaze leaves you, and until it comes back.
GAZE_EVERY_S: Final = {"resting": (2.2, 6.0), "listening": (5.0, 11.0), "thinking": (1.2, 2.8)}
SPEAKING_GAZE_S: Final = (2.0, 5.0)
GLANCE_S: Final = (0.5, 1.5)
LARGE_GAZE: Final = 0.4

BREATH_S: Final = 4.2
BREATH_IN: Final = 0.42
"""Share of a breath that goes in: out takes longer."""

MOVE_EVERY_S: Final = (1.4, 4.2)
SPEAKING_MOVE_S: Final = (0.7, 2.2)
MOVE_S: Final = (0.5, 1.1)
DRIFT: Final = 0.12
"""Share of a movement that is left for the slow drift after it."""
SWAY: Final = Move(x=0.3, y=0.16, turn=0.4, pitch=0.3, tilt=1.1)
"""How far the head moves about in a lively face."""

LISTENING_NOD_S: Final = (3.0, 7.0)

MOOD_S: Final = 0.25
"""From one expression to another."""
GIVE_WAY_S: Final = 0.25
"""In which a gesture that is broken off comes to rest, while the next begins."""
POSTURE_S: Final = 0.5
INTO_SPEECH_S: Final = 0.2
PAUSE_S: Final = 0.4
"""Speech that pauses for less is one speech."""

# Stress: a block of speech that stands out from the level of the speaker.
VOICE_DB: Final = -50.0
FIRST_LEVEL_DB: Final = -28.0
LEVEL_SPEED: Final = 0.04
STRESS_DB: Final = (3.0, 8.0)
"""Above the speaker's mean, from the least stress to the most."""
STRESS_APART_S: Final = (0.55, 1.4)
BROW_FLASHES: Final = 0.55
"""Of stresses; the others are nods alone."""
ACCENT_S: Final = 0.44
FLASH_S: Final = 0.56

POSTURES_AT: Final[Mapping[str, Move]] = {
    "resting": STILL,
    "listening": Move(y=0.12, pitch=0.15, tilt=1.3, raised=0.3),
    "thinking": Move(x=0.12, y=-0.1, turn=0.35, pitch=-0.35, tilt=-0.8),
}
THINKING_SKEW: Final = 0.4
AWAY: Final = ((0.55, -0.5), (-0.5, -0.55), (0.6, -0.2), (0.3, -0.6))
"""Where one looks who thinks: up and aside."""
GLANCES: Final = ((-0.6, 0.05), (0.6, 0.0), (-0.35, -0.4), (0.4, 0.4), (-0.3, 0.3))


@dataclass(frozen=True, slots=True)
class Pose:
    """A face at one tick: its mood, its movements, and what is drawn over it.

    `breath` 0 is out, 1 in. `overlay` is the name of a drawing, its frame and how much of it is
    seen, 0..1.
    """

    mood: Mood = EXPRESSIONS["neutral"]
    move: Move = STILL
    breath: float = 0.0
    overlay: tuple[str, int, float] | None = None


class Animator:
    """Hands out one pose per tick.

    `stillness` 0 is lively, 1 calm: then it only blinks and breathes, and follows its cues.
    """

    def __init__(
        self,
        seed: int,
        stillness: float = 0.3,
        gestures: Mapping[str, GestureMotion] = GESTURES,
        expressions: Mapping[str, Mood] = EXPRESSIONS,
    ) -> None:
        self._lively = 1 - stillness
        self._gestures = gestures
        self._expressions = expressions
        self._tick = 0
        self._phase_s = _dice(seed, "breath").uniform(0, BREATH_S)
        self._blinks = _Blinks(_dice(seed, "blinks"))
        self._gaze = _Gaze(_dice(seed, "gaze"))
        self._wander = _Wander(_dice(seed, "head"))
        self._stress = _Stress(_dice(seed, "stress"))
        self._attention = _Attention(_dice(seed, "attention"))
        self._tilt_side = _dice(seed, "side").choice((-1.0, 1.0))

        self._posture = "resting"
        self._posture_move = self._posture_from = self._posture_to = STILL
        self._posture_s = POSTURE_S
        self._quiet_s = PAUSE_S
        self._speech = 0.0

        self._worn = ("neutral", 1.0)
        self._mood = self._mood_from = self._mood_to = Mood()
        self._mood_s = MOOD_S

        self._gesture: GestureMotion | None = None
        self._gesture_s = 0.0
        self._moved = self._rest = STILL
        self._rest_s = GIVE_WAY_S
        self._overlay: tuple[str, int, float] | None = None
        self._leaving: tuple[str, int, float] | None = None

    def gesture(self, name: str) -> None:
        """Begin it at the next tick; one that is under way comes to rest meanwhile."""
        self._gesture = self._gestures[name]
        self._gesture_s = 0.0
        self._rest, self._rest_s = self._moved, 0.0
        self._leaving = self._overlay

    def express(self, name: str, intensity: float) -> None:
        """Wear that expression from now on."""
        self._worn = (name, intensity) if name in self._expressions else self._worn

    def pose(self, name: str) -> None:
        """How to wait while nothing is said."""
        self._posture = name if name in POSTURES else self._posture

    def step(self, level_db: float | None = None) -> Pose:
        """The pose one tick later; `level_db` is that of the speech it shows, None at rest."""
        self._tick += 1
        self._listen(level_db)
        speaking = self._quiet_s < PAUSE_S
        posture = "resting" if speaking else self._posture
        lively = self._lively

        gesture, overlay = self._gesticulate()
        move = gesture
        if lively:
            scale = lively * (0.75 + 0.65 * self._speech)
            move = move.plus(self._wander.step(speaking).scaled(scale))
            move = move.plus(self._stress.step(level_db).scaled(lively))
            if posture == "listening":
                move = move.plus(self._attention.step().scaled(0.4 + 0.6 * lively))
        move = move.plus(self._stand(posture))

        x, y, jumped = self._gaze.step(self._tick, posture, speaking) if lively else (0, 0, False)
        blink = self._blinks.step(self._tick, posture, speaking, jumped)
        mood = self._feel()
        thinking = THINKING_SKEW if posture == "thinking" and lively else 0.0
        # The head goes part of the way that the eyes go.
        move = move._replace(turn=move.turn + 0.25 * x, pitch=move.pitch + 0.2 * y, tilt=move.tilt)
        mood = mood._replace(
            lid=max(blink, mood.lid + move.lid),
            gaze_x=mood.gaze_x + x,
            gaze_y=mood.gaze_y + y,
            raised=mood.raised + move.raised,
            skew=max(mood.skew, thinking),
            opening=mood.opening + move.opening,
            width=mood.width + move.width,
        )
        breathing = breath(self._tick / FPS + self._phase_s)
        return Pose(mood, move, min(1.0, max(0.0, breathing + move.breath)), overlay)

    def _listen(self, level_db: float | None) -> None:
        if level_db is not None and level_db > VOICE_DB:
            self._quiet_s = 0.0
        else:
            self._quiet_s = min(PAUSE_S, self._quiet_s + 1 / FPS)
        step = 1 / (FPS * INTO_SPEECH_S)
        goal = 1.0 if self._quiet_s < PAUSE_S else 0.0
        self._speech += max(-step / 3, min(step, goal - self._speech))

    def _stand(self, posture: str) -> Move:
        """Between postures."""
        wanted = POSTURES_AT[posture]
        if posture == "listening":
            wanted = wanted._replace(tilt=wanted.tilt * self._tilt_side)
        if self._lively < 1:
            wanted = wanted.scaled(0.4 + 0.6 * self._lively if self._lively else 0.0)
        if wanted != self._posture_to:
            self._posture_from, self._posture_to = self._posture_move, wanted
            self._posture_s = 0.0
        if self._posture_s < POSTURE_S:
            self._posture_s += 1 / FPS
            share = eased(self._posture_s / POSTURE_S)
            self._posture_move = self._posture_from.scaled(1 - share).plus(wanted.scaled(share))
        return self._posture_move

    def _feel(self) -> Mood:
        """Between expressions."""
        name, intensity = self._worn
        if self._gesture is not None and self._gesture.expression is not None:
            name, intensity = self._gesture.expression
        wanted = self._expressions[name].scaled(intensity)
        if wanted != self._mood_to:
            self._mood_from, self._mood_to, self._mood_s = self._mood, wanted, 0.0
        if self._mood_s < MOOD_S:
            self._mood_s += 1 / FPS
            self._mood = self._mood_from.towards(wanted, eased(self._mood_s / MOOD_S))
        return self._mood

    def _gesticulate(self) -> tuple[Move, tuple[str, int, float] | None]:
        """The gesture's next moment, and what is left of the one before."""
        move, overlay = STILL, None
        if self._gesture is not None:
            self._gesture_s += 1 / FPS
            if self._gesture_s >= self._gesture.seconds:
                self._gesture = None
            else:
                move = self._gesture.at(self._gesture_s)
                frame = self._gesture.frame_at(self._gesture_s)
                if self._gesture.overlay is not None and frame is not None:
                    overlay = (self._gesture.overlay, frame, 1.0)
        if self._rest_s < GIVE_WAY_S:
            self._rest_s += 1 / FPS
            left = 1 - eased(self._rest_s / GIVE_WAY_S)
            move = move.plus(self._rest.scaled(left))
            if overlay is None and self._leaving is not None and left > 0:
                name, frame, seen = self._leaving
                overlay = (name, frame, seen * left)
        self._moved, self._overlay = move, overlay
        return move, overlay


class _Blinks:
    """Lids, 0 open to 1 shut."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._lids: deque[float] = deque()
        self._since = 0
        self._share = dice.random()

    def step(self, tick: int, posture: str, speaking: bool, jumped: bool) -> float:
        """`jumped`: the gaze has just gone far, which often brings a blink."""
        low, high = SPEAKING_BLINKS_S if speaking else BLINK_EVERY_S[posture]
        due = (low + self._share * (high - low)) * FPS
        since = tick - self._since
        early = jumped and since > BLINK_APART_S * FPS and self._dice.random() < BLINK_WITH_GAZE
        if not self._lids and (since >= due or early):
            slow = posture == "thinking" and not speaking
            self._lids.extend(SLOW_BLINK if slow else BLINK)
            if not slow and self._dice.random() < DOUBLE_BLINKS:
                self._lids.extend((0.0, 0.0, *BLINK))
            self._since, self._share = tick, self._dice.random()
        return self._lids.popleft() if self._lids else 0.0


class _Gaze:
    """Where the eyes look, right and down; they jump, as eyes do."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._at = (0.0, 0.0)
        self._manner = ""
        self._next = 0

    def step(self, tick: int, posture: str, speaking: bool) -> tuple[float, float, bool]:
        """(right, down, whether it has just jumped far)."""
        manner = "speaking" if speaking else posture
        before = self._at
        if manner != self._manner:
            # Who begins to speak or to listen looks at you; who begins to think looks away.
            self._manner = manner
            self._at = self._dice.choice(AWAY) if manner == "thinking" else (0.0, 0.0)
            self._next = self._after(tick, self._span(manner))
        elif tick >= self._next:
            self._look(tick, manner)
        jump = math.hypot(self._at[0] - before[0], self._at[1] - before[1])
        return self._at[0], self._at[1], jump > LARGE_GAZE

    def _look(self, tick: int, manner: str) -> None:
        if manner == "thinking":
            self._at = self._dice.choice([place for place in AWAY if place != self._at])
            self._next = self._after(tick, self._span(manner))
        elif self._at == (0.0, 0.0):
            self._at = self._dice.choice(GLANCES)
            self._next = self._after(tick, GLANCE_S)
        else:
            self._at = (0.0, 0.0)
            self._next = self._after(tick, self._span(manner))

    def _span(self, manner: str) -> tuple[float, float]:
        return SPEAKING_GAZE_S if manner == "speaking" else GAZE_EVERY_S[manner]

    def _after(self, tick: int, span_s: tuple[float, float]) -> int:
        return tick + round(self._dice.uniform(*span_s) * FPS)


class _Wander:
    """The head goes to a place, rests there with a slow drift, and goes on to another."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._from = self._to = self._at = STILL
        self._tick = self._next = 0
        self._move_ticks = 1.0

    def step(self, speaking: bool) -> Move:
        self._tick += 1
        if self._tick >= self._next:
            self._from = self._at
            dice = self._dice
            self._to = Move(*(reach * dice.triangular(-1, 1) for reach in SWAY))
            span_s = SPEAKING_MOVE_S if speaking else MOVE_EVERY_S
            self._move_ticks = FPS * dice.uniform(*MOVE_S)
            self._next = round(self._move_ticks + FPS * dice.uniform(*span_s))
            self._tick = 0
        moved = eased(self._tick / self._move_ticks)
        share = (1 - DRIFT) * moved + DRIFT * min(1.0, self._tick / self._next)
        self._at = Move(*(a + (b - a) * share for a, b in zip(self._from, self._to, strict=True)))
        return self._at


class _Stress:
    """Small nods and brows where speech stands out; it knows nothing of what comes."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._mean_db = FIRST_LEVEL_DB
        self._before_db = VOICE_DB
        self._blocks = 0
        self._wait = 0
        self._nod = self._flash = 0.0
        self._nod_s = self._flash_s = FLASH_S

    def step(self, level_db: float | None) -> Move:
        self._wait = max(0, self._wait - 1)
        if level_db is not None and level_db > VOICE_DB:
            self._blocks += 1
            above_db = level_db - self._mean_db
            self._mean_db += max(LEVEL_SPEED, 0.5 / self._blocks) * above_db
            if above_db > STRESS_DB[0] and level_db > self._before_db and not self._wait:
                self._accent(min(1.0, above_db / STRESS_DB[1]))
        self._before_db = VOICE_DB if level_db is None else level_db
        move = STILL
        if self._nod_s < ACCENT_S:
            self._nod_s += 1 / FPS
            down = self._nod * _bump(self._nod_s / ACCENT_S)
            move = Move(y=0.45 * down, pitch=0.6 * down)
        if self._flash_s < FLASH_S:
            self._flash_s += 1 / FPS
            move = move._replace(raised=self._flash * _bump(self._flash_s / FLASH_S))
        return move

    def _accent(self, strength: float) -> None:
        self._wait = round(self._dice.uniform(*STRESS_APART_S) * FPS)
        if self._nod_s >= ACCENT_S:
            self._nod, self._nod_s = self._dice.uniform(0.5, 1.0) * strength, 0.0
        if self._flash_s >= FLASH_S and self._dice.random() < BROW_FLASHES * (0.5 + strength):
            self._flash, self._flash_s = 0.35 + 0.5 * strength, 0.0


class _Attention:
    """The small nods of somebody who listens."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._wait_s = dice.uniform(*LISTENING_NOD_S)
        self._nods: deque[float] = deque()
        self._at_s = 0.0

    def step(self) -> Move:
        if not self._nods:
            self._wait_s -= 1 / FPS
            if self._wait_s > 0:
                return STILL
            size = self._dice.uniform(0.35, 0.6)
            self._nods.extend([size, size * 0.7] if self._dice.random() < 0.4 else [size])
            self._wait_s = self._dice.uniform(*LISTENING_NOD_S)
        self._at_s += 1 / FPS
        down = self._nods[0] * _bump(self._at_s / ACCENT_S)
        if self._at_s >= ACCENT_S:
            self._nods.popleft()
            self._at_s = 0.0
        return Move(y=0.6 * down, pitch=0.8 * down)


def breath(seconds: float) -> float:
    """How far the breath is in, 0..1, smooth, in faster than out."""
    share = seconds / BREATH_S % 1.0
    turn = (
        share / BREATH_IN / 2
        if share < BREATH_IN
        else 0.5 + (share - BREATH_IN) / (1 - BREATH_IN) / 2
    )
    return 0.5 - 0.5 * math.cos(2 * math.pi * turn)


def _bump(share: float) -> float:
    """Up to 1 at a third of the way and back, without a jolt."""
    return eased(share * 3) if share < 1 / 3 else 1 - eased((share - 1 / 3) * 1.5)


def _dice(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed} {name}")  # noqa: S311 - small movements, no secrets
