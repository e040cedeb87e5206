"""OwnedSession: one session that this machine serves, and what the ledger knows of it."""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from dispatcher.ledger.command import RenewCommand
from dispatcher.ledger.record import SessionRecord
from dispatcher.workers.session_runner import ATTEMPTS, RunEnd, SessionRunner
from dispatcher.workers.supervisor import WorkerSupervisor

UNACKED_S: Final = 1.5
"""The lease of a session that no worker has taken yet."""

CLAIM_S: Final = 1.2
"""How long a claim waits for a worker here: shorter than its lease, so that another node may take
it within the same POST."""

SILENT_S: Final = 3.0
"""Half a lease, but at least so long, a worker may be silent; it sends counters each second."""

logger = logging.getLogger("avatar.dispatcher.node")


@dataclass(frozen=True, slots=True)
class Lease:
    """How long the session is surely this node's: `seconds` from each renewal; until a worker has
    taken it, UNACKED_S from `asked_at`, the event loop's time when the ledger was asked."""

    seconds: float
    asked_at: float


class OwnedSession:
    """A session that this machine serves. Its `runner` holds the one record of it.

    Without a `lease` it is this machine's as long as it lives.
    """

    def __init__(
        self, record: SessionRecord, supervisor: WorkerSupervisor, lease: Lease | None = None
    ) -> None:
        self.ack_sent = False
        """The ledger knows that a worker has taken it."""
        self.closed = False
        """There is nothing more to report."""
        self.over = asyncio.Event()
        """It is over here, as the ledger knows."""
        self.handing_off = False
        """A replacement of it is on its way."""
        self.given_back = False
        """It is not over when its worker has left: another node is to go on with it."""
        self.changed = asyncio.Event()
        """The ledger lacks something of the record."""
        if lease is None:
            self.runner = SessionRunner(record, supervisor, changed=self.changed.set)
            return
        self._reported = (record.acked, record.life)
        self.runner = SessionRunner(
            record,
            supervisor,
            changed=self._record_changed,
            sure_until=lease.asked_at + min(UNACKED_S, lease.seconds),
            silent_s=max(SILENT_S, lease.seconds / 2),
            failures=ATTEMPTS - 1 if record.attempts else 0,
            claim_s=CLAIM_S,
        )

    @property
    def record(self) -> SessionRecord:
        return self.runner.record

    def is_no_older_than(self, record: SessionRecord) -> bool:
        """Whether `record`, of a command, is of the same session and no newer claim of it."""
        mine = self.record
        return mine.session_id == record.session_id and mine.epoch >= record.epoch

    def renew(self, command: RenewCommand) -> None:
        """A newer join request, for its worker and those that may follow."""
        self.runner.renew(command.join)
        self.runner.record = replace(
            self.record, expires_s=command.expires_s, renewals=command.renewals
        )

    async def run(self) -> RunEnd:
        """Serve it until it is over here."""
        try:
            return await self.runner.run()
        except Exception:  # one session's fault does not end the others
            logger.exception("session %s cannot go on", self.runner.session_id)
            return RunEnd("failed", "The node failed; its log says why.")

    def close(self) -> None:
        """There is nothing more to report."""
        self.closed = True
        self.changed.set()

    def _record_changed(self) -> None:
        """A step is reported at once; counters alone wait for the next count."""
        step = (self.record.acked, self.record.life)
        if step != self._reported:
            self._reported = step
            self.changed.set()
