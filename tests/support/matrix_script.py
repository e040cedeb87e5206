"""What the agent of the fault matrix says: six turns that hold all that a conversation needs.

A long one with zeros inside its speech, three short ones handed over at once, one that is
interrupted in mid-speech, and the one that follows 50 ms later. Each conversation has a voice
of its own, so that sound from anywhere else is found out.
"""

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from stage import voice

from worker.media import SAMPLE_RATE, Pcm

LONG: Final = 1
QUEUED: Final = (2, 3, 4)
INTERRUPTED: Final = 5
NEXT: Final = 6

INTERRUPT_AFTER_S: Final = 1.2
"""From the first speech of the turn that is interrupted."""

NEXT_AFTER_S: Final = 0.05
"""From the interrupt to the first speech of the next turn."""

PIECE_BYTES: Final = 960
PIECE_EVERY_S: Final = 0.02 / 17
"""How common speech synthesizers deliver: 20 ms of speech, at 17 times real time."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Turns that are handed over one straight after the other; all have ended when it is over."""

    turns: tuple[int, ...]
    interrupts: bool = False


PHASES: Final = (Phase((LONG,)), Phase(QUEUED), Phase((INTERRUPTED, NEXT), interrupts=True))


def speech(name: str) -> dict[int, Pcm]:
    """What is said in the conversation `name`, by turn."""
    seed = zlib.crc32(name.encode())

    def noise(seconds: float, part: int) -> Pcm:
        return voice(round(seconds * SAMPLE_RATE), seed=seed + part)

    pause = np.zeros(round(0.3 * SAMPLE_RATE), np.int16)
    return {
        LONG: np.concatenate([noise(0.6, 0), pause, noise(0.6, 1)]),
        QUEUED[0]: noise(0.4, 2),
        QUEUED[1]: np.concatenate([noise(0.16, 3), pause, noise(0.14, 4)]),
        QUEUED[2]: noise(0.4, 5),
        INTERRUPTED: noise(4.0, 6),
        NEXT: noise(0.6, 7),
    }
