"""The data channel, made to survive lost datagrams within the sentence and not within minutes.

Both sides need it. Two faults of vsaiortc's SCTP, which the SDK stands on, keep speech,
interrupts and acks back:

- It waits a second at least before it sends again what nobody acknowledged, with everything
  behind it, and three before it knows the way. Where one datagram in five is lost, that is
  seconds nearly always.
- It counts as in flight what it has sent again although it had arrived. Once that is more than
  its window while nothing is under way, nothing ever leaves again.
"""

import sys
from typing import Any, Final

RESEND_S: Final = 0.25
"""More than the 0.2 s for which a receiver may keep its acknowledgement back (RFC 9260, section
6.2), and about what browsers take for least."""

RESEND_FIRST_S: Final = 1.0
"""Before a round trip was measured: RFC 9260's own (section 16)."""


def mend() -> None:
    """Mend both, for all meetings of the process; nothing happens without vsaiortc, or twice."""
    sctp = sys.modules.get("vsaiortc.rtcsctptransport")
    if sctp is None:
        return
    for name, seconds in (("SCTP_RTO_MIN", RESEND_S), ("SCTP_RTO_INITIAL", RESEND_FIRST_S)):
        if getattr(sctp, name, 0) > seconds:
            setattr(sctp, name, seconds)
    transport: Any = getattr(sctp, "RTCSctpTransport", None)
    if transport is not None and not hasattr(transport, "mended"):
        _forget_what_is_not_under_way(transport)


def _forget_what_is_not_under_way(transport: Any) -> None:
    plain = transport._transmit

    async def transmit(self: Any) -> None:
        if not self._sent_queue:
            self._flight_size = 0
        await plain(self)

    transport._transmit = transmit
    transport.mended = True
