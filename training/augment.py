"""New speakers, rooms, noises and lines out of the few voices that may be trained on.

    python -m training.augment CORPUS SESSIONS --shards 40

writes sessions of 10 s, as `train` reads them: features, and what is seen at each hop; and
other sounds that `mixing` puts under them while the net learns. `sounds` has what changes a
sound, `synthetic` the music.
"""

import argparse
import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training import labels
from training.labels import Interval
from training.mixing import OTHERS, Others, powers
from training.sounds import (
    RATE,
    Rng,
    Vocoded,
    equalised,
    level,
    mixed,
    muffled,
    noise,
    resampled,
    reverberant,
    sixteen_bits,
    telephone,
    vocal_tract,
)
from training.synthetic import babbled, music
from worker.lipsync.features import FILTERS, GROUP_SAMPLES, HOP, Features
from worker.lipsync.shape import Floats

SESSION_HOPS: Final = 1000
PIECES: Final = 600
SHARD_SESSIONS: Final = 48
DISTURBED: Final = 0.8
"""Share of sessions with something beside the voice; an eighth of them has two such things."""
NOISES_ALONE: Final = 0.03
"""Share of sessions in which nobody speaks."""
BABBLED: Final = 0.04
"""Share of sessions in which somebody does who knows no language."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """What was spoken, at RATE; the intervals are of visemes."""

    sound: Floats
    intervals: list[Interval]


@dataclass(frozen=True, slots=True, eq=False)
class StudioSpeaker:
    """A voice, or one made of it; `group` is the voice that it counts as."""

    group: str
    sentences: list[Sentence]


@dataclass(frozen=True, slots=True, eq=False)
class StudioSession:
    """Ten seconds of somebody: features, visemes, and (opening, rounding), at each hop.

    `clean` are the features of the same voice in the same room with nothing beside it.
    """

    features: npt.NDArray[np.float16]
    clean: npt.NDArray[np.float16]
    visemes: npt.NDArray[np.uint8]
    shapes: npt.NDArray[np.float16]
    group: str


class Studio:
    """Makes sessions out of speakers: random ones, rooms, noises, lines and levels."""

    def __init__(self, speakers: list[StudioSpeaker], shares: dict[str, float], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._speakers = speakers
        counts = {group: sum(s.group == group for s in speakers) for group in shares}
        share = np.array([shares[s.group] / counts[s.group] for s in speakers])
        self._share = share / share.sum()
        self._music = [music(16 * RATE, self._rng) for _ in range(250)]

    def session(self) -> StudioSession:
        rng = self._rng
        speaker = self._speakers[rng.choice(len(self._speakers), p=self._share)]
        silent = rng.random() < NOISES_ALONE
        stretch = float(rng.uniform(0.88, 1.13)) if rng.random() < 0.5 else 1.0
        if rng.random() < BABBLED:
            sound, intervals = babbled(SESSION_HOPS * RATE // 100 + RATE // 50, rng)
        else:
            sound, intervals = self.speech(speaker, stretch)
        if silent:
            sound, intervals = np.zeros_like(sound), []
        elif rng.random() < 0.75:
            sound = equalised(sound, rng)
        if not silent and rng.random() < 0.25:
            sound = reverberant(sound, rng)
        clean = sound
        if silent:
            sound = self._disturbance(len(sound), babble=False) * np.float32(0.1)
        else:
            for chance in (DISTURBED, 0.1):
                if rng.random() < chance:
                    sound = mixed(sound, self._disturbance(len(sound), babble=True), ratio_db(rng))
        if rng.random() < 0.35:
            sound = mixed(
                sound, self._disturbance(len(sound), babble=False), rng.uniform(30.0, 65.0)
            )
        if rng.random() < 0.15:
            sound = telephone(sound, rng)
        elif rng.random() < 0.1:
            sound = muffled(sound, rng)
        if silent:
            peak_db = rng.uniform(-66.0, -6.0)
        else:
            peak_db = rng.uniform(-32.0, -1.0) if rng.random() < 0.85 else rng.uniform(0.0, 14.0)
        filters = vocal_tract(float(rng.uniform(0.82, 1.2))) if rng.random() < 0.7 else FILTERS
        return heard(
            sixteen_bits(sound, peak_db),
            sixteen_bits(clean, min(peak_db, -1.0)),
            intervals,
            filters,
            speaker.group,
        )

    def speech(self, speaker: StudioSpeaker, stretch: float) -> tuple[Floats, list[Interval]]:
        """Sentences with pauses until it is long enough; begins at a random phase of a hop."""
        rng = self._rng
        wanted = SESSION_HOPS * RATE // 100 + RATE // 50
        pieces: list[Floats] = []
        intervals: list[Interval] = []
        at = 0
        while at < wanted:
            pause = int(RATE * (rng.uniform(0.0, 0.6) if pieces or rng.random() < 0.7 else 0.0))
            pause += int(rng.integers(0, RATE // 100))
            sentence = speaker.sentences[rng.integers(len(speaker.sentences))]
            sound = resampled(sentence.sound, stretch) if stretch != 1.0 else sentence.sound
            at += pause
            pieces += [np.zeros(pause, np.float32), sound]
            intervals += [
                (at / RATE + start / stretch, at / RATE + end / stretch, said)
                for start, end, said in sentence.intervals
            ]
            at += len(sound)
        return np.concatenate(pieces)[:wanted], intervals

    def _disturbance(self, samples: int, *, babble: bool) -> Floats:
        rng = self._rng
        kind = rng.random()
        if kind < 0.24:
            return noise(samples, rng)
        if kind < 0.84 or not babble:
            piece = np.roll(self._music[rng.integers(len(self._music))], rng.integers(16 * RATE))
            return np.resize(resampled(piece, rng.uniform(0.8, 1.25)), samples)
        out = np.zeros(samples, np.float32)
        for _ in range(int(rng.integers(3, 9))):
            speaker = self._speakers[rng.integers(len(self._speakers))]
            voice, _ = self.speech(speaker, 1.0)
            out += np.roll(np.resize(voice, samples), rng.integers(samples)) * np.float32(
                rng.uniform(0.5, 1.0) / level(voice)
            )
        return out


def ratio_db(rng: Rng) -> float:
    """Of speech to what disturbs it: half the time about as in the test's harder rows."""
    if rng.random() < 0.5:
        return float(rng.uniform(4.0, 13.0))
    return float(3.0 + 27.0 * rng.random() ** 1.4)


