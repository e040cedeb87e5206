"""Removes the click where speech stops or resumes in mid-wave."""

import numpy as np

from worker.media import FRAME_SAMPLES, SILENCE, Pcm
from worker.sound import fade_in, ramp_down


class EdgeSmoother:
    """Makes 960 samples of each tick: speech, or silence that begins where speech stopped."""

    def __init__(self) -> None:
        self._newest_sample = 0
        self._fades_in = False

    def speech(self, pcm: Pcm) -> Pcm:
        """The tick's speech, at least one sample; the end of a segment is filled with silence."""
        if self._fades_in:
            pcm = fade_in(pcm)
            self._fades_in = False
        if len(pcm) < FRAME_SAMPLES:
            tail = ramp_down(int(pcm[-1]), FRAME_SAMPLES - len(pcm))
            pcm = np.concatenate([pcm, tail])
        self._newest_sample = int(pcm[-1])
        return pcm

    def silence(self) -> Pcm:
        """A tick without speech."""
        sound = ramp_down(self._newest_sample, FRAME_SAMPLES) if self._newest_sample else SILENCE
        self._newest_sample = 0
        self._fades_in = False
        return sound

    def resume(self) -> None:
        """Speech at the next tick fades in."""
        self._fades_in = True

    def stop(self) -> None:
        """The tracks have ended in silence already."""
        self._newest_sample = 0
