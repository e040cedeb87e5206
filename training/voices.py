"""The synthesizers as they speak: sound, and when which phoneme and word is said.

Three engines of Debian: espeak-ng and flite by their libraries, festival as a program. Timings
are the engines' own here; `timing` corrects them.

    apt-get install --no-install-recommends espeak-ng flite festival festvox-kallpc16k ...

(`install` does it.) Voices that are not in VOICES are never spoken: they are kept for checks
that owe nothing to us.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import soxr

from training.labels import Interval

RATE: Final = 16_000
"""Of everything that is spoken here."""

PACKAGES: Final = (
    "espeak-ng",
    "flite",
    "festival",
    "festlex-cmu",
    "festlex-poslex",
    "festvox-kallpc16k",
    "festvox-kdlpc16k",
    "festvox-us-slt-hts",
    "festvox-italp16k",
    "festvox-suopuhe-lj",
    "festvox-ca-ona-hts",
)

Sound = npt.NDArray[np.float32]
"""Mono at RATE, full scale 1."""

Engine = Literal["espeak", "flite", "festival"]


class EngineError(RuntimeError):
    """A synthesizer is missing or failed; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class SynthVoice:
    """`name` is unique: for espeak "espeak-VARIANT". `language` is espeak's code."""

    name: str
    engine: Engine
    key: str
    language: str
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """Something to be said. `rate` and `pitch` are espeak's alone: words a minute and 0..99."""

    text: str
    language: str
    rate: int = 175
    pitch: int = 50


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A line as it was spoken. Intervals cover the sound; pauses are intervals, too."""

    sound: Sound
    phonemes: list[Interval]
    words: list[Interval]


NATURAL: Final = (
    SynthVoice("flite-rms", "flite", "cmu_us_rms", "en"),
    SynthVoice("flite-kal16", "flite", "cmu_us_kal16", "en"),
    SynthVoice("festival-kal", "festival", "kal_diphone", "en"),
    SynthVoice("festival-ked", "festival", "ked_diphone", "en"),
    SynthVoice("festival-lp", "festival", "lp_diphone", "it"),
    SynthVoice("festival-lj", "festival", "suo_fi_lj_diphone", "fi"),
    SynthVoice("festival-ona", "festival", "upc_ca_ona_hts", "ca"),
    SynthVoice("flite-slt", "flite", "cmu_us_slt", "en", held_out=True),
    SynthVoice("flite-awb", "flite", "cmu_us_awb", "en", held_out=True),
    SynthVoice("festival-slt-hts", "festival", "cmu_us_slt_arctic_hts", "en", held_out=True),
)

_VARIANTS: Final = (
    "f1 f3 f4 f5 m1 m2 m4 m5 m6 m7 m8 klatt klatt2 klatt3 Alex Alicia Andrea Andy Denis Diogo Gene "
    "Henrique Hugo Jacky Lee Marco Mario Mike Nguyen adam anika antonio aunty belinda benjamin "
    "boris caleb david edward iven marcelo max pablo quincy steph"
)
_HELD_OUT_VARIANTS: Final = "f2 m3 klatt4 Annie Michael linda"

ESPEAK: Final = tuple(
    SynthVoice(f"espeak-{variant}", "espeak", variant, "en", variant in _HELD_OUT_VARIANTS.split())
    for variant in (*_VARIANTS.split(), *_HELD_OUT_VARIANTS.split())
)
VOICES: Final = {voice.name: voice for voice in (*NATURAL, *ESPEAK)}

ACCENTS: Final = (
    "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029",
)  # fmt: skip
"""In which espeak speaks English."""

ESPEAK_CODES: Final = {"pt": "pt-br", "en-gb": "en"}
"""Where espeak's name is not the language's."""


def install() -> None:
    """See to it that the engines and their voices are there.

    Raises:
        EngineError: they are not, and cannot be installed from here.
    """
    if not missing():
        return
    packages = " ".join(PACKAGES)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineError(
            f"{', '.join(missing())} missing; on Debian, as root: "
            f"apt-get install -y --no-install-recommends {packages}"
        )
    sys.stderr.write(f"Installing {packages}\n")
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(
            ["apt-get", "-q", *command],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
        )
    if missing():
        raise EngineError(f"apt-get install left {', '.join(missing())} missing; see what it said")


def missing() -> list[str]:
    """What of the engines and voices is not installed."""
    lost = []
    try:
        _espeak_library()
    except EngineError:
        lost.append("espeak-ng")
    try:
        ctypes.CDLL("libflite_cmu_us_rms.so.1")
    except OSError:
        lost.append("flite")
    if shutil.which("festival") is None:
        lost.append("festival")
    elif "festival" not in lost:
        folders = {path.name for path in Path("/usr/share/festival/voices").glob("*/*")}
        lost += [v.name for v in NATURAL if v.engine == "festival" and v.key not in folders]
    return lost


def speak(voice: SynthVoice, lines: Sequence[ScriptLine]) -> Iterator[Spoken | None]:
    """What `voice` makes of each line, in order; None where the engine gave nothing of use.

    Raises:
        EngineError: the engine is missing or does not know the voice.
    """
    if voice.engine == "festival":
        yield from _festival(voice.key, lines)
    for line in lines if voice.engine != "festival" else ():
        if voice.engine == "flite":
            yield _flite(voice.key, line.text)
        else:
            yield _espeak(voice.key, line)


# ---- espeak-ng -------------------------------------------------------------------------------


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_WORD, _END, _PHONEME = 1, 5, 7
_SYNCHRONOUS, _PHONEME_EVENTS, _AS_IPA, _UTF8 = 2, 1, 2, 1
_RATE_PARAMETER, _PITCH_PARAMETER = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@cache
def _espeak_library() -> tuple[ctypes.CDLL, int]:
    """The library, started, and its sampling rate."""
    try:
        library = ctypes.CDLL("libespeak-ng.so.1")
    except OSError as error:
        raise EngineError("libespeak-ng is missing: apt-get install espeak-ng") from error
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _AS_IPA)
    if rate <= 0:
        raise EngineError("espeak-ng does not start: is espeak-ng-data installed?")
    return library, rate


def _espeak(variant: str, line: ScriptLine) -> Spoken | None:
    library, rate = _espeak_library()
    name = f"{ESPEAK_CODES.get(line.language, line.language)}+{variant}"
    if library.espeak_SetVoiceByName(name.encode()) != 0:
        raise EngineError(f"espeak-ng has no voice {name}")
    library.espeak_SetParameter(_RATE_PARAMETER, line.rate, 0)
    library.espeak_SetParameter(_PITCH_PARAMETER, line.pitch, 0)
    pieces: list[npt.NDArray[np.int16]] = []
    marks: list[tuple[int, str]] = []
    words: list[tuple[int, str]] = []

    def heard(samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: object) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        assert isinstance(events, ctypes.POINTER(_Event))
        index = 0
        while (event := events[index]).type:
            if event.type == _PHONEME:
                marks.append((event.sample, event.id.decode(errors="ignore")))
            elif event.type == _WORD:
                begin = event.text_position - 1
                words.append((event.sample, line.text[begin : begin + event.length]))
            index += 1
        return 0

    callback = _CALLBACK(heard)
    library.espeak_SetSynthCallback(callback)
    text = line.text.encode()
    library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
    if not pieces or len(marks) < 3:
        return None
    pcm = np.concatenate(pieces)
    end_s = len(pcm) / rate
    times = [sample / rate for sample, _ in marks]
    phonemes = [
        (start, end, said)
        for (_, said), start, end in zip(marks, times, [*times[1:], end_s], strict=True)
        if end > start
    ]
    starts = [sample / rate for sample, _ in words]
    spoken = [
        (start, end, word)
        for (_, word), start, end in zip(words, starts, [*starts[1:], end_s], strict=True)
    ]
    return Spoken(_at_rate(pcm / 32768, rate), phonemes, spoken)


# ---- flite -----------------------------------------------------------------------------------


class _Wave(ctypes.Structure):
    """cst_wave of cst_wave.h."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


