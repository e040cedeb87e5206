"""The demo: the whole way on one machine, filmed and measured by a viewer in the room.

It starts the local room and the dispatcher. An agent asks for a face, a warm worker joins, the
agent speaks the shipped file, is interrupted once in mid-sentence and speaks on. Another
participant on the real SDK receives the tracks; what it saw and heard becomes the film, and
every figure is taken there. After the film, turns are interrupted at random to measure how
fast the face falls silent.
"""

import ast
import asyncio
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import analysis
import httpx
import live_session
import measure
import numpy as np
import soxr
from analysis import SOUND_RATE, AckAccount, View, account
from live_session import SpokenTurn, TimedAgent
from measure import Floats

from benchmarks.lipsync import film as judge
from localroom.launch import LocalRoom
from worker.characters.gauge import mouth_opening
from worker.media import FPS, FRAME_SAMPLES, SAMPLE_RATE, Pcm, Picture
from worker.tools.film import Film, FilmWriter, read_film, read_sound

HERE: Final = Path(__file__).parent
LAUNCHES: Final = 5
INTERRUPTED_TURNS: Final = 10

FIRST_PART_S: Final = 14.2
INTERRUPTED_AT_S: Final = 5.85
"""In the middle of a word of the third sentence."""
ANSWER_S: Final = 0.5
"""Between the interrupt and the sentence about interrupts."""

LEAD_S: Final = 1.2
PIECE: Final = SOUND_RATE // 10
"""Speech is held against what was heard in pieces of 100 ms."""

PAUSE_SETTLES_S: Final = 0.2
"""A mouth is looked at in pauses from this long after their begin."""

CUT_S: Final = 0.25
"""By then a face that was interrupted is silent, and the next turn has not begun."""

PLACE_S: Final = 0.2
"""An ack may be so far from where the end was heard: the codec changes a hiss too much to tell
it. That acks are exact to the sample is shown where no codec is in between, in the tests."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the agent did and was told. The first two turns are in the film."""

    turns: list[SpokenTurn]
    acks: list[tuple[float, bool, int]]
    launched_s: float
    film_until_s: float


async def launch_ms(room: LocalRoom, address: httpx.URL, room_id: str) -> float:
    """From the POST until the agent in the room knows that its face hears it."""
    loop = asyncio.get_running_loop()
    out = live_session.voice_of(room_id, address)
    async with live_session.participant(room, room_id) as meeting:
        out._set_meeting(meeting)
        await asyncio.sleep(0.2)
        began_s = loop.time()
        await out.connect()
        await out.wait_until_ready()
        took_s = loop.time() - began_s
        await out.aclose()
        await live_session.end_sessions(address)
    return 1000 * took_s


def conversation(speech: Pcm, random: Random) -> Any:
    """The agent's part."""

    async def part(agent: TimedAgent) -> DemoReport:
        loop = asyncio.get_running_loop()
        launched_s = loop.time()
        await agent.out.connect()
        await agent.out.wait_until_ready()
        await asyncio.sleep(LEAD_S)
        middle = round(FIRST_PART_S * SAMPLE_RATE)
        turns = [await agent.say(speech[:middle])]
        await asyncio.sleep(turns[0].said_s + INTERRUPTED_AT_S - loop.time())
        await agent.interrupt(turns[0])
        await asyncio.sleep(ANSWER_S)
        turns.append(await agent.say(speech[middle:]))
        await agent.silence(0.6)
        film_until_s = loop.time()
        for _ in range(INTERRUPTED_TURNS):
            turns.append(await agent.say(_some_speech(speech, random)))
            await asyncio.sleep(random.uniform(0.5, 0.9))
            await agent.interrupt(turns[-1])
            await agent.silence(random.uniform(0.25, 0.35))
        return DemoReport(turns, agent.acks, launched_s, film_until_s)

    return part


