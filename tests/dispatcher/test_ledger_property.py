"""Whatever happens in whatever order, and whoever dies in between: the ledger keeps its word.

Dispatchers, nodes and Redis are driven step by step, each step one call of the ledger, so that
a crash falls between any two. Time moves by hand. `make properties` looks at more.

Two further worlds have the same rules: one in which any key is harmed at any step, and one in
which half of all programs are of the version before.
"""

import asyncio
import re
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledgers import LEASE_S, SEAL_KEY, join, renewed
from older import OlderLedger, OlderNodeLedger
from poison import KINDS, Kind, poison
from redis_server import RedisServer, movable_clock, move, redis_server
from thorough import thorough

from dispatcher.errors import NotDone
from dispatcher.ledger import store
from dispatcher.ledger.command import EndCommand, HandoffDoneCommand, RenewCommand, ServeCommand
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.port import Claim, Verdict
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.settings import RoomPolicy

T = TypeVar("T")

HOSTS, SLOTS = 3, 2
ROOMS = st.sampled_from(["kitchen", "cellar", "attic"])
PARTICIPANTS = st.sampled_from(["face", "other-face"])
OWNERS = st.sampled_from(["", "thrifty"])
CAP = 2
"""Of the thrifty owner."""

PICK = st.integers(0, 5)
SOME = st.sampled_from([7, 7, 7, 6, 5, 3, 1, 2, 4])
"""Which hosts do something: a bit for each."""

POSTS = {
    "room": ROOMS,
    "participant": PARTICIPANTS,
    "owner": OWNERS,
    "policy": st.sampled_from(["replace", "multi", "multi", "reject"]),
}
EXAMPLES, STEPS = 200, 50


@dataclass
class Host:
    """A node as it sees itself. `cut` off, it goes on serving and cannot speak to Redis."""

    ledger: RedisNodeLedger
    holds: dict[int, SessionRecord] = field(default_factory=dict)
    """By slot number: what its workers serve, or are about to."""
    acked: set[int] = field(default_factory=set)
    cut: bool = False
    draining: bool = False

    @property
    def idle(self) -> list[int]:
        return [number for number in range(1, SLOTS + 1) if number not in self.holds]

    def named(self, session_id: str) -> int | None:
        """The slot on which it serves that session."""
        for number, owned in self.holds.items():
            if owned.session_id == session_id:
                return number
        return None


