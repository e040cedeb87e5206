"""Sound files as they are found: what a WAV file really holds, and how loud its samples are."""

import mmap
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

from worker.errors import InputError
from worker.media import Pcm

Floats = npt.NDArray[np.float32]

WAV: Final = re.compile(rb"RIFF[\s\S]{4}WAVEfmt ")
"""Where a WAV file begins; sixteen bytes that no sound has by chance."""

CHUNK: Final = struct.Struct("<4sI")
UNTOLD: Final = 0x7FFF_F000
"""From this length on (bytes) a header was written before its sound, whose end nobody knew."""

LONGEST_HEAD: Final = 1024 * 1024

LOUDEST: Final = 1e6
"""A sample beyond this (1 is full scale) is damage, as NaN is: not even 16-bit numbers that were
saved as floats reach it."""
RARE: Final = 1e-4
CLICK: Final = 4.0
"""So many times louder than all but the `RARE` samples, a sample is a click and no speech: it
does not make the rest quieter."""
OVER: Final = 1.12
"""1 dB beyond full scale: lossy codecs overshoot so far, and players cut it off."""
CANCELLED: Final = 0.05
"""A mix with less than this share of its channels' energy has lost its speech."""
MUCH: Final = 0.1
"""The share of a file's energy that may be lost in the mix."""

WEIGHTS: Final = {"FL": 0.7071, "FR": 0.7071, "FC": 1.0, "LFE": 0.0}
"""How much of a loudspeaker's channel is in a mono mix of surround sound; of others, a half."""

FULL: Final = 32_768


class WavPart:
    """One of several WAV files in one, under a head that says how long it is: a file to read."""

    def __init__(self, file: BinaryIO, head: bytes, start: int, length: int) -> None:
        self._file = file
        self._head = head
        self._start = start
        self._length = length
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        total = len(self._head) + self._length
        size = total - self._at if size < 0 else min(size, total - self._at)
        piece = self._head[self._at : self._at + size]
        if not piece and size > 0:
            self._file.seek(self._start + self._at - len(self._head))
            piece = self._file.read(size)
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        total = len(self._head) + self._length
        self._at = max(0, offset + (0, self._at, total)[whence])
        return self._at

    def tell(self) -> int:
        return self._at


def wav_parts(file: BinaryIO) -> tuple[list[WavPart], list[str]]:
    """The WAV files of which `file` consists, each as long as it is, and what its heads say wrong.

    No parts where it is no WAV file, or one whose head is right.
    """
    if not WAV.match(file.read(16)):
        return [], []
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begins = [found.start() for found in WAV.finditer(content)]
        ends = [*begins[1:], len(content)]
        found = [_part(file, content, begin, end) for begin, end in zip(begins, ends, strict=True)]
    parts = [part for part, _ in found if part is not None]
    notes = [note for _, note in found if note]
    if len(parts) > 1:
        notes.insert(0, f"it is {len(parts)} WAV files in one, and all of them are heard")
    return (parts, notes) if notes else ([], [])


def _part(file: BinaryIO, content: mmap.mmap, begin: int, end: int) -> tuple[WavPart | None, str]:
    """What lies between two places, and what its head says wrong."""
    rate_of_bytes = 0
    place = begin + 12
    while place + CHUNK.size <= min(end, begin + LONGEST_HEAD):
        name, given = CHUNK.unpack_from(content, place)
        place += CHUNK.size
        if name == b"fmt " and place + 12 <= end:
            (rate_of_bytes,) = struct.unpack_from("<I", content, place + 8)
        if name == b"data":
            there = end - place
            length = there if given == 0 or given >= UNTOLD else min(given, there)
            if length < there and not _are_chunks(content, place + length, end):
                length = there
            head = bytearray(content[begin:place])
            head[4:8] = struct.pack("<I", min(len(head) - 8 + length, 2**32 - 1))
            head[-4:] = struct.pack("<I", min(length, 2**32 - 1))
            note = (
                "" if given == 0 or given >= UNTOLD else _difference(given, length, rate_of_bytes)
            )
            return WavPart(file, bytes(head), place, length), note
        place += given + given % 2
    return None, ""


def _difference(given: int, there: int, rate_of_bytes: int) -> str:
    if given == there or not rate_of_bytes:
        return ""
    return (
        f"its header says {given / rate_of_bytes:.2f} s and {there / rate_of_bytes:.2f} s are "
        "there, which are heard"
    )


