"""The states of a playout, and what follows what.

What a tick hands out depends on one state:

    RESTING   nothing is spoken: the face at rest, silence
    SPEAKING  the newest tick handed out sound of `segment`, and more of it follows
    STALLED   the sound of `segment` ran out: the face is held still, then rests, in silence
    ENDING    the newest tick handed out the last sound of `segment`; the next tick ends it

    RESTING  -> SPEAKING  a frame, once enough wait
             -> ENDING    a frame that is the last
             -> RESTING   nothing waits, or the end of a segment without sound
    SPEAKING -> SPEAKING  a frame
             -> ENDING    the last frame
             -> STALLED   nothing waits
             -> RESTING   the end of the segment came without sound, or a cut
    STALLED  -> SPEAKING  a frame, once enough wait; the prefetch doubles
             -> ENDING    the last frame; the prefetch doubles
             -> STALLED   nothing waits
             -> RESTING   the end of the segment came without sound, or a cut
    ENDING   -> RESTING   the next tick, before it looks for a frame, or a cut
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class PlayoutState(Enum):
    """What the newest tick did; see the module."""

    RESTING = auto()
    SPEAKING = auto()
    STALLED = auto()
    ENDING = auto()


TRANSITIONS: Final[Mapping[PlayoutState, frozenset[PlayoutState]]] = {
    PlayoutState.RESTING: frozenset(PlayoutState) - {PlayoutState.STALLED},
    PlayoutState.SPEAKING: frozenset(PlayoutState),
    PlayoutState.STALLED: frozenset(PlayoutState),
    PlayoutState.ENDING: frozenset({PlayoutState.RESTING}),
}
