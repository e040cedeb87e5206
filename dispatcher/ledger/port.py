"""The Ledger port: who serves which session.

Two sides of one ledger: `Ledger` is what a pool uses for its launches, `NodeLedger` what one run of
a node uses for its own slots. A choice of ledger is a file in ``dispatcher/ledger/``: `redis` (and
`redis_node`) for many machines, `memory` for one.

The life of a session::

    pool                               ledger                           node
    claim  -------------------------> record, epoch 1 --- Serve -----> take
    resolved <----- reply ----------- joining        <--- ack -------- its worker has taken it
                                      (another slot  <--- nack ------- it cannot)
                                      active, ...    <--- enter ------ what the worker reports
                                      lease          <--- renew ------ each second, all at once
                                      ended, failed  <--- finish ----- the worker has left
                                      another node   <--- lost ------- no worker here can do it
    end  ---------------------------> ending     --- End ------------> take
    reap  --------------------------> a lease has expired: epoch + 1, another slot

A claim is fenced by its epoch alone, never by time: a node that holds a session at a lower epoch
than the record has lost it. Each run of a node is a node of its own (``name@incarnation``), so
that a node that restarts inherits nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Protocol, get_args

from agent_side.join import JoinInfo
from dispatcher.ledger.command import Command
from dispatcher.ledger.record import SessionRecord
from dispatcher.settings import RoomPolicy

Outcome = Literal["new", "same", "conflict", "too_many", "full", "expiring"]


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to `Ledger.claim`.

    - ``new``: a session was made; wait with `resolved`. It may have to wait for the slot of the
      face that it replaces.
    - ``same``: it lives already, and its join request is renewed. Where `record.acked` is
      false its worker has not taken it yet: wait with `resolved`, too.
    - ``conflict``: another face is in the room, and the policy is ``reject``. 409.
    - ``too_many``: the owner has as many sessions as it may. 429.
    - ``full``: no slot is idle (or an emptied Redis waits for its nodes to come back): claim
      again while there is time, then 503. With ``replace`` the older face is leaving
      already, which makes room.
    - ``expiring``: the token expires in less than 30 s: 422.

    `record` is None in the last four. `not_applied` are the fields of the join request that a
    session that lives does not take.
    """

    outcome: Outcome
    record: SessionRecord | None
    not_applied: tuple[str, ...] = ()


Resolution = Literal["acked", "refused", "failed", "ended"]
"""How a claim was resolved: a worker has taken it; one has refused it (422); all failed (503); it
was ended or replaced meanwhile (503)."""

RESOLUTIONS: Final = frozenset(get_args(Resolution))


@dataclass(frozen=True, slots=True)
class Reaped:
    """One session that `Ledger.reap` has found without a node.

    - `why`: its lease has expired, or it has waited for an idle slot.
    - `became`: it was ``moved`` to another slot, ``waits`` for one, or is over: ``failed``, or
      ``ended`` where it was about to end anyway.
    """

    session_id: str
    why: Literal["lease", "waiting"]
    became: Literal["moved", "waits", "failed", "ended"]


class Verdict(StrEnum):
    """What the ledger answers to a node about a session that it holds."""

    OK = "ok"
    """It is this node's; go on."""
    FENCED = "fenced"
    """It is another node's: a higher epoch, or the same one on another slot. Make the worker
    leave at once, and `finish`, which then only frees the slot."""
    END = "end"
    """It is to end or is over: as `EndCommand`."""


