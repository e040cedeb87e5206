"""Speech with the times of its phonemes: what lip-sync is trained on.

    python -m training.corpus [FOLDER]          out/lipsync/corpus without one
    python -m training.corpus --check           how well labels and sound agree

As root on Debian it installs the synthesizers, too. FOLDER gets `train` and `dev` (unseen
sentences, and in English unseen words, of the same voices), each with NAME.wav, 16 kHz mono s16,
and NAME.json: `{"voice", "engine", "language", "text", "phonemes": [[start_s, end_s, phoneme],
...], "words": [[start_s, end_s, word], ...]}`. The JSON comes last, so what has one is whole.
Voices come in turns: what is there after a minute already has some of each. The same command
makes the same corpus; what is there is not made again.

Voices that are held out speak in the test set alone (`testset`).
"""

import argparse
import json
import random
import sys
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training.labels import UnknownPhonemeError
from training.sentences import FOREIGN, english, foreign
from training.timing import BOUNDARIES, corrected, lags
from training.voices import (
    ACCENTS,
    ESPEAK,
    NATURAL,
    RATE,
    VOICES,
    EngineError,
    ScriptLine,
    Spoken,
    SynthVoice,
    install,
    speak,
)

FOLDER: Final = Path("out/lipsync/corpus")

UTTERANCES: Final = {
    "flite-rms": (900, 40),
    "flite-kal16": (450, 30),
    "festival-kal": (450, 30),
    "festival-ked": (450, 30),
    "festival-lp": (350, 12),
    "festival-lj": (350, 12),
    "festival-ona": (350, 12),
}
"""By natural voice: how many to train with, and how many for dev."""
OF_A_VARIANT: Final = (44, 1)
"""The same for each of espeak's variants: together a third of the time."""
ENGLISH_SHARE: Final = 0.6
"""Of what espeak says."""
CHUNK: Final = 50
"""What a natural voice says in its turn; a variant says 5."""

LONGEST_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """A line with its place in the plan; `name` is that of its files."""

    name: str
    line: ScriptLine


def espeak_line(seed: str, pool: str, language: str | None = None) -> ScriptLine:
    """Something for espeak to say, in `language` or in one drawn by the seed, as are its rate
    (125..250 words a minute) and pitch (15..90)."""
    rng = random.Random(f"espeak {pool} {seed}")
    rate, pitch = rng.randint(125, 250), rng.randint(15, 90)
    if language is None:
        language = "en" if rng.random() < ENGLISH_SHARE else rng.choice(sorted(FOREIGN))
    if language == "en":
        text = english(seed, "train" if pool == "train" else "unseen")
        return ScriptLine(text, rng.choice(ACCENTS), rate, pitch)
    return ScriptLine(foreign(language, f"{pool} {seed}"), language, rate, pitch)


def planned(voice: SynthVoice, pool: str) -> list[Utterance]:
    """What `voice` says for "train" or "dev"."""
    counts = UTTERANCES.get(voice.name, OF_A_VARIANT)
    count = counts[0] if pool == "train" else counts[1]
    out = []
    for index in range(count):
        seed = f"{voice.name} {index}"
        if voice.engine == "espeak":
            line = espeak_line(seed, pool)
        elif voice.language == "en":
            line = ScriptLine(
                english(f"{pool} {seed}", "train" if pool == "train" else "unseen"), "en"
            )
        else:
            line = ScriptLine(foreign(voice.language, f"{pool} {seed}"), voice.language)
        out.append(Utterance(f"{voice.name}-{index:04d}", line))
    return out


def turns() -> Iterator[tuple[str, SynthVoice, list[Utterance]]]:
    """The whole plan, in the order in which it is made: pool, voice, what it says."""
    voices = [voice for voice in (*NATURAL, *ESPEAK) if not voice.held_out]
    for voice in voices:
        yield "dev", voice, planned(voice, "dev")
    plans = {voice: planned(voice, "train") for voice in voices}
    while any(plans.values()):
        for voice, plan in plans.items():
            size = CHUNK if voice.engine != "espeak" else CHUNK // 10
            # rms has twice as much to say as the others.
            size *= 2 if voice.name == "flite-rms" else 1
            if plan:
                yield "train", voice, plan[:size]
                plans[voice] = plan[size:]


def generate(folder: Path, voice: SynthVoice, utterances: Sequence[Utterance]) -> int:
    """Let `voice` speak what is not there yet; returns how many utterances that were.

    Raises:
        EngineError: the voice's engine is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    todo = [one for one in utterances if not (folder / f"{one.name}.json").exists()]
    made = 0
    for one, spoken in zip(todo, speak(voice, [one.line for one in todo]), strict=True):
        if spoken is None or len(spoken.sound) > LONGEST_S * RATE:
            sys.stderr.write(f"{voice.name} does not speak {one.line.text!r}: left out\n")
            continue
        try:
            timed = corrected(voice.name, voice.engine, spoken)
        except UnknownPhonemeError as error:
            sys.stderr.write(f"{voice.name} says {one.line.text!r}, left out: {error}\n")
            continue
        write(folder / one.name, voice, one.line, timed)
        made += 1
    return made


def write(path: Path, voice: SynthVoice, line: ScriptLine, spoken: Spoken) -> None:
    """`path`.wav and then `path`.json."""
    with wave.open(f"{path}.wav", "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        pcm = np.round(np.clip(spoken.sound, -1, 1) * 32767).astype("<i2")
        file.writeframes(pcm.tobytes())
    about = {
        "voice": voice.name,
        "engine": voice.engine,
        "language": line.language,
        "text": line.text,
        "phonemes": [(round(a, 4), round(b, 4), said) for a, b, said in spoken.phonemes],
        "words": [(round(a, 4), round(b, 4), said) for a, b, said in spoken.words],
    }
    Path(f"{path}.json").write_text(json.dumps(about, ensure_ascii=False) + "\n", "utf-8")


def check(count: int) -> None:
    """Print by how many ms each boundary's sound comes after its label: median (quartiles)."""
    print("voice".ljust(18) + "".join(kind.rjust(17) for kind in BOUNDARIES))
    voices = [voice for voice in NATURAL if not voice.held_out]
    voices += [VOICES[f"espeak-{variant}"] for variant in ("f1", "m1", "Alex", "klatt2")]
    for voice in voices:
        found: dict[str, list[float]] = {kind: [] for kind in BOUNDARIES}
        lines = [one.line for one in planned(voice, "train")[:count]]
        for spoken in speak(voice, lines):
            if spoken is not None:
                for kind, values in lags(corrected(voice.name, voice.engine, spoken)).items():
                    found[kind] += values
        row = [_quartiles(values).rjust(17) for values in found.values()]
        print(voice.name.ljust(18) + "".join(row), flush=True)


def _quartiles(values: list[float]) -> str:
    if len(values) < 5:
        return "-"
    low, median, high = np.percentile(values, (25, 50, 75))
    return f"{median:+.0f} ({low:+.0f}..{high:+.0f})"


def main() -> int:
    """Make the corpus or check it; 1 and one line where an engine is missing."""
    parser = argparse.ArgumentParser(prog="python -m training.corpus")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="only print labels against sound")
    arguments = parser.parse_args()
    try:
        install()
        if arguments.check:
            check(40)
            return 0
        made = 0
        for pool, voice, utterances in turns():
            made += generate(arguments.folder / pool, voice, utterances)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"{arguments.folder}: {made} utterances made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
