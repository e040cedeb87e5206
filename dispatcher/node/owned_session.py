"""OwnedSession: one session that a node serves, as the ledger has it and as its workers go on."""

import asyncio
import time
from dataclasses import replace
from typing import Final

from dispatcher.ledger.record import as_session
from dispatcher.ledger.redis import Held
from dispatcher.workers.session_runner import ATTEMPTS, SessionRunner
from dispatcher.workers.supervisor import WorkerSupervisor

UNACKED_S: Final = 1.5
"""The lease of a session that no worker has taken yet."""

CLAIM_S: Final = 1.2
"""How long a claim waits for a worker here: shorter than its lease, so that another node may take
it within the same POST."""

SILENT_S: Final = 3.0
"""Half a lease, but at least so long, a worker may say nothing; it counts aloud each second."""


class OwnedSession:
    """A session that this node serves: what the ledger says of it, and who serves it."""

    def __init__(
        self, held: Held, supervisor: WorkerSupervisor, lease_s: float, asked_at: float
    ) -> None:
        self.held = held
        self.acked = False
        self.over = False
        self.handing = False
        """A replacement of it is on its way."""
        self.given_back = False
        """It is not over when its worker has left: another node is to go on with it."""
        self.changed = asyncio.Event()
        self.serving = SessionRunner(
            as_session(held.record),
            held.join,
            supervisor,
            held.record.traceparent,
            changed=self._keep,
            sure_until=asked_at + min(UNACKED_S, lease_s),
            silent_s=max(SILENT_S, lease_s / 2),
            failures=ATTEMPTS - 1 if held.record.attempts else 0,
            claim_s=CLAIM_S,
        )

    def is_no_older_than(self, held: Held) -> bool:
        """Whether `held`, which comes in a letter, says nothing new of the same session."""
        mine, other = self.held.record, held.record
        return mine.session_id == other.session_id and mine.epoch >= other.epoch

    def close(self) -> None:
        """There is nothing more to tell."""
        self.over = True
        self.changed.set()

    def _keep(self) -> None:
        """What SessionRunner says of the session, for the ledger; counters alone may wait."""
        before, session = self.held.record, self.serving.session
        if not self.serving.taken or session.state == "ending" or self.given_back:
            # A claim without a worker has no life yet, and what is to go on elsewhere goes on.
            record = replace(before, attempts=session.attempts, counters=session.counters)
            self.held = replace(self.held, record=record)
            return
        self.held = self.held.entered(
            session.state,
            session.reason,
            time.time(),
            attempts=session.attempts,
            counters=session.counters,
        )
        if self.held.record.life != before.life:
            self.changed.set()
