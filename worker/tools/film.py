"""FilmWriter: pictures and sound into an MP4 file that is there whole or not at all.

Picture `n` is shown from `n` / 25 s on and sample `k` sounds at `k` / 24,000 s, so what was
made together is played together. The AAC encoder puts one block of its own before the first
sample; the file's edit list takes it off again, as `read_film` shows. There are no B-frames,
so the first picture needs no such correction.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

from avatar_runtime.cpus import cpus
from worker.errors import InputError
from worker.media import FPS, SAMPLE_RATE, Pcm, Picture, Plane
from worker.video import to_video_frame

THREADS: Final = 4
"""The most that the picture encoder takes; more gain nothing at these sizes."""

CRF: Final = 18
"""x264's constant quality: drawn edges show no ringing."""

SOUND_BIT_RATE: Final = 128_000
"""Near AAC's ceiling for one channel at 24 kHz (144 kbit/s): 40 dB above its coding noise, so
that the speech in a film can be compared with its source."""

BT601: Final = 6
"""SMPTE 170M in the H.264 standard's tables of primaries, transfer and matrix."""

LIMITED_RANGE: Final = 1
"""libav's AVCOL_RANGE_MPEG."""


class FilmWriter:
    """Writes one film: H.264 and AAC in MP4, its index in front so that it plays while it loads.

    Used as a context manager. It writes to a hidden file beside `path`, which takes `path`'s
    place when the block ends well and is removed when it does not. Give sound and pictures
    about as they go together; each is placed by how much of its kind came before it.

    Entering, writing and leaving raise InputError where the file cannot be written.
    """

    def __init__(
        self, path: Path, width: int, height: int, fps: int = FPS, sample_rate: int = SAMPLE_RATE
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self.pictures = 0
        self.samples = 0
        self._size = (width, height)
        self._fps = fps
        self._sample_rate = sample_rate
        self._part = self.path.with_name(f".avatar-{secrets.token_hex(8)}.part")

    def __enter__(self) -> Self:
        self._claim()
        try:
            self._file = av.open(
                str(self._part), "w", format="mp4", options={"movflags": "+faststart"}
            )
            self._picture_stream = self._add_picture_stream()
            self._sound_stream = self._add_sound_stream()
        except BaseException:
            self._part.unlink(missing_ok=True)
            raise
        return self

    def add_picture(self, picture: Picture) -> None:
        """The next picture. It is shown until the one after it, 1 / fps later."""
        if (picture.width, picture.height) != self._size:
            raise ValueError(
                f"A picture of {picture.width}x{picture.height} does not fit a film of "
                f"{self._size[0]}x{self._size[1]}."
            )
        frame = to_video_frame(picture)
        frame.time_base = Fraction(1, self._fps)
        frame.pts = self.pictures
        self.pictures += 1
        with self._failing_clearly():
            self._file.mux(self._picture_stream.encode(frame))

    def add_sound(self, pcm: Pcm) -> None:
        """The next samples, as many as there are."""
        if not len(pcm):
            return
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm))
        frame.planes[0].update(np.ascontiguousarray(pcm, np.int16).tobytes())
        frame.sample_rate = self._sample_rate
        frame.time_base = Fraction(1, self._sample_rate)
        frame.pts = self.samples
        self.samples += len(pcm)
        with self._failing_clearly():
            self._file.mux(self._sound_stream.encode(frame))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._discard()

    def _claim(self) -> None:
        """Create the hidden file: the one sure way to learn whether the folder can be written."""
        try:
            if self.path.is_dir():
                raise InputError(f"{self.path} is a folder; name a file in it.")
            if self.path.exists() and not self.path.is_file():
                raise InputError(f"{self.path} is not an ordinary file; name another.")
            if not self.path.parent.is_dir():
                raise InputError(f"{self.path.parent} is not a folder; make it or name another.")
            os.close(os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror}); choose another place."
            ) from error

    def _add_picture_stream(self) -> VideoStream:
        stream = self._file.add_stream("libx264", rate=self._fps)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.color_range = LIMITED_RANGE
        codec.color_primaries = codec.color_trc = codec.colorspace = BT601
        codec.thread_count = min(THREADS, cpus().threads)
        codec.options = {"crf": str(CRF), "preset": "fast", "bf": "0"}
        return stream

    def _add_sound_stream(self) -> AudioStream:
        stream = self._file.add_stream("aac", rate=self._sample_rate, layout="mono")
        stream.bit_rate = SOUND_BIT_RATE
        return stream

    def _finish(self) -> None:
        if not self.pictures:
            raise ValueError("A film needs a picture; add one or write nothing.")
        with self._failing_clearly():
            self._file.mux(self._picture_stream.encode(None))
            self._file.mux(self._sound_stream.encode(None))
            self._file.close()
            self._part.replace(self.path)

    def _discard(self) -> None:
        """Leave nothing behind; nothing to do after a film that was finished."""
        try:
            with suppress(av.FFmpegError, OSError):
                self._file.close()
        finally:
            self._part.unlink(missing_ok=True)

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise InputError(
                f"{self.path} could not be written ({error.strerror}); free space or choose "
                "another place."
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """What a player would show and sound, times in seconds from the film's beginning.

    `luma` has shape (pictures, height, width), one time for each. `sound` is mono at
    `sample_rate`, its first sample sounds at `sound_start_s`.
    """

    times_s: npt.NDArray[np.float64]
    luma: npt.NDArray[np.uint8]
    sound: Pcm
    sound_start_s: float
    sample_rate: int


def read_film(path: Path) -> Film:
    """The whole film, a quarter of a megabyte for each 512x512 picture.

    `read_pictures` and `read_sound` give the same piece by piece.
    """
    times, luma = [], []
    for time_s, picture in read_pictures(path):
        times.append(time_s)
        luma.append(picture.y)
    sound, sound_start_s, sample_rate = read_sound(path)
    return Film(np.array(times), np.array(luma), sound, sound_start_s, sample_rate)


def read_pictures(path: Path) -> Iterator[tuple[float, Picture]]:
    """Each picture of a film and the time at which it is shown (seconds)."""
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            if frame.format.name != "yuv420p" or frame.time is None:
                raise InputError(f"{path} has pictures that are not a FilmWriter's.")
            yield frame.time, Picture(*(_pixels(plane) for plane in frame.planes))


def read_sound(path: Path) -> tuple[Pcm, float, int]:
    """A film's sound: mono samples, when the first one sounds (seconds), the sample rate.

    Behind the last sample that was written there may be up to one AAC block of silence.
    """
    to_mono = av.AudioResampler(format="s16", layout="mono")
    pieces: list[Pcm] = []
    start_s = 0.0
    with av.open(str(path)) as file:
        sample_rate = file.streams.audio[0].rate
        for frame in file.decode(audio=0):
            if not pieces:
                start_s = frame.time or 0.0
            pieces += [piece.to_ndarray()[0] for piece in to_mono.resample(frame)]
    return np.concatenate(pieces), start_s, sample_rate


def _pixels(plane: VideoPlane) -> Plane:
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