class World(RuleBasedStateMachine):
    """Two dispatchers, three hosts, one Redis."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = self.server.client()
        self.moved_s = 0.0
        self.seal = Encryption([SEAL_KEY])
        self.hosts: list[Host | None] = [None] * HOSTS
        self.dispatchers: list[RedisLedger] = []
        self.waiting: list[tuple[RedisLedger, SessionRecord]] = []
        self.accepted: set[str] = set()
        self.epochs: dict[str, int] = {}
        self.owners: dict[tuple[str, str], tuple[str, str]] = {}
        self.survivors: set[str] = set()
        self.was_emptied = False

    @initialize()
    def begin(self) -> None:
        self.server.flush()
        self.server.pretend_uptime()
        self.dispatchers = [self._dispatcher(), self._dispatcher()]
        for number in range(HOSTS):
            self.start(number)

    # --- Dispatchers ---

    @rule(which=PICK, steps=st.integers(1, 4), **POSTS)
    def launch(
        self, which: int, steps: int, room: str, participant: str, owner: str, policy: RoomPolicy
    ) -> None:
        """All goes as it should, as far as it goes."""
        self.post(which, room, participant, owner, policy)
        for step in [self.read_letters, self.ack, self.become_active][: steps - 1]:
            step(7)

    @rule(which=PICK, **POSTS)
    def post(self, which: int, room: str, participant: str, owner: str, policy: RoomPolicy) -> None:
        dispatcher = self.dispatchers[which % 2]
        claim: Claim = self.do(
            dispatcher.claim(
                join(room, participant),
                owner=owner,
                policy=policy,
                cap=CAP if owner else 0,
            )
        )
        assert (claim.record is None) == (claim.outcome not in ("new", "same"))
        if claim.record is None:
            return
        if claim.record.acked:
            self.accepted.add(claim.record.session_id)
        else:
            self.waiting.append((dispatcher, claim.record))

    @precondition(lambda self: self.waiting)
    @rule(which=PICK)
    def give_up(self, which: int) -> None:
        dispatcher, record = self.waiting.pop(which % len(self.waiting))
        if not any(each.session_id == record.session_id for _, each in self.waiting):
            self.do(dispatcher.give_up(record, "No worker took it in time."))

    @rule(which=PICK)
    def dispatcher_dies(self, which: int) -> None:
        dead = self.dispatchers[which % 2]
        self.waiting = [each for each in self.waiting if each[0] is not dead]
        self.do(dead.close())
        self.dispatchers[which % 2] = self._dispatcher()

    @rule(which=PICK)
    def reap(self, which: int) -> None:
        self.do(self.dispatchers[which % 2].reap())

    @rule(which=PICK)
    def end(self, which: int) -> None:
        sessions = [each for each in self.do(self.dispatchers[0].sessions()) if not each.over]
        if sessions:
            chosen = sessions[which % len(sessions)].session_id
            self.survivors.discard(chosen)
            self.do(self.dispatchers[1].end(chosen, "Enough."))

    # --- Hosts ---

    @precondition(lambda self: not all(self.hosts))
    @rule(which=PICK)
    def start(self, which: int) -> None:
        if self.hosts[which % HOSTS] is None:
            ledger = self._node(f"host{which % HOSTS}")
            self.hosts[which % HOSTS] = Host(ledger)
            self.do(ledger.heartbeat([1, 2], SLOTS))

    @precondition(lambda self: any(self.hosts))
    @rule(which=PICK)
    def host_dies(self, which: int) -> None:
        host = self.hosts[which % HOSTS]
        if host is not None:
            self.do(host.ledger.close())
            self.hosts[which % HOSTS] = None
            if self.was_emptied:
                # What it had not written anew yet, nobody knows any more.
                self.accepted = {each for each in self.accepted if self.known(each)}

    @rule(which=PICK)
    def cut_off(self, which: int) -> None:
        host = self.hosts[which % HOSTS]
        if host is not None:
            host.cut = not host.cut

    @rule(some=SOME)
    def heartbeat(self, some: int) -> None:
        for host in self.reachable(some):
            self.do(host.ledger.heartbeat(host.idle, SLOTS))

    @precondition(lambda self: self.has_mail())
    @rule(some=SOME)
    def read_letters(self, some: int) -> None:
        for host in self.reachable(some):
            if self.redis.exists(f"{{av}}:mbox:{host.ledger.node}"):
                self.read(host)

    def read(self, host: Host) -> None:
        for command in self.do(host.ledger.take(0.05)):
            match command:
                case ServeCommand(owned=owned):
                    self.take_slot(host, owned)
                case RenewCommand():
                    number = host.named(command.session_id)
                    if number is not None:
                        host.holds[number] = renewed(host.holds[number], command)
                case EndCommand() | HandoffDoneCommand():
                    number = host.named(command.session_id)
                    if number is not None:
                        self.leave(host, number, "Told to.")

    def take_slot(self, host: Host, owned: SessionRecord) -> None:
        number = _number(owned)
        assert owned.slot == host.ledger.slot(number)
        assert number not in host.holds, "the slot serves a session already"
        assert not host.draining, "a draining node is given nothing"
        host.holds[number] = owned

    @rule(which=PICK)
    def letters_are_lost(self, which: int) -> None:
        host = self.hosts[which % HOSTS]
        if host is not None:
            self.redis.delete(f"{{av}}:mbox:{host.ledger.node}")

    @precondition(lambda self: self.holds(acked=False))
    @rule(some=SOME)
    def ack(self, some: int) -> None:
        for host, number in self.holding(some, acked=False):
            owned = host.holds[number].entered("joining", None, time.time(), attempts=1)
            host.holds[number] = owned
            host.acked.add(number)
            self.obey(host, number, self.do(host.ledger.ack(owned)))

    @precondition(lambda self: self.holds(acked=False))
    @rule(some=SOME)
    def nack(self, some: int) -> None:
        for host, number in self.holding(some, acked=False):
            owned = host.holds.pop(number)
            self.do(host.ledger.nack(owned, "Its worker has died."))

    @precondition(lambda self: self.holds(acked=True))
    @rule(some=SOME)
    def become_active(self, some: int) -> None:
        for host, number in self.holding(some, acked=True):
            owned = host.holds[number].entered("active", None, time.time(), counters={"frames": 1})
            host.holds[number] = owned
            self.obey(host, number, self.do(host.ledger.enter(owned)))

    @precondition(lambda self: self.holds(acked=True))
    @rule(some=SOME, failed=st.booleans())
    def finish(self, some: int, *, failed: bool) -> None:
        for host, number in self.holding(some, acked=True):
            owned = host.holds.pop(number)
            host.acked.discard(number)
            state = "failed" if failed else "ended"
            self.do(host.ledger.finish(owned, state, "It is over."))

    @precondition(lambda self: self.holds(acked=True))
    @rule(some=SOME)
    def lose(self, some: int) -> None:
        for host, number in self.holding(some, acked=True):
            owned = host.holds.pop(number)
            host.acked.discard(number)
            self.do(host.ledger.lost(owned, "Its workers die."))

    @rule(some=SOME)
    def renew(self, some: int) -> None:
        for host in self.reachable(some):
            verdicts = self.do(host.ledger.renew(list(host.holds.values())))
            for number, owned in list(host.holds.items()):
                self.obey(host, number, verdicts[owned.key])

    @precondition(lambda self: not any(host and host.draining for host in self.hosts))
    @rule(which=PICK)
    def drain(self, which: int) -> None:
        for host in self.reachable(1 << which % HOSTS):
            self.do(host.ledger.drain())
            host.draining = True

    @precondition(lambda self: self.holds(acked=True))
    @rule(some=SOME, steps=st.integers(1, 4))
    def hand_off(self, some: int, steps: int) -> None:
        for host, number in self.holding(some, acked=True):
            self.do(host.ledger.handoff(host.holds[number]))
        for step in [self.read_letters, self.ack, self.become_active][: steps - 1]:
            step(7)

    # --- Redis and time ---

    @rule()
    def redis_is_emptied(self) -> None:
        """What was over is forgotten; what nobody can write anew is lost with it."""
        live = self.live()
        self.survivors = {
            owned.session_id
            for host in self.hosts
            if host and not host.cut
            for number, owned in host.holds.items()
            if number in host.acked and _is_recorded(owned, live.get(owned.key, {}))
        }
        self.server.flush()
        self.redis.set("{av}:clock", round(self.moved_s * 1000))
        self.was_emptied = True
        self.epochs, self.owners = {}, {}
        self.accepted = {each for each in self.accepted if self.served(each)}

    @rule(seconds=st.sampled_from([0.6, 1.6, 2.5, 2.5, 5.5, LEASE_S + 0.1, 21.0]))
    def time_passes(self, seconds: float) -> None:
        self.moved_s += seconds
        if seconds > 1:
            self.survivors = set()
        move(self.redis, seconds)

    @rule(seconds=st.sampled_from([1, 1, 2, 12]), some=SOME)
    def seconds_pass(self, seconds: int, some: int) -> None:
        """Some hosts do what is done each second, and so do the dispatchers."""
        for _ in range(seconds):
            for _ in range(2):
                self.time_passes(0.5)
                self.reap(0)
            self.renew(some)
            self.heartbeat(some)
            self.read_letters(some)

    # --- What always holds ---

    @invariant()
    def word_is_kept(self) -> None:
        self.no_slot_is_given_twice()
        self.epochs_only_rise()
        self.one_holder_is_the_recorded_one()
        self.what_was_accepted_is_served_or_over()
        self.nobody_has_more_than_allowed()
        self.indices_tell_the_truth()

    def no_slot_is_given_twice(self) -> None:
        live = self.live()
        slots = [rec["slot"] for rec in live.values() if rec["slot"] and rec["waiting"] == "0"]
        assert len(slots) == len(set(slots)), "two sessions on one slot"
        idle = set(self.redis.zrange("{av}:idle", 0, -1))
        assert not idle & set(slots), "a slot is idle and taken"
        leaving = [host.ledger.node for host in self.hosts if host and host.draining]
        assert not any(slot.startswith(tuple(leaving)) for slot in idle), "it drains"

    def epochs_only_rise(self) -> None:
        """And each has one owner."""
        for key in self.redis.scan_iter("{av}:sess:*"):
            epoch = int(self.redis.hget(key, "epoch") or 0)
            assert epoch >= self.epochs.get(key, 0)
            self.epochs[key] = epoch
        for key, rec in self.live().items():
            if rec["slot"]:
                owner = (rec["id"], rec["slot"])
                assert self.owners.setdefault((key, rec["epoch"]), owner) == owner

    def one_holder_is_the_recorded_one(self) -> None:
        """And where another one holds the same session, it hears so when it asks."""
        live = self.live()
        for host in self.hosts:
            for owned in host.holds.values() if host else ():
                rec = live.get(owned.key)
                if rec is not None and int(rec["epoch"]) == owned.epoch:
                    own = (rec["id"], rec["slot"]) == (owned.session_id, owned.slot)
                    assert own or self.was_emptied or rec["waiting"] == "1"

    def what_was_accepted_is_served_or_over(self) -> None:
        for session_id in self.accepted:
            assert self.known(session_id), "a session is lost"

    def nobody_has_more_than_allowed(self) -> None:
        if not self.was_emptied:
            thrifty = [rec for rec in self.live().values() if rec["owner"] == "thrifty"]
            assert len([rec for rec in thrifty if rec["state"] != "ending"]) <= CAP

    def indices_tell_the_truth(self) -> None:
        live = self.live()
        owned = {key for key, rec in live.items() if rec["owner"] and rec["state"] != "ending"}
        assert self.redis.smembers("{av}:owner:thrifty") == owned
        assert set(self.redis.zrange("{av}:leases", 0, -1)) == set(live)
        in_rooms = {
            key for room in self.redis.scan_iter("{av}:room:*") for key in self.redis.smembers(room)
        }
        assert in_rooms == {key for key, rec in live.items() if rec["state"] != "ending"}

    def teardown(self) -> None:
        try:
            if self.dispatchers:
                self.all_comes_to_an_end()
        finally:
            for ledger in (*self.dispatchers, *(host.ledger for host in self.hosts if host)):
                self.do(ledger.close())
            self.redis.close()
            self.loop.close()

    def idle(self) -> set[str]:
        return set(self.redis.zrange("{av}:idle", 0, -1))

    def all_comes_to_an_end(self) -> None:
        """Everything heals, everything ends, and nothing is left but idle slots."""
        for number in range(HOSTS):
            host = self.hosts[number]
            if host is not None and host.draining:
                self.host_dies(number)
            self.start(number)
            host = self.hosts[number]
            assert host is not None
            host.cut = False
        for _ in range(40):
            self.seconds_pass(1, 7)
            self.read_letters(7)
            self.ack(7)
            self.finish(7, failed=False)
        assert self.live() == {}
        self.indices_tell_the_truth()
        self.what_was_accepted_is_served_or_over()
        self.heartbeat(7)
        slots = {host.ledger.slot(n) for host in self.hosts if host for n in (1, 2)}
        assert self.idle() == slots, "an idle slot is lost"

    # --- Helpers ---

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(what)

    def _node(self, name: str) -> RedisNodeLedger:
        return RedisNodeLedger(self.server.url, self.seal, name=name, lease_s=LEASE_S)

    def _dispatcher(self) -> RedisLedger:
        return RedisLedger(self.server.url, self.seal, name="dispatcher", lease_s=LEASE_S)

    def reachable(self, some: int) -> list[Host]:
        """Those of `some` that live and can speak to Redis."""
        return [
            host
            for number, host in enumerate(self.hosts)
            if host is not None and not host.cut and some >> number & 1
        ]

    def holding(self, some: int, *, acked: bool) -> Iterator[tuple[Host, int]]:
        """Each slot of those hosts that serves a session which was acked, or was not."""
        for host in self.reachable(some):
            for number in list(host.holds):
                if (number in host.acked) == acked:
                    yield host, number

    def holds(self, *, acked: bool) -> bool:
        return any(True for _ in self.holding(7, acked=acked))

    def has_mail(self) -> bool:
        return any(True for _ in self.redis.scan_iter("{av}:mbox:*"))

    def obey(self, host: Host, number: int, verdict: Verdict) -> None:
        owned = host.holds[number]
        if verdict is not Verdict.OK:
            assert owned.session_id not in self.survivors, "an empty Redis ends nothing"
            self.leave(host, number, "Fenced.")
        elif number in host.acked:
            self.accepted.add(owned.session_id)

    def leave(self, host: Host, number: int, reason: str) -> None:
        host.acked.discard(number)
        self.do(host.ledger.finish(host.holds.pop(number), "ended", reason))

    def served(self, session_id: str) -> bool:
        """Whether a worker has it, whoever knows of that."""
        return any(
            number is not None and number in host.acked
            for host in self.hosts
            if host
            for number in (host.named(session_id),)
        )

    def known(self, session_id: str) -> bool:
        """Whether the ledger or a worker has it."""
        recorded = self.redis.exists(f"{{av}}:id:{session_id}", f"{{av}}:over:{session_id}")
        return bool(recorded) or self.served(session_id)

    def live(self) -> dict[str, dict[str, str]]:
        """The records of sessions that live, as Redis has them, by key."""
        with self.redis.pipeline(transaction=False) as pipeline:
            keys = list(self.redis.scan_iter("{av}:sess:*"))
            for key in keys:
                pipeline.hgetall(key)
            records = pipeline.execute()
        return {
            key.rpartition(":")[2]: rec
            for key, rec in zip(keys, records, strict=True)
            if "id" in rec
        }


class RollingWorld(World):
    """Every other program is of the version before."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def is_older(self) -> bool:
        self.turn += 1
        return self.turn % 2 == 1

    def _node(self, name: str) -> RedisNodeLedger:
        if self.is_older():
            return OlderNodeLedger(self.server.url, [SEAL_KEY], name=name, lease_s=LEASE_S)
        return super()._node(name)

    def _dispatcher(self) -> RedisLedger:
        if self.is_older():
            return OlderLedger(self.server.url, [SEAL_KEY], name="older", lease_s=LEASE_S)
        return super()._dispatcher()


