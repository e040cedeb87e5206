"""What a face can act: moods, and gestures as movements over time. Numbers only."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, Self


class Mood(NamedTuple):
    """An expression: what it adds to a face at rest. Ranges as in docs/characters.md.

    `opening` and `width` are of the mouth while it does not speak; the rest is worn in speech
    too.
    """

    smile: float = 0.0
    squint: float = 0.0
    raised: float = 0.0
    slant: float = 0.0
    skew: float = 0.0
    lid: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    opening: float = 0.0
    width: float = 0.0

    def scaled(self, share: float) -> Self:
        return type(self)(*(value * share for value in self))

    def towards(self, other: "Mood", share: float) -> "Mood":
        """`share` of the way to `other`."""
        return Mood(*(a + (b - a) * share for a, b in zip(self, other, strict=True)))


class Move(NamedTuple):
    """What a gesture adds to a face at one moment; all zero is a face that does nothing.

    `x`, `y`: the head's way to the right and down, 1 is a 64th of the frame. `turn`, `pitch`:
    the face turns right and down, -1..1. `tilt`: the head leans to the right, in degrees.
    `breath`: -1..1 of a breath. The rest as in `Mood`.
    """

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    pitch: float = 0.0
    tilt: float = 0.0
    raised: float = 0.0
    lid: float = 0.0
    breath: float = 0.0
    opening: float = 0.0
    width: float = 0.0

    def scaled(self, share: float) -> Self:
        return type(self)(*(value * share for value in self))

    def plus(self, other: "Move") -> "Move":
        return Move(*(a + b for a, b in zip(self, other, strict=True)))


STILL: Final = Move()


@dataclass(frozen=True, slots=True)
class GestureMotion:
    """A movement that begins and ends at rest.

    `keys` are moments in seconds, rising, and what is done then; between them it goes smoothly,
    before the first and after the last it is at rest. `overlay` names a drawing, such as a
    hand, whose `frames` are shown one after the other over the whole time. `expression` is worn
    meanwhile, with an intensity.
    """

    seconds: float
    keys: tuple[tuple[float, Move], ...] = ()
    overlay: str | None = None
    frames: tuple[int, ...] = ()
    expression: tuple[str, float] | None = None

    def at(self, seconds: float) -> Move:
        """What is done `seconds` after its begin."""
        before, earlier = 0.0, STILL
        for moment, move in (*self.keys, (self.seconds, STILL)):
            if seconds < moment:
                share = eased((seconds - before) / (moment - before))
                return earlier.scaled(1 - share).plus(move.scaled(share))
            before, earlier = moment, move
        return STILL

    def frame_at(self, seconds: float) -> int | None:
        """The frame of its overlay that is shown then; None where there is none."""
        if not self.frames or not 0 <= seconds < self.seconds:
            return None
        return self.frames[int(seconds / self.seconds * len(self.frames))]


def eased(share: float) -> float:
    """A step from 0 to 1 without a jolt at either end (smoothstep)."""
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


EXPRESSIONS: Final[Mapping[str, Mood]] = MappingProxyType(
    {
        "neutral": Mood(),
        "happy": Mood(smile=1.0, squint=0.6, raised=0.2),
        "sad": Mood(smile=-1.0, slant=1.0, lid=0.2, gaze_y=0.3),
        "surprised": Mood(raised=1.0, lid=-0.3, opening=0.15, width=-0.4),
        "thinking": Mood(smile=-0.2, skew=0.7, gaze_x=0.5, gaze_y=-0.5),
    }
)

GESTURES: Final[Mapping[str, GestureMotion]] = MappingProxyType(
    {
        "nod": GestureMotion(
            1.0,
            (
                (0.08, Move(y=-0.1, pitch=-0.1)),
                (0.28, Move(y=0.85, pitch=1.0, lid=0.15)),
                (0.48, Move(y=-0.05, pitch=-0.05, raised=0.2)),
                (0.68, Move(y=0.5, pitch=0.6, lid=0.1)),
            ),
        ),
        "shake": GestureMotion(
            1.2,
            (
                (0.18, Move(x=-0.45, turn=-1.0)),
                (0.44, Move(x=0.45, turn=1.0, lid=0.15)),
                (0.70, Move(x=-0.35, turn=-0.8)),
                (0.94, Move(x=0.15, turn=0.4)),
            ),
        ),
        "laugh": GestureMotion(
            1.7,
            (
                (0.16, Move(y=-0.35, pitch=-0.5, breath=0.6, opening=0.45, width=0.5, tilt=0.8)),
                (0.30, Move(y=0.15, pitch=-0.1, breath=0.0, opening=0.25, width=0.5, tilt=0.9)),
                (0.44, Move(y=-0.35, pitch=-0.4, breath=0.7, opening=0.5, width=0.5, tilt=1.0)),
                (0.58, Move(y=0.2, pitch=0.0, breath=0.0, opening=0.25, width=0.5, tilt=0.9)),
                (0.72, Move(y=-0.3, pitch=-0.3, breath=0.6, opening=0.4, width=0.5, tilt=0.8)),
                (0.88, Move(y=0.2, pitch=0.1, breath=0.1, opening=0.2, width=0.4, tilt=0.6)),
                (1.04, Move(y=-0.15, pitch=0.0, breath=0.4, opening=0.25, width=0.4, tilt=0.4)),
                (1.22, Move(y=0.1, pitch=0.1, breath=0.1, opening=0.08, width=0.3, tilt=0.2)),
            ),
            expression=("happy", 1.0),
        ),
    }
)
"""What every character can do."""