@cache
def _flite_voice(key: str) -> tuple[ctypes.CDLL, int]:
    try:
        library = ctypes.CDLL("libflite.so.1", ctypes.RTLD_GLOBAL)
        for name in ("usenglish", "cmulex"):
            ctypes.CDLL(f"libflite_{name}.so.1", ctypes.RTLD_GLOBAL)
        register = ctypes.CDLL(f"libflite_{key}.so.1")[f"register_{key}"]
    except OSError as error:
        raise EngineError(f"flite's {key} is missing: apt-get install flite") from error
    pointer = ctypes.c_void_p
    for name, result, arguments in (
        ("flite_synth_text", pointer, (ctypes.c_char_p, pointer)),
        ("utt_relation", pointer, (pointer, ctypes.c_char_p)),
        ("utt_wave", ctypes.POINTER(_Wave), (pointer,)),
        ("relation_head", pointer, (pointer,)),
        ("item_next", pointer, (pointer,)),
        ("ffeature_string", ctypes.c_char_p, (pointer, ctypes.c_char_p)),
        ("ffeature_float", ctypes.c_float, (pointer, ctypes.c_char_p)),
        ("delete_utterance", None, (pointer,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.flite_init()
    register.restype = pointer
    register.argtypes = (pointer,)
    return library, register(None)


def _flite(key: str, text: str) -> Spoken | None:
    library, voice = _flite_voice(key)
    utterance = library.flite_synth_text(text.encode("ascii", "ignore"), voice)
    sound = library.utt_wave(utterance)[0]
    pcm = np.ctypeslib.as_array(sound.samples, (sound.num_samples,)) / 32768
    phonemes: list[Interval] = []
    words: list[Interval] = []
    item = library.relation_head(library.utt_relation(utterance, b"Segment"))
    start = 0.0
    while item:
        end = float(library.ffeature_float(item, b"end"))
        said = library.ffeature_string(item, b"name").decode()
        word = library.ffeature_string(item, b"R:SylStructure.parent.parent.name").decode()
        if end > start:
            phonemes.append((start, end, said))
            if said != "pau":
                _say(words, start, end, word)
        start = end
        item = library.item_next(item)
    result = Spoken(_at_rate(pcm, sound.sample_rate), phonemes, words)
    library.delete_utterance(utterance)
    return result


def _say(words: list[Interval], start: float, end: float, word: str) -> None:
    if words and words[-1][2] == word and abs(words[-1][1] - start) < 1e-6:
        words[-1] = (words[-1][0], end, word)
    else:
        words.append((start, end, word))


# ---- festival --------------------------------------------------------------------------------

_SCHEME: Final = """
(voice_{voice})
(define (say text path)
  (let ((spoken (SynthText text)))
    (utt.save.segs spoken (string-append path ".segs"))
    (utt.save.words spoken (string-append path ".words"))
    (utt.save.wave spoken (string-append path ".wav") 'riff)))
"""


def _festival(key: str, lines: Sequence[ScriptLine]) -> Iterator[Spoken | None]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "lines.scm"
        calls = [
            f"(say {json.dumps(line.text, ensure_ascii=False)} {json.dumps(f'{folder}/{index}')})"
            for index, line in enumerate(lines)
        ]
        text = _SCHEME.format(voice=key) + "\n".join(calls)
        script.write_bytes(text.encode("iso-8859-15", "ignore"))
        try:
            done = subprocess.run(
                ["festival", "--batch", str(script)], capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise EngineError("festival is missing: apt-get install festival") from error
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise EngineError(f"festival failed; is the voice {key} installed? {reason}")
        for index in range(len(lines)):
            yield _festival_line(Path(folder) / str(index))


def _festival_line(path: Path) -> Spoken | None:
    try:
        with wave.open(str(path.with_suffix(".wav"))) as file:
            rate = file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    except (OSError, EOFError, wave.Error):
        return None
    phonemes = _label_file(path.with_suffix(".segs"))
    words = [word for word in _label_file(path.with_suffix(".words")) if word[2]]
    return Spoken(_at_rate(pcm, rate), phonemes, words)


def _label_file(path: Path) -> list[Interval]:
    """Edinburgh's labels: after a line of "#", an end time, a colour, and a name in each."""
    rows = path.read_text("iso-8859-15").split("#\n", 1)[1].splitlines()
    out: list[Interval] = []
    start = 0.0
    for row in rows:
        end, _, *said = row.split(maxsplit=2)
        if float(end) > start:
            out.append((start, float(end), said[0].strip() if said else ""))
        start = float(end)
    return out


def _at_rate(sound: npt.NDArray[np.float64], rate: int) -> Sound:
    return np.asarray(soxr.resample(sound.astype(np.float32), rate, RATE), np.float32)
