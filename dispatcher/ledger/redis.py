"""Ledger: who serves which session, on many machines.

Two faces of one ledger: `Ledger` is what dispatchers (the RedisPool) ask, `NodeLedger` what a
node asks for its own slots. Every transition is one Lua script (``dispatcher/lua/``), so that it
happens whole or not at all, and all time is Redis' own.

The life of a session::

    dispatcher                         Redis                            node
    claim  -------------------------> record, epoch 1 --- Serve -----> take
    settled  <------- reply --------- joining        <--- ack -------- its worker has taken it
                                      (another slot  <--- nack ------- it cannot)
                                      active, ...    <--- enter ------ what the worker reports
                                      lease          <--- renew ------ each second, all at once
                                      ended, failed  <--- finish ----- the worker has left
                                      another node   <--- lost ------- no worker here can do it
    end  ---------------------------> ending     --- End ------------> take
    reap  --------------------------> a lease is out: epoch + 1, another slot

A claim is fenced by its epoch alone, never by time: whoever holds a session at a lower epoch than
the record has lost it. Each run of a node is a node of its own (``name@incarnation``), so that a
node that restarts inherits nothing.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Self, cast, get_args

from agent_side.join import JoinInfo
from dispatcher.errors import NotDone, StoreDown, Unreadable
from dispatcher.http.request import claims_of
from dispatcher.ledger.encryption import Holder, Seal
from dispatcher.ledger.record import (
    Record,
    Step,
    digest,
    fields_of,
    key_of,
    life_of,
    milliseconds,
    new_record,
    read_record,
)
from dispatcher.ledger.refusals import moment, refuse, text, whole
from dispatcher.ledger.store import Reply, Store
from dispatcher.pool import MAX_LIFE, State
from dispatcher.settings import RoomPolicy
from dispatcher.workers.renewal import Renewed, renewed

MAX_HEARD: Final = 1024
"""Replies that are kept for those who do not wait for them yet."""

MAX_EXPIRY_S: Final = 1e11
"""A token that expires later than any calendar has it, does not say."""

UNSEALED: Final = "its join request was sealed with a key that is not in AVATAR_SEAL_KEYS here."

ILLEGIBLE: Final = "What was claimed for it cannot be read; the log of its node says why."
"""Why a session has failed that a node was given and cannot read."""

TELLINGS: Final = 3
"""How often something is said to a Redis that has just lost what it is about."""

SEALINGS: Final = 5
"""How often a join request is sealed for one claim: for a new session, and for what there is, as
long as others change that meanwhile."""

PAUSE_S: Final = 0.2
"""How long after a failure the replies are asked for again."""

logger = logging.getLogger("avatar.dispatcher.ledger")


@dataclass(frozen=True, slots=True)
class Held:
    """What a node holds of a session that it serves: enough to write its record anew.

    The node keeps the newest: `entered` for each report, `renewed` for each `Renew`.
    """

    record: Record
    join: JoinInfo

    @property
    def key(self) -> str:
        return self.record.key

    def entered(
        self,
        state: State,
        reason: str | None,
        now_s: float,
        *,
        attempts: int | None = None,
        counters: Mapping[str, int] | None = None,
    ) -> Self:
        """As it is after a report of its worker. `now_s` is Unix time (the node's own, shown to
        people only). What is None stays; an unchanged state with an unchanged reason is no step.
        """
        before = self.record
        record = replace(
            before,
            acked=True,
            attempts=before.attempts if attempts is None else attempts,
            counters=before.counters if counters is None else counters,
        )
        if (state, reason) != (before.state, before.reason):
            life = (*before.life, Step(state, now_s, reason))[-MAX_LIFE:]
            record = replace(record, state=state, since_s=now_s, reason=reason, life=life)
        return replace(self, record=record)

    def renewed(self, letter: "Renew") -> Self:
        """As it is with a newer join request."""
        record = replace(self.record, expires_s=letter.expires_s, renewals=letter.renewals)
        return replace(self, record=record, join=letter.join)


# --- What a node finds in its mailbox ---


@dataclass(frozen=True, slots=True)
class Serve:
    """A session was claimed for `held.record.slot` of this node: give it a worker, then `ack`;
    `nack` at once where that slot has none. Its lease, until the ack, is 1.5 s from `asked_at`,
    the event loop's time when Redis was asked."""

    held: Held
    asked_at: float


