"""avatar speak: a file of speech becomes a film of a face that speaks it, offline.

    python -P -m worker.tools.speak speech.wav -o film.mp4

Sound and pictures pass through a piece at a time, so a film of any length needs the same memory.
"""

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from tqdm import tqdm

from worker.errors import InputError, WorkerError
from worker.media import FPS, FRAME_SAMPLES, SAMPLE_RATE, SILENCE, AvatarFrame, Pcm, Picture
from worker.process.loading import load_renderer
from worker.renderer import Renderer
from worker.settings import Settings, parse_share, parse_size
from worker.sound import Resampler
from worker.tools.arguments import REFUSED, Parser
from worker.tools.film import FilmWriter
from worker.tools.script import Kind, Script, ScriptedAct, parse_act
from worker.tools.sound_file import (
    Decoder,
    Survey,
    Surveyor,
    WavPart,
    is_exact,
    mixed,
    repaired,
    to_pcm,
    unread,
    wav_parts,
)

REST_TICKS: Final = 10
"""0.4 s of the face at rest before the first word and after the last."""

RATES: Final = range(1_000, 768_001)
"""Sample rates that a recording may have (Hz)."""

SEGMENT: Final = 1
KINDS: Final[tuple[Kind, ...]] = ("expression", "gesture", "posture")
READABLE: Final = "give a sound file, such as WAV, MP3, OGG or FLAC"

INTERRUPTED: Final = 128 + signal.SIGINT
STOPPED: Final = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None) -> int:
    """The program: 0 and one line about the film, or 2 and one line about what is wrong."""
    given = _parser().parse_args(arguments)
    try:
        settings = _settings(given)
        began = time.perf_counter()
        film_s, speech = speak(given.speech, given.film, settings, _acts(given), given.quiet)
        took_s = time.perf_counter() - began
    except WorkerError as error:
        sys.stderr.write(f"avatar speak: {' '.join(str(error).split())}\n")
        return REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("avatar speak: interrupted; nothing was written.\n")
        return INTERRUPTED
    for note in speech.notes:
        sys.stderr.write(f"avatar speak: {given.speech}: {note}.\n")
    skipped = speech.skipped
    damage = f"; {skipped} damaged packets of {given.speech} were skipped" if skipped else ""
    sys.stdout.write(
        f"{given.film}: {film_s:.1f} s, made in {took_s:.1f} s, "
        f"{film_s / took_s:.1f} times as fast as real time{damage}.\n"
    )
    return 0


def speak(
    source: Path, target: Path, settings: Settings, acts: Sequence[ScriptedAct], quiet: bool
) -> tuple[float, "SpeechFile"]:
    """Film the face speaking `source` into `target`, and acting meanwhile.

    Returns the film's length in seconds and what was found in the speech. Raises
    InputError or RendererError, and then `target` is as it was.
    """
    _check(source, target)
    with opened(source) as speech, closing(load_renderer(settings)) as renderer:
        script = Script(acts, renderer)
        script.perform(0)
        rest = renderer.idle()
        with (
            FilmWriter(target, rest.width, rest.height) as film,
            tqdm(
                total=speech.ticks + 2 * REST_TICKS,
                unit=" pictures",
                leave=False,
                disable=True if quiet else None,
            ) as progress,
        ):
            for picture, pcm in shots(renderer, script, rest, speech.blocks()):
                film.add_picture(picture)
                film.add_sound(pcm)
                progress.update()
        return film.pictures / FPS, speech


