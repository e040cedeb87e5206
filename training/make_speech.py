"""Makes speech.wav, the demo's speech: 24 kHz mono s16, true silence between the sentences.

    sudo apt-get install festival festvox-us-slt-hts
    .venv/bin/python -m training.make_speech benchmarks/speech.wav

Beside it goes speech.json: when which phoneme and word is said, as `training.labels` tells it.
Same engine, same bytes. The file in the repository is the work of Debian 12's festival 2.5.0
and festvox-us-slt-hts 0.2010.10.25-4, both free software.

Why this voice: of all English voices in Debian main it comes closest to a person. These are
the sentences below as each engine speaks them by default; the last row is a real speaker,
alsa-utils' "Front Center" to "Side Right". Bandwidth is where the mean spectrum of the speech
has fallen by 60 dB; 8-12 kHz is that band's share of its energy; buzz is the harmonics-to-noise
ratio of voiced sound from 3 to 7.5 kHz, where natural voices are breathy; melody is the 5-95 %
range of F0.

    voice                              bandwidth   8-12 kHz     buzz    melody
    festival cmu_us_slt_arctic_hts      11.6 kHz     -28 dB   3.0 dB     5.1 st
    flite slt                            7.3 kHz       none  -1.2 dB     3.7 st
    flite rms                            7.5 kHz       none  -1.2 dB     7.0 st
    flite awb                            6.6 kHz       none   0.2 dB     7.5 st
    flite kal16 (diphones)               7.6 kHz       none   0.2 dB     5.2 st
    espeak-ng en-us (formants)          10.6 kHz     -33 dB   3.6 dB     6.3 st
    espeak-ng en-us+f2                  10.6 kHz     -31 dB   4.1 dB     6.9 st
    a person                            11.6 kHz     -21 dB  -5.0 dB     7.6 st

The two with a person's bandwidth are this one and espeak-ng. This one was learnt from a
person's recordings, so its formants and durations are a person's, and it buzzes less. flite's
learnt voices buzz less still but lack the upper half-octave. RHVoice and MBROLA are not in
Debian 12's main, and what ships here has to be free.
"""

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr

from training.labels import Interval
from training.timing import corrected
from training.voices import RATE, VOICES, EngineError, ScriptLine, speak

VOICE: Final = VOICES["festival-slt-hts"]

SENTENCES: Final = (
    ("Hello, and welcome!", 0.4),
    ("I am the face of your voice agent.", 0.6),
    ("You bring the words, and I move my lips, blink, and breathe while I speak them.", 0.8),
    ("Maybe we help people book a room, or pay a bill, or simply find a good film.", 0.5),
    ("If you interrupt me, I stop at once; nobody likes being talked over.", 0.7),
    ("Every pause is real silence, so my mouth should be closed right now.", 0.9),
    ("I run on plain computers, and anyone may give me a new look.", 0.6),
    ("Thank you for watching, and please come back soon!", 0.3),
)
"""What is said, and how long it is silent afterwards (seconds)."""

LEAD_S: Final = 0.3
SAMPLE_RATE: Final = 24_000
PEAK: Final = 10 ** (-3 / 20)
"""-3 dBFS."""

QUIET: Final = 100 / 32768
"""RMS below which 10 ms at a sentence's edge are the engine's own silence (-50 dBFS)."""

MARGIN_S: Final = 0.03
"""Kept around what is louder: breath before a vowel, the end of a fricative."""

FADE_IN_S: Final = 0.005
FADE_OUT_S: Final = 0.02

Sound = npt.NDArray[np.float64]


