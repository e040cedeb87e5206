"""The Renderer port: sound in, pictures with their sound out."""

from typing import Protocol

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
        """Forget speech that was pushed and not drained: it was interrupted."""

    def idle(self) -> Picture:
        """The face at rest one tick (40 ms) later, mouth closed. All pictures have one size."""

    def close(self) -> None:
        """Give back what the renderer holds. Nothing is called after it."""
