"""Rewrites RTP packets to the SSRCs, payload types and sequence numbers that a receiver knows.

An SDK gets a new consumer for each producer, so only SSRC and payload type change. A watcher by
WHEP keeps one track while the producer may be replaced; for it the successor's numbers and times
continue the predecessor's.
"""

import secrets
from struct import pack_into, unpack_from
from typing import Final

SEQUENCE, TIME, SSRC = 2, 4, 8
"""Where an RTP packet has them."""

HALF: Final = 0x8000
"""Of all sequence numbers: what is further ahead than that is behind."""

MEMORY: Final = 0x2000
"""How far behind the newest a packet of the same producer may be."""


class RtpRewriter:
    """One track with the SSRCs and payload types of one receiver."""

    def __init__(self, media_type: int, rtx_type: int | None) -> None:
        self.ssrc = secrets.randbelow(2**32 - 1) + 1
        self.rtx_ssrc = secrets.randbelow(2**32 - 1) + 1
        self._media_type = media_type
        self._rtx_type = rtx_type

    def rewrite(self, packet: bytes, now_s: float, *, is_rtx: bool) -> bytes | None:
        """A producer's packet as it is sent to the receiver; None where it is not sent."""
        return self._named(bytearray(packet), is_rtx=is_rtx)

    def original(self, numbers: list[int]) -> list[int]:
        """The producer's own numbers of packets that the receiver misses."""
        return numbers

    def moment(self, rtp_time: int) -> int:
        """A producer's RTP time on the receiver's scale."""
        return rtp_time

    def _named(self, packet: bytearray, *, is_rtx: bool) -> bytes | None:
        payload_type = self._rtx_type if is_rtx else self._media_type
        if payload_type is None:
            return None
        packet[1] = packet[1] & 0x80 | payload_type
        pack_into("!L", packet, SSRC, self.rtx_ssrc if is_rtx else self.ssrc)
        return bytes(packet)


class Splice(RtpRewriter):
    """A track that goes on over several producers, one after the other.

    Header extensions are taken off, as their ids are the producer's own.
    """

    def __init__(self, media_type: int, rtx_type: int | None, clock_hz: int) -> None:
        super().__init__(media_type, rtx_type)
        self._clock_hz = clock_hz
        self._fresh = True
        self._first = 0
        """The producer's number of its first packet that counts; later, one not long ago."""
        self._number_shift = 0
        self._time_shift = 0
        self._rtx_number = 0
        self._last: tuple[int, int, float] | None = None
        """The newest packet that went out: its number, its time, and when it was (s)."""

    def begin(self) -> None:
        """From now on the packets are another producer's."""
        self._fresh = True

    def rewrite(self, packet: bytes, now_s: float, *, is_rtx: bool) -> bytes | None:
        own = _without_extension(packet)
        if is_rtx:
            return self._repeated(own)
        number, rtp_time = unpack_from("!HL", own, SEQUENCE)
        if self._fresh:
            self._continue(number, rtp_time, now_s)
        if self._precedes(number):
            return None
        if (number - self._first) & 0xFFFF > MEMORY:
            self._first = (number - MEMORY) & 0xFFFF
        number = (number + self._number_shift) & 0xFFFF
        rtp_time = self.moment(rtp_time)
        if self._last is None or (number - self._last[0]) & 0xFFFF < HALF:
            self._last = number, rtp_time, now_s
        pack_into("!HL", own, SEQUENCE, number, rtp_time)
        return self._named(own, is_rtx=False)

    def original(self, numbers: list[int]) -> list[int]:
        """Without those of a predecessor, which can no longer be requested."""
        own = [(number - self._number_shift) & 0xFFFF for number in numbers]
        return [number for number in own if not self._precedes(number)]

    def moment(self, rtp_time: int) -> int:
        return (rtp_time + self._time_shift) & 0xFFFFFFFF

    def _continue(self, number: int, rtp_time: int, now_s: float) -> None:
        self._fresh = False
        self._first = number
        if self._last is None:
            return
        last_number, last_time, then_s = self._last
        passed = max(1, round((now_s - then_s) * self._clock_hz))
        self._number_shift = last_number + 1 - number
        self._time_shift = last_time + passed - rtp_time

    def _repeated(self, own: bytearray) -> bytes | None:
        """A packet of RTX (RFC 4588) starts with the number of the one that it repeats."""
        start = 12 + 4 * (own[0] & 0x0F)
        if self._fresh or len(own) < start + 2:
            return None
        (number,) = unpack_from("!H", own, start)
        if self._precedes(number):
            return None
        (rtp_time,) = unpack_from("!L", own, TIME)
        pack_into("!H", own, start, (number + self._number_shift) & 0xFFFF)
        pack_into("!HL", own, SEQUENCE, self._rtx_number, self.moment(rtp_time))
        self._rtx_number = (self._rtx_number + 1) & 0xFFFF
        return self._named(own, is_rtx=True)

    def _precedes(self, number: int) -> bool:
        return (number - self._first) & 0xFFFF >= HALF


def _without_extension(packet: bytes) -> bytearray:
    own = bytearray(packet)
    start = 12 + 4 * (own[0] & 0x0F)
    if own[0] & 0x10 and len(own) >= start + 4:
        words = unpack_from("!H", own, start + 2)[0]
        del own[start : start + 4 + 4 * words]
        own[0] &= ~0x10
    return own
