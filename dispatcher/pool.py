"""The Pool port: sessions, who serves them, and how many workers wait for the next."""

from collections.abc import Mapping
from typing import Protocol

from agent_side.join import JoinInfo
from dispatcher.ledger.record import SessionRecord


class Pool(Protocol):
    """Serves sessions with workers, and serves them again when a worker is lost.

    A choice of pool is a file in ``dispatcher/pools/``.
    """

    @property
    def ready(self) -> bool:
        """Whether a session that is launched now may be served."""

    @property
    def why_not_ready(self) -> str:
        """One sentence for an operator; empty while it is ready."""

    async def launch(
        self, join: JoinInfo, timeout_s: float, owner: str = "", traceparent: str | None = None
    ) -> SessionRecord:
        """The session for that room and participant, once a worker has taken it.

        While one is live, it is the answer, and its join request is renewed (see
        ``dispatcher/workers/renewal.py``): for its worker, which obeys the agent that is named now,
        and for the workers that may follow; `not_applied` lists what the session did not take.
        `owner` is who asks, of whom only so many sessions may be live; `traceparent` is for the
        worker's traces.

        Raises within `timeout_s`: Full where there is no room and StoreDown where nobody can
        know, Refused by a worker, Conflict with another face, TooMany sessions of this owner.
        """

    async def sessions(self) -> list[SessionRecord]:
        """All that live, and the latest that are over; the oldest first."""

    async def find(self, session_id: str) -> SessionRecord | None:
        """That session, if it is known."""

    async def end(self, session_id: str) -> SessionRecord | None:
        """Make its worker leave at once and wait for that; None where it is not known."""

    async def drain(self, timeout_s: float) -> None:
        """Take no more sessions; let those that live speak out, then make them leave."""

    async def slots(self) -> Mapping[str, int]:
        """How many slots are ``idle``, ``claimed`` by a session that no worker has taken yet,
        ``busy``, or ``draining``: with a session on a machine that takes no others."""


def to_start(*, idle: int, starting: int, waiting: int, busy: int, slots: int, warm: int) -> int:
    """How many workers have to be started now.

    Each session that waits for a worker gets one, and `warm` more wait for sessions to come,
    but never more than there could be sessions for: `busy` of the `slots` have one already
    or wait for it.
    """
    spare = min(warm, slots - busy)
    return max(0, waiting + spare - idle - starting)