class SpeechFile:
    """The sound of a file, whatever its format, rate and channels, as mono at 24 kHz.

    Every sample is looked at before the first is used: `notes` say what is unusual, each in a
    few words, and `survey` what is done about it.
    """

    def __init__(self, path: Path, parts: Sequence[WavPart], notes: Sequence[str]) -> None:
        """`parts` are read one behind the other; where there are none, the file is."""
        self.skipped = 0
        self._path = path
        self._parts = parts
        self._surveys = [self._surveyed(source) for source in self._sources()]
        found = (note for survey in self._surveys for note in survey.notes)
        self.notes = tuple(dict.fromkeys([*notes, *found]))
        if not any(survey.seconds for survey in self._surveys):
            raise InputError(f"{path} is empty: it has no samples; give one with speech.")

    @property
    def ticks(self) -> int:
        """How many ticks it lasts."""
        return math.ceil(sum(survey.seconds for survey in self._surveys) * FPS)

    def blocks(self) -> Iterator[Pcm]:
        """All of it in blocks of 960 samples, the last one maybe shorter."""
        self.skipped = 0
        waiting = SILENCE[:0]
        for piece in self._resampled():
            waiting = np.concatenate([waiting, piece])
            whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
            yield from waiting[:whole].reshape(-1, FRAME_SAMPLES)
            waiting = waiting[whole:]
        if len(waiting):
            yield waiting

    def _sources(self) -> Iterator[str | WavPart]:
        """What is opened, one after the other."""
        if not self._parts:
            yield os.path.realpath(self._path)
        for part in self._parts:
            part.seek(0)
            yield part

    def _resampled(self) -> Iterator[Pcm]:
        for source, survey in zip(self._sources(), self._surveys, strict=True):
            with sound_in(self._path, source) as (file, stream):
                resampler = Resampler(stream.rate)
                decoder = Decoder(self._path)
                for frame in self._frames(file, stream):
                    sound, _ = repaired(decoder.floats(frame))
                    mono = mixed(frame, sound) if survey.channel is None else sound[survey.channel]
                    yield resampler.push(to_pcm(mono, survey.gain))
                yield resampler.push(SILENCE[:0], last=True)

    def _surveyed(self, source: str | WavPart) -> Survey:
        surveyor = Surveyor()
        decoder = Decoder(self._path)
        with sound_in(self._path, source) as (file, stream):
            for frame in self._frames(file, stream):
                surveyor.look(frame, decoder.floats(frame))
            survey = surveyor.result(is_exact(stream.codec_context.name))
            formats = file.format.name.split(",")
        if self._parts:
            return survey
        left = unread(formats, self._end, self._path.stat().st_size)
        return replace(survey, notes=(*survey.notes, *left))

    def _frames(self, file: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
        self._end = 0
        try:
            for packet in file.demux(stream):
                if packet.pos is not None and packet.size:
                    self._end = max(self._end, packet.pos + packet.size)
                try:
                    yield from stream.decode(packet)
                except av.InvalidDataError:
                    self.skipped += 1
        except (av.FFmpegError, OSError) as error:
            raise InputError(
                f"{self._path} cannot be read to its end ({error.strerror}); {READABLE}."
            ) from error


def shots(
    renderer: Renderer, script: Script, rest: Picture, blocks: Iterator[Pcm]
) -> Iterator[tuple[Picture, Pcm]]:
    """Every picture of the film with its 40 ms of sound: rest, the speech, rest."""
    yield rest, SILENCE
    shown = 1

    def resting() -> Iterator[tuple[Picture, Pcm]]:
        nonlocal shown
        script.perform(shown)
        shown += 1
        yield renderer.idle(), SILENCE

    def speaking() -> Iterator[tuple[Picture, Pcm]]:
        nonlocal shown
        script.perform(shown)
        for picture, pcm in _sounding(renderer.drain()):
            shown += 1
            yield picture, pcm

    for _ in range(REST_TICKS - 1):
        yield from resting()
    for block in blocks:
        renderer.push(SEGMENT, block)
        yield from speaking()
    renderer.finish(SEGMENT)
    yield from speaking()
    for _ in range(REST_TICKS):
        yield from resting()


def _sounding(frames: list[AvatarFrame]) -> Iterator[tuple[Picture, Pcm]]:
    for frame in frames:
        if len(frame.pcm):
            yield frame.picture, np.pad(frame.pcm, (0, FRAME_SAMPLES - len(frame.pcm)))


@contextmanager
def opened(path: Path) -> Iterator[SpeechFile]:
    """The sound in a file. Raises InputError where there is none that can be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {READABLE}.") from error
    with file:
        yield SpeechFile(path, *wav_parts(file))


@contextmanager
def sound_in(path: Path, source: str | WavPart) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The first sound in `source`, which is `path` or a part of it. Raises InputError."""
    try:
        file = av.open(source, "r")
    except av.InvalidDataError as error:
        raise InputError(f"{path} is not sound that can be read; {READABLE}.") from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {READABLE}.") from error
    with file:
        if not file.streams.audio:
            raise InputError(f"{path} has no sound in it; {READABLE}.")
        stream = file.streams.audio[0]
        if stream.codec_context is None:
            raise InputError(f"{path} is of a kind that nothing here decodes; {READABLE}.")
        if stream.rate not in RATES:
            raise InputError(
                f"{path} has {stream.rate} samples per second; save it anew with "
                f"{RATES.start} to {RATES.stop - 1}, best {SAMPLE_RATE}."
            )
        yield file, stream


def _check(source: Path, target: Path) -> None:
    """Refuse what can be seen to be wrong before anything is opened."""
    try:
        if source.is_dir():
            raise InputError(f"{source} is a folder; name a sound file in it.")
        if not source.exists():
            raise InputError(f"{source} does not exist; check the name of the sound file.")
        if not source.is_file():
            raise InputError(f"{source} is not an ordinary file; {READABLE}.")
        if not source.stat().st_size:
            raise InputError(f"{source} is empty; {READABLE}.")
        if target.exists() and target.samefile(source):
            raise InputError(f"{target} is the speech itself; name another file for the film.")
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be used ({error.strerror}); name another file."
        ) from error
    if target.suffix.lower() != ".mp4" and not target.is_dir():
        raise InputError(f"{target} would be an MP4 film; give it a name that ends in .mp4.")


