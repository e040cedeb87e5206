"""What a viewer of a room in memory has seen and heard of a worker."""

from dataclasses import dataclass, field
from typing import NamedTuple

import av
import numpy as np

from worker.media import AvatarFrame, Pcm, Picture


class Sound(NamedTuple):
    """20 ms that left the sound track. `pts` is in samples at 24 kHz."""

    time_s: float
    pts: int
    pcm: Pcm


class Shown(NamedTuple):
    """A picture that left the picture track: a Picture where the room is `raw`. 90 kHz `pts`."""

    time_s: float
    pts: int
    picture: av.VideoFrame | Picture


class Published(NamedTuple):
    """A frame that was handed to the tracks."""

    time_s: float
    frame: AvatarFrame


class TrackCut(NamedTuple):
    """A call of `Meeting.cut` and what it returned."""

    time_s: float
    unheard: int


@dataclass(slots=True)
class TrackRecording:
    """What a viewer has seen and heard of one worker since `MemoryPeer.watch`.

    `sound` and `pictures` are what left the tracks, `published` and `cuts` what the worker
    did to them; each grows until the recording is stopped.
    """

    sound: list[Sound] = field(default_factory=list)
    pictures: list[Shown] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    cuts: list[TrackCut] = field(default_factory=list)

    def heard(self) -> Pcm:
        """All the sound, in the order in which it left."""
        return np.concatenate([np.zeros(0, np.int16), *(piece.pcm for piece in self.sound)])
