"""A patch for the SDK's data channel: it recovers from lost datagrams in a fraction of a second.

Both sides need it. Two faults of vsaiortc's SCTP, which the SDK uses, delay speech, interrupts
and acks:

- Its retransmission timeout is one second at least, and three before the first measurement; what
  follows waits too. Where one datagram in five is lost, the delay is nearly always seconds.
- It counts a chunk as in flight that was retransmitted although it had arrived. Once the count is
  larger than the window while nothing is in flight, it never sends again.
"""

import sys
from typing import Any, Final

RESEND_S: Final = 0.25
"""More than the 0.2 s by which a receiver may delay its acknowledgement (RFC 9260, section 6.2),
and about the minimum of browsers."""

RESEND_FIRST_S: Final = 1.0
"""Before a round trip was measured: RFC 9260's own (section 16)."""


def patch_sctp() -> None:
    """Correct both, for all meetings of the process. Does nothing without vsaiortc, or twice."""
    sctp = sys.modules.get("vsaiortc.rtcsctptransport")
    if sctp is None:
        return
    for name, seconds in (("SCTP_RTO_MIN", RESEND_S), ("SCTP_RTO_INITIAL", RESEND_FIRST_S)):
        if getattr(sctp, name, 0) > seconds:
            setattr(sctp, name, seconds)
    transport: Any = getattr(sctp, "RTCSctpTransport", None)
    if transport is not None and not hasattr(transport, "is_patched"):
        _reset_flight_size(transport)


def _reset_flight_size(transport: Any) -> None:
    plain = transport._transmit

    async def transmit(self: Any) -> None:
        if not self._sent_queue:
            self._flight_size = 0
        await plain(self)

    transport._transmit = transmit
    transport.is_patched = True
