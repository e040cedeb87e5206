"""The Renderer port: sound in, pictures with their sound out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from worker.media import AvatarFrame, Pcm, Picture


class Renderer(Protocol):
    """Draws a face that speaks what it is given.

    Synchronous; all calls come from one thread. Knows no clock, no queue and no meeting: it
    is fed a few hundred milliseconds ahead of what is heard, and asked for a picture of the
    face at rest once per tick when nothing is said.

    A choice of renderer is a module with ``create(settings: Settings) -> Renderer``, either
    ``worker/renderers/<name>.py`` or ``package.module:create``.
    """

    def push(self, segment: int, pcm: Pcm) -> None:
        """Speech of `segment`: mono int16 at 24 kHz, 1 to 960 samples.

        Segments come one after the other. Every push but a segment's last has 960 samples.
        """

    def finish(self, segment: int) -> None:
        """Nothing more comes for `segment`, which may have had nothing at all."""

    def drain(self) -> list[AvatarFrame]:
        """The frames that are ready, in order; maybe none yet.

        Their sound is what was pushed, every sample once and in order. A renderer that looks
        ahead holds frames back until `finish`; after it, the frame that is `last` comes too.
        """

    def reset(self) -> None:
        """Forget speech that was pushed and not drained: it was interrupted.

        Expressions, gestures and postures of an `Expressive` face stay: they are no speech.
        """

    def idle(self) -> Picture:
        """The face at rest one tick (40 ms) later, mouth closed. All pictures have one size."""

    def close(self) -> None:
        """Give back what the renderer holds. Nothing is called after it."""


@runtime_checkable
class Expressive(Protocol):
    """A renderer whose face can also show moods, gestures and postures.

    Called between pictures, on the thread of all other calls. What is asked for shows in the
    next picture that is drawn. The lists never change; their names are ASCII without spaces, at
    most 32 characters. Names that are not among them are refused before they get here. When
    an agent leaves, the face is told to be neutral and resting again, if it lists these.
    """

    @property
    def gestures(self) -> tuple[str, ...]:
        """What `gesture` takes, such as nod, shake, wave_hello, laugh."""

    @property
    def expressions(self) -> tuple[str, ...]:
        """What `express` takes, such as neutral, happy, sad, surprised, thinking."""

    @property
    def postures(self) -> tuple[str, ...]:
        """What `pose` takes: resting, listening, thinking."""

    def gesture(self, name: str) -> None:
        """Begin it with the next picture; one that is under way gives way to it smoothly.

        An interrupt does not end it: it is no speech, and half a wave looks like a fault.
        """

    def express(self, name: str, intensity: float) -> None:
        """Wear that expression from now on; `intensity` 0..1. Goes over to it smoothly."""

    def pose(self, name: str) -> None:
        """How the face waits while it does not speak, from now on."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a segment and when it is said, in seconds from the segment's first sample."""

    text: str
    start_s: float
    end_s: float


@runtime_checkable
class Prompted(Protocol):
    """A renderer whose lips are surer when it is told the words of the speech."""

    def words(self, segment: int, words: Sequence[Word]) -> None:
        """Some words of `segment`, in order, none of them twice.

        May come late, even after `finish`, or never; pieces come in any order. They may come
        before the first `push` of the segment, and for one that never has a sample.
        """
