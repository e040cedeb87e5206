"""An older and a newer version share one Redis while an update rolls: nothing is lost or ended.

The older one is the version before records had one: its scripts and its records are kept in
``tests/data/ledger-1``. `test_the_ledger_keeps_its_word_while_an_update_rolls` mixes both at random
(``tests/dispatcher/test_ledger_property.py``).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ledgers import LEASE_S, SEAL_KEY, Scene, active, claimed, commands, join, served, taken
from older import READS, RECORDED_KEY, OlderLedger, OlderNodeLedger, read, recorded
from redis_server import RedisServer, movable_clock, redis_server

from dispatcher.ledger.command import Command, HandoffDoneCommand, RenewCommand, ServeCommand
from dispatcher.ledger.encryption import Encryption, Recipient
from dispatcher.ledger.fields import read_record
from dispatcher.ledger.port import Verdict
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger

Play = Callable[[Callable[["Both"], Coroutine[Any, Any, None]]], None]

SOON_S = 2.0
VERSIONS = ("older", "newer")
PAIRS = [(one, other) for one in VERSIONS for other in VERSIONS if one != other]


class Both(Scene):
    """A scene in which either version may play each part."""

    def dispatcher_of(self, version: str) -> RedisLedger:
        if version == "newer":
            return self.dispatcher()
        ledger = OlderLedger(self.server.url, [SEAL_KEY], name="older", lease_s=LEASE_S)
        return self.follow(ledger)

    async def node_of(self, version: str, name: str = "host", slots: int = 1) -> RedisNodeLedger:
        if version == "newer":
            return await self.node(name, slots)
        node = OlderNodeLedger(self.server.url, [SEAL_KEY], name=name, lease_s=LEASE_S)
        self._ledgers.append(node)
        await node.heartbeat(range(1, slots + 1), slots)
        return node


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with ExitStack() as stack:
        stack.enter_context(movable_clock())
        yield stack.enter_context(redis_server())


@pytest.fixture
def play(server: RedisServer) -> Play:
    def run(happens: Callable[[Both], Coroutine[Any, Any, None]]) -> None:
        async def on_it() -> None:
            server.flush()
            server.pretend_uptime()
            async with Both(server) as it:
                await happens(it)

        asyncio.run(on_it())

    return run


@pytest.mark.parametrize(("claims", "serves"), PAIRS)
def test_a_claim_of_one_version_is_served_by_the_other(
    play: Play, claims: str, serves: str
) -> None:
    async def happens(it: Both) -> None:
        dispatcher, node = it.dispatcher_of(claims), await it.node_of(serves)
        record = claimed(await dispatcher.claim(join()))
        owned = await taken(node)
        assert owned.join.room_name == "room"
        assert await dispatcher.resolved(record, SOON_S) == "acked"
        owned = owned.entered("active", None, time.time(), counters={"frames": 1})
        assert await node.enter(owned) is Verdict.OK
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        for version in VERSIONS:
            (found,) = await it.dispatcher_of(version).sessions()
            assert (found.state, found.counters) == ("active", {"frames": 1})

    play(happens)


@pytest.mark.parametrize(("renews", "serves"), PAIRS)
def test_a_renewal_of_one_version_reaches_the_other(play: Play, renews: str, serves: str) -> None:
    async def happens(it: Both) -> None:
        node = await it.node_of(serves)
        owned = await active(it.dispatcher_of(serves), node)
        newer = join(lives_s=7200)
        again = await it.dispatcher_of(renews).claim(newer)
        assert (again.outcome, claimed(again).session_id) == ("same", owned.session_id)
        (command,) = await commands(node)
        assert isinstance(command, RenewCommand)
        assert command.join == newer

    play(happens)


@pytest.mark.parametrize(("first", "then"), PAIRS)
@pytest.mark.parametrize("reaps", VERSIONS)
def test_a_lost_node_s_session_goes_to_the_other_version(
    play: Play, first: str, then: str, reaps: str
) -> None:
    async def happens(it: Both) -> None:
        owned = await active(it.dispatcher_of(first), await it.node_of(first))
        node = await it.node_of(then, "other host")
        dispatcher, found = it.dispatcher_of(reaps), list[Command]()
        while not found:
            it.move(0.5)
            await node.heartbeat([1], 1)
            await dispatcher.reap()
            found = await commands(node)
        (command,) = found
        assert isinstance(command, ServeCommand)
        moved = command.record
        assert await node.ack(moved) is Verdict.OK
        assert (moved.session_id, moved.epoch) == (owned.session_id, 2)
        assert moved.join == owned.join

    play(happens)


@pytest.mark.parametrize(("gives", "takes"), PAIRS)
def test_a_session_is_handed_off_to_the_other_version(play: Play, gives: str, takes: str) -> None:
    async def happens(it: Both) -> None:
        old = await it.node_of(gives)
        owned = await active(it.dispatcher_of(gives), old)
        new = await it.node_of(takes, "other host")
        await old.drain()
        assert await old.handoff(owned)
        assert await old.renew([owned]) == {owned.key: Verdict.OK}
        moved = (await taken(new)).entered("active", None, time.time())
        assert await new.enter(moved) is Verdict.OK
        assert [each for each in await commands(old) if isinstance(each, HandoffDoneCommand)]
        await old.finish(owned, "ended", None)
        assert await new.renew([moved]) == {moved.key: Verdict.OK}

    play(happens)


@pytest.mark.parametrize(("claims", "serves"), PAIRS)
def test_an_emptied_redis_is_written_anew_by_either_version(
    play: Play, claims: str, serves: str
) -> None:
    async def happens(it: Both) -> None:
        dispatcher, node = it.dispatcher_of(claims), await it.node_of(serves)
        owned = await active(dispatcher, node)
        it.server.flush()
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        found = await dispatcher.find(owned.session_id)
        assert found is not None
        assert found.epoch == owned.epoch
        other = await it.node_of(claims, "other host")
        await node.lost(owned, "Its workers die.")
        assert (await served(other)).join == owned.join

    play(happens)


def test_a_record_that_the_newer_sets_aside_is_written_anew_by_the_older(play: Play) -> None:
    async def happens(it: Both) -> None:
        dispatcher, node = it.dispatcher_of("newer"), await it.node_of("older", slots=2)
        owned = await active(dispatcher, node)
        other = await active(dispatcher, node, join("other"))
        it.redis.hset(f"{{av}}:sess:{owned.key}", "epoch", 10**18)
        await dispatcher.sessions()
        assert await node.renew([owned, other]) == {owned.key: Verdict.OK, other.key: Verdict.OK}
        assert len(await dispatcher.sessions()) == 2

    play(happens)


def test_a_sealed_request_of_the_older_version_opens_in_no_other_room(play: Play) -> None:
    async def happens(it: Both) -> None:
        dispatcher, node = it.dispatcher_of("older"), await it.node_of("newer", slots=2)
        victim = claimed(await dispatcher.claim(join("theirs")))
        robber = claimed(await dispatcher.claim(join("mine")))
        sealed = it.redis.hget(f"{{av}}:sess:{victim.key}", "join")
        it.redis.hset(f"{{av}}:sess:{robber.key}", "join", str(sealed))
        assert (await served(node)).session_id == victim.session_id
        assert await dispatcher.resolved(robber, SOON_S) == "failed"

    play(happens)


@pytest.mark.parametrize("what", recorded())
def test_a_record_of_the_older_version_is_read(what: str) -> None:
    fields = recorded()[what]
    record = read_record({"waiting": "0", **fields})
    assert record.room == what
    assert record.session_id == fields["id"]
    if "join" in fields:
        holder = Recipient(record.key, record.session_id, record.epoch)
        opened = Encryption([RECORDED_KEY]).decrypt_join(fields["join"], holder)
        assert opened is not None
        assert opened.room_name == what


@pytest.mark.parametrize("what", [each for each in recorded() if each != "ended"])
def test_scripts_go_on_with_a_record_of_the_older_version(play: Play, what: str) -> None:
    async def happens(it: Both) -> None:
        fields = dict(recorded()[what])
        key = fields.pop("key")
        it.redis.hset(f"{{av}}:sess:{key}", mapping=fields)
        it.redis.zadd("{av}:leases", {key: 10**14 - 1})
        (record,) = await it.dispatcher().sessions()
        assert (record.key, record.state) == (key, fields["state"])
        assert it.redis.hgetall(f"{{av}}:sess:{key}") == fields

    play(happens)


def test_a_record_of_the_newer_version_has_all_that_the_older_reads(play: Play) -> None:
    async def happens(it: Both) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        fields = it.redis.hgetall(f"{{av}}:sess:{owned.key}")
        assert read({"key": owned.key, **fields}).state == "active"
        it.server.flush()
        await node.renew([owned])
        fields = it.redis.hgetall(f"{{av}}:sess:{owned.key}")
        assert set(fields) | {"key"} >= set(READS)

    play(happens)