@dataclass(frozen=True, slots=True)
class Renew:
    """A newer join request for a session that this node serves; for its worker, and for the
    workers that may follow. Keep `Held.renewed`."""

    key: str
    session_id: str
    join: JoinInfo
    expires_s: float
    renewals: int


@dataclass(frozen=True, slots=True)
class End:
    """Make the worker leave at once, then `finish` as ``ended`` with this reason."""

    key: str
    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Handed:
    """The replacement of a session that was handed off is active: leave, then `finish`."""

    key: str
    session_id: str


Letter = Serve | Renew | End | Handed


class Verdict(StrEnum):
    """What the ledger says to a node of a session that it holds."""

    OK = "ok"
    """It is this node's; go on."""
    FENCED = "fenced"
    """It is somebody else's: a higher epoch, or the same one on another slot. Make the worker
    leave at once, and `finish`, which then only frees the slot."""
    END = "end"
    """It is to end or is over: as `End`."""


# --- What a dispatcher is answered ---

Outcome = Literal["new", "same", "conflict", "too_many", "full", "expiring"]


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to `Ledger.claim`.

    - ``new``: a session was made and a letter sent; wait with `settled`.
    - ``same``: it lives already, and its join request is renewed. Where `record.acked` is
      false its worker has not taken it yet: wait with `settled`, too.
    - ``conflict``: another face is in the room, and the policy is ``reject``. 409.
    - ``too_many``: the owner has as many sessions as it may. 429.
    - ``full``: no slot is idle (or an emptied Redis waits for its nodes to come back): claim
      again within the patience, then 503. With ``replace`` the older face was told to leave
      already, which makes room.
    - ``expiring``: the token expires in less than 30 s: 422.

    `record` is None in the last four. `not_applied` are the fields of the join request that a
    session that lives does not take.
    """

    outcome: Outcome
    record: Record | None
    not_applied: tuple[str, ...] = ()


Settlement = Literal["acked", "refused", "failed", "ended"]
"""How a claim was settled: a worker has taken it; one has refused it (422); all failed (503); it
was ended or replaced meanwhile (503)."""

SETTLEMENTS: Final = frozenset(get_args(Settlement))


@dataclass(frozen=True, slots=True)
class Reaped:
    """One session that `Ledger.reap` has found without a node.

    - `why`: its lease ran out, or it has waited for an idle slot.
    - `became`: it was ``moved`` to another slot, ``waits`` for one, or is over: ``failed``, or
      ``ended`` where it was about to end anyway.
    """

    session_id: str
    why: Literal["lease", "waiting"]
    became: Literal["moved", "waits", "failed", "ended"]


class Ledger:
    """The ledger as a dispatcher uses it. All methods raise StoreDown within about a second
    where Redis cannot be reached; the connection mends itself."""

    def __init__(self, url: str, seal: Seal, *, name: str, lease_s: float = 10.0) -> None:
        """`url` is ``redis://``, ``rediss://`` or ``unix://``; `name` is this process' own, for
        its reply list (a random suffix is added). Raises SettingsError."""
        self._store = Store(url)
        self._seal = seal
        self._replies = f"{_word(name)}@{secrets.token_hex(4)}"
        self._lease_ms = round(lease_s * 1000)
        self._waiting: dict[str, list[_Wait]] = {}
        self._heard: dict[str, _Heard] = {}

    async def run(self) -> None:
        """Hear the replies to claims until cancelled, in a task of the pool's; `settled` needs
        it. Survives the loss of Redis."""
        name = f"reply:{self._replies}"
        while True:
            try:
                replies = await self._store.pop(name, 1.0)
            except StoreDown as error:
                logger.debug("%s", error)  # who claims hears of it, and the pool says so once
                await asyncio.sleep(PAUSE_S)
                continue
            for reply in replies:
                try:
                    self._hear(reply)
                except Unreadable as error:
                    refuse("reply", name, str(error))

    def _hear(self, reply: str) -> None:
        session_id, heard = _read_reply(reply)
        self._heard[session_id] = heard
        if len(self._heard) > MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        for wait in self._waiting.get(session_id, ()):
            if heard.settles(wait.epoch) and not wait.settlement.done():
                wait.settlement.set_result(heard.settlement)

    async def close(self) -> None:
        """Close all connections, when the program ends."""
        await self._store.close()

    async def ping(self) -> None:
        """Return when Redis answers and lets us in.

        Raises StoreDown, whose sentence says what is wrong (address, user, password, TLS)."""
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
        """One atomic claim for the join request of a POST; `cap` 0 is none. May be repeated at
        will: a repeat finds the session that the first has made. The participant has to be
        named."""
        participant = join.participant_id or ""
        expires_s = expiry_of(join.token)
        key, session_id = key_of(join.room_name, participant), secrets.token_hex(8)
        owner = _word(owner)
        holder, merged_with = Holder(key, session_id, 1), ""
        sent = Renewed(join, (), renames=False)
        for _ in range(SEALINGS):
            answer = await self._store.call(
                "claim",
                key,
                digest(join.room_name),
                owner,
                session_id,
                join.room_name,
                participant,
                self._seal.close_join(sent.join, holder),
                "" if expires_s is None else milliseconds(expires_s),
                traceparent or "",
                policy,
                cap,
                self._replies,
                holder.session_id,
                holder.epoch,
                merged_with,
                secrets.token_hex(4) if sent.renames else "",
            )
            outcome, *seen = _list(answer)
            if outcome == "seal":
                holder = Holder(key, str(seen[0]), whole(seen[1], "epoch"))
                merged_with = str(seen[2])
                sent = self._merged(join, seen[3], holder)
            elif outcome == "newer":
                raise NotDone("A newer version serves that room; ask a dispatcher of that one.")
            elif outcome == "new":
                fields = _mapping(seen[0])
                record = new_record(key, join, session_id, owner, traceparent, fields)
                return Claim("new", record)
            else:
                place = f"sess:{key}"
                return Claim(
                    cast(Outcome, outcome),
                    await self._legible(place, seen[0]) if seen else None,
                    sent.not_applied,
                )
        raise NotDone("Others launch and end that session all the time; try again.")

    def _merged(self, join: JoinInfo, sealed: Reply, holder: Holder) -> Renewed:
        """The join request for a session whose own, if it lives and can be read, is `sealed`."""
        try:
            own = self._seal.open_join(str(sealed), holder) if sealed else None
        except Unreadable as error:
            refuse("join request", f"sess:{holder.key}", str(error))
            own = None
        return Renewed(join, (), renames=True) if own is None else renewed(own, join)

    async def settled(self, record: Record, timeout_s: float) -> Settlement | None:
        """Wait until the claim of that record is settled; None where `timeout_s` runs out (claim
        again, which finds a reply that was lost, or `give_up`). Does not raise StoreDown."""
        if record.acked:
            return "acked"
        heard = self._heard.pop(record.session_id, None)
        if heard is not None and heard.settles(record.epoch):
            return heard.settlement
        wait = _Wait(record.epoch, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(record.session_id, []).append(wait)
        try:
            async with asyncio.timeout(timeout_s):
                return await wait.settlement
        except TimeoutError:
            return None
        finally:
            self._waiting[record.session_id].remove(wait)
            if not self._waiting[record.session_id]:
                del self._waiting[record.session_id]

    async def give_up(self, record: Record, reason: str) -> None:
        """The POST is answered 503: nobody waits for this session. It becomes ``failed`` unless
        it was acked meanwhile or another POST waits for it."""
        if record.session_id not in self._waiting:
            await self._store.call("give_up", record.key, record.session_id, self._replies, reason)

    async def find(self, session_id: str) -> Record | None:
        """A session that lives, or was over less than an hour ago."""
        found = await self._find(session_id)
        return found[0] if found else None

    async def sessions(self) -> list[Record]:
        """All that live and the latest that are over, the oldest first."""
        return sorted(await self._find(), key=lambda record: record.life[0].since_s)

    async def _find(self, *session_ids: str) -> list[Record]:
        answer = await self._store.call("find", *session_ids)
        found = []
        for place, fields in map(_list, _list(answer)):
            with suppress(NotDone):
                found.append(await self._legible(str(place), fields))
        return found

    async def _legible(self, place: str, answer: Reply) -> Record:
        """The record that stands at `place` in Redis. One that cannot be read is set aside, and
        whoever serves its session writes it anew. Raises NotDone."""
        fields = _mapping(answer)
        try:
            return read_record(fields)
        except Unreadable as error:
            refuse("record", place, str(error))
            epoch = fields.get("epoch")
            await self._store.call("aside", place, str(error), str(epoch))
            raise NotDone("What Redis has of that session cannot be read; try again.") from None

    async def end(self, session_id: str, reason: str) -> Record | None:
        """Have it end: its node gets an `End` letter, and it is ``ending`` until that is done
        (or its lease is out). Idempotent. None where it is not known."""
        await self._store.call("end", session_id, reason)
        return await self.find(session_id)

    async def slots(self) -> Mapping[str, int]:
        """How many slots there are by state: idle, claimed, busy, draining (what a draining node
        still serves)."""
        counted = _mapping(await self._store.call("slots"))
        return {state: whole(number, state) for state, number in counted.items()}

    async def nodes(self) -> Mapping[str, int]:
        """How many nodes live by what they can do: ``able`` to serve, as they have slots that are
        idle or in use; ``unable``, with none of either; ``draining``. ``none`` is 1 where no node
        lives."""
        counted = _mapping(await self._store.call("nodes"))
        return {fact: whole(number, fact) for fact, number in counted.items()}

    async def reap(self) -> list[Reaped]:
        """Move what has lost its node, each 0.5 s, by every dispatcher; each is moved by one.

        A session whose lease is out goes to an idle slot at epoch + 1, or waits for one; after
        three tries in a row, or where its token is about to expire, it fails. Nothing is moved
        for one lease after Redis was restarted, emptied or out of reach of all dispatchers."""
        answer = await self._store.call("reap", self._lease_ms)
        return [Reaped(*map(str, _list(each))) for each in _list(answer)]  # type: ignore[arg-type]


class NodeLedger:
    """The ledger as one run of a node uses it. All methods but `finish` and `lost` raise
    StoreDown within about a second where Redis cannot be reached; sessions go on then, and so
    does their renewal once it is back."""

    def __init__(self, url: str, seal: Seal, *, name: str, lease_s: float = 10.0) -> None:
        """`name` is the host's; `node` is what the ledger knows this run by. Raises
        SettingsError."""
        self.node = f"{_word(name)}@{secrets.token_hex(4)}"
        """``<name>@<incarnation>``."""
        self._store = Store(url)
        self._seal = seal
        self._lease_ms = round(lease_s * 1000)
        self._draining = False
        self._owed: dict[tuple[str, int], _Owed] = {}

    def slot(self, number: int) -> str:
        """The name of this node's slot of that number."""
        return f"{self.node}/{number}"

    async def close(self) -> None:
        """Close all connections, when the program ends."""
        await self._store.close()

    async def heartbeat(self, idle: Sequence[int], slots: int) -> None:
        """Once a second: this node lives, has `slots` slots, and those of the numbers in `idle`
        (none higher than `slots`) are free. Slots that are claimed stay so; the
        others are given to no claim. The first one registers the node; more than 5 s without one
        hides it."""
        await self._store.call("heartbeat", self.node, slots, int(self._draining), *idle)

    async def offer(self, *numbers: int) -> None:
        """These slots are free from now on; without waiting for the next heartbeat."""
        await self._store.call("heartbeat", self.node, "", int(self._draining), *numbers)

    async def take(self, timeout_s: float = 1.0) -> list[Letter]:
        """The letters in the mailbox, waiting for one up to `timeout_s`; in a loop of its own
        task, on a connection of its own. A `Serve` whose claim is stale is left out."""
        await self._store.move(f"mbox:{self.node}", f"read:{self.node}", timeout_s)
        asked_at = asyncio.get_running_loop().time()
        answer = await self._store.call("take", self.node)
        letters = [await self._read(each, asked_at) for each in _list(answer)]
        return [letter for letter in letters if letter is not None]

    async def ack(self, held: Held) -> Verdict:
        """A worker has taken the join request: the POSTs are answered, and the lease is whole.
        FENCED or END: make that worker leave."""
        return await self._say("ack", held, self._lease_ms)

    async def nack(self, held: Held, reason: str) -> None:
        """This slot cannot serve it: the claim goes to another slot of the pool, or waits for
        one, within the same POST."""
        await self._store.call("nack", *_place(held.record), reason)

    async def enter(self, held: Held) -> Verdict:
        """Write what `Held.entered` has changed: state, reason, attempts, counters. With
        ``active``, the node that it was handed off from gets a `Handed`."""
        record = held.record
        return await self._say(
            "enter",
            held,
            record.state,
            milliseconds(record.since_s),
            record.reason or "",
            record.attempts,
            json.dumps(dict(record.counters)),
            life_of(record.life),
        )

    async def renew(self, holds: Sequence[Held]) -> Mapping[str, Verdict]:
        """Once a second, all that this node serves or is about to (from `take` to `finish`):
        prolong the leases, write anew what Redis has lost, and say what was not said while it
        was away. Returns a verdict for each key."""
        for owed in list(self._owed.values()):
            try:
                await self._pay(owed)
            except NotDone as error:  # the others are renewed all the same
                logger.warning("session %s: %s", owed.held.record.session_id, error)
        if not holds:
            return {}
        arguments: list[str | int] = []
        for held in holds:
            record = held.record
            since_ms = milliseconds(record.since_s)
            arguments += [*_place(record), int(record.acked), since_ms, record.renewals]
        answers = _list(await self._store.call("renew", self._lease_ms, *arguments))
        return {
            held.key: await self._mend(held, str(answer))
            for held, answer in zip(holds, answers, strict=True)
        }

    async def finish(
        self,
        held: Held,
        state: Literal["ended", "failed"],
        reason: str | None,
        *,
        refused: bool = False,
    ) -> None:
        """Its worker has left for good: it is over, and the slot is free (not idle: `offer`).
        `refused`: the worker refused the join request, which a waiting POST is told. A session
        that is somebody else's by now only frees the slot. Where Redis is away it is kept, and
        said with the next `renew`; it never raises StoreDown."""
        settlement = "refused" if refused else state
        await self._owe(_Owed(held, "finish", (state, reason or "", settlement)))

    async def lost(self, held: Held, reason: str) -> None:
        """No worker of this node can go on with it: it goes to another node at epoch + 1, or
        waits for a slot there; after three tries it fails. The slot is free. As `finish`, it
        never raises StoreDown."""
        await self._owe(_Owed(held, "lost", (reason,)))

    async def drain(self) -> None:
        """From now on this node is given nothing: its idle slots are withdrawn, claims that lie
        unread in its mailbox go to other nodes. Heartbeats and renewals go on. Where Redis is
        away, the next heartbeat says it; repeat it for the mailbox."""
        self._draining = True
        await self._store.call("drain", self.node)

    async def handoff(self, held: Held) -> bool:
        """Have another node take it over at epoch + 1, while this one goes on for 20 s at most:
        a `Handed` letter comes once the replacement is active, or `renew` says FENCED. False
        where no slot is idle elsewhere; nothing has changed then."""
        return bool(await self._store.call("handoff", *_place(held.record)))

    async def _say(self, script: str, held: Held, *arguments: str | int) -> Verdict:
        place = _place(held.record)
        for _ in range(TELLINGS):
            answer = str(await self._store.call(script, *place, *arguments))
            if answer == "missing":
                await self._create(held)
            elif answer == "back":  # its lease ran out, and nobody else has it yet
                verdict = await self.ack(held)
                if verdict is not Verdict.OK:
                    return verdict
            else:
                return _verdict(answer)
        raise StoreDown("Redis forgets what it is told; see why it is emptied, and try again.")

    async def _mend(self, held: Held, answer: str) -> Verdict:
        """Bring the record up to what this node holds, where `renew` found it to lack that."""
        if answer == "missing":
            logger.warning("session %s is written anew", held.record.session_id)
        if answer in ("missing", "behind"):
            try:
                return await self.enter(held)
            except NotDone as error:  # the others are renewed all the same
                logger.warning("session %s: %s", held.record.session_id, error)
                return Verdict.OK
        return _verdict(answer)

    async def _create(self, held: Held) -> None:
        """Write it anew, unless somebody has done so: what is said next, is told which."""
        record = held.record
        holder = Holder(record.key, record.session_id, record.epoch)
        sealed = self._seal.close_join(held.join, holder)
        fields = [part for pair in fields_of(record).items() for part in pair]
        await self._store.call(
            "create", record.key, record.epoch, self._lease_ms, "join", sealed, *fields
        )

    async def _owe(self, owed: "_Owed") -> None:
        """Say it now, or with the next renewal."""
        self._owed[owed.held.key, owed.held.record.epoch] = owed
        try:
            await self._pay(owed)
        except StoreDown as error:
            logger.warning("session %s: %s", owed.held.record.session_id, error)

    async def _pay(self, owed: "_Owed") -> None:
        record = owed.held.record
        arguments: list[str | int] = [*_place(record), *owed.arguments]
        arguments += [record.attempts, json.dumps(dict(record.counters))]
        answer = await self._store.call(owed.script, *arguments)
        if answer == "missing":
            await self._create(owed.held)
            await self._store.call(owed.script, *arguments)
        self._owed.pop((record.key, record.epoch), None)

    async def _read(self, letter: Reply, asked_at: float) -> Letter | None:
        """The letter, or None for one that this version cannot read: what is said of one session
        cannot end the others that the node serves."""
        parts = _list(letter)
        try:
            return await self._letter(parts, asked_at)
        except Unreadable as error:
            refuse("letter", f"mbox:{self.node}", str(error))
            if parts[:1] == ["serve"]:
                await self._give_up(parts)
            return None

    async def _letter(self, parts: list[Reply], asked_at: float) -> Letter | None:
        match parts:
            case ["serve", _, dict(fields), sealed]:
                record = read_record(fields)
                holder = Holder(record.key, record.session_id, record.epoch)
                join = self._seal.open_join(text(sealed, "join request"), holder)
                if join is not None:
                    return Serve(Held(record, join), asked_at)
                logger.error("session %s cannot be read: %s", record.session_id, UNSEALED)
                with suppress(StoreDown):  # then its lease runs out soon
                    await self._store.call("nack", *_place(record), UNSEALED)
                return None
            case ["renew", key, session_id, epoch, sealed, expires, renewals]:
                holder = Holder(text(key, "key"), text(session_id, "id"), whole(epoch, "epoch"))
                join = self._seal.open_join(text(sealed, "join request"), holder)
                if join is None:
                    logger.error("session %s cannot be renewed: %s", holder.session_id, UNSEALED)
                    return None
                expires_s, count = moment(expires, "exp"), whole(renewals, "renewals")
                return Renew(holder.key, holder.session_id, join, expires_s, count)
            case ["end", key, session_id, reason]:
                return End(text(key, "key"), text(session_id, "id"), text(reason, "reason"))
            case ["handed", key, session_id]:
                return Handed(text(key, "key"), text(session_id, "id"))
            case _:
                raise Unreadable("It is of no kind that this version knows.")

    async def _give_up(self, parts: list[Reply]) -> None:
        """A session that was given to this node, and that nobody can read: it has failed, so that
        its POSTs are answered, and the next one begins another."""
        fields = _mapping(parts[2]) if len(parts) > 2 else {}
        place = [fields.get(name) for name in ("key", "id", "epoch", "slot")]
        if all(isinstance(each, str) for each in place):
            told = ("failed", ILLEGIBLE, "failed", 0, "{}")
            with suppress(StoreDown):  # then its lease runs out soon
                await self._store.call("finish", *map(str, place), *told)