def heard(
    pcm: npt.NDArray[np.int16],
    clean: npt.NDArray[np.int16],
    intervals: list[Interval],
    filters: Floats,
    group: str,
) -> StudioSession:
    """The session as the net hears it, with what is seen at each hop."""
    groups = range(0, SESSION_HOPS * HOP, GROUP_SAMPLES)

    def features(sound: npt.NDArray[np.int16]) -> npt.NDArray[np.float16]:
        ear = Features(filters)
        return np.concatenate([ear.push(sound[at : at + GROUP_SAMPLES]) for at in groups]).astype(
            np.float16
        )

    visemes = labels.per_hop(intervals, SESSION_HOPS)
    shapes = np.stack(labels.blended(visemes), axis=1)
    return StudioSession(
        features(pcm),
        features(clean),
        visemes.astype(np.uint8),
        shapes.astype(np.float16),
        group,
    )


SHARES: Final = {
    "flite-rms": 1.6,
    "flite-kal16": 0.6,
    "festival-kal": 0.6,
    "festival-ked": 0.9,
    "festival-lp": 1.0,
    "festival-lj": 1.0,
    "festival-ona": 1.0,
    "espeak": 2.9,
}
"""How much is heard of each voice and of those made of it; espeak's variants share theirs."""
MADE: Final = 8
"""Speakers that are made of a natural voice."""
MADE_SENTENCES: Final = 100
"""What each of them says at most."""
MALE: Final = frozenset(("flite-rms", "flite-kal16", "festival-kal", "festival-ked"))


def sentences(folder: Path) -> dict[str, list[Sentence]]:
    """By voice: what `corpus` wrote to that folder."""
    found: dict[str, list[Sentence]] = {}
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text("utf-8"))
        with wave.open(str(path.with_suffix(".wav"))) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        intervals = labels.seen(about["phonemes"], engine=about["engine"], file=path)
        found.setdefault(about["voice"], []).append(
            Sentence((pcm / 32768.0).astype(np.float32), intervals)
        )
    return found


def group_of(voice: str) -> str:
    return "espeak" if voice.startswith("espeak-") else voice


