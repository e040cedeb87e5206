"""What sound and pictures are made of: rates, pictures, frames.

Sound inside a worker is mono int16 at 24 kHz, handed on in blocks of 40 ms, one for each
picture at 25 frames per second.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

SAMPLE_RATE: Final = 24_000
FPS: Final = 25
TICK_S: Final = 1 / FPS
FRAME_SAMPLES: Final = SAMPLE_RATE // FPS
PIECE_SAMPLES: Final = FRAME_SAMPLES // 2
"""The sound track hands out 20 ms at a time, the platform's packet."""

Pcm = npt.NDArray[np.int16]
"""Mono samples, shape (n,)."""

Plane = npt.NDArray[np.uint8]

SILENCE: Final[Pcm] = np.zeros(FRAME_SAMPLES, np.int16)
SILENCE.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture in YUV 4:2:0, BT.601, limited range (luma 16..235, chroma 16..240).

    `y` has shape (height, width), `u` and `v` (height / 2, width / 2), all uint8. Width and
    height are even. Whoever made a picture never writes to its planes again.
    """

    y: Plane
    u: Plane
    v: Plane

    @property
    def width(self) -> int:
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        return int(self.y.shape[0])

    @classmethod
    def blank(cls, width: int, height: int, y: int = 16) -> Self:
        """A picture of one grey; black unless told."""
        chroma = np.full((height // 2, width // 2), 128, np.uint8)
        return cls(np.full((height, width), y, np.uint8), chroma, chroma)


@dataclass(frozen=True, slots=True, eq=False)
class AvatarFrame:
    """A picture and the 40 ms of sound that it shows: sync holds because they are one value.

    `segment` is the number of the speech that it belongs to, 0 when the face is at rest.
    `pcm` has 960 samples; only the `last` frame of a segment may have fewer, or none.
    """

    segment: int
    picture: Picture
    pcm: Pcm
    last: bool = False
