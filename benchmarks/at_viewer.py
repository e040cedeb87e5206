"""What a viewer sees and hears of the whole way, beside what the stock pipeline does there.

Everything is real and on this machine: agent, dispatcher, worker, room and viewer are processes
of their own, which speak WebRTC. A time is that at which a packet, or the last packet of a
picture, arrived at the viewer. The stock figures are of `videosdk-agents` 1.0.30 on both sides,
measured in the same way in a local room.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final

import analysis
import httpx
import live_session
import measure
import numpy as np
from analysis import View, account
from latency import spoken
from live_session import SpokenTurn, TimedAgent
from marker_renderer import marked

from localroom.faults import DatagramFaults, Faults, PeerFaults
from localroom.launch import LocalRoom
from worker.characters.gauge import mouth_opening
from worker.media import SAMPLE_RATE, Pcm, Picture

TURNS: Final = 20
NEXT_S: Final = 0.05
"""The pause between an interrupt and the next turn."""


@dataclass(frozen=True, slots=True)
class ViewerFigure:
    """A figure at the viewer, its limit, what the stock pipeline does, and whether it is kept."""

    name: str
    value: str
    limit: str
    stock: str
    kept: bool

    def line(self) -> str:
        kept = "yes" if self.kept else "NO"
        return f"| {self.name} | {self.value} | {self.limit} | {self.stock} | {kept} |"


@dataclass(frozen=True, slots=True)
class ViewerStage:
    """Where the scenes are played."""

    room: LocalRoom
    address: httpx.URL
    folder: Path

    async def play(
        self, name: str, part: Callable[[TimedAgent], Awaitable[live_session.T]]
    ) -> tuple[View, live_session.T]:
        return await live_session.play(self.room, self.address, name, self.folder / name, part)


# What is said ---------------------------------------------------------------------------------


def noise(seconds: float, seed: int) -> Pcm:
    loud = np.random.default_rng(seed).normal(0, 5000, round(seconds * SAMPLE_RATE))
    return np.asarray(loud.clip(-20_000, 20_000), np.int16)


def with_pauses(speech: Pcm) -> Pcm:
    """Half a second of speech, 0.4 s of digital silence, over and over."""
    speech = speech.copy()
    for at in range(0, len(speech), round(0.9 * SAMPLE_RATE)):
        speech[at + SAMPLE_RATE // 2 : at + round(0.9 * SAMPLE_RATE)] = 0
    return speech


async def greet(agent: TimedAgent) -> SpokenTurn:
    """Speak before anybody was asked for a face."""
    turn = await agent.say(noise(3.0, 1))
    await asyncio.sleep(0.4)
    await agent.out.connect()
    await agent.silence()
    return turn


async def meet(agent: TimedAgent) -> None:
    await agent.out.connect()
    await agent.out.wait_until_ready()
    await asyncio.sleep(1.0)


async def short_turns(agent: TimedAgent) -> list[SpokenTurn]:
    await meet(agent)
    random = Random(1)
    turns = []
    for count in range(TURNS):
        turns.append(await agent.say(noise(0.6, 10 + count)))
        await agent.silence(0.3 + random.uniform(0, 0.04))
    return turns


async def long_turns(agent: TimedAgent) -> list[SpokenTurn]:
    """10 s of noise; 10 s with pauses of zeros; three turns that wait for each other."""
    await meet(agent)
    whole = await agent.say(noise(10.0, 50))
    await agent.silence()
    paused = await agent.say(with_pauses(noise(10.0, 51)))
    await agent.silence()
    queued = [await agent.say(noise(0.5 + 0.25 * count, 60 + count)) for count in range(3)]
    await agent.silence()
    return [whole, paused, *queued]


async def interrupted_turns(
    agent: TimedAgent, speech: Callable[[int], Pcm]
) -> list[tuple[SpokenTurn, SpokenTurn]]:
    """10 s handed over, interrupted while they sound, and 50 ms later the next turn."""
    await meet(agent)
    random = Random(2)
    pairs = []
    for number in range(TURNS):
        dead = await agent.say(speech(number))
        since_s = asyncio.get_running_loop().time() - dead.said_s
        await asyncio.sleep(max(0.0, 1.0 - since_s) + random.uniform(0, 0.3))
        await agent.interrupt(dead)
        await asyncio.sleep(NEXT_S)
        pairs.append((dead, await agent.say(noise(1.0, 500 + number))))
        await agent.silence()
    return pairs


# Figures --------------------------------------------------------------------------------------


async def greeting(place: ViewerStage) -> list[ViewerFigure]:
    acks = []

    async def part(agent: TimedAgent) -> SpokenTurn:
        turn = await greet(agent)
        acks.extend(agent.acks)
        return turn

    view, turn = await place.play("greeting", part)
    reports = account(analysis.sound_between(view), turn.said)
    exact = acks == [(3.0, False, 1)]
    value = f"{reports.lost} ms of {reports.said}, ack {'exact' if exact else 'WRONG'}"
    stock = "all, or mute for good"
    return [
        ViewerFigure(
            "said before the face is there: lost", value, "0", stock, not reports.lost and exact
        )
    ]


async def first_sound_and_sync(place: ViewerStage) -> list[ViewerFigure]:
    view, turns = await place.play("short", short_turns)
    opens, shuts, synced = [], [], []
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        until_s = following.said_s if following else float("inf")
        sound = [piece for piece in view.sound if turn.said_s <= piece.time_s < until_s]
        voiced = [piece for piece in sound if np.abs(piece.pcm).max() > analysis.LOUD]
        pictures = [each for each in view.pictures if turn.said_s <= each.time_s < until_s]
        opened = next(each for each in pictures if marked(each.picture))
        shut = next(e for e in pictures if e.time_s > opened.time_s and not marked(e.picture))
        opens.append(1000 * (opened.time_s - voiced[0].time_s))
        # A packet is heard for 20 ms from its coming on.
        shuts.append(1000 * (shut.time_s - voiced[-1].time_s - 0.02))
        begins = int(np.argmax(np.abs(voiced[0].pcm) > analysis.LOUD))
        synced.append(1000 * (opened.ntp_s - voiced[0].ntp_s - begins / analysis.SOUND_RATE))
    first = [analysis.first_sound_ms(view, turn.said_s) for turn in turns]
    return [
        _within("first PCM to sound", first, 90, "83 to 109"),
        _apart("mouth opens against sound, by arrival", opens, "-52 to -44"),
        _apart("mouth shuts against sound, by arrival", shuts, "-35 to -26"),
        _apart("mouth opens against sound, as browsers play it", synced, "not measured"),
    ]


async def whole_turns(place: ViewerStage) -> list[ViewerFigure]:
    acks = []

    async def part(agent: TimedAgent) -> list[SpokenTurn]:
        turns = await long_turns(agent)
        acks.extend(agent.acks)
        return turns

    view, (whole, paused, *queued) = await place.play("long", part)
    reports = account(analysis.sound_between(view, whole.said_s, paused.said_s), whole.said)
    value = f"{reports.lost} ms, {reports.inserted} ms in {reports.insertions}"
    kept = reports.lost == reports.inserted == reports.repeated == 0
    rows = [
        ViewerFigure(
            "10 s of speech: lost, silence inserted", value, "0, 0", "0, 160 ms in 8", kept
        )
    ]

    reports = account(analysis.sound_between(view, paused.said_s, queued[0].said_s), paused.said)
    voiced = analysis.loud(view, paused.said_s, queued[0].said_s)
    length_s = voiced[-1] - voiced[0] + 0.02
    right_s = (1 + int(np.flatnonzero(paused.said)[-1])) / SAMPLE_RATE
    value = f"{reports.lost} ms of {reports.said}, {length_s:.2f} s of {right_s:.2f}"
    kept = reports.lost == reports.inserted == 0 and abs(length_s - right_s) < 0.06
    rows.append(
        ViewerFigure(
            "10 s with pauses of zeros: lost, length", value, "0, the same", "5.08 s of 9.5", kept
        )
    )
    right = [(each, False, turn) for turn, each in enumerate((10.0, 10.0, 0.5, 0.75, 1.0), 1)]
    exact = sum(reports == due for reports, due in zip(acks[2:], right[2:], strict=False))
    value, kept = f"{len(acks) - 2}, {exact} exact", acks == right
    return [
        *rows,
        ViewerFigure("acks of three queued segments", value, "3 exact", "1, wrong", kept),
    ]


async def interrupts(place: ViewerStage) -> list[ViewerFigure]:
    return await _interrupts(place, "", limit=80, stock=("96", "48", "3.04 s of 10"))


async def interrupts_from_afar(place: ViewerStage) -> list[ViewerFigure]:
    """100 ms from the agent to its servers and back."""
    far = PeerFaults(datagrams=DatagramFaults(delay_s=0.05))
    await asyncio.to_thread(place.room.set_faults, Faults(peers={"agent": far}))
    try:
        stock = ("164", "127", "3.30 s of 10")
        return await _interrupts(place, ", round trip 100 ms", limit=140, stock=stock)
    finally:
        await asyncio.to_thread(place.room.set_faults, Faults())


async def _interrupts(
    place: ViewerStage, where: str, limit: float, stock: Sequence[str]
) -> list[ViewerFigure]:
    def speech(number: int) -> Pcm:
        return noise(10.0, 100 + number)

    view, pairs = await place.play(f"at-{limit:.0f}", lambda a: interrupted_turns(a, speech))
    quiet, shut, lost = [], [], 0
    ends = [*(dead.said_s for dead, _ in pairs[1:]), float("inf")]
    for (dead, following), end_s in zip(pairs, ends, strict=True):
        quiet.append(
            analysis.silence_ms(view, dead.interrupted_s, _begin_s(view, following, end_s))
        )
        shut.append(
            analysis.first_ms(view, dead.interrupted_s, lambda picture: not marked(picture))
        )
        lost += account(analysis.sound_between(view, following.said_s, end_s), following.said).lost
    value = f"{lost} ms of {1000 * len(pairs)}"
    return [
        _within(f"INTERRUPT to silence{where}", quiet, limit, stock[0]),
        _within(f"INTERRUPT to mouth shut{where}", shut, limit, stock[1]),
        ViewerFigure(
            f"next turn 50 ms after INTERRUPT: lost{where}", value, "0", stock[2], not lost
        ),
    ]


def _begin_s(view: View, turn: SpokenTurn, until_s: float) -> float:
    """When the first sound of `turn` came, told by what it is: the turn before was loud, too."""
    packets = [piece for piece in view.sound if turn.said_s <= piece.time_s < until_s]
    lag = account(np.concatenate([piece.pcm for piece in packets]), turn.said).lag
    return packets[max(0, lag) // analysis.PACKET].time_s


async def with_a_face(place: ViewerStage) -> list[ViewerFigure]:
    """The same with the character, which looks ahead and shuts its mouth as a mouth does."""
    vowel = np.tile(spoken(), 9)[: 10 * SAMPLE_RATE]
    view, pairs = await place.play("face", lambda a: interrupted_turns(a, lambda _: vowel))
    ends = [*(dead.said_s for dead, _ in pairs[1:]), float("inf")]

    def shut(picture: Picture) -> bool:
        return mouth_opening(picture.y) <= measure.OPEN_MOUTH

    first, quiet, closed = [], [], []
    for (dead, following), end_s in zip(pairs, ends, strict=True):
        first.append(analysis.first_sound_ms(view, dead.said_s))
        quiet.append(
            analysis.silence_ms(view, dead.interrupted_s, _begin_s(view, following, end_s))
        )
        closed.append(analysis.first_ms(view, dead.interrupted_s, shut))
    return [
        _within("with Ada: first PCM to sound", first, 90, "83 to 109"),
        _within("with Ada: INTERRUPT to silence", quiet, 80, "96"),
        _within("with Ada: INTERRUPT to mouth shut", closed, 80, "48"),
    ]


def _within(name: str, values: Sequence[float], limit: float, stock: str) -> ViewerFigure:
    p50, p95 = (measure.percentile(values, percent) for percent in (50, 95))
    return ViewerFigure(
        f"{name} (ms)", f"{p50:.0f}, {p95:.0f}", f"{limit:.0f}", stock, p95 <= limit
    )


def _apart(name: str, values: Sequence[float], stock: str) -> ViewerFigure:
    p50 = measure.percentile(values, 50)
    p95 = measure.percentile(np.abs(np.asarray(values)), 95)
    return ViewerFigure(f"{name} (ms)", f"{p50:+.0f}, {p95:.0f}", "40", stock, p95 <= 40)


WITH_MARKERS: Final = (
    greeting,
    first_sound_and_sync,
    whole_turns,
    interrupts,
    interrupts_from_afar,
)


async def measure_all(folder: Path) -> list[ViewerFigure]:
    """Play every scene; recordings and logs go into `folder`."""
    rows: list[ViewerFigure] = []
    places = os.pathsep.join([str(live_session.HERE), os.environ.get("PYTHONPATH", "")])
    marker = {"AVATAR_RENDERER": "marker_renderer:create", "PYTHONPATH": places}
    with live_session.running(folder / "log", **marker) as (room, address):
        for scenes in WITH_MARKERS:
            rows += await scenes(ViewerStage(room, address, folder))
    with live_session.running(folder / "log") as (room, address):
        rows += await with_a_face(ViewerStage(room, address, folder))
    return rows


def main(out: Path) -> int:
    """Print the table, write viewer.json; returns 1 where a limit is not kept."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        rows = asyncio.run(measure_all(Path(name)))
    print("| at the viewer | ours (p50, p95) | limit | stock | kept |")
    print("|---|---|---|---|---|")
    print("\n".join(row.line() for row in rows))
    (out / "viewer.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
