"""A watcher's track goes on over several producers: its numbers, its times, what it misses."""

from struct import pack, unpack_from
from typing import NamedTuple

from localroom.media.splice import RtpRewriter, Splice

MEDIA, RTX = 111, 112
CLOCK_HZ = 90_000


class RtpFields(NamedTuple):
    """What a receiver sees of a packet."""

    payload_type: int
    number: int
    time: int
    ssrc: int
    payload: bytes


def packet(number: int, time: int = 0, payload: bytes = b"x", extension: bytes = b"") -> bytes:
    head = pack("!BBHLL", 0x90 if extension else 0x80, 0x80 | 97, number, time, 7)
    if extension:
        head += pack("!HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload


def seen(sent: bytes | None) -> RtpFields | None:
    if sent is None:
        return None
    first, second, number, time, ssrc = unpack_from("!BBHLL", sent)
    assert first == 0x80
    assert second & 0x80
    return RtpFields(second & 0x7F, number, time, ssrc, sent[12:])


def splice() -> Splice:
    return Splice(MEDIA, RTX, CLOCK_HZ)


def through(track: Splice, number: int, time: int, now_s: float) -> tuple[int, int] | None:
    came = seen(track.rewrite(packet(number, time), now_s, is_rtx=False))
    return (came.number, came.time) if came else None


def test_an_sdk_is_given_the_packet_under_another_name() -> None:
    outlet = RtpRewriter(MEDIA, None)
    sent = packet(5, 6, extension=b"\x30\x01\x02\x03")
    came = outlet.rewrite(sent, 0.0, is_rtx=False)
    assert came is not None
    assert came[2:8] + came[12:] == sent[2:8] + sent[12:]
    assert came[1] == 0x80 | MEDIA
    assert unpack_from("!L", came, 8)[0] == outlet.ssrc
    assert outlet.rewrite(sent, 0.0, is_rtx=True) is None


def test_the_first_producers_numbers_stay_and_its_extension_goes() -> None:
    track = splice()
    sent = packet(5, 6, b"payload", b"\x30\x01\x02\x03\x00\x00\x00\x00")
    came = seen(track.rewrite(sent, 0.0, is_rtx=False))
    assert came == RtpFields(MEDIA, 5, 6, track.ssrc, b"payload")


def test_the_next_producer_goes_on_where_the_last_one_was_as_much_later_as_it_is() -> None:
    track = splice()
    assert through(track, 65_535, 2**32 - 1, 10.0) == (65_535, 2**32 - 1)
    track.begin()
    assert through(track, 900, 70, 10.5) == (0, 44_999)
    assert through(track, 901, 3070, 10.6) == (1, 47_999)
    assert track.moment(70 + 9000) == 44_999 + 9000


def test_what_comes_late_keeps_its_place() -> None:
    track = splice()
    through(track, 10, 0, 0.0)
    through(track, 12, 0, 0.0)
    assert through(track, 11, 0, 0.0) == (11, 0)
    track.begin()
    assert through(track, 500, 0, 0.0) == (13, 1)


def test_what_precedes_a_producers_first_packet_would_be_its_predecessors_number() -> None:
    track = splice()
    through(track, 10, 0, 0.0)
    track.begin()
    assert through(track, 500, 0, 1.0) == (11, 90_000)
    assert through(track, 499, 0, 1.0) is None


def test_numbers_may_go_round_many_times() -> None:
    track = splice()
    through(track, 0, 0, 0.0)
    track.begin()
    for number in range(3, 200_000, 997):
        assert through(track, number & 0xFFFF, 0, 1.0) == ((number - 2) & 0xFFFF, CLOCK_HZ)


def test_what_is_missed_is_asked_for_in_the_producers_numbers() -> None:
    track = splice()
    through(track, 65_530, 0, 0.0)
    track.begin()
    through(track, 100, 0, 0.0)
    assert track.original([65_530, 65_531, 65_535, 0]) == [100, 104, 105]


def test_what_is_repeated_names_the_number_that_the_receiver_knows() -> None:
    track = splice()
    through(track, 10, 0, 0.0)
    track.begin()
    early = packet(1, 5, pack("!H", 100) + b"again")
    assert track.rewrite(early, 0.0, is_rtx=True) is None
    through(track, 100, 0, 1.0)
    for count in range(2):
        came = seen(track.rewrite(early, 1.0, is_rtx=True))
        assert came == RtpFields(RTX, count, 90_005, track.rtx_ssrc, pack("!H", 11) + b"again")
    assert track.rewrite(packet(1, 5, pack("!H", 99)), 1.0, is_rtx=True) is None
    assert track.rewrite(packet(1, 5, b""), 1.0, is_rtx=True) is None