class _Owed(NamedTuple):
    """What is to be said of a session that a node has let go."""

    held: Held
    script: Literal["finish", "lost"]
    arguments: tuple[str, ...]


class _Heard(NamedTuple):
    """A reply to a claim."""

    epoch: int
    settlement: Settlement

    def settles(self, epoch: int) -> bool:
        """Whether it is meant for a claim of that epoch: an ack may be an older one's."""
        return self.settlement != "acked" or self.epoch >= epoch


class _Wait(NamedTuple):
    """A POST that waits for the reply to its claim."""

    epoch: int
    settlement: asyncio.Future[Settlement]


def expiry_of(token: str) -> float | None:
    """When a token says that it expires, Unix time, not verified; None where it does not."""
    value = claims_of(token).get("exp")
    if isinstance(value, int | float) and 0 < value < MAX_EXPIRY_S:
        return float(value)
    return None


def _word(text: str) -> str:
    """Without what separates words in the ledger."""
    return "_".join(text.split()).replace("/", "_")


def _place(record: Record) -> tuple[str, str, int, str]:
    """What an epoch fences: key, session, epoch and slot."""
    return record.key, record.session_id, record.epoch, record.slot or ""


def _verdict(answer: str) -> Verdict:
    return Verdict.OK if answer in ("handing", "newer") else Verdict(answer)


def _read_reply(reply: str) -> tuple[str, _Heard]:
    """What a node, or a script, has said of a claim. Raises Unreadable."""
    match text(reply, "text").split():
        case [session_id, epoch, settlement] if settlement in SETTLEMENTS:
            return session_id, _Heard(whole(epoch, "epoch"), cast(Settlement, settlement))
        case _:
            raise Unreadable("It is no answer to a claim.")


def _list(answer: Reply) -> list[Reply]:
    return answer if isinstance(answer, list) else []


def _mapping(answer: Reply) -> Mapping[str, Reply]:
    return answer if isinstance(answer, dict) else {}
