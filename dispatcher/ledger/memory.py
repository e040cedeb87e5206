"""MemoryLedger: both sides of the Ledger port in this process' memory, for one node.

It lives and dies with its node, so that nothing expires and nothing has to be written anew: there
are no leases, and a session that no worker of the node can serve has failed.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from agent_side.join import JoinInfo
from dispatcher.ledger.command import Command, EndCommand, RenewCommand, ServeCommand
from dispatcher.ledger.port import Claim, Reaped, Resolution, Verdict
from dispatcher.ledger.record import SessionRecord, key_of
from dispatcher.ledger.replies import ClaimReply, Replies
from dispatcher.settings import RoomPolicy
from dispatcher.workers.renewal import renewed

REMEMBERED: Final = 256
"""Sessions that are over and can still be asked about."""

Kind = Literal["serve", "renew", "end"]
"""Of a command."""

REPLACED: Final = "Another face has taken its place in the room."


class MemoryLedger:
    """`Ledger` and `NodeLedger` in memory; the docstrings are the port's."""

    def __init__(self, node: str, on_mail: Callable[[], None] = lambda: None) -> None:
        """`node` is the name of its one node; `on_mail` is called when there is something to
        `take`."""
        self._node = node
        self._on_mail = on_mail
        self._records: dict[str, SessionRecord] = {}
        """Those that are not over, by session."""
        self._over: deque[SessionRecord] = deque(maxlen=REMEMBERED)
        self._unplaced: deque[str] = deque()
        """Sessions that wait for a slot, the oldest first."""
        self._idle: list[str] = []
        """The longest idle slot first."""
        self._mailbox: deque[_Posted] = deque()
        self._mail = asyncio.Event()
        self._replies = Replies()
        self._beating = False
        self._draining = False

    async def run(self) -> None:
        """Replies are received when they are sent."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """There is no connection."""

    async def claim(
        self,
        join: JoinInfo,
        *,
        owner: str = "",
        traceparent: str | None = None,
        policy: RoomPolicy = "replace",
        cap: int = 0,
    ) -> Claim:
        living = [each for each in self._records.values() if each.state != "ending"]
        key = key_of(join.room_name, join.participant_id or "")
        for same in living:
            if same.key == key:
                return self._renew(same, join, traceparent)
        if self._draining:
            return Claim("full", None)
        olders = [each for each in living if policy != "multi" and each.room == join.room_name]
        if olders and policy == "reject":
            return Claim("conflict", None)
        if 0 < cap <= sum(each.owner == owner for each in living if each not in olders):
            return Claim("too_many", None)
        if not self._idle and not olders:
            return Claim("full", None)
        for older in olders:
            self._request_end(older, REPLACED)
        record = SessionRecord.claimed(
            secrets.token_hex(8), join, time.time(), owner=owner, traceparent=traceparent
        )
        if self._idle:
            return Claim("new", self._place(record))
        self._records[record.session_id] = record
        self._unplaced.append(record.session_id)
        return Claim("new", record)

    async def resolved(self, record: SessionRecord, timeout_s: float) -> Resolution | None:
        return await self._replies.resolved(record, timeout_s)

    async def give_up(self, record: SessionRecord, reason: str) -> None:
        kept = self._records.get(record.session_id)
        if kept is not None and not kept.acked and not self._replies.awaited(kept.session_id):
            self._request_end(kept, reason)

    async def find(self, session_id: str) -> SessionRecord | None:
        for record in await self.sessions():
            if record.session_id == session_id:
                return record
        return None

    async def sessions(self) -> list[SessionRecord]:
        known = [*self._over, *self._records.values()]
        known.sort(key=lambda record: record.life[0].since_s)
        return [replace(record, join=None) for record in known]

    async def end(self, session_id: str, reason: str) -> SessionRecord | None:
        record = self._records.get(session_id)
        if record is not None:
            self._request_end(record, reason)
        return await self.find(session_id)

    async def slots(self) -> Mapping[str, int]:
        placed = [record for record in self._records.values() if record.slot]
        acked = sum(record.acked for record in placed)
        if self._draining:
            return {"idle": 0, "claimed": 0, "busy": 0, "draining": len(placed)}
        idle, claimed = len(self._idle), len(placed) - acked
        return {"idle": idle, "claimed": claimed, "busy": acked, "draining": 0}

    async def nodes(self) -> Mapping[str, int]:
        used = bool(self._idle or any(record.slot for record in self._records.values()))
        kind = "draining" if self._draining else "able" if used else "unable"
        kind = kind if self._beating else "none"
        return {each: int(each == kind) for each in ("able", "unable", "draining", "none")}

    async def reap(self) -> list[Reaped]:
        """No session is ever without its node."""
        return []

    @property
    def node(self) -> str:
        return self._node

    def slot(self, number: int) -> str:
        return f"{self._node}/{number}"

    async def heartbeat(self, idle: Sequence[int], slots: int) -> None:
        self._beating = True
        listed = {self.slot(number) for number in idle}
        self._idle = [slot for slot in self._idle if slot in listed]
        await self.offer(*idle)

    async def offer(self, *numbers: int) -> None:
        taken = {record.slot for record in self._records.values()}
        for slot in map(self.slot, () if self._draining else numbers):
            if slot not in taken and slot not in self._idle:
                self._idle.append(slot)
        while self._idle and self._unplaced:
            if record := self._records.get(self._unplaced.popleft()):
                self._place(record)

    async def take(self, timeout_s: float = 1.0) -> list[Command]:
        if not self._mailbox:
            self._mail.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._mail.wait()
        posted, self._mailbox = self._mailbox, deque()
        commands = [self._command(each) for each in posted]
        return [command for command in commands if command is not None]

    async def ack(self, record: SessionRecord) -> Verdict:
        verdict, kept = self._verdict(record)
        if kept is not None and verdict is Verdict.OK:
            state = "joining" if kept.state == "claimed" else kept.state
            kept = replace(kept.entered(state, kept.reason, time.time()), acked=True)
            self._records[kept.session_id] = kept
            self._reply(kept, "acked")
        return verdict

    async def nack(self, record: SessionRecord, reason: str) -> None:
        verdict, kept = self._verdict(record)
        if kept is None or kept.acked or verdict is Verdict.FENCED:
            return
        if verdict is Verdict.END:
            self._close(kept, "ended", reason)
            return
        kept = replace(kept, slot=None, epoch=kept.epoch + 1)
        self._records[kept.session_id] = kept
        self._unplaced.append(kept.session_id)
        await self.offer()

    async def enter(self, record: SessionRecord) -> Verdict:
        verdict, kept = self._verdict(record)
        if kept is not None and verdict is not Verdict.FENCED:
            kept = _counted(kept, record)
            if verdict is Verdict.OK:
                kept = replace(
                    kept,
                    state=record.state,
                    since_s=record.since_s,
                    reason=record.reason,
                    life=record.life,
                )
            self._records[kept.session_id] = kept
        return verdict

    async def renew(self, records: Sequence[SessionRecord]) -> Mapping[str, Verdict]:
        return {record.key: self._verdict(record)[0] for record in records}

    async def finish(
        self,
        record: SessionRecord,
        state: Literal["ended", "failed"],
        reason: str | None,
        *,
        refused: bool = False,
    ) -> None:
        verdict, kept = self._verdict(record)
        if kept is not None and verdict is not Verdict.FENCED:
            resolution: Resolution = "refused" if refused else state
            self._close(_counted(kept, record), state, reason, resolution)

    async def lost(self, record: SessionRecord, reason: str) -> None:
        _, kept = self._verdict(record)
        ending = kept is not None and kept.state == "ending"
        await self.finish(record, "ended" if ending else "failed", reason)

    async def drain(self) -> None:
        """What waits for a slot has failed, and so has what the node has not taken yet."""
        self._draining = True
        self._idle.clear()
        for session_id in (*self._unplaced, *self._unread()):
            if record := self._records.get(session_id):
                self._close(record, "failed", "Its node is about to stop.")

    async def handoff(self, record: SessionRecord) -> bool:
        """There is no other node."""
        return False

    def _verdict(self, record: SessionRecord) -> tuple[Verdict, SessionRecord | None]:
        """The verdict on a session that the node holds, and the record of that."""
        kept = self._records.get(record.session_id)
        if kept is None:
            return Verdict.END, None
        if (kept.epoch, kept.slot) != (record.epoch, record.slot):
            return Verdict.FENCED, kept
        return Verdict.END if kept.state == "ending" else Verdict.OK, kept

    def _unread(self) -> list[str]:
        """Sessions that the node does not know of yet."""
        return [posted.session_id for posted in self._mailbox if posted.kind == "serve"]

    def _command(self, posted: "_Posted") -> Command | None:
        """The command as it is by now; None where it is stale."""
        kept = self._records.get(posted.session_id)
        if posted.kind == "end":
            return EndCommand(posted.key, posted.session_id, posted.reason)
        if kept is None or kept.slot is None:
            return None
        if posted.kind == "renew":
            return RenewCommand(
                kept.key, kept.session_id, kept.request, kept.expires_s, kept.renewals
            )
        return ServeCommand(kept, asyncio.get_running_loop().time())

    def _renew(self, record: SessionRecord, join: JoinInfo, traceparent: str | None) -> Claim:
        merged, not_applied, _ = renewed(record.request, join)
        record = replace(record, join=merged, traceparent=traceparent, renewals=record.renewals + 1)
        self._records[record.session_id] = record
        if record.session_id not in self._unread():  # else its node reads the newest request
            self._post("renew", record)
        return Claim("same", record, not_applied)

    def _place(self, record: SessionRecord) -> SessionRecord:
        """Give it the longest idle slot."""
        record = replace(record, slot=self._idle.pop(0))
        self._records[record.session_id] = record
        self._post("serve", record)
        return record

    def _request_end(self, record: SessionRecord, reason: str) -> None:
        if record.state == "ending":
            return
        self._reply(record, "ended")
        if record.slot is None or record.session_id in self._unread():
            self._close(record, "ended", reason)
            if record.slot is not None:
                self._idle.append(record.slot)
            return
        self._records[record.session_id] = record.entered("ending", None, time.time())
        self._post("end", record, reason)

    def _close(
        self,
        record: SessionRecord,
        state: Literal["ended", "failed"],
        reason: str | None,
        resolution: Resolution | None = None,
    ) -> None:
        """It is over."""
        self._reply(record, resolution or state)
        del self._records[record.session_id]
        self._over.append(record.entered(state, reason, time.time()))

    def _reply(self, record: SessionRecord, resolution: Resolution) -> None:
        self._replies.receive(record.session_id, ClaimReply(record.epoch, resolution))

    def _post(self, kind: Kind, record: SessionRecord, reason: str = "") -> None:
        self._mailbox.append(_Posted(kind, record.key, record.session_id, reason))
        self._mail.set()
        self._on_mail()


class _Posted(NamedTuple):
    """A command in the mailbox; `reason` is that of an end."""

    kind: Kind
    key: str
    session_id: str
    reason: str


def _counted(kept: SessionRecord, record: SessionRecord) -> SessionRecord:
    """`kept` with what the node's `record` has counted."""
    return replace(kept, attempts=record.attempts, counters=record.counters)
