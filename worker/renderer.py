"""The Renderer port: sound in, pictures with their sound out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from agent_side.wire import Word
from worker.media import AvatarFrame, Pcm, Picture


@dataclass(frozen=True, slots=True)
class GestureCue:
    """Begin the gesture with the next picture; it replaces one that is under way smoothly.

    An interrupt does not end it: it is no speech, and half a wave looks like a fault.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ExpressionCue:
    """Show the expression from now on; the face changes to it smoothly. `intensity` is 0..1."""

    name: str
    intensity: float


@dataclass(frozen=True, slots=True)
class PostureCue:
    """How the face waits while it does not speak, from now on."""

    name: str


@dataclass(frozen=True, slots=True)
class WordsCue:
    """Some words of `segment`, with times in seconds from its first sample.

    Words are in order within a cue, and none comes twice. Cues come in any order: before the
    first `push` of the segment, after `finish`, for a segment without samples, or never.
    """

    segment: int
    words: tuple[Word, ...]


Cue = GestureCue | ExpressionCue | PostureCue | WordsCue
"""What a face is asked to do beside speaking."""


class Renderer(ABC):
    """Draws a face that speaks what it is given.

    Synchronous; all calls come from one thread. Knows no clock, no queue and no meeting: it
    is fed a few hundred milliseconds ahead of what is heard, and asked for a picture of the
    face at rest once per tick when nothing is said.

    A choice of renderer is a module with ``create(settings: Settings) -> Renderer``, either
    ``worker/renderers/<name>.py`` or ``package.module:create``. ``create`` may be the class.
    Only `push`, `finish`, `drain`, `reset` and `idle` have to be written.
    """

    fork_safe: bool = True
    """Whether it can be made in the zygote, whose forked workers then share its memory.

    False for one that holds threads, a GPU or connections: each worker makes its own after the
    fork. It is read before the renderer is made, so ``create`` has to be the class.
    """

    prefetch_frames: int = 2
    """How many frames wait before a segment is heard: 80 ms. More where `drain` is uneven."""

    gestures: tuple[str, ...] = ()
    """Names that a `GestureCue` may have, such as nod, shake, wave_hello, laugh.

    This list and the next two never change. Names are ASCII without spaces, at most 32
    characters; a cue with any other name is refused before it gets here.
    """

    expressions: tuple[str, ...] = ()
    """Names that an `ExpressionCue` may have, such as neutral, happy, sad, surprised.

    When an agent leaves, the face gets cues for "neutral" and "resting", if it lists them.
    """

    postures: tuple[str, ...] = ()
    """Names that a `PostureCue` may have: resting, listening, thinking."""

    @abstractmethod
    def push(self, segment: int, pcm: Pcm) -> None:
        """Speech of `segment`: mono int16 at 24 kHz, 1 to 960 samples.

        Segments come one after the other. Every push but a segment's last has 960 samples.
        """

    @abstractmethod
    def finish(self, segment: int) -> None:
        """Nothing more comes for `segment`, which may have had nothing at all."""

    @abstractmethod
    def drain(self) -> list[AvatarFrame]:
        """The frames that are ready, in order; maybe none yet.

        Their sound is what was pushed, every sample once and in order. A renderer that looks
        ahead holds frames back until `finish`; after it, the frame that is `last` comes too.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget speech that was pushed and not drained: it was interrupted.

        Expressions, gestures and postures stay: they are no speech.
        """

    @abstractmethod
    def idle(self) -> Picture:
        """The face at rest one tick (40 ms) later, mouth closed. All pictures have one size."""

    def cue(self, cue: Cue) -> None:  # noqa: B027 - a face that can do none of it ignores it
        """Do it, visible in the next picture that is drawn. Cues of other kinds are ignored."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what the renderer holds. Nothing is called after it."""