def main() -> int:
    """Write the file that the command names; 1 and one line on stderr where that fails."""
    if len(sys.argv) != 2:
        sys.stderr.write("Say where to write: python -m training.make_speech speech.wav\n")
        return 2
    try:
        spoken = [_spoken(text) for text, _ in SENTENCES]
        timings = [
            _timings(text, len(one)) for (text, _), one in zip(SENTENCES, spoken, strict=True)
        ]
    except FileNotFoundError:
        sys.stderr.write("text2wave is missing: apt-get install festival festvox-us-slt-hts\n")
        return 1
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        sys.stderr.write(f"text2wave failed (is festvox-us-slt-hts installed?): {reason}\n")
        return 1
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    edges = [_edges(sound) for sound in spoken]
    sentences = [
        _tapered(sound[begin:end]) for sound, (begin, end) in zip(spoken, edges, strict=True)
    ]
    gain = PEAK / max(np.abs(sentence).max() for sentence in sentences)
    parts = [_silence(LEAD_S)]
    phonemes: list[Interval] = []
    words: list[Interval] = []
    at_s = LEAD_S
    for number, (_, pause_s) in enumerate(SENTENCES):
        sentence, (begin, end) = sentences[number], edges[number]
        kept = (begin / SAMPLE_RATE, end / SAMPLE_RATE)
        phonemes += _moved(timings[number][0], kept, at_s)
        words += _moved(timings[number][1], kept, at_s)
        parts += [np.round(sentence * gain * 32768).astype("<i2"), _silence(pause_s)]
        at_s = sum(len(part) for part in parts) / SAMPLE_RATE
    pcm = np.concatenate(parts)
    about = {
        "voice": VOICE.name,
        "engine": VOICE.engine,
        "language": VOICE.language,
        "text": " ".join(text for text, _ in SENTENCES),
        "phonemes": phonemes,
        "words": words,
    }
    path = Path(sys.argv[1]).with_suffix(".json")
    path.write_text(json.dumps(about) + "\n", "utf-8")
    with wave.open(sys.argv[1], "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
    print(f"{sys.argv[1]}: {len(pcm) / SAMPLE_RATE:.2f} s, {len(SENTENCES)} sentences")
    return 0


def _spoken(text: str) -> Sound:
    """`text` as festival speaks it, at 24 kHz, full scale 1.0."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        subprocess.run(
            ["text2wave", "-eval", "(voice_cmu_us_slt_arctic_hts)", "-o", str(path)],
            input=text.encode(),
            capture_output=True,
            check=True,
        )
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return np.asarray(soxr.resample(samples / 32768, rate, SAMPLE_RATE, quality="VHQ"))


def _timings(text: str, samples: int) -> tuple[list[Interval], list[Interval]]:
    """When which phoneme and word of `text` is said; `samples` is how long it took to say.

    text2wave ends an utterance at a semicolon, so each part is asked for on its own.
    """
    phonemes: list[Interval] = []
    words: list[Interval] = []
    at_s = 0.0
    parts = [part.strip() for part in text.replace(";", ";\n").splitlines()]
    for spoken in speak(VOICE, [ScriptLine(part, VOICE.language) for part in parts]):
        if spoken is None:
            raise EngineError(f"festival did not speak {text!r}")
        timed = corrected(VOICE.name, VOICE.engine, spoken)
        whole = (0.0, len(spoken.sound) / RATE)
        phonemes += _moved(timed.phonemes, whole, at_s)
        words += _moved(timed.words, whole, at_s)
        at_s += len(spoken.sound) / RATE
    if abs(at_s - samples / SAMPLE_RATE) > 0.001:
        raise EngineError(f"festival spoke {text!r} in two ways, so its timings are not known")
    return phonemes, words


def _moved(intervals: list[Interval], kept: tuple[float, float], to_s: float) -> list[Interval]:
    """What of `intervals` is `kept` (from, to), with its beginning at `to_s`."""
    moved = [
        (max(start, kept[0]) - kept[0] + to_s, min(end, kept[1]) - kept[0] + to_s, said)
        for start, end, said in intervals
        if end > kept[0] and start < kept[1]
    ]
    return [(round(start, 4), round(end, 4), said) for start, end, said in moved]


def _edges(sound: Sound) -> tuple[int, int]:
    """The first sample to keep, and the first that is not, of what is louder than QUIET."""
    window = SAMPLE_RATE // 100
    rows = sound[: len(sound) // window * window].reshape(-1, window)
    loud = np.nonzero(np.sqrt((rows**2).mean(axis=1)) > QUIET)[0]
    margin = round(MARGIN_S * SAMPLE_RATE)
    begin = max(0, int(loud[0]) * window - margin)
    return begin, min(len(sound), (int(loud[-1]) + 1) * window + margin)


def _tapered(sound: Sound) -> Sound:
    """`sound` that begins and ends at zero, so that silence can follow without a click."""
    fade_in, fade_out = (round(seconds * SAMPLE_RATE) for seconds in (FADE_IN_S, FADE_OUT_S))
    tapered = sound.copy()
    tapered[:fade_in] *= np.sin(np.linspace(0, np.pi / 2, fade_in)) ** 2
    tapered[-fade_out:] *= np.cos(np.linspace(0, np.pi / 2, fade_out)) ** 2
    return tapered


def _silence(seconds: float) -> npt.NDArray[np.int16]:
    return np.zeros(round(seconds * SAMPLE_RATE), np.int16)


if __name__ == "__main__":
    sys.exit(main())