def _some_speech(speech: Pcm, random: Random) -> Pcm:
    """Three seconds that begin with a voice."""
    begin = random.randrange(SAMPLE_RATE // 2, len(speech) - 4 * SAMPLE_RATE)
    begin += int(np.flatnonzero(np.abs(speech[begin:]) > 1000)[0])
    return speech[begin : begin + 3 * SAMPLE_RATE]


async def play(folder: Path, speech: Pcm) -> tuple[View, DemoReport, list[float], str]:
    """Everything that needs the other processes; they have all ended when this returns."""
    log = folder / "log"
    with live_session.running(log) as (room, address):
        print(f"launching {LAUNCHES} faces ...")
        launches = [await launch_ms(room, address, f"launch-{n}") for n in range(LAUNCHES)]
        print("speaking, interrupted once ...")
        part = conversation(speech, Random(7))
        view, reports = await live_session.play(room, address, "demo", folder / "viewing", part)
    return view, reports, launches, log.read_text()


# The film -------------------------------------------------------------------------------------


def write_film(path: Path, view: View, until_s: float) -> None:
    """What the viewer got until `until_s`, put together by the sender's clock as browsers do.

    It begins with the first picture.
    """
    pictures = [each for each in view.pictures if each.time_s < until_s]
    sound = [each for each in view.sound if each.time_s < until_s]
    begin_s = pictures[0].ntp_s
    count = round((pictures[-1].ntp_s - begin_s) * FPS) + 1
    pcm = np.zeros(round(count / FPS * SOUND_RATE), np.int16)
    for piece in sound:
        at = round((piece.ntp_s - begin_s) * SOUND_RATE)
        if 0 <= at <= len(pcm) - len(piece.pcm):
            pcm[at : at + len(piece.pcm)] = piece.pcm
    pcm = np.asarray(soxr.resample(pcm, SOUND_RATE, SAMPLE_RATE), np.int16)
    first = pictures[0].picture
    with FilmWriter(path, first.width, first.height) as writer:
        shown = 0
        for number in range(count):
            now_s = begin_s + (number + 0.5) / FPS
            while shown + 1 < len(pictures) and pictures[shown + 1].ntp_s <= now_s:
                shown += 1
            writer.add_picture(pictures[shown].picture)
            writer.add_sound(pcm[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES])


# Figures --------------------------------------------------------------------------------------


def figures_of(
    film: Film, view: View, reports: DemoReport, launches: Sequence[float], log: str
) -> dict[str, Any]:
    """Everything that demo.json has; times are those of arrival at the viewer."""
    second, third = reports.turns[1:3]
    whole = account(analysis.sound_between(view, second.said_s, third.said_s), second.said, PIECE)
    interrupted = [turn for turn in reports.turns if turn.was_interrupted]
    first_sounds = [analysis.first_sound_ms(view, turn.said_s) for turn in reports.turns[2:]]
    first_frames = [analysis.first_ms(view, turn.said_s, _speaks) for turn in reports.turns[2:]]
    quiet = [
        analysis.silence_ms(view, turn.interrupted_s, turn.interrupted_s + CUT_S)
        for turn in interrupted
    ]
    shut = [analysis.first_ms(view, turn.interrupted_s, _rests) for turn in interrupted]
    offsets = measure.offsets_ms(film)
    times = [each.time_s for each in view.pictures if each.time_s < reports.film_until_s]
    openings = measure.seen_openings(film)
    begin_s = whole_begin_s(view, reports, whole)
    mouth = _judged_mouth(openings, view.pictures[0].ntp_s - begin_s)
    return {
        "seconds": round(float(film.times_s[-1]) + 1 / FPS, 2),
        "launch_to_joined_ms_p50": measure.percentile(launches, 50),
        "launch_to_first_picture_ms": round(
            1000 * (view.pictures[0].time_s - reports.launched_s), 1
        ),
        "samples_lost": whole.lost * SAMPLE_RATE // 1000,
        "samples_repeated": whole.repeated * SAMPLE_RATE // 1000,
        "samples_inserted": whole.inserted * SAMPLE_RATE // 1000,
        "av_offset_ms_p50": measure.percentile(np.abs(offsets), 50),
        "av_offset_ms_p95": measure.percentile(np.abs(offsets), 95),
        "fps": round((len(times) - 1) / (times[-1] - times[0]), 2),
        "mouth_open_share": round(float(np.mean(openings > measure.OPEN_MOUTH)), 3),
        "mouth_open_in_pauses": _open_in_pauses(view, reports, begin_s),
        "mouth_correlation": round(mouth.correlation, 3),
        "mouth_offset_ms": mouth.offset_ms,
        "bilabials": mouth.bilabials,
        "bilabials_seen_shut": mouth.shut,
        "first_sound_ms_p50": measure.percentile(first_sounds, 50),
        "first_sound_ms_p95": measure.percentile(first_sounds, 95),
        "first_frame_ms_p50": measure.percentile(first_frames, 50),
        "first_frame_ms_p95": measure.percentile(first_frames, 95),
        "interrupt_to_silence_ms_p50": measure.percentile(quiet, 50),
        "interrupt_to_silence_ms_p95": measure.percentile(quiet, 95),
        "interrupt_to_closed_ms_p50": measure.percentile(shut, 50),
        "interrupt_to_closed_ms_p95": measure.percentile(shut, 95),
        "turns": len(reports.turns),
        "acks_wrong": _wrong_acks(view, reports),
        "counters": _counters(log),
    }


def _speaks(picture: Picture) -> bool:
    return mouth_opening(picture.y) > measure.OPEN_MOUTH


def _rests(picture: Picture) -> bool:
    return not _speaks(picture)


def _wrong_acks(view: View, reports: DemoReport) -> int:
    """Turns whose ack is missing, doubled, out of order or not where the viewer heard its end."""
    wrong = abs(len(reports.acks) - len(reports.turns))
    following = [*(turn.said_s for turn in reports.turns[1:]), math.inf]
    for number, (turn, ack) in enumerate(zip(reports.turns, reports.acks, strict=False), 1):
        position_s, interrupted, ended = ack
        if turn.was_interrupted:
            until_s = following[number - 1]
            sound = analysis.sound_between(view, turn.said_s, until_s)
            place_s = PLACE_S + _late_s(view, turn.said_s, until_s)
            right = _is_end(position_s, sound, turn.said, place_s)
        else:
            right = position_s == len(turn.said) / SAMPLE_RATE
        wrong += not (ended == number and right and interrupted == turn.was_interrupted)
    return wrong


def _late_s(view: View, since_s: float, until_s: float) -> float:
    """How long the viewer got no sound then, at most: so much may have come after it looked."""
    times = [each.time_s for each in view.sound if since_s <= each.time_s < until_s]
    return max(np.diff(times), default=0.0) - analysis.PACKET / SOUND_RATE


def _is_end(position_s: float, sound: Pcm, said: Pcm, place_s: float) -> bool:
    """Whether the turn was heard to that place: no further, and what is between is a pause.

    Piece by piece it is found behind silence that was put in; only a look from the beginning on
    is not led astray by later speech that was never heard and sounds alike.
    """
    acked = said[: round(position_s * SAMPLE_RATE)]
    reached_s = account(sound, acked).until / 1000
    between = acked[round((reached_s + place_s) * SAMPLE_RATE) :]
    goes_on = analysis.reach_s(sound, said) > position_s + place_s
    return not goes_on and not (np.abs(between) > analysis.LOUD).any()


def whole_begin_s(view: View, reports: DemoReport, heard: AckAccount) -> float:
    """When the sound of the second turn, which is heard whole, begins by the sender's clock."""
    turn, following = reports.turns[1], reports.turns[2]
    packets = [p for p in view.sound if turn.said_s <= p.time_s < following.said_s]
    return packets[0].ntp_s + heard.lag / SOUND_RATE


def _judged_mouth(openings: Floats, first_s: float) -> judge.FilmedMouth:
    """The mouth of the second turn against what was said in it; the film begins at `first_s`."""
    said = json.loads((HERE / "speech.json").read_text())["phonemes"]
    part = [
        (max(0.0, start_s - FIRST_PART_S), end_s - FIRST_PART_S, name)
        for start_s, end_s, name in said
        if end_s > FIRST_PART_S
    ]
    skipped = max(0, math.ceil(-first_s * FPS))
    count = round(part[-1][1] * FPS)
    shown = openings[skipped : skipped + count]
    return judge.judged(list(shown), first_s + skipped / FPS, part)


def _open_in_pauses(view: View, reports: DemoReport, begin_s: float) -> float:
    """How far the mouth is open, at most, in the second turn's pauses of digital silence."""
    turn = reports.turns[1]
    silent = np.convolve(turn.said != 0, np.ones(round(PAUSE_SETTLES_S * SAMPLE_RATE))) == 0
    openings = [
        mouth_opening(each.picture.y)
        for each in view.pictures
        if 0 <= (at := round((each.ntp_s - begin_s) * SAMPLE_RATE)) < len(turn.said) - 960
        and silent[at : at + 960].all()
    ]
    return round(max(openings), 4)


def _counters(log: str) -> dict[str, int]:
    """What the worker counted, from what it said at its end."""
    said = re.findall(r"session over: (\{.*\})", log)
    counters: dict[str, int] = ast.literal_eval(said[-1]) if said else {}
    return {name: count for name, count in counters.items() if count}


FAULTS: Final = ("samples_lost", "samples_repeated", "acks_wrong")
"""What is never right, on however slow a machine; samples_repeated are all that nobody said."""

LIMITS: Final = {
    "samples_inserted": 0,
    "av_offset_ms_p95": 40,
    "mouth_open_in_pauses": measure.OPEN_MOUTH,
}
"""Silence is inserted where a packet is due and the worker has not had the time to make it: the
speech after it is whole, and later. Pictures are then late, or left out, too."""

LEAST_CORRELATION: Final = 0.75
MOST_OFFSET_MS: Final = 20
LEAST_SHUT: Final = 0.95
"""Of the bilabials."""


def faults_in(figures: Mapping[str, Any]) -> list[str]:
    """The figures that show a fault."""
    return [name for name in FAULTS if figures[name]]


def slow_in(figures: Mapping[str, Any]) -> list[str]:
    """The figures that a machine makes worse on which too much else runs."""
    wrong = [name for name, most in LIMITS.items() if figures[name] > most]
    kept = {
        "fps": abs(figures["fps"] - FPS) < 0.5,
        "mouth_correlation": figures["mouth_correlation"] >= LEAST_CORRELATION,
        "mouth_offset_ms": abs(figures["mouth_offset_ms"]) <= MOST_OFFSET_MS,
        "bilabials_seen_shut": figures["bilabials_seen_shut"] >= LEAST_SHUT * figures["bilabials"],
    }
    return [*wrong, *(name for name, right in kept.items() if not right)]


def load_in_words(before: Sequence[float], after: Sequence[float]) -> str:
    """How busy the CPUs were between two readings of `cpu_s`."""
    busy, idle = (late - early for early, late in zip(before, after, strict=True))
    share = busy / max(busy + idle, 1e-9)
    return f"its {os.cpu_count()} CPUs were {share:.0%} busy, load average {os.getloadavg()[0]:.1f}"


def cpu_s() -> tuple[float, float]:
    """How long this machine's CPUs were busy and idle since it started."""
    first = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    ticks = [int(each) / os.sysconf("SC_CLK_TCK") for each in first]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, idle


def main(out: Path) -> int:
    """Write demo.mp4 and demo.json; returns 1 when speech or acks are wrong, 0 otherwise."""
    out.mkdir(parents=True, exist_ok=True)
    speech, _, rate = read_sound(HERE / "speech.wav")
    assert rate == SAMPLE_RATE
    before = cpu_s()
    with tempfile.TemporaryDirectory(dir=out, prefix=".demo-") as name:
        view, reports, launches, log = asyncio.run(play(Path(name), speech))
    load = load_in_words(before, cpu_s())
    print("writing the film ...")
    write_film(out / "demo.mp4", view, reports.film_until_s)
    figures = figures_of(read_film(out / "demo.mp4"), view, reports, launches, log)
    (out / "demo.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:32} {value}")
    if slow := slow_in(figures):
        print(f"Slower than it should be: {', '.join(slow)}.")
        print(f"No speech is lost by that. During the conversation {load}.")
    if faults := faults_in(figures):
        print(f"NOT AS IT SHOULD BE: {', '.join(faults)}. During the conversation {load}.")
    print(f"The film: {out / 'demo.mp4'}; the figures: {out / 'demo.json'}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
