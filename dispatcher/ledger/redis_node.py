"""RedisNodeLedger: the Ledger port of a node, in Redis."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from dispatcher.errors import NotDone, StoreDown, Unreadable
from dispatcher.ledger.command import (
    Command,
    EndCommand,
    HandoffDoneCommand,
    RenewCommand,
    ServeCommand,
)
from dispatcher.ledger.encryption import Encryption, Recipient
from dispatcher.ledger.fields import (
    counters_of,
    fields_of,
    life_of,
    milliseconds,
    place_of,
    read_record,
)
from dispatcher.ledger.port import Verdict
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.refusals import moment, refuse, text, whole
from dispatcher.ledger.store import Reply, Store, as_list, as_mapping, word

UNKNOWN_KEY: Final = (
    "its join request was encrypted with a key that is not in AVATAR_SEAL_KEYS here."
)

ILLEGIBLE: Final = "What was claimed for it cannot be read; the log of its node says why."
"""Why a session has failed that a node was given and cannot read."""

MAX_TRIES: Final = 3
"""How often something is written to a Redis that has just lost the record that it is about."""

logger = logging.getLogger("avatar.dispatcher.ledger")


class RedisNodeLedger:
    """`NodeLedger` in Redis; the docstrings are the port's."""

    def __init__(
        self, url: str, encryption: Encryption, *, name: str, lease_s: float = 10.0
    ) -> None:
        """`name` is the host's. Raises SettingsError."""
        self._node = f"{word(name)}@{secrets.token_hex(4)}"
        self._store = Store(url)
        self._encryption = encryption
        self._lease_ms = round(lease_s * 1000)
        self._draining = False
        self._outbox: dict[tuple[str, int], _Unsent] = {}
        """Ends of sessions that could not be written to Redis yet."""

    @property
    def node(self) -> str:
        """``<name>@<incarnation>``."""
        return self._node

    def slot(self, number: int) -> str:
        return f"{self._node}/{number}"

    async def close(self) -> None:
        await self._store.close()

    async def heartbeat(self, idle: Sequence[int], slots: int) -> None:
        await self._store.call("heartbeat", self._node, slots, int(self._draining), *idle)

    async def offer(self, *numbers: int) -> None:
        await self._store.call("heartbeat", self._node, "", int(self._draining), *numbers)

    async def take(self, timeout_s: float = 1.0) -> list[Command]:
        """On a connection of its own."""
        await self._store.move(f"mbox:{self._node}", f"read:{self._node}", timeout_s)
        asked_at = asyncio.get_running_loop().time()
        answer = await self._store.call("take", self._node)
        commands = [await self._read(each, asked_at) for each in as_list(answer)]
        return [command for command in commands if command is not None]

    async def ack(self, record: SessionRecord) -> Verdict:
        return await self._write("ack", record, self._lease_ms)

    async def nack(self, record: SessionRecord, reason: str) -> None:
        await self._store.call("nack", *place_of(record), reason)

    async def enter(self, record: SessionRecord) -> Verdict:
        return await self._write(
            "enter",
            record,
            record.state,
            milliseconds(record.since_s),
            record.reason or "",
            record.attempts,
            counters_of(record),
            life_of(record.life),
        )

    async def renew(self, records: Sequence[SessionRecord]) -> Mapping[str, Verdict]:
        for unsent in list(self._outbox.values()):
            try:
                await self._flush(unsent)
            except NotDone as error:  # the others are renewed all the same
                logger.warning("session %s: %s", unsent.record.session_id, error)
        if not records:
            return {}
        arguments: list[str | int] = []
        for record in records:
            since_ms = milliseconds(record.since_s)
            arguments += [*place_of(record), int(record.acked), since_ms, record.renewals]
        answers = as_list(await self._store.call("renew", self._lease_ms, *arguments))
        return {
            record.key: await self._reconcile(record, str(answer))
            for record, answer in zip(records, answers, strict=True)
        }

    async def finish(
        self,
        record: SessionRecord,
        state: Literal["ended", "failed"],
        reason: str | None,
        *,
        refused: bool = False,
    ) -> None:
        resolution = "refused" if refused else state
        await self._send(_Unsent(record, "finish", (state, reason or "", resolution)))

    async def lost(self, record: SessionRecord, reason: str) -> None:
        await self._send(_Unsent(record, "lost", (reason,)))

    async def drain(self) -> None:
        """Where Redis is away, the next heartbeat withdraws the slots; repeat it for the
        mailbox."""
        self._draining = True
        await self._store.call("drain", self._node)

    async def handoff(self, record: SessionRecord) -> bool:
        return bool(await self._store.call("handoff", *place_of(record)))

    async def _write(self, script: str, record: SessionRecord, *arguments: str | int) -> Verdict:
        """Run a script that writes to the session's record, which is created where Redis has lost
        it."""
        place = place_of(record)
        for _ in range(MAX_TRIES):
            answer = str(await self._store.call(script, *place, *arguments))
            if answer == "missing":
                await self._create(record)
            elif answer == "back":  # its lease has expired, and no other node has it yet
                verdict = await self.ack(record)
                if verdict is not Verdict.OK:
                    return verdict
            else:
                return _verdict(answer)
        raise StoreDown("Redis forgets what it is told; see why it is emptied, and try again.")

    async def _reconcile(self, record: SessionRecord, answer: str) -> Verdict:
        """Write what this node holds, where `renew` found that Redis lacks it."""
        if answer == "missing":
            logger.warning("session %s is written anew", record.session_id)
        if answer in ("missing", "behind"):
            try:
                return await self.enter(record)
            except NotDone as error:  # the others are renewed all the same
                logger.warning("session %s: %s", record.session_id, error)
                return Verdict.OK
        return _verdict(answer)

    async def _create(self, record: SessionRecord) -> None:
        """Write it anew, unless another node has; the next script's verdict tells."""
        encrypted = self._encryption.encrypt_join(record.request, Recipient.of(record))
        fields = [part for pair in fields_of(record).items() for part in pair]
        await self._store.call(
            "create", record.key, record.epoch, self._lease_ms, "join", encrypted, *fields
        )

    async def _send(self, unsent: "_Unsent") -> None:
        """Send it now, or with the next renewal."""
        self._outbox[unsent.record.key, unsent.record.epoch] = unsent
        try:
            await self._flush(unsent)
        except StoreDown as error:
            logger.warning("session %s: %s", unsent.record.session_id, error)

    async def _flush(self, unsent: "_Unsent") -> None:
        record = unsent.record
        arguments: list[str | int] = [*place_of(record), *unsent.arguments]
        arguments += [record.attempts, counters_of(record)]
        answer = await self._store.call(unsent.script, *arguments)
        if answer == "missing":
            await self._create(record)
            await self._store.call(unsent.script, *arguments)
        self._outbox.pop((record.key, record.epoch), None)

    async def _read(self, answer: Reply, asked_at: float) -> Command | None:
        """The command, or None for one that this version cannot read: a command for one session
        cannot end the others that the node serves."""
        parts = as_list(answer)
        try:
            return await self._command(parts, asked_at)
        except Unreadable as error:
            refuse("letter", f"mbox:{self._node}", str(error))
            if parts[:1] == ["serve"]:
                await self._fail(parts)
            return None

    async def _command(self, parts: list[Reply], asked_at: float) -> Command | None:
        match parts:
            case ["serve", _, dict(fields), encrypted]:
                return await self._serve(fields, text(encrypted, "join request"), asked_at)
            case ["renew", key, session_id, epoch, encrypted, expires, renewals]:
                recipient = Recipient(
                    text(key, "key"), text(session_id, "id"), whole(epoch, "epoch")
                )
                join = self._encryption.decrypt_join(text(encrypted, "join request"), recipient)
                if join is None:
                    logger.error(
                        "session %s cannot be renewed: %s", recipient.session_id, UNKNOWN_KEY
                    )
                    return None
                expires_s, count = moment(expires, "exp"), whole(renewals, "renewals")
                return RenewCommand(recipient.key, recipient.session_id, join, expires_s, count)
            case ["end", key, session_id, reason]:
                return EndCommand(text(key, "key"), text(session_id, "id"), text(reason, "reason"))
            case ["handed", key, session_id]:
                return HandoffDoneCommand(text(key, "key"), text(session_id, "id"))
            case _:
                raise Unreadable("It is of no kind that this version knows.")

    async def _serve(
        self, fields: Mapping[str, Reply], encrypted: str, asked_at: float
    ) -> ServeCommand | None:
        """The command to serve that session; None, and a nack, where no key fits its request."""
        record = read_record(fields)
        join = self._encryption.decrypt_join(encrypted, Recipient.of(record))
        if join is not None:
            return ServeCommand(replace(record, join=join), asked_at)
        logger.error("session %s cannot be read: %s", record.session_id, UNKNOWN_KEY)
        with suppress(StoreDown):  # then its lease expires soon
            await self._store.call("nack", *place_of(record), UNKNOWN_KEY)
        return None

    async def _fail(self, parts: list[Reply]) -> None:
        """A session that was given to this node, and that cannot be read: it has failed, so that
        its POSTs are answered, and the next one begins another."""
        fields = as_mapping(parts[2]) if len(parts) > 2 else {}
        place = [fields.get(name) for name in ("key", "id", "epoch", "slot")]
        if all(isinstance(each, str) for each in place):
            end = ("failed", ILLEGIBLE, "failed", 0, "{}")
            with suppress(StoreDown):  # then its lease expires soon
                await self._store.call("finish", *map(str, place), *end)


class _Unsent(NamedTuple):
    """The end of a session here, which is to be written to Redis."""

    record: SessionRecord
    script: Literal["finish", "lost"]
    arguments: tuple[str, ...]


def _verdict(answer: str) -> Verdict:
    return Verdict.OK if answer in ("handing", "newer") else Verdict(answer)
