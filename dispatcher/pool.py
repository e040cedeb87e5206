"""The Pool port: sessions, who serves them, and how many workers wait for the next."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from agent_side.join import JoinInfo

State = Literal["claimed", "joining", "active", "ending", "ended", "failed"]
"""A session is `claimed` while it has no worker, `joining` once one has taken it and while it
joins its meeting anew, `active` when it is in the meeting; `ended` and `failed` stay."""


@dataclass(frozen=True, slots=True)
class Session:
    """What anybody may know of one session: a face for one participant of one room.

    `since` is when `state` began. `reason` says why the session is over, or why it is in the
    meeting no more and is about to come back. `attempts` counts the workers that it has had.
    """

    session_id: str
    room: str
    participant_id: str
    state: State
    since: datetime
    reason: str | None
    attempts: int

    @property
    def over(self) -> bool:
        return self.state in ("ended", "failed")

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; `since` in UTC, to the millisecond."""
        since = self.since.astimezone(UTC).isoformat(timespec="milliseconds")
        return {**asdict(self), "since": since}


class Pool(Protocol):
    """Serves sessions with workers, and serves them again when a worker is lost.

    A choice of pool is a file in ``dispatcher/pools/``.
    """

    @property
    def ready(self) -> bool:
        """Whether a session that is launched now may be served."""

    async def launch(self, join: JoinInfo, patience_s: float) -> Session:
        """The session for that room and participant, once a worker has taken it.

        While one is live, it is the answer, and its join request is renewed: for its worker,
        should that have to join anew, and for the workers that may follow. Raises Full or
        Refused, within `patience_s`.
        """

    def sessions(self) -> list[Session]:
        """All that live, and the latest that are over; the oldest first."""

    def find(self, session_id: str) -> Session | None:
        """That session, if it is known."""

    async def end(self, session_id: str) -> Session | None:
        """Make its worker leave at once and wait for that; None where it is not known."""

    async def drain(self, patience_s: float) -> None:
        """Take no more sessions; let those that live speak out, then make them leave."""


def to_start(*, idle: int, starting: int, waiting: int, busy: int, slots: int, warm: int) -> int:
    """How many workers have to be started now.

    Each session that waits for a worker gets one, and `warm` more wait for sessions to come,
    but never more than there could be sessions for: `busy` of the `slots` have one already
    or wait for it.
    """
    spare = min(warm, slots - busy)
    return max(0, waiting + spare - idle - starting)
