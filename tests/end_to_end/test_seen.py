"""What the benchmarks see of a viewing: losses, insertions and repetitions through the codec."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "support"))

import analysis
from analysis import PACKET, SOUND_RATE, SoundPacket, View, account
from viewer import Arrival, Coded, RecordedTrack, SenderReport, Viewing

from worker.media import Pcm
from worker.sound import Doubler

SILENCE = np.zeros(24_000, np.int16)


def noise(seconds: float, seed: int = 1) -> Pcm:
    loud = np.random.default_rng(seed).normal(0, 5000, round(seconds * 24_000))
    return np.asarray(loud.clip(-20_000, 20_000), np.int16)


def packets(sound: Pcm) -> list[bytes]:
    """Sound at 24 kHz as Opus packets of 20 ms, made as the SDK makes them."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.bit_rate, encoder.format, encoder.layout = 96_000, "s16", "stereo"
    encoder.sample_rate, encoder.options = SOUND_RATE, {"application": "voip"}
    fine = Doubler().push(sound)
    made = []
    for at in range(0, len(fine) - PACKET + 1, PACKET):
        stereo = np.repeat(fine[at : at + PACKET], 2)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=PACKET)
        frame.planes[0].update(stereo.tobytes())
        frame.sample_rate, frame.pts = SOUND_RATE, at
        made += [bytes(packet) for packet in encoder.encode(frame)]
    return made


def viewed(sound: Pcm, timestamp: int = 2**32 - 9600) -> View:
    """The sound as a viewer got it who began to listen at 100 s."""
    track = RecordedTrack("audio", 100.0)
    for number, packet in enumerate(packets(sound)):
        stamp = (timestamp + number * PACKET) % 2**32
        track.arrivals.append(Arrival(100.0 + number / 50, stamp))
        track.coded.append(Coded(stamp, packet))
    track.reports.append(SenderReport(5000.0, timestamp))
    return analysis.decode(Viewing([track]))


def heard(sound: Pcm) -> Pcm:
    return analysis.sound_between(viewed(sound))


def test_a_turn_that_was_heard_whole_is_accounted_for_whole() -> None:
    speech = noise(2.0)
    reports = account(heard(np.concatenate([SILENCE, speech, SILENCE])), speech)
    assert (reports.said, reports.lost, reports.inserted, reports.repeated) == (2000, 0, 0, 0)
    assert reports.until == 2000
    assert reports.lag == pytest.approx(SOUND_RATE, abs=0.01 * SOUND_RATE)


@pytest.mark.parametrize("lost_ms", [40, 400, 1000])
def test_what_was_left_out_is_lost(lost_ms: int) -> None:
    speech, cut = noise(3.0), 24 * lost_ms
    sound = np.concatenate([speech[:24_000], speech[24_000 + cut :], SILENCE])
    reports = account(heard(sound), speech)
    assert reports.lost == pytest.approx(lost_ms, abs=40)
    assert (reports.inserted, reports.repeated) == (0, 0)


@pytest.mark.parametrize("silent_ms", [20, 60, 500])
def test_silence_that_was_put_in_is_found(silent_ms: int) -> None:
    speech = noise(2.0)
    sound = np.concatenate([speech[:24_000], SILENCE[: 24 * silent_ms], speech[24_000:], SILENCE])
    reports = account(heard(sound), speech)
    assert reports.inserted == pytest.approx(silent_ms, abs=5)
    assert reports.insertions == 1
    assert reports.repeated == 0
    assert reports.lost <= 20


def test_sound_that_was_heard_twice_is_found() -> None:
    speech = noise(2.0)
    sound = np.concatenate([speech[:24_000], speech[20_000:], SILENCE])
    reports = account(heard(sound), speech)
    assert reports.repeated == pytest.approx(4000 / 24, abs=20)


def test_another_turn_is_no_part_of_this_one() -> None:
    reports = account(heard(np.concatenate([noise(2.0, seed=2), SILENCE])), noise(2.0))
    assert reports.lost == reports.said == 2000


def test_pauses_are_not_looked_for() -> None:
    speech = np.concatenate([noise(1.0), SILENCE, noise(1.0, seed=2)])
    reports = account(heard(np.concatenate([speech, SILENCE])), speech)
    assert reports.said in (2000, 2020)
    assert (reports.lost, reports.inserted, reports.repeated) == (0, 0, 0)


@pytest.mark.parametrize("end_s", [0.5, 1.24])
def test_how_far_a_turn_was_heard(end_s: float) -> None:
    speech = noise(3.0)
    sound = np.concatenate([SILENCE, speech[: round(end_s * 24_000)], SILENCE])
    assert account(heard(sound), speech).until / 1000 == pytest.approx(end_s, abs=0.03)


def test_latencies_are_those_of_arrival() -> None:
    view = viewed(np.concatenate([SILENCE, noise(0.5), SILENCE]))
    assert analysis.first_sound_ms(view, 100.5) == pytest.approx(500, abs=21)
    assert analysis.silence_ms(view, 101.2, 103.0) == pytest.approx(300, abs=21)
    assert analysis.silence_ms(view, 102.0, 103.0) == 0


def test_the_senders_clock_goes_on_where_time_stamps_wrap() -> None:
    clock = [piece.ntp_s for piece in viewed(noise(1.0)).sound]
    assert clock[0] == 5000.0
    assert np.allclose(np.diff(clock), 0.02)


def test_without_a_report_there_is_no_senders_clock() -> None:
    track = RecordedTrack("audio", 0.0, [Arrival(1.0, 7)], [Coded(7, packets(noise(0.02))[0])])
    (piece,) = analysis.decode(Viewing([track])).sound
    assert isinstance(piece, SoundPacket)
    assert np.isnan(piece.ntp_s)