def made_speakers(voice: str, said: list[Sentence], rng: Rng) -> Iterator[StudioSpeaker]:
    """Others made of a natural voice: higher and smaller, or lower and larger, or livelier.

    A man's voice is raised by up to 15 semitones and lowered by 5, a woman's the other way
    round; formants go along by a quarter of that, in octaves, as they do from men to women.
    """
    low, high = (-0.45, 1.15) if voice in MALE else (-0.95, 0.4)
    pitches = [2 ** (low + (high - low) * (made + rng.random()) / MADE) for made in range(MADE)]
    spoken: list[list[Sentence]] = [[] for _ in range(MADE)]
    chosen = rng.permutation(len(said))[: MADE * MADE_SENTENCES // 2]
    ways = [
        (
            pitch,
            float(rng.uniform(0.6, 1.6)),
            float(np.clip(1.0 + 0.24 * np.log2(pitch) + 0.06 * rng.normal(), 0.84, 1.26)),
            float(rng.uniform(-3.0, 3.0)),
        )
        for pitch in pitches
    ]
    for index in chosen:
        sentence = said[index]
        vocoded = Vocoded.of(sentence.sound)
        for made in rng.choice(MADE, 2, replace=False):
            spoken[made].append(Sentence(vocoded.spoken(*ways[made]), sentence.intervals))
    yield from (StudioSpeaker(group_of(voice), some) for some in spoken if some)


def plain(speakers: list[StudioSpeaker], rounds: int) -> list[StudioSession]:
    """Sessions without any change, `rounds` of each speaker: to see how training goes."""
    sessions = []
    for index, speaker in enumerate(speakers):
        studio = Studio([speaker], {speaker.group: 1.0}, index)
        for _ in range(rounds):
            sound, intervals = studio.speech(speaker, 1.0)
            pcm = sixteen_bits(sound, -6.0)
            sessions.append(heard(pcm, pcm, intervals, FILTERS, speaker.group))
    return sessions


def others(pieces: int, rng: Rng) -> Others:
    """So many pieces of music as long as a session, and a fifth as many noises."""
    samples = int(1.4 * SESSION_HOPS * RATE / 100)

    def heard(sound: Floats) -> Floats:
        return powers(sixteen_bits(sound, -6.0))[:SESSION_HOPS]

    played = [heard(resampled(music(samples, rng), rng.uniform(0.8, 1.25))) for _ in range(pieces)]
    return Others(
        np.stack(played), np.stack([heard(noise(samples, rng)) for _ in range(pieces // 5)])
    )


def write(path: Path, sessions: list[StudioSession]) -> None:
    """As `train` reads them; the file is there once it is whole."""
    part = path.with_name(f"part-{path.name}")
    np.savez(
        part,
        features=np.stack([session.features for session in sessions]),
        clean=np.stack([session.clean for session in sessions]),
        visemes=np.stack([session.visemes for session in sessions]),
        shapes=np.stack([session.shapes for session in sessions]),
        group=np.array([session.group for session in sessions]),
    )
    part.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.augment")
    parser.add_argument("corpus", type=Path, help="what training.corpus made")
    parser.add_argument("sessions", type=Path, help="folder for the sessions")
    parser.add_argument("--shards", type=int, default=150, help="of 8 minutes each")
    parser.add_argument("--leave-out", nargs="*", default=[], help="voices, for a check on them")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.sessions.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    others(PIECES, rng).write(arguments.sessions / OTHERS)
    dev = sentences(arguments.corpus / "dev")
    write(
        arguments.sessions / "dev.npz",
        plain(
            [
                s
                for v, said in dev.items()
                if not v.startswith("espeak-")
                for s in [StudioSpeaker(v, said)]
            ],
            14,
        )
        + plain([StudioSpeaker("espeak", s) for v, s in dev.items() if v.startswith("espeak-")], 1),
    )
    speakers: list[StudioSpeaker] = []
    for voice, said in sentences(arguments.corpus / "train").items():
        if voice not in arguments.leave_out:
            speakers.append(StudioSpeaker(group_of(voice), said))
            if group_of(voice) != "espeak":
                speakers += made_speakers(voice, said, rng)
            print(voice, len(said), flush=True)
    shares = {group: SHARES[group] for group in {speaker.group for speaker in speakers}}
    studio = Studio(speakers, shares, arguments.seed)
    for shard in range(arguments.shards):
        write(
            arguments.sessions / f"shard{shard:04d}.npz",
            [studio.session() for _ in range(SHARD_SESSIONS)],
        )


if __name__ == "__main__":
    main()
