"""The frozen test: which voices say what, and under which conditions it is heard.

The list is `test_list.json`; its sha256 is LIST_SHA256, so that a changed list cannot be taken
for this one. `python -m benchmarks.lipsync.testset` prints the list as it was drawn. Its
sentences are made of words that no English sentence for training or dev has.

Every disturbance is made here, from the list's seeds. A signal-to-noise ratio is that of the
power where somebody speaks to the power of the disturbance.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import soxr

from training.corpus import Utterance, espeak_line, generate
from training.labels import SIL
from training.material import Material
from training.sentences import english
from training.voices import ESPEAK, NATURAL, VOICES, ScriptLine
from worker.media import SAMPLE_RATE, Pcm

LIST: Final = Path(__file__).with_name("test_list.json")
LIST_SHA256: Final = "3c6b5fb8efeab7f3861d7c04897b1760b9e3efdb6f83a91ebab08fc50d381a0d"

OF_A_VOICE: Final = 30
CANDIDATES: Final = 3
FOREIGN: Final = ("de", "fr", "es", "it")
OF_A_VARIANT: Final = {"en": 4, "de": 2, "fr": 2, "es": 2, "it": 2}

Kind = Literal["clean", "noise", "babble", "music", "phone", "level"]


class ListError(ValueError):
    """The test list is not the frozen one."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How the test is heard. `db` is the signal-to-noise ratio, or for "level" the gain."""

    name: str
    kind: Kind
    db: float = 0.0
    seed: int = 0


CONDITIONS: Final = (
    Condition("clean", "clean"),
    Condition("noise 20 dB", "noise", 20.0, 1),
    Condition("noise 10 dB", "noise", 10.0, 2),
    Condition("babble 10 dB", "babble", 10.0, 3),
    Condition("music 10 dB", "music", 10.0, 4),
    Condition("telephone, mu-law", "phone"),
    Condition("-24 dB", "level", -24.0),
    Condition("+12 dB, clipped", "level", 12.0),
)


@dataclass(frozen=True, slots=True)
class Test:
    """The list: what each voice says, and the conditions."""

    utterances: dict[str, list[Utterance]]
    conditions: tuple[Condition, ...]


def read_list() -> Test:
    """The frozen list.

    Raises:
        ListError: the file is another one.
    """
    content = LIST.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != LIST_SHA256:
        raise ListError(
            f"{LIST} has the sha256 {digest}, the frozen one has {LIST_SHA256}: "
            "take the file from the repository again"
        )
    reports = json.loads(content)
    by_voice: dict[str, list[Utterance]] = {}
    for row in reports["utterances"]:
        line = ScriptLine(row["text"], row["language"], row["rate"], row["pitch"])
        by_voice.setdefault(row["voice"], []).append(Utterance(row["name"], line))
    return Test(by_voice, tuple(Condition(**row) for row in reports["conditions"]))


def draw() -> str:
    """The list's text, as it was drawn."""
    rows = []
    for voice in (*NATURAL, *ESPEAK):
        if voice.held_out:
            if voice.engine == "espeak":
                lines = [
                    espeak_line(f"{voice.name} {language} {index}", "test", language)
                    for language, count in OF_A_VARIANT.items()
                    for index in range(count)
                ]
            else:
                lines = [
                    ScriptLine(_rich(f"test {voice.name} {index}"), "en")
                    for index in range(OF_A_VOICE)
                ]
            rows += [
                {"name": f"{voice.name}-{index:02d}", "voice": voice.name, **asdict(line)}
                for index, line in enumerate(lines)
            ]
    conditions = [asdict(condition) for condition in CONDITIONS]
    reports = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    heard = ",\n  ".join(json.dumps(row) for row in conditions)
    return f'{{"utterances": [\n  {reports}\n], "conditions": [\n  {heard}\n]}}\n'


def _rich(seed: str) -> str:
    """Of CANDIDATES sentences the one with most letters that the lips meet for."""
    drawn = [english(f"{seed} {index}", "unseen") for index in range(CANDIDATES)]
    return max(drawn, key=lambda text: sum(text.lower().count(letter) for letter in "pbm"))


def make(folder: Path, test: Test) -> int:
    """Let the voices speak what `folder` does not have yet; returns how many utterances.

    Raises:
        EngineError: an engine is missing.
    """
    return sum(generate(folder, VOICES[name], said) for name, said in test.utterances.items())


