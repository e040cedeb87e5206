"""What sound and pictures are made of: rates, pictures, frames, resampling, short fades.

Sound inside a worker is mono int16 at 24 kHz, handed on in blocks of 40 ms, one for each
picture at 25 frames per second.
"""

from dataclasses import dataclass
from typing import Final, Self

import av
import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE: Final = 24_000
FPS: Final = 25
TICK_S: Final = 1 / FPS
FRAME_SAMPLES: Final = SAMPLE_RATE // FPS
PIECE_SAMPLES: Final = FRAME_SAMPLES // 2
"""The sound track hands out 20 ms at a time, the platform's packet."""
FADE_SAMPLES: Final = SAMPLE_RATE * 5 // 1000
"""5 ms: short enough to be part of the sound, long enough not to click."""

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

    def to_video_frame(self) -> av.VideoFrame:
        """A copy as the encoders take it, without time stamps."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, pixels in zip(frame.planes, (self.y, self.u, self.v), strict=True):
            rows, columns = pixels.shape
            view = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            view[:rows, :columns] = pixels
        return frame


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


class Resampler:
    """Mono int16 at any rate in, 24 kHz out, in whatever pieces it comes.

    Streamed output equals that of the whole file; at 24 kHz it is the input, bit for bit.
    The resampler is given floats because it dithers integers, at random: silence would hiss.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._stream = (
            None
            if rate == SAMPLE_RATE
            else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        )

    def push(self, pcm: Pcm, *, last: bool = False) -> Pcm:
        """What is ready after `pcm`; with `last`, everything that was held back too."""
        if self._stream is None:
            return pcm
        resampled = self._stream.resample_chunk(pcm.astype(np.float32), last=last)
        return np.asarray(np.rint(resampled).clip(-32_768, 32_767), np.int16)


class Doubler:
    """Mono int16 at 24 kHz in, 48 kHz out: as many pieces, `DELAY_S` later.

    A half-band interpolator: of two samples, one is the input's own and the other a weighted
    sum of its neighbours (a sinc under a Kaiser window; Oppenheim and Schafer, Discrete-Time
    Signal Processing, sections 4.6 and 7.6). Streamed output equals that of the whole.
    """

    NEIGHBOURS: Final = 16
    """On each side."""

    DELAY_S: Final = NEIGHBOURS / SAMPLE_RATE

    def __init__(self) -> None:
        self._past = np.zeros(2 * self.NEIGHBOURS - 1, np.int16)

    def push(self, pcm: Pcm) -> Pcm:
        """Twice as many samples as `pcm` has."""
        window = np.concatenate([self._past, pcm])
        self._past = window[len(pcm) :]
        between = np.convolve(window, _BETWEEN, "valid")
        doubled = np.empty(2 * len(pcm), np.int16)
        doubled[0::2] = window[self.NEIGHBOURS - 1 : self.NEIGHBOURS - 1 + len(pcm)]
        doubled[1::2] = np.rint(between).clip(-32_768, 32_767)
        return doubled


def _half_way(neighbours: int) -> npt.NDArray[np.float64]:
    """The weights of that many samples on each side of the place between two."""
    distances = np.arange(-neighbours, neighbours) + 0.5
    weights = np.sinc(distances) * np.kaiser(2 * neighbours, 8.0)
    return np.asarray(weights / weights.sum())


_BETWEEN: Final = _half_way(Doubler.NEIGHBOURS)


def ramp_down(value: int, samples: int) -> Pcm:
    """`samples` of silence that begin with a short ramp from `value` to zero.

    Put where sound stops in mid-wave, it takes the click away without playing any of the
    sound that was stopped.
    """
    pcm = np.zeros(samples, np.int16)
    length = min(samples, FADE_SAMPLES)
    pcm[:length] = value * np.linspace(1, 0, length + 1)[1:]
    return pcm


def fade_in(pcm: Pcm) -> Pcm:
    """A copy of `pcm` whose first 5 ms rise from zero: sound that resumes in mid-wave."""
    faded = pcm.copy()
    length = min(len(pcm), FADE_SAMPLES)
    faded[:length] = pcm[:length] * np.linspace(0, 1, length)
    return faded
