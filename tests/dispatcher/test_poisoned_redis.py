"""One bad item in Redis is one bad item: nobody else's session, launch or list suffers from it.

Each key that the ledger has is harmed in each way that `poison` knows, while a neighbour is served
on the same node. Whoever serves the session whose record was harmed writes it anew.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from ledgers import LEASE_S, Scene, active, claimed, commands, join, scene, served, taken
from poison import HUGE, KINDS, NO_TEXT, Kind, poison
from redis_server import RedisServer, movable_clock, redis_server
from thorough import every_third

from dispatcher import metrics
from dispatcher.errors import StoreDown, Unreadable
from dispatcher.ledger import refusals
from dispatcher.ledger.command import EndCommand, ServeCommand
from dispatcher.ledger.fields import VERSION, read_record
from dispatcher.ledger.port import Verdict
from dispatcher.ledger.record import key_of
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger

Play = Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]

SOON_S = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with ExitStack() as stack:
        stack.enter_context(movable_clock())
        yield stack.enter_context(redis_server())


@pytest.fixture
def play(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(refusals, "_logged", {})

    def run(happens: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        async def on_it() -> None:
            async with scene(server) as it:
                await happens(it)

        asyncio.run(on_it())

    return run


def raw(it: Scene) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(it.server.socket_path))


def refused(kind: str) -> float:
    value: float = metrics.UNREADABLE[kind]._value.get()
    return value


async def second(it: Scene, dispatcher: RedisLedger, nodes: list[RedisNodeLedger]) -> None:
    """What is done each second, and what a dispatcher does twice in it."""
    it.move(0.5)
    await dispatcher.reap()
    it.move(0.5)
    await dispatcher.reap()
    for node in nodes:
        await node.heartbeat([3, 4], 4)


KEYS = ("sess", "id", "leases", "idle", "nodes", "node", "watch", "room", "owner", "mbox", "over")


@pytest.mark.hypothesis
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", KEYS)
def test_a_harmed_key_ends_no_session(play: Play, name: str, kind: Kind) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=4)
        await dispatcher.claim(join("a"), owner="mine")
        first = (await taken(node)).entered("active", None, 1.0)
        await dispatcher.claim(join("b"), owner="mine")
        other = (await taken(node)).entered("active", None, 1.0)
        gone = await active(dispatcher, node, join("gone"))
        await node.finish(gone, "ended", "It is over.")
        it.redis.rpush(f"{{av}}:mbox:{node.node}", f"renew {first.key} {first.session_id}")
        key = {
            "sess": f"sess:{first.key}",
            "id": f"id:{first.session_id}",
            "node": f"node:{node.node}",
            "room": f"room:{it.redis.hget(f'{{av}}:sess:{first.key}', 'roomhash')}",
            "owner": "owner:mine",
            "mbox": f"mbox:{node.node}",
            "over": f"over:{gone.session_id}",
        }.get(name, name)
        with raw(it) as client:
            fields = range(client.hlen(f"{{av}}:{key}") if name in ("sess", "node") else 2)
            for which in every_third(fields, KINDS.index(kind)):
                poison(client, f"{{av}}:{key}".encode(), kind, which)
                for _ in range(2):
                    await second(it, dispatcher, [node])
                    await commands(node)
                    verdicts = await node.renew([first, other])
                    assert verdicts == {first.key: Verdict.OK, other.key: Verdict.OK}
                    await node.enter(first)
                    await dispatcher.sessions()
        listed = {each.session_id for each in await dispatcher.sessions()}
        assert {first.session_id, other.session_id} <= listed
        again = await dispatcher.claim(join("b"), owner="mine")
        assert (again.outcome, claimed(again).session_id) == ("same", other.session_id)
        it.move(2.5)
        await second(it, dispatcher, [node])
        await node.renew([first, other])
        new = await dispatcher.claim(join("c"))
        assert new.outcome == "new"
        assert [each for each in await commands(node) if isinstance(each, ServeCommand)]

    play(happens)


def test_what_was_harmed_is_set_aside_and_logged_with_its_key(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        before = refused("record")
        with raw(it) as client:
            client.hset(f"{{av}}:sess:{owned.key}", "epoch", HUGE)
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        assert refused("record") == before + 1
        assert [each for each in caplog.messages if owned.key in each and "epoch" in each]
        assert it.redis.hget(f"{{av}}:aside:sess:{owned.key}", "epoch") == str(HUGE)
        assert it.redis.hget(f"{{av}}:sess:{owned.key}", "epoch") == "1"
        assert 0 < it.redis.pttl(f"{{av}}:aside:sess:{owned.key}") <= 3_600_000

    with caplog.at_level(logging.ERROR):
        play(happens)


def test_only_the_latest_that_were_set_aside_are_kept(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        for number in range(120):
            it.redis.set(f"{{av}}:over:{number}", "junk")
            await dispatcher.find(str(number))
        assert len(list(it.redis.scan_iter("{av}:aside:*"))) == 100

    play(happens)


def test_the_key_of_a_harmed_record_waits_for_whoever_serves_it(play: Play) -> None:
    """Nobody else is given it, or its room, before the node has written it anew."""

    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node)
        it.redis.hset(f"{{av}}:sess:{owned.key}", "state", "asleep")
        assert (await dispatcher.claim(join())).outcome == "full"
        assert (await dispatcher.claim(join(participant="other"))).outcome == "full"
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        again = await dispatcher.claim(join())
        assert (again.outcome, claimed(again).session_id) == ("same", owned.session_id)

    play(happens)


def test_a_key_whose_record_nobody_writes_anew_is_claimed_at_a_higher_epoch(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        it.redis.hset(f"{{av}}:sess:{owned.key}", "since", "yesterday")
        await dispatcher.sessions()
        it.move(2.5)
        await it.node("another")
        new = claimed(await dispatcher.claim(join()))
        assert new.epoch == owned.epoch + 1
        assert await node.renew([owned]) == {owned.key: Verdict.FENCED}

    play(happens)


def test_an_unreadable_claim_fails_and_its_post_is_answered(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        bad = claimed(await dispatcher.claim(join("a")))
        await dispatcher.claim(join("b"))
        it.redis.hset(f"{{av}}:sess:{bad.key}", "counters", "none")
        owned = await served(node)
        assert owned.room == "b"
        assert await dispatcher.resolved(bad, SOON_S) == "failed"

    play(happens)


def test_a_reply_that_is_none_is_left_out(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        record = claimed(await dispatcher.claim(join()))
        (waiter,) = it.redis.hmget(f"{{av}}:sess:{record.key}", "waiters")
        before = refused("reply")
        with raw(it) as client:
            client.rpush(f"{{av}}:reply:{waiter}", NO_TEXT, b"a b c d", b"id %d acked" % HUGE)
            client.rpush(f"{{av}}:reply:{waiter}", f"{record.session_id} 1 eaten")
        await taken(node)
        assert await dispatcher.resolved(record, SOON_S) == "acked"
        assert refused("reply") == before + 4

    play(happens)


def test_a_list_of_replies_of_another_type_is_set_aside(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        first = claimed(await dispatcher.claim(join("a")))
        (waiter,) = it.redis.hmget(f"{{av}}:sess:{first.key}", "waiters")
        await taken(node)
        assert await dispatcher.resolved(first, SOON_S) == "acked"
        it.redis.set(f"{{av}}:reply:{waiter}", "junk")
        while it.redis.type(f"{{av}}:reply:{waiter}") == "string":
            await asyncio.sleep(0.01)
        other = claimed(await dispatcher.claim(join("b")))
        await taken(node)
        assert await dispatcher.resolved(other, SOON_S) == "acked"

    play(happens)


def test_a_node_from_the_future_is_given_nothing(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        it.redis.zadd("{av}:nodes", {"ghost@0": HUGE})
        it.redis.hset("{av}:node:ghost@0", mapping={"slots": 1})
        it.redis.zadd("{av}:idle", {"ghost@0/1": 0})
        assert claimed(await dispatcher.claim(join())).slot == node.slot(1)
        await dispatcher.reap()
        assert it.redis.zscore("{av}:nodes", "ghost@0") is None

    play(happens)


def test_a_number_of_slots_that_is_none_does_not_hold_redis_up(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        it.redis.hset(f"{{av}}:node:{node.node}", "slots", HUGE)
        await node.heartbeat([1, 2], 2)
        it.redis.hset(f"{{av}}:node:{node.node}", "slots", HUGE)
        it.move(6)
        await dispatcher.reap()
        assert it.redis.zcard("{av}:idle") <= 2

    play(happens)


def test_a_join_request_does_not_open_in_another_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        spied, mine = join("theirs"), join("mine")
        victim = claimed(await dispatcher.claim(spied))
        robber = claimed(await dispatcher.claim(mine))
        sealed = it.redis.hget(f"{{av}}:sess:{victim.key}", "join")
        it.redis.hset(f"{{av}}:sess:{robber.key}", "join", str(sealed))
        found = [each for each in await commands(node) if isinstance(each, ServeCommand)]
        assert [each.record.session_id for each in found] == [victim.session_id]
        assert await dispatcher.resolved(robber, SOON_S) == "failed"

    play(happens)


def test_an_older_join_request_of_a_key_does_not_open_in_its_next_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        old = await active(dispatcher, node)
        sealed = str(it.redis.hget(f"{{av}}:sess:{old.key}", "join"))
        await node.finish(old, "ended", None)
        await node.offer(1)
        new = claimed(await dispatcher.claim(join()))
        it.redis.hset(f"{{av}}:sess:{new.key}", "join", sealed)
        assert await commands(node) == []
        assert await dispatcher.resolved(new, SOON_S) == "failed"

    play(happens)


def test_a_join_request_is_sealed_for_the_session_that_it_renews(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node)
        newer = join(lives_s=7200)
        await it.dispatcher("another").claim(newer)
        (command,) = await commands(node)
        assert not isinstance(command, EndCommand | ServeCommand)
        assert command.join == newer  # type: ignore[union-attr]
        await node.lost(owned, "Its workers die.")
        moved = await served(node)
        assert (moved.join, moved.epoch) == (newer, 2)

    play(happens)


def test_a_record_of_a_newer_version_is_left_alone(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node)
        other = await active(dispatcher, node, join("other"))
        sess = f"{{av}}:sess:{owned.key}"
        it.redis.hset(sess, mapping={"v": VERSION + 1, "state": "asleep", "exp": "never"})
        before = it.redis.hgetall(sess)
        with pytest.raises(StoreDown):
            await dispatcher.claim(join())
        assert await node.renew([owned, other]) == {owned.key: Verdict.OK, other.key: Verdict.OK}
        assert [each.room for each in await dispatcher.sessions()] == ["other"]
        assert await dispatcher.end(owned.session_id, "Enough.") is None
        it.move(LEASE_S + 1)
        await node.renew([other])
        await dispatcher.reap()
        assert await node.enter(owned) is Verdict.OK
        await node.lost(owned, "Its workers die.")
        await node.finish(owned, "ended", None)
        assert it.redis.hgetall(sess) == before

    play(happens)


def test_a_newer_version_s_record_at_a_higher_epoch_fences(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        it.redis.hset(
            f"{{av}}:sess:{owned.key}", mapping={"v": VERSION + 1, "epoch": 2, "slot": "new@1/1"}
        )
        assert await node.renew([owned]) == {owned.key: Verdict.FENCED}

    play(happens)


def test_a_field_that_nobody_knows_stays(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        it.redis.hset(f"{{av}}:sess:{owned.key}", "mood", "good")
        await node.enter(owned.entered("active", "Again.", 2.0))
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        assert it.redis.hget(f"{{av}}:sess:{owned.key}", "mood") == "good"

    play(happens)


FIELDS = {
    "key": "a43c91a3d03c4a0d1e1f3f3b6a4a2c6b",
    "id": "0123456789abcdef",
    "room": "room",
    "participant": "avatar",
    "state": "active",
    "since": "1764593925123",
    "epoch": "1",
    "slot": "host@00000000/1",
    "acked": "1",
    "exp": "1764597525123",
    "life": json.dumps([["claimed", 1764593925123, None], ["active", 1764593925124, "why"]]),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("room", "\udcff"),
        ("room", "somewhere"),
        ("since", str(HUGE)),
        ("since", "1e3"),
        ("epoch", "-1"),
        ("slot", "host"),
        ("slot", "host/٣"),
        ("state", "asleep"),
        ("life", "[]"),
        ("life", "[" * 9000),
        ("life", json.dumps([["active", HUGE, None]])),
        ("life", json.dumps([["active", 1, 2]])),
        ("counters", json.dumps({"frames": HUGE})),
        ("counters", json.dumps({"frames": True})),
        ("counters", "[]"),
        ("exp", ""),
    ],
)
def test_a_record_is_read_whole_or_refused(name: str, value: str) -> None:

    fields = {**FIELDS, "key": key_of("room", "avatar")}
    assert read_record(fields).to_dict()["state"] == "active"
    with pytest.raises(Unreadable) as caught:
        read_record({**fields, name: value})
    assert str(caught.value).isascii()
    assert len(value) < 3 or value not in str(caught.value)


def test_a_refusal_is_logged_once_in_a_while_and_counted_each_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_logged", {})
    before = refused("letter")
    for _ in range(5):
        refusals.refuse("letter", "mbox:\nhost\udcff", "It is none.")
    for number in range(100):
        refusals.refuse("letter", str(number), "It is none.")
    assert refused("letter") == before + 105
    assert len(caplog.messages) == refusals.MOST_LOGGED
    assert all(each.isprintable() for each in caplog.messages)