class Ledger(Protocol):
    """The ledger as a pool uses it. All methods raise StoreDown within about a second where it
    cannot be reached; the connection recovers by itself."""

    async def run(self) -> None:
        """Receive the replies to claims until cancelled, in a task of the pool's; `resolved`
        needs it."""

    async def close(self) -> None:
        """Close all connections, when the program ends."""

    async def claim(
        self,
        join: JoinInfo,
        *,
        owner: str = "",
        traceparent: str | None = None,
        policy: RoomPolicy = "replace",
        cap: int = 0,
    ) -> Claim:
        """One atomic claim for the join request of a POST; `cap` 0 is none. May be repeated at
        will: a repeat finds the session that the first has made. The participant has to be
        named."""

    async def resolved(self, record: SessionRecord, timeout_s: float) -> Resolution | None:
        """Wait until the claim of that record is resolved; None where `timeout_s` has passed
        (claim again, which finds a reply that was lost, or `give_up`). Never raises StoreDown."""

    async def give_up(self, record: SessionRecord, reason: str) -> None:
        """The POST is answered 503. The session ends with that reason, unless it was acked
        meanwhile or another POST waits for it."""

    async def find(self, session_id: str) -> SessionRecord | None:
        """A session that lives, or was over less than an hour ago."""

    async def sessions(self) -> list[SessionRecord]:
        """All that live and the latest that are over, the oldest first."""

    async def end(self, session_id: str, reason: str) -> SessionRecord | None:
        """Have it end: its node gets an `EndCommand`, and it is ``ending`` until that is done (or
        its lease has expired). Idempotent. None where it is not known."""

    async def slots(self) -> Mapping[str, int]:
        """How many slots there are by state: idle, claimed, busy, draining (what a draining node
        still serves)."""

    async def nodes(self) -> Mapping[str, int]:
        """How many nodes live by what they can do: ``able`` to serve, as they have slots that are
        idle or in use; ``unable``, with none of either; ``draining``. ``none`` is 1 where no node
        lives."""

    async def reap(self) -> list[Reaped]:
        """Move what has lost its node, each 0.5 s, by every dispatcher; each is moved by one.

        A session whose lease has expired goes to an idle slot at epoch + 1, or waits for one;
        after three tries in a row, or where its token is about to expire, it fails."""


class NodeLedger(Protocol):
    """The ledger as one run of a node uses it. All methods but `finish` and `lost` raise
    StoreDown within about a second where it cannot be reached; sessions go on then, and so does
    their renewal once it is back. The records that a node passes have their join request."""

    @property
    def node(self) -> str:
        """What the ledger knows this run by."""

    def slot(self, number: int) -> str:
        """The name of this node's slot of that number."""

    async def close(self) -> None:
        """Close all connections, when the program ends."""

    async def heartbeat(self, idle: Sequence[int], slots: int) -> None:
        """Once a second: this node lives, has `slots` slots, and those of the numbers in `idle`
        (none higher than `slots`) are free. Slots that are claimed stay so; the others are given
        to no claim. The first one registers the node; more than 5 s without one hides it."""

    async def offer(self, *numbers: int) -> None:
        """These slots are free from now on; without waiting for the next heartbeat."""

    async def take(self, timeout_s: float = 1.0) -> list[Command]:
        """The commands in the mailbox, waiting for one up to `timeout_s`; in a loop of its own
        task. A `ServeCommand` whose claim is stale is left out."""

    async def ack(self, record: SessionRecord) -> Verdict:
        """A worker has taken the join request: the POSTs are answered, and the lease is whole.
        FENCED or END: make that worker leave."""

    async def nack(self, record: SessionRecord, reason: str) -> None:
        """This slot cannot serve it: the claim goes to another slot of the pool, or waits for
        one, within the same POST."""

    async def enter(self, record: SessionRecord) -> Verdict:
        """Write the record's newest step, its attempts and counters. With ``active``, the node
        that it was handed off from gets a `HandoffDoneCommand`."""

    async def renew(self, records: Sequence[SessionRecord]) -> Mapping[str, Verdict]:
        """Once a second, all that this node serves or is about to (from `take` to `finish`):
        prolong the leases, write anew what the ledger has lost, and flush what could not be
        written while it was away. Returns a verdict for each key."""

    async def finish(
        self,
        record: SessionRecord,
        state: Literal["ended", "failed"],
        reason: str | None,
        *,
        refused: bool = False,
    ) -> None:
        """Its worker has left for good: it is over, and the slot is free (not idle: `offer`).
        `refused`: the worker refused the join request, which a waiting POST is answered. A session
        that is another node's by now only frees the slot. Where the ledger is away it is kept,
        and flushed with the next `renew`; it never raises StoreDown."""

    async def lost(self, record: SessionRecord, reason: str) -> None:
        """No worker of this node can go on with it: it goes to another node at epoch + 1, or
        waits for a slot there; after three tries it fails. The slot is free. As `finish`, it
        never raises StoreDown."""

    async def drain(self) -> None:
        """From now on this node is given nothing: its idle slots are withdrawn, claims that lie
        unread in its mailbox go to other nodes. Heartbeats and renewals go on. Repeat it where
        the ledger was away."""

    async def handoff(self, record: SessionRecord) -> bool:
        """Have another node take it over at epoch + 1, while this one goes on for 20 s at most:
        a `HandoffDoneCommand` comes once the replacement is active, or `renew` answers FENCED.
        False where no slot is idle elsewhere; nothing has changed then."""
