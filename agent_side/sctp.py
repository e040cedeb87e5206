"""The agent's data channel, made to recover from a lost datagram before the sentence is over."""

import sys
from typing import Final

RESEND_S: Final = 0.25
"""More than the 0.2 s for which a receiver may keep its acknowledgement back (RFC 9260, section
6.2), and what browsers take for least, too."""


def hasten() -> None:
    """Let the SDK's SCTP send again after `RESEND_S` what nobody acknowledged.

    vsaiortc waits a second, then two, then four, and everything behind waits with it, an
    interrupt too. Where one datagram in five is lost, that is seconds nearly always. Concerns all
    meetings of the process; a process without vsaiortc, or with a shorter time, is left as it is.
    """
    sctp = sys.modules.get("vsaiortc.rtcsctptransport")
    if sctp is not None and getattr(sctp, "SCTP_RTO_MIN", 0) > RESEND_S:
        sctp.SCTP_RTO_MIN = RESEND_S  # type: ignore[attr-defined]