def _settings(given: argparse.Namespace) -> Settings:
    settings = Settings.from_env(os.environ)
    for name in ("character", "background"):
        if getattr(given, name) is not None:
            settings = replace(settings, **{name: getattr(given, name)})
    if given.size is not None:
        width, height = parse_size(given.size, "--size")
        settings = replace(settings, width=width, height=height)
    if given.stillness is not None:
        settings = replace(settings, stillness=parse_share(given.stillness, "--stillness"))
    if given.badge:
        settings = replace(settings, badge=True)
    return settings


def _acts(given: argparse.Namespace) -> list[ScriptedAct]:
    return [parse_act(kind, text) for kind in KINDS for text in getattr(given, kind)]


def _parser() -> Parser:
    parser = Parser("avatar speak", "Films a face that speaks what a sound file says.")
    add = parser.add_argument
    add("speech", metavar="IN.wav", type=Path, help="WAV, MP3, OGG, FLAC, ...")
    add("-o", "--output", metavar="OUT.mp4", dest="film", type=Path, required=True,
        help="the film: H.264 and AAC, 25 pictures per second")  # fmt: skip
    add("--character", metavar="NAME", help="which face speaks: a name, a folder or a .zip")
    add("--size", metavar="WIDTHxHEIGHT", help="of the picture, such as 512x512")
    add("--background", metavar="COLOUR", help="such as #20404f, or a picture file")
    add("--badge", action="store_true", help="say AI in a corner")
    add("--stillness", metavar="0..1", help="0 is lively, 1 only blinks and breathes")
    add("--expression", metavar="NAME[:INTENSITY][@SECONDS]", action="append", default=[],
        help="worn from then on, such as happy:0.6@2; may be given again")  # fmt: skip
    add("--gesture", metavar="NAME[@SECONDS]", action="append", default=[],
        help="such as nod@3.5; may be given again")  # fmt: skip
    add("--posture", metavar="NAME[@SECONDS]", action="append", default=[],
        help="how it waits: resting, listening, thinking; may be given again")  # fmt: skip
    add("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


def _stop(number: int, frame: object) -> NoReturn:
    """SIGTERM: leave through every `with`, so that no half film stays."""
    sys.exit(STOPPED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main())
