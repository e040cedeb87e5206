"""The onlooker counts who sends pictures for a face, from packets alone."""

import struct
import time
from pathlib import Path

import pytest
from onlooker import Onlooker

from localroom.launch import LocalRoom

ROOM = "room"
FACE = "face"


@pytest.fixture
def seen() -> Onlooker:
    return Onlooker(LocalRoom("127.0.0.1:1", Path("ca"), "http://127.0.0.1:1"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time is its only element."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def packet(ssrc: int, *, payload_type: int = 96, protocol: int = 17, version: int = 2) -> bytes:
    """An IP packet with an RTP packet in it."""
    ip = struct.pack("!BBHHHBBHLL", 0x45, 0, 0, 0, 0, 64, protocol, 0, 1, 2)
    rtp = struct.pack("!BBHLL", version << 6, payload_type, 7, 8, ssrc)
    return ip + struct.pack("!HHHH", 1, 2, 0, 0) + rtp


def send(seen: Onlooker, clock: list[float], ssrc: int, began_s: float, ended_s: float) -> None:
    """25 pictures a second."""
    for number in range(round((ended_s - began_s) * 25)):
        clock[0] = 100 + began_s + number / 25
        seen.take(packet(ssrc))


def published(*cameras: tuple[int, int]) -> dict[str, object]:
    """The room's peers, of which one has these cameras: (ssrc, packets)."""
    producers = [{"kind": "video", "ssrc": ssrc, "packets": count} for ssrc, count in cameras]
    return {FACE: {"producers": producers}, "agent": {"producers": []}}


def test_one_sender_after_the_other_is_never_two(seen: Onlooker, clock: list[float]) -> None:
    seen._note(ROOM, published((1, 0), (2, 0)))
    send(seen, clock, 1, 0.0, 1.05)
    send(seen, clock, 2, 1.06, 2.0)
    assert seen.doubles(ROOM, 100.0) == 0


def test_two_senders_at_once_are_counted_for_as_long_as_they_are(
    seen: Onlooker, clock: list[float]
) -> None:
    seen._note(ROOM, published((1, 0), (2, 0)))
    send(seen, clock, 1, 0.0, 2.0)
    send(seen, clock, 2, 1.0, 3.0)
    assert seen.doubles(ROOM, 100.0) == pytest.approx(10, abs=1)
    assert seen.doubles(ROOM, 101.5) == pytest.approx(5, abs=1)
    assert seen.doubles("another room", 100.0) == 0


def test_one_that_was_cut_off_counts_again_once_its_pictures_arrive(
    seen: Onlooker, clock: list[float]
) -> None:
    seen._note(ROOM, published((1, 0), (2, 0)))
    send(seen, clock, 1, 0.0, 1.0)
    send(seen, clock, 2, 2.0, 6.0)
    send(seen, clock, 1, 5.0, 5.5)
    assert seen.doubles(ROOM, 100.0) == pytest.approx(5, abs=1)


def test_pictures_that_come_rarely_are_pictures(seen: Onlooker, clock: list[float]) -> None:
    seen._note(ROOM, published((1, 0), (2, 0)))
    for number in range(20):
        clock[0] = 100 + number / 10
        seen.take(packet(1 + number % 2))
    assert seen.doubles(ROOM, 100.0) == pytest.approx(17, abs=1)


def test_what_is_no_picture_of_a_known_face_does_not_count(
    seen: Onlooker, clock: list[float]
) -> None:
    seen._note(ROOM, published((1, 0)))
    send(seen, clock, 1, 0.0, 1.0)
    clock[0] = 100.5
    for other in (
        packet(2),
        packet(1, protocol=6),
        packet(1, version=1),
        packet(1, payload_type=72),
        packet(1)[:30],
    ):
        seen.take(other)
    assert seen.doubles(ROOM, 100.0) == 0
    assert len(seen._pictures[1]) == 25


def test_faces_are_shown_whose_packets_the_room_passes_on(seen: Onlooker) -> None:
    seen._note(ROOM, published((1, 10)))
    seen._note(ROOM, published((1, 20), (2, 0)))
    assert seen.shown(ROOM) == 1
    seen._note(ROOM, published((1, 30), (2, 5)))
    assert seen.shown(ROOM) == 2
