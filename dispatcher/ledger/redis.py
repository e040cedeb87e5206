"""RedisLedger: the Ledger port of dispatchers, in Redis.

Every transition is one Lua script (``dispatcher/ledger/scripts/``), so that it happens whole or
not at all, and all time is Redis' own.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, cast

from agent_side.join import JoinInfo
from dispatcher.errors import NotDone, StoreDown, Unreadable
from dispatcher.http.request import claims_of
from dispatcher.ledger.encryption import Encryption, Recipient
from dispatcher.ledger.fields import milliseconds, new_record, read_record
from dispatcher.ledger.port import Claim, Outcome, Reaped, Resolution
from dispatcher.ledger.record import SessionRecord, digest, key_of
from dispatcher.ledger.refusals import refuse, whole
from dispatcher.ledger.replies import Replies, read_reply
from dispatcher.ledger.store import Reply, Store, as_list, as_mapping, word
from dispatcher.settings import RoomPolicy
from dispatcher.workers.renewal import Renewed, renewed

MAX_EXPIRY_S: Final = 1e11
"""A token that expires later than any calendar has no expiry."""

MAX_ENCRYPTIONS: Final = 5
"""How often a join request is encrypted for one claim: for a new session, and for what there is,
as long as others change that meanwhile."""

PAUSE_S: Final = 0.2
"""How long after a failure the replies are read again."""

logger = logging.getLogger("avatar.dispatcher.ledger")


class RedisLedger:
    """`Ledger` in Redis; the docstrings are the port's. `run` survives the loss of Redis."""

    def __init__(
        self, url: str, encryption: Encryption, *, name: str, lease_s: float = 10.0
    ) -> None:
        """`url` is ``redis://``, ``rediss://`` or ``unix://``; `name` is this process' own, for
        its reply list (a random suffix is added). Raises SettingsError."""
        self._store = Store(url)
        self._encryption = encryption
        self._reply_list = f"{word(name)}@{secrets.token_hex(4)}"
        self._lease_ms = round(lease_s * 1000)
        self._replies = Replies()

    async def run(self) -> None:
        name = f"reply:{self._reply_list}"
        while True:
            try:
                replies = await self._store.pop(name, 1.0)
            except StoreDown as error:
                logger.debug("%s", error)  # a claim raises it, and the pool logs it once
                await asyncio.sleep(PAUSE_S)
                continue
            for reply in replies:
                try:
                    self._replies.receive(*read_reply(reply))
                except Unreadable as error:
                    refuse("reply", name, str(error))

    async def close(self) -> None:
        await self._store.close()

    async def ping(self) -> None:
        """Return when Redis answers and accepts our user.

        Raises StoreDown with what is wrong (address, user, password, TLS)."""
        await self._store.ping()

    async def claim(
        self,
        join: JoinInfo,
        *,
        owner: str = "",
        traceparent: str | None = None,
        policy: RoomPolicy = "replace",
        cap: int = 0,
    ) -> Claim:
        participant = join.participant_id or ""
        expires_s = expiry_of(join.token)
        key, session_id = key_of(join.room_name, participant), secrets.token_hex(8)
        owner = word(owner)
        recipient, merged_with = Recipient(key, session_id, 1), ""
        sent = Renewed(join, (), renames=False)
        for _ in range(MAX_ENCRYPTIONS):
            answer = await self._store.call(
                "claim",
                key,
                digest(join.room_name),
                owner,
                session_id,
                join.room_name,
                participant,
                self._encryption.encrypt_join(sent.join, recipient),
                "" if expires_s is None else milliseconds(expires_s),
                traceparent or "",
                policy,
                cap,
                self._reply_list,
                recipient.session_id,
                recipient.epoch,
                merged_with,
                secrets.token_hex(4) if sent.renames else "",
            )
            outcome, *seen = as_list(answer)
            if outcome == "seal":
                recipient = Recipient(key, str(seen[0]), whole(seen[1], "epoch"))
                merged_with = str(seen[2])
                sent = self._merged(join, seen[3], recipient)
            elif outcome == "newer":
                raise NotDone("A newer version serves that room; ask a dispatcher of that one.")
            elif outcome == "new":
                fields = as_mapping(seen[0])
                return Claim("new", new_record(join, session_id, owner, traceparent, fields))
            else:
                return Claim(
                    cast(Outcome, outcome),
                    await self._legible(f"sess:{key}", seen[0]) if seen else None,
                    sent.not_applied,
                )
        raise NotDone("Others launch and end that session all the time; try again.")

    def _merged(self, join: JoinInfo, encrypted: Reply, recipient: Recipient) -> Renewed:
        """The join request for a session whose own, if it lives and can be read, is given."""
        try:
            own = self._encryption.decrypt_join(str(encrypted), recipient) if encrypted else None
        except Unreadable as error:
            refuse("join request", f"sess:{recipient.key}", str(error))
            own = None
        return Renewed(join, (), renames=True) if own is None else renewed(own, join)

    async def resolved(self, record: SessionRecord, timeout_s: float) -> Resolution | None:
        return await self._replies.resolved(record, timeout_s)

    async def give_up(self, record: SessionRecord, reason: str) -> None:
        if not self._replies.awaited(record.session_id):
            session = (record.key, record.session_id)
            await self._store.call("give_up", *session, self._reply_list, reason)

    async def find(self, session_id: str) -> SessionRecord | None:
        found = await self._find(session_id)
        return found[0] if found else None

    async def sessions(self) -> list[SessionRecord]:
        return sorted(await self._find(), key=lambda record: record.life[0].since_s)

    async def _find(self, *session_ids: str) -> list[SessionRecord]:
        answer = await self._store.call("find", *session_ids)
        found = []
        for place, fields in map(as_list, as_list(answer)):
            with suppress(NotDone):
                found.append(await self._legible(str(place), fields))
        return found

    async def _legible(self, place: str, answer: Reply) -> SessionRecord:
        """The record that stands at `place` in Redis. One that cannot be read is set aside, and
        the node of its session writes it anew. Raises NotDone."""
        fields = as_mapping(answer)
        try:
            return read_record(fields)
        except Unreadable as error:
            refuse("record", place, str(error))
            epoch = fields.get("epoch")
            await self._store.call("aside", place, str(error), str(epoch))
            raise NotDone("What Redis has of that session cannot be read; try again.") from None

    async def end(self, session_id: str, reason: str) -> SessionRecord | None:
        await self._store.call("end", session_id, reason)
        return await self.find(session_id)

    async def slots(self) -> Mapping[str, int]:
        counted = as_mapping(await self._store.call("slots"))
        return {state: whole(number, state) for state, number in counted.items()}

    async def nodes(self) -> Mapping[str, int]:
        counted = as_mapping(await self._store.call("nodes"))
        return {fact: whole(number, fact) for fact, number in counted.items()}

    async def reap(self) -> list[Reaped]:
        """Nothing is moved for one lease after Redis was restarted, emptied or out of reach of
        all dispatchers."""
        answer = await self._store.call("reap", self._lease_ms)
        return [Reaped(*map(str, as_list(each))) for each in as_list(answer)]  # type: ignore[arg-type]


def expiry_of(token: str) -> float | None:
    """The expiry in a token, Unix time, not verified; None without one."""
    value = claims_of(token).get("exp")
    if isinstance(value, int | float) and 0 < value < MAX_EXPIRY_S:
        return float(value)
    return None
