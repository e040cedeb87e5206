"""The demo: a spoken file through the whole line in real time, filmed and measured by a viewer.

AvatarAudioOut -> data channel of a meeting in memory -> Session -> character renderer ->
playout -> tracks -> a viewer, who writes the film and the figures. After the film, turns are
interrupted at random to measure how fast the face falls silent.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import measure
import numpy as np
from stage import Stage, stage

from worker.film import FilmWriter, read_film, read_sound
from worker.loading import load_renderer
from worker.media import FPS, FRAME_SAMPLES, SAMPLE_RATE, Pcm
from worker.meetings.memory import Recording
from worker.settings import Settings

HERE: Final = Path(__file__).parent
INTERRUPTED_TURNS: Final = 20
PIECE_BYTES: Final = 960
FASTER_THAN_REAL_TIME: Final = 17
"""How fast common speech synthesizers deliver: 20 ms of speech every 1.2 ms."""
PAUSE_SETTLES_S: Final = 0.12
"""A mouth is looked at in pauses from this long after their begin."""


async def main(out: Path) -> int:
    """Write demo.mp4 and demo.json to `out`; returns 0 when sound, sync and acks are right."""
    settings = Settings.from_env(os.environ)
    speech, _, rate = read_sound(HERE / "speech.wav")
    assert rate == SAMPLE_RATE
    random = Random(7)
    async with stage(renderer=load_renderer(settings), settings=settings, raw=False) as scene:
        await scene.agent.wait_until_ready()
        await asyncio.sleep(0.6)
        print(f"speaking {len(speech) / SAMPLE_RATE:.1f} s in real time ...")
        latencies = [await _say_all(scene, speech)]
        await asyncio.sleep(0.6)
        filmed = len(scene.film.pictures)
        print(f"interrupting {INTERRUPTED_TURNS} turns ...")
        silent, closed = [], []
        for _ in range(INTERRUPTED_TURNS):
            first, quiet, shut = await _say_and_interrupt(scene, speech, random)
            latencies.append(first)
            silent.append(quiet)
            closed.append(shut)
        wrong = _wrong_acks(scene, len(speech))
    print("writing the film ...")
    _write(out / "demo.mp4", scene.film, filmed)
    figures: dict[str, Any] = {
        **_of_film(out / "demo.mp4", scene.film, filmed, speech),
        "first_frame_ms_p50": measure.percentile(latencies, 50),
        "first_frame_ms_p95": measure.percentile(latencies, 95),
        "interrupt_to_silence_ms_p50": measure.percentile(silent, 50),
        "interrupt_to_silence_ms_p95": measure.percentile(silent, 95),
        "interrupt_to_closed_ms_p50": measure.percentile(closed, 50),
        "interrupt_to_closed_ms_p95": measure.percentile(closed, 95),
        "turns": len(scene.acks),
        "acks_wrong": wrong,
        "counters": dict(scene.session.counters),
    }
    (out / "demo.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:32} {value}")
    print(f"wrote {out / 'demo.mp4'} and {out / 'demo.json'}")
    return _verdict(figures)


async def _say_all(scene: Stage, speech: Pcm) -> float:
    """Speak as a synthesizer delivers and wait until it was heard; returns the latency in ms."""
    since_s = asyncio.get_running_loop().time()
    await _deliver(scene, speech)
    await scene.agent.send_segment_end()
    await scene.agent.wait_for_playout()
    return measure.first_frame_ms(scene.film, since_s)


async def _deliver(scene: Stage, speech: Pcm) -> None:
    data = speech.tobytes()
    begin = asyncio.get_running_loop().time()
    for at in range(0, len(data), PIECE_BYTES):
        await scene.agent.handle_audio_input(data[at : at + PIECE_BYTES])
        due_s = begin + at / 2 / SAMPLE_RATE / FASTER_THAN_REAL_TIME
        await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))


async def _say_and_interrupt(
    scene: Stage, speech: Pcm, random: Random
) -> tuple[float, float, float]:
    """Latencies in ms: to the first frame, INTERRUPT to silence, INTERRUPT to a closed mouth."""
    loop = asyncio.get_running_loop()
    begin = random.randrange(SAMPLE_RATE // 2, len(speech) - 3 * SAMPLE_RATE)
    begin += int(np.flatnonzero(np.abs(speech[begin:]) > 1000)[0])
    said_s = loop.time()
    await _deliver(scene, speech[begin : begin + 3 * SAMPLE_RATE])
    await asyncio.sleep(max(0.0, said_s + random.uniform(0.4, 0.9) - loop.time()))
    interrupted_s = loop.time()
    await scene.agent.interrupt()
    await scene.agent.wait_for_playout()
    await asyncio.sleep(random.uniform(0.25, 0.35))
    return (
        measure.first_frame_ms(scene.film, said_s),
        measure.silence_ms(scene.film, interrupted_s, loop.time()),
        measure.closed_ms(scene.film, interrupted_s),
    )


def _wrong_acks(scene: Stage, samples: int) -> int:
    """Turns whose ack is missing, doubled, out of order or not at the place that was heard."""
    heard: dict[int, int] = {}
    unheard = {cut.time_s: cut.unheard for cut in scene.film.cuts}
    for time_s, frame in scene.film.published:
        heard[frame.segment] = heard.get(frame.segment, 0) + FRAME_SAMPLES
        for cut_s in [cut_s for cut_s in unheard if cut_s >= time_s and cut_s < time_s + 1 / FPS]:
            heard[frame.segment] -= unheard.pop(cut_s)
    wrong = abs(len(scene.acks) - (1 + INTERRUPTED_TURNS))
    for expected, (turn, position, interrupted) in enumerate(scene.acks, 1):
        right = samples if turn == 1 else heard.get(turn, 0)
        exact = abs(position * SAMPLE_RATE - right) < 1
        wrong += not (turn == expected and exact and interrupted == (turn > 1))
    return wrong


def _write(path: Path, film: Recording, pictures: int) -> None:
    first = film.pictures[0].picture
    begin_s = film.pictures[0].pts / 90_000
    end_s = film.pictures[pictures - 1].pts / 90_000 + 1 / FPS
    with FilmWriter(path, first.width, first.height) as writer:
        for shown in film.pictures[:pictures]:
            writer.add_picture(measure.planes(shown.picture))
        for piece in film.sound:
            if begin_s <= piece.pts / SAMPLE_RATE < end_s:
                writer.add_sound(piece.pcm)


def _of_film(
    path: Path, recording: Recording, pictures: int, speech: Pcm
) -> dict[str, float | int]:
    """What can be measured of the film itself, and of the sound that went into it."""
    film = read_film(path)
    voiced = next(index for index, p in enumerate(recording.published) if p.frame.segment)
    sound = recording.heard()[voiced * FRAME_SAMPLES : pictures * FRAME_SAMPLES]
    kept = measure.compare(sound, speech)
    offsets = measure.offsets_ms(film)
    times = [shown.time_s for shown in recording.pictures[:pictures]]
    openings = measure.seen_openings(film)
    pauses = _pauses(speech, voiced)
    return {
        "seconds": round(float(film.times_s[-1]) + 1 / FPS, 2),
        "samples_lost": kept.lost,
        "samples_repeated": kept.repeated,
        "samples_inserted": kept.inserted,
        "film_sound_correlation": _correlation(film.sound, recording.heard()),
        "av_offset_ms_p50": measure.percentile(np.abs(offsets), 50),
        "av_offset_ms_p95": measure.percentile(np.abs(offsets), 95),
        "fps": round((len(times) - 1) / (times[-1] - times[0]), 2),
        "mouth_open_share": round(float(np.mean(openings > measure.OPEN_MOUTH)), 3),
        "mouth_open_in_pauses": round(float(np.max(openings[pauses])), 4),
    }


def _pauses(speech: Pcm, first_picture: int) -> list[int]:
    """The film's pictures that lie in pauses of digital silence."""
    settle = round(PAUSE_SETTLES_S * FPS)
    blocks = range(0, len(speech), FRAME_SAMPLES)
    silent = [not speech[at : at + FRAME_SAMPLES].any() for at in blocks]
    return [
        first_picture + index
        for index in range(settle, len(silent))
        if all(silent[index - settle : index + 1])
    ]


def _correlation(film: Pcm, sent: Pcm) -> float:
    length = min(len(film), len(sent))
    return round(float(np.corrcoef(film[:length], sent[:length])[0, 1]), 5)


def _verdict(figures: Mapping[str, Any]) -> int:
    wrong = [
        name
        for name, right in {
            "samples_lost": figures["samples_lost"] == 0,
            "samples_repeated": figures["samples_repeated"] == 0,
            "acks_wrong": figures["acks_wrong"] == 0,
            "av_offset_ms_p95": figures["av_offset_ms_p95"] <= 20,
            "fps": abs(figures["fps"] - FPS) < 0.5,
            "mouth_open_in_pauses": figures["mouth_open_in_pauses"] < measure.OPEN_MOUTH,
        }.items()
        if not right
    ]
    if wrong:
        print(f"NOT AS IT SHOULD BE: {', '.join(wrong)}")
    return bool(wrong)


def run(arguments: Sequence[str]) -> int:
    out = Path(arguments[0]) if arguments else Path("out")
    out.mkdir(parents=True, exist_ok=True)
    return asyncio.run(main(out))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