SLOT = re.compile(r"\w+@[0-9a-f]{8}/\d+")
"""A slot of a node that runs here."""


class HarmedWorld(World):
    """Any key is harmed at any step: what one bad item says of one session, ends no other, and
    all heals in the end. What nobody serves may be lost with its record."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = redis.Redis(unix_socket_path=str(self.server.socket_path))
        self.was_harmed = False

    @rule(which=st.integers(0, 200), field=st.integers(0, 30), kind=st.sampled_from(KINDS))
    def harm(self, which: int, field: int, kind: Kind) -> None:
        keys = sorted(
            key
            for key in self.bytes.scan_iter("{av}:*")
            if not key.startswith((b"{av}:clock", b"{av}:aside"))
        )
        if not keys:
            return
        live = self.live()
        survivors = {
            owned.session_id
            for host in self.hosts
            if host and not host.cut
            for number, owned in host.holds.items()
            if number in host.acked and _is_recorded(owned, live.get(owned.key, {}))
        }
        note(poison(self.bytes, keys[which % len(keys)], kind, field))
        self.was_harmed = self.was_emptied = True
        self.survivors = survivors
        self.renew(7)
        self.heartbeat(7)
        self.reap(0)
        self.renew(7)
        self.survivors = set()
        self.accepted = {each for each in self.accepted if self.served(each)}

    def post(self, which: int, room: str, participant: str, owner: str, policy: RoomPolicy) -> None:
        with suppress(NotDone):
            super().post(which, room, participant, owner, policy)

    def take_slot(self, host: Host, owned: SessionRecord) -> None:
        if host.draining or _number(owned) in host.holds:
            self.do(host.ledger.nack(owned, "That slot is taken."))
        else:
            super().take_slot(host, owned)

    @invariant()
    def word_is_kept(self) -> None:
        if not self.was_harmed:
            super().word_is_kept()

    def indices_tell_the_truth(self) -> None:
        if not self.was_harmed:
            super().indices_tell_the_truth()

    def what_was_accepted_is_served_or_over(self) -> None:
        if not self.was_harmed:
            super().what_was_accepted_is_served_or_over()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.bytes.close()

    def idle(self) -> set[str]:
        """What was put among them and is no slot stays there until a claim comes across it."""
        members = (each.decode(errors="replace") for each in self.bytes.zrange("{av}:idle", 0, -1))
        return set(filter(SLOT.fullmatch, members))

    def live(self) -> dict[str, dict[str, str]]:
        """Those whose records can be read."""
        found = {}
        for key in self.bytes.scan_iter("{av}:sess:*"):
            if self.bytes.type(key) == b"hash":
                rec = {
                    name.decode(errors="replace"): value.decode(errors="replace")
                    for name, value in self.bytes.hgetall(key).items()
                }
                if "id" in rec:
                    found[key.decode(errors="replace").rpartition(":")[2]] = rec
        return found


def _is_recorded(owned: SessionRecord, rec: dict[str, str]) -> bool:
    """Whether the session is that holder's, and goes on."""
    recorded = (rec.get("id"), rec.get("slot"), rec.get("epoch"))
    mine = (owned.session_id, owned.slot, str(owned.epoch))
    return recorded == mine and rec["state"] != "ending"


def _number(record: SessionRecord) -> int:
    return int((record.slot or "").rpartition("/")[2])


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with ExitStack() as stack:
        stack.enter_context(movable_clock())
        yield stack.enter_context(redis_server())


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy for a second is no Redis that does not answer."""
    monkeypatch.setattr(store, "STORE_S", 5.0)


def explore(world: type[World], server: RedisServer, runs: int) -> None:
    world.server = server
    run_state_machine_as_test(world, settings=settings(thorough(runs), stateful_step_count=STEPS))


@pytest.mark.hypothesis
def test_the_ledger_keeps_its_word_whoever_dies(server: RedisServer) -> None:
    class ThisWorld(World):
        pass

    explore(ThisWorld, server, EXAMPLES)


@pytest.mark.hypothesis
def test_the_ledger_keeps_its_word_while_an_update_rolls(server: RedisServer) -> None:
    explore(RollingWorld, server, EXAMPLES // 2)


@pytest.mark.hypothesis
def test_one_bad_item_ends_nothing_but_itself(server: RedisServer) -> None:
    explore(HarmedWorld, server, EXAMPLES // 2)
