"""A tap on a worker's sound, behind everything but the encoder: what is heard, to the sample.

``AVATAR_MEETING=matrix_tap:create`` is VideoSDK's meeting with the tap on it. What leaves goes
to the file ``<room>.tap`` in the folder that ``AVATAR_TAP`` names. A program that has another
worker calls `Tap.note` itself.
"""

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from agent_side.join import JoinInfo
from worker.media import Pcm
from worker.meeting import Meeting
from worker.meeting_support.tracks import Tracks
from worker.settings import Settings

FOLDER: Final = "AVATAR_TAP"
HEADER: Final = struct.Struct("<dqi")
NOTHING: Final[Pcm] = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound that left the track at `time_s` (monotonic); `pts` counts samples at 24 kHz.

    Without sound it says that the worker cut off what had not left.
    """

    time_s: float
    pts: int
    pcm: Pcm


class Tap:
    """Writes what leaves one track. What was noted is in the file even if the process dies."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def note(self, pts: int, pcm: Pcm) -> None:
        """Called when the piece leaves, or with no samples when the sound is cut."""
        data = np.ascontiguousarray(pcm, "<i2").tobytes()
        self._file.write(HEADER.pack(time.monotonic(), pts, len(pcm)) + data)

    def close(self) -> None:
        self._file.close()


def tap_of(folder: Path, room: str) -> Path:
    return folder / f"{room}.tap"


def read(path: Path) -> list[Piece]:
    """All pieces that left, in order; one that was cut off by a killed process is left out."""
    data, at, pieces = path.read_bytes(), 0, []
    while at + HEADER.size <= len(data):
        time_s, pts, samples = HEADER.unpack_from(data, at)
        at += HEADER.size + 2 * samples
        if at <= len(data):
            pcm = np.frombuffer(data, "<i2", samples, at - 2 * samples)
            pieces.append(Piece(time_s, pts, pcm))
    return pieces


def create(join: JoinInfo, settings: Settings) -> Meeting:
    """A process has one session, so the tap is put on all `Tracks` of the process."""
    from worker.meetings import videosdk  # here, as it changes the SDK in all of the process

    tap = Tap(tap_of(Path(os.environ[FOLDER]), join.room_name))
    plain_piece, plain_cut = Tracks.next_piece, Tracks.cut

    async def next_piece(tracks: Tracks) -> tuple[int, Pcm]:
        pts, pcm = await plain_piece(tracks)
        tap.note(pts, pcm)
        return pts, pcm

    def cut(tracks: Tracks) -> int:
        tap.note(0, NOTHING)
        return plain_cut(tracks)

    Tracks.next_piece = next_piece  # type: ignore[method-assign,assignment]
    Tracks.cut = cut  # type: ignore[method-assign,assignment]
    return videosdk.create(join, settings)
