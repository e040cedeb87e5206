"""One turn of the render thread: the only place that calls the renderer."""

import time
from dataclasses import dataclass

from worker.errors import RendererError, WorkerError
from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.renderer import Cue, Renderer

Block = tuple[int, Pcm | None, bool]
"""Segment, its next block, and whether that was all of it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Frames of speech, the face at rest where it was wanted, and how long it took."""

    frames: list[AvatarFrame]
    rest: Picture | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RenderJob:
    """What the renderer has to do, in this order."""

    resets: bool
    cues: list[Cue]
    blocks: list[Block]
    rests: bool

    @property
    def empty(self) -> bool:
        return not (self.resets or self.cues or self.blocks or self.rests)

    def run(self, renderer: Renderer) -> Rendered:
        """Raises RendererError where the renderer fails, or the WorkerError that it raises."""
        began = time.perf_counter()
        try:
            if self.resets:
                renderer.reset()
            for cue in self.cues:
                renderer.cue(cue)
            for segment, pcm, finished in self.blocks:
                if pcm is not None:
                    renderer.push(segment, pcm)
                if finished:
                    renderer.finish(segment)
            frames = _checked(renderer.drain())
            rest = renderer.idle() if self.rests else None
        except WorkerError:
            raise
        except Exception as error:  # a renderer is anybody's code; its failure ends the session
            raise RendererError(
                f"The renderer failed with {type(error).__name__}: {error}. "
                "Set AVATAR_RENDERER=character to speak with the one that ships."
            ) from error
        return Rendered(frames, rest, time.perf_counter() - began)


def _checked(frames: list[AvatarFrame]) -> list[AvatarFrame]:
    """The frames, if the sound of each can be played at one tick."""
    for frame in frames:
        samples = len(frame.pcm)
        if samples > FRAME_SAMPLES or (samples == 0 and not frame.last):
            raise ValueError(f"a frame has {samples} samples instead of {FRAME_SAMPLES}")
    return frames
