"""What is done to sound: resampling, and short fades where it stops or resumes in mid-wave."""

from typing import Final

import numpy as np
import numpy.typing as npt
import soxr

from worker.media import SAMPLE_RATE, Pcm

FADE_SAMPLES: Final = SAMPLE_RATE * 5 // 1000
"""5 ms: short enough to be part of the sound, long enough not to click."""


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