def heard(condition: Condition, one: Material, others: list[Material]) -> Pcm:
    """`one` under `condition`; babble is made of `others`, all of other voices."""
    digest = hashlib.sha256(f"{condition.seed} {one.name}".encode()).digest()
    rng = np.random.default_rng(list(digest[:8]))
    clean = one.pcm.astype(np.float64)
    match condition.kind:
        case "clean":
            return one.pcm
        case "noise":
            return _mixed(one, noise(len(clean), rng), condition.db)
        case "babble":
            return _mixed(one, babble(len(clean), others, rng), condition.db)
        case "music":
            return _mixed(one, music(len(clean), rng), condition.db)
        case "phone":
            return telephone(one.pcm)
        case "level":
            return _pcm(clean * 10 ** (condition.db / 20))


Row = npt.NDArray[np.float64]


def _mixed(one: Material, disturbance: Row, snr_db: float) -> Pcm:
    clean = one.pcm.astype(np.float64)
    speaks = np.repeat(one.reference.visemes != SIL, SAMPLE_RATE // 100)[: len(clean)]
    speech = np.square(clean[: len(speaks)][speaks]).mean() if speaks.any() else 1.0
    gain = np.sqrt(speech / np.square(disturbance).mean() / 10 ** (snr_db / 10))
    return _pcm(clean + gain * disturbance)


def _pcm(samples: Row) -> Pcm:
    return np.round(np.clip(samples, -32768, 32767)).astype(np.int16)


def noise(samples: int, rng: np.random.Generator) -> Row:
    """White or pink, as the dice fall."""
    white = rng.normal(size=samples)
    if rng.random() < 0.5:
        return white
    spectrum = np.fft.rfft(white)
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 50.0)), samples)


def babble(samples: int, others: list[Material], rng: np.random.Generator) -> Row:
    """Six people at once, equally loud, each somewhere within what they say."""
    out = np.zeros(samples)
    for index in rng.choice(len(others), 6, replace=False):
        voice = np.roll(others[index].pcm.astype(np.float64), rng.integers(SAMPLE_RATE))
        out += np.resize(voice, samples) / np.sqrt(np.square(voice).mean())
    return out


def music(samples: int, rng: np.random.Generator) -> Row:
    """A band in four-four time: broken chords of a plucked string, a bass, a drum and a cymbal."""
    beat = round(60 / rng.uniform(84, 132) * SAMPLE_RATE)
    root_hz = 110 * 2 ** (rng.integers(0, 12) / 12)
    progression = rng.permutation([0, 5, 7, 9])
    out = np.zeros(samples + 2 * beat)
    for index, at in enumerate(range(0, samples, beat // 2)):
        chord = progression[index // 8 % 4]
        tone = chord + (0, 7, 12, 16, 19, 16, 12, 7)[index % 8]
        _add(out, at, _tone(2 * root_hz * 2 ** (tone / 12), 2 * beat, 8, 0.35))
        if index % 4 == 0:
            _add(out, at, _tone(root_hz / 2 * 2 ** (chord / 12), 2 * beat, 4, 0.6) * 1.2)
        times = np.arange(beat) / SAMPLE_RATE
        if index % 4 == 2:
            _add(out, at, rng.normal(size=beat) * np.exp(-times / 0.05) * 0.6)
        _add(out, at, np.diff(rng.normal(size=beat + 1)) * np.exp(-times / 0.02) * 0.15)
    return out[:samples]


def _tone(hz: float, samples: int, partials: int, decay_s: float) -> Row:
    times = np.arange(samples) / SAMPLE_RATE
    parts = [np.sin(2 * np.pi * hz * k * times) / k**1.2 for k in range(1, partials + 1)]
    out: Row = np.sum(parts, axis=0) * np.exp(-times / decay_s) * np.minimum(1, times / 0.005)
    return out


def _add(out: Row, at: int, sound: Row) -> None:
    part = out[at : at + len(sound)]
    part += sound[: len(part)]


def telephone(pcm: Pcm) -> Pcm:
    """300 to 3400 Hz at 8 kHz in the eight bits of G.711's mu-law."""
    narrow = soxr.resample(pcm.astype(np.float64) / 32768, SAMPLE_RATE, 8000)
    spectrum = np.fft.rfft(narrow)
    hz = np.fft.rfftfreq(len(narrow), 1 / 8000)
    spectrum[(hz < 300) | (hz > 3400)] = 0
    band = np.clip(np.fft.irfft(spectrum, len(narrow)), -1, 1)
    code = np.round(np.sign(band) * np.log1p(255 * np.abs(band)) / np.log(256) * 127)
    decoded = np.sign(code) * (256 ** (np.abs(code) / 127) - 1) / 255
    wide = soxr.resample(decoded, 8000, SAMPLE_RATE)
    out = np.zeros(len(pcm))
    out[: len(wide)] = wide[: len(pcm)]
    return _pcm(out * 32768)


if __name__ == "__main__":
    sys.stdout.write(draw())
