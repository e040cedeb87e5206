"""Commands: what a node finds in its mailbox.

A mailbox holds no more than the kind of a command and its session; the rest is looked up when the
node takes it, so that it is never older than the session's record.
"""

from dataclasses import dataclass

from agent_side.join import JoinInfo
from dispatcher.ledger.record import SessionRecord


@dataclass(frozen=True, slots=True)
class ServeCommand:
    """A session was claimed for the slot `record.slot` of this node: give it a worker, then
    `ack`; `nack` at once where that slot has none. Its lease, until the ack, is 1.5 s from
    `asked_at`, the event loop's time when the ledger was asked."""

    record: SessionRecord
    asked_at: float


@dataclass(frozen=True, slots=True)
class RenewCommand:
    """A newer join request for a session that this node serves; for its worker, and for the
    workers that may follow."""

    key: str
    session_id: str
    join: JoinInfo
    expires_s: float
    renewals: int


@dataclass(frozen=True, slots=True)
class EndCommand:
    """Make the worker leave at once, then `finish` as ``ended`` with this reason."""

    key: str
    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class HandoffDoneCommand:
    """The replacement of a session that was handed off is active: leave, then `finish`."""

    key: str
    session_id: str


Command = ServeCommand | RenewCommand | EndCommand | HandoffDoneCommand