def _are_chunks(content: mmap.mmap, place: int, end: int) -> bool:
    """Whether nothing but whole chunks, such as a title's, lies between two places."""
    place += place % 2 and content[place : place + 1] == b"\0"
    while place + CHUNK.size <= end:
        name, length = CHUNK.unpack_from(content, place)
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return not any(content[place:end])
        place += CHUNK.size + length
        if place > end:
            return False
        place += length % 2
    return not any(content[place:end])


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in a file, seen before it is used.

    `seconds` that can be decoded; `gain` that keeps its loudest speech below full scale;
    `channel` that is heard alone, None where the mix of all is; `notes` say what is unusual.
    """

    seconds: float
    gain: float
    channel: int | None
    notes: tuple[str, ...]


class Surveyor:
    """Looks at every sample once."""

    def __init__(self) -> None:
        self.samples = 0
        self._rate = 1
        self._broken = 0
        self._peak = 0.0
        self._loudness = np.zeros(64, np.int64)
        """How many samples lie below each power of two, from 2**-31 on."""
        self._energy: npt.NDArray[np.float64] = np.zeros(0)
        self._cancelled = 0.0

    def look(self, frame: AudioFrame, sound: Floats) -> None:
        """`sound` is what `frame` holds: channels in rows, 1 is full scale, damage and all."""
        self._rate = frame.sample_rate
        self.samples += sound.shape[1]
        whole, broken = repaired(sound)
        self._broken += broken
        if not sound.shape[1]:
            return
        mix = mixed(frame, whole)
        self._peak = max(self._peak, float(np.abs(mix).max()))
        exponents = np.clip(np.frexp(np.abs(mix))[1] + 31, 0, 63)
        self._loudness += np.bincount(exponents, minlength=64)
        energy = np.square(whole, dtype=np.float64).sum(axis=1)
        if len(energy) > len(self._energy):
            self._energy = np.pad(self._energy, (0, len(energy) - len(self._energy)))
        self._energy[: len(energy)] += energy
        if len(energy) > 1 and np.square(mix, dtype=np.float64).sum() < CANCELLED * energy.mean():
            self._cancelled += float(energy.sum())

    def result(self, is_exact: bool) -> Survey:
        """`is_exact` is whether the format keeps samples as they were: it does not overshoot."""
        notes = []
        if self._broken:
            notes.append(f"{self._broken} samples are no numbers or far too loud, and are left out")
        channel = None
        if self._cancelled > MUCH * max(self._energy.sum(), 1e-9):
            channel = int(np.argmax(self._energy))
            notes.append(f"its channels cancel each other, so channel {channel + 1} alone is heard")
        gain = 1.0
        peak = self._peak
        if peak > max(OVER, CLICK * self._usual()):
            notes.append("single samples are far louder than the rest, and are cut off")
            peak = self._usual()
        if peak > (1.0 if is_exact else OVER):
            gain = 1 / peak
            notes.append(f"its samples reach {peak:.3g} times full scale, and it is made quieter")
        if self.samples and not self._energy.any():
            notes.append("it is silent from beginning to end")
        return Survey(self.samples / self._rate, gain, channel, tuple(notes))

    def _usual(self) -> float:
        """A bound that all but the `RARE` samples keep."""
        below = np.cumsum(self._loudness)
        return float(2.0 ** (int(np.searchsorted(below, (1 - RARE) * below[-1])) - 31))


class Decoder:
    """Takes the samples out of frames: one format and one number of channels for all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._convert = av.AudioResampler(format="fltp")

    def floats(self, frame: AudioFrame) -> Floats:
        """Channels in rows. Raises InputError where the format changes in mid-file."""
        try:
            pieces = [part.to_ndarray() for part in self._convert.resample(frame)]
        except ValueError as error:
            raise InputError(
                f"{self._path} changes its format at {frame.time or 0:.1f} s; save it anew "
                "with one rate and one number of channels."
            ) from error
        return np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)


def repaired(sound: Floats) -> tuple[Floats, int]:
    """Silence for what is no sample, and how much of it there was."""
    usable = np.abs(sound) <= LOUDEST  # NaN compares false
    if usable.all():
        return sound, 0
    return np.where(usable, sound, np.float32(0)), int(usable.size - np.count_nonzero(usable))


def mixed(frame: AudioFrame, sound: Floats) -> Floats:
    """Mono: the mean of stereo, and of surround what loudspeakers in front would play."""
    if len(sound) <= 2:
        mean: Floats = sound.mean(axis=0, dtype=np.float32)
        return mean
    names = [channel.name for channel in frame.layout.channels]
    weights = np.array([WEIGHTS.get(name, 0.5) for name in names], np.float32)
    if len(weights) != len(sound) or not weights.any():
        weights = np.ones(len(sound), np.float32)
    mix: Floats = (weights / weights.sum()) @ sound
    return mix


def to_pcm(sound: Floats, gain: float) -> Pcm:
    """16-bit samples."""
    scaled = np.rint(sound * np.float32(gain * FULL))
    pcm: Pcm = np.clip(scaled, -FULL, FULL - 1).astype(np.int16)
    return pcm


EXACT: Final = ("pcm_", "adpcm_", "flac", "alac", "wavpack")
"""Codecs whose samples are those that were saved, as the beginnings of their names."""


def is_exact(codec: str) -> bool:
    """Whether a codec keeps samples as they were."""
    return codec.startswith(EXACT)


LISTED: Final = frozenset({"aiff", "au", "caf", "flac", "ogg", "mp3", "aac", "w64"})
"""Formats that hold sound one piece behind the other and next to nothing else."""

LITTLE: Final = 4096


def unread(formats: Sequence[str], end: int, size: int) -> Iterator[str]:
    """What is to be said where a file of `size` bytes was read up to `end` only."""
    left = size - end
    if LISTED & set(formats) and end > 0 and left > max(LITTLE, size // 10):
        yield (
            f"the last {left // 1024} of its {size // 1024} kB are not what its header says, and "
            "are not heard; save it anew as WAV"
        )
