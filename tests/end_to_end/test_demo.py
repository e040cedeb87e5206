"""The demo fails for faults, on however slow a machine, and notes what is only slow."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "support"))

import demo
from analysis import PACKET, SOUND_RATE, SoundPacket, View
from live_session import SpokenTurn

from worker.media import Pcm
from worker.sound import Doubler

FIGURES: dict[str, Any] = {
    "samples_lost": 0,
    "samples_repeated": 0,
    "samples_inserted": 0,
    "acks_wrong": 0,
    "av_offset_ms_p95": 12.0,
    "mouth_open_in_pauses": 0.0,
    "fps": 25.0,
    "mouth_correlation": 0.9,
    "mouth_offset_ms": 3,
    "bilabials": 20,
    "bilabials_seen_shut": 20,
}
PAUSE = np.zeros(12_000, np.int16)


@pytest.mark.parametrize("name", ["samples_lost", "samples_repeated", "acks_wrong"])
def test_speech_that_is_wrong_is_a_fault(name: str) -> None:
    assert demo.faults_in(FIGURES) == []
    assert demo.faults_in(FIGURES | {name: 1}) == [name]
    assert demo.slow_in(FIGURES | {name: 1}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("samples_inserted", 480), ("av_offset_ms_p95", 90.0), ("fps", 19.0), ("mouth_offset_ms", 60)],
)
def test_what_comes_late_is_slowness(name: str, value: float) -> None:
    assert demo.slow_in(FIGURES) == []
    assert demo.slow_in(FIGURES | {name: value}) == [name]
    assert demo.faults_in(FIGURES | {name: value}) == []


def test_how_busy_the_machine_was_is_said() -> None:
    assert "75% busy, load average" in demo.load_in_words((10.0, 10.0), (16.0, 12.0))
    busy, idle = demo.cpu_s()
    assert busy > 0
    assert idle > 0


def noise(seconds: float) -> Pcm:
    loud = np.random.default_rng(1).normal(0, 5000, round(seconds * 24_000))
    return np.asarray(loud.clip(-20_000, 20_000), np.int16)


def seen_of(sound: Pcm, late_s: float = 0.0) -> View:
    """That sound from 100 s on, of which what comes after 0.5 s arrives so much later."""
    fine = Doubler().push(sound)
    heard = []
    for number, at in enumerate(range(0, len(fine) - PACKET + 1, PACKET)):
        due_s = 100.0 + at / SOUND_RATE
        heard.append(SoundPacket(due_s + (number > 25) * late_s, due_s, fine[at : at + PACKET]))
    return View(heard, [])


def wrong(view: View, *, said_s: float, interrupted_s: float) -> int:
    """Of a turn of which `said_s` were heard, by its ack."""
    turn = SpokenTurn(noise(3.0), 100.0, interrupted_s)
    return demo._wrong_acks(view, demo.DemoReport([turn], [(said_s, True, 1)], 0.0, 0.0))


def test_an_ack_is_right_where_the_turns_end_was_heard() -> None:
    view = seen_of(np.concatenate([PAUSE, noise(3.0)[:24_000], PAUSE]))
    assert wrong(view, said_s=1.0, interrupted_s=101.5) == 0
    assert wrong(view, said_s=0.5, interrupted_s=101.5) == 1
    assert wrong(view, said_s=1.6, interrupted_s=101.5) == 1


def test_silence_in_between_and_a_late_viewer_make_no_ack_wrong() -> None:
    speech = noise(3.0)[:24_000]
    stalled = np.concatenate([PAUSE, speech[:9_600], PAUSE, speech[9_600:], PAUSE])
    assert wrong(seen_of(stalled), said_s=1.0, interrupted_s=102.0) == 0
    assert wrong(seen_of(stalled, late_s=0.4), said_s=1.0, interrupted_s=101.7) == 0
