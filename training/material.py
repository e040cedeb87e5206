"""Sound with its phonemes, as tests and tables take it: any NAME.wav beside its NAME.json."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
import soxr

from agent_side.wire import Word
from training.labels import Interval, Labels, labels, seen
from worker.lipsync.shape import HOP_S
from worker.media import SAMPLE_RATE, Pcm
from worker.tools.film import read_sound

SOUNDS: Final = (".wav", ".flac", ".ogg")


class MaterialError(ValueError):
    """A folder or file that cannot be evaluated; the text says which and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """One utterance: `pcm` at 24 kHz, `said` its visemes, `reference` the same at each hop.

    `words` are those that are known, with their times.
    """

    name: str
    voice: str
    language: str
    pcm: Pcm
    said: list[Interval]
    reference: Labels
    words: tuple[Word, ...] = ()


def read_folder(folder: Path) -> Iterator[Material]:
    """All utterances of `folder` and its sub-folders, by name.

    A voice that is not told is the sub-folder's name.

    Raises:
        MaterialError: there are none, or one cannot be read.
        UnknownPhonemeError: a phoneme of no known alphabet.
    """
    abouts = sorted(path for path in folder.rglob("*.json") if _sound(path) is not None)
    if not abouts:
        raise MaterialError(f"{folder} has no NAME.wav with a NAME.json beside it")
    for about in abouts:
        yield read_one(about, folder)


def read_one(about: Path, folder: Path) -> Material:
    """The utterance whose phonemes are in `about`; raises as `read_folder` does."""
    sound = _sound(about)
    if sound is None:
        raise MaterialError(f"{about} has no sound beside it ({', '.join(SOUNDS)})")
    try:
        told = json.loads(about.read_text("utf-8"))
        phonemes = [(float(a), float(b), str(said)) for a, b, said in told["phonemes"]]
        words = [Word(str(text), float(a), float(b)) for a, b, text in told.get("words", [])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MaterialError(
            f'{about} is not as it should be ("phonemes": [[start_s, end_s, phoneme], ...]): '
            f"{error!r}"
        ) from error
    pcm = read_pcm(sound)
    engine = told.get("engine")
    hops = -(-len(pcm) // round(SAMPLE_RATE * HOP_S))
    parent = about.parent.relative_to(folder).as_posix()
    return Material(
        name=about.with_suffix("").relative_to(folder).as_posix(),
        voice=str(told.get("voice") or (folder.name if parent == "." else parent)),
        language=str(told.get("language") or "?"),
        pcm=pcm,
        said=seen(phonemes, engine=engine, file=about),
        reference=labels(phonemes, hops, engine=engine, file=about),
        words=tuple(words),
    )


def read_pcm(sound: Path) -> Pcm:
    """Any sound file, mono at 24 kHz.

    Raises:
        MaterialError: it is none.
    """
    try:
        samples, _, rate = read_sound(sound)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise MaterialError(f"{sound} is not a sound that can be read: {error}") from error
    if rate == SAMPLE_RATE:
        return samples
    wide = soxr.resample(samples.astype(np.float32) / 32768, rate, SAMPLE_RATE)
    return np.asarray(np.round(np.clip(wide * 32768, -32768, 32767)), np.int16)


def _sound(about: Path) -> Path | None:
    return next((p for end in SOUNDS if (p := about.with_suffix(end)).exists()), None)
