"""The ledger on a real Redis: who serves which session, whoever dies."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import trustme
from bounds import within
from cryptography.fernet import Fernet
from ledgers import (
    LEASE_S,
    SEAL_KEY,
    Scene,
    active,
    claimed,
    commands,
    join,
    renewed,
    scene,
    served,
    taken,
    token,
)
from redis import Redis
from redis.exceptions import ResponseError
from redis_server import RedisServer, free_port, movable_clock, redis_server
from tls_front import tls_front

from agent_side.join import JoinInfo
from dispatcher.errors import SettingsError, StoreDown
from dispatcher.http import rate_limit as quota
from dispatcher.ledger import store
from dispatcher.ledger.command import EndCommand, HandoffDoneCommand, RenewCommand, ServeCommand
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.port import Reaped, Verdict
from dispatcher.ledger.record import MAX_LIFE, SessionRecord
from dispatcher.ledger.redis import RedisLedger, expiry_of
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.node.owned_session import UNACKED_S

SOON_S = 2.0
"""More patience than a reply needs."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with movable_clock(), redis_server() as running:
        yield running


@pytest.fixture
def play(server: RedisServer) -> Callable[[Callable[[Scene], Coroutine[None, None, None]]], None]:
    """Runs what happens on an empty Redis."""

    def run(happens: Callable[[Scene], Coroutine[None, None, None]]) -> None:
        async def main() -> None:
            async with scene(server) as it:
                await happens(it)

        asyncio.run(main())

    return run


Play = Callable[[Callable[[Scene], Coroutine[None, None, None]]], None]


# --- The plain way ---


def test_slots_are_counted_by_state(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node, other = it.dispatcher(), await it.node(slots=3), await it.node("other")
        await active(dispatcher, node)
        await dispatcher.claim(join("second"))
        assert await dispatcher.slots() == {"idle": 2, "claimed": 1, "busy": 1, "draining": 0}
        await other.drain()
        await node.drain()
        assert await dispatcher.slots() == {"idle": 0, "claimed": 0, "busy": 0, "draining": 1}

    play(happens)


def test_a_node_without_heartbeats_is_given_nothing(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        it.move(5.1)
        assert (await dispatcher.slots())["idle"] == 0
        assert (await dispatcher.claim(join())).outcome == "full"
        await node.heartbeat([1], 1)
        assert (await dispatcher.claim(join())).outcome == "new"

    play(happens)


def test_a_call_that_is_given_up_leaves_the_others_alone(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        await it.node(slots=8)
        calls = [asyncio.create_task(dispatcher.claim(join(f"room {n}"))) for n in range(8)]
        await asyncio.sleep(0)
        calls[0].cancel()
        calls[3].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(answer, BaseException) for answer in answers].count(True) == 2

    play(happens)


# --- Repeats, policies, caps ---


def test_a_repeat_finds_the_session_and_renews_its_join_request(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        newer = join(lives_s=7200)
        claim = await dispatcher.claim(newer)
        assert (claim.outcome, claimed(claim).session_id) == ("same", owned.session_id)
        assert await dispatcher.resolved(claimed(claim), 0) == "acked"
        (command,) = await commands(node)
        assert isinstance(command, RenewCommand)
        assert command.join == newer
        assert command.expires_s == expiry_of(newer.token)

    play(happens)


def test_a_renewal_that_was_lost_on_the_way_is_sent_again(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        await dispatcher.claim(join(lives_s=7200))
        it.redis.delete(f"{{av}}:mbox:{node.node}")
        await node.renew([owned])
        (command,) = await commands(node)
        assert isinstance(command, RenewCommand)
        await node.renew([renewed(owned, command)])
        assert await commands(node) == []

    play(happens)


def test_a_token_that_is_about_to_expire_is_no_use(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        await it.node()
        assert (await dispatcher.claim(join(lives_s=25))).outcome == "expiring"
        assert (await dispatcher.claim(join(lives_s=40))).outcome == "new"

    play(happens)


def test_a_token_without_an_expiry_lasts(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        await it.node()
        claim = await dispatcher.claim(JoinInfo("room", "no token of VideoSDK's", "avatar"))
        assert claim.outcome == "new"

    play(happens)


# --- Nodes that cannot, workers that fail ---


def test_a_slot_that_cannot_serve_hands_the_claim_to_another(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, one = it.dispatcher(), await it.node("one")
        claim = await dispatcher.claim(join())
        owned = await served(one)
        other = await it.node("other")
        await one.nack(owned, "Its worker has died.")
        moved = await taken(other)
        assert (moved.slot, moved.epoch) == (other.slot(1), 2)
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"
        assert await one.ack(owned) is Verdict.FENCED

    play(happens)


def test_a_claim_that_all_turn_down_waits_for_a_slot(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join())
        await node.nack(await served(node), "Its worker has died.")
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert (record.state, record.slot) == ("claimed", None)
        await node.offer(1)
        it.move(0.6)
        assert [each.became for each in await dispatcher.reap()] == ["moved"]
        await taken(node)
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"

    play(happens)


def test_a_claim_is_not_turned_down_for_ever(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=50)
        claim = await dispatcher.claim(join())
        for _ in range(4):
            await node.nack(await served(node), "It cannot.")
        assert await commands(node) == []
        it.move(11)
        await dispatcher.reap()
        it.server.pretend_uptime()
        await dispatcher.reap()
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "failed"

    play(happens)


def test_a_session_that_is_lost_here_goes_to_another_node(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, one = it.dispatcher(), await it.node("one", slots=2)
        owned = await active(dispatcher, one)
        other = await it.node("other")
        await one.lost(owned, "Three workers have died.")
        moved = await served(other)
        assert (moved.epoch, moved.attempts) == (2, 1)
        assert moved.reason == "Three workers have died."

    play(happens)


def test_the_fourth_try_is_none(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=4)
        claim = await dispatcher.claim(join())
        for _ in range(3):
            await node.lost(await taken(node), "Its workers die.")
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert (record.state, record.epoch, record.reason) == ("failed", 3, "Its workers die.")

    play(happens)


def test_tries_begin_again_after_a_steady_minute(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=5)
        claim = await dispatcher.claim(join())
        for _ in range(2):
            await node.lost(await taken(node), "Its workers die.")
        owned = await taken(node)
        it.move(61)
        await node.heartbeat([4, 5], 5)
        await node.lost(owned, "Its workers die.")
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert (record.state, record.epoch) == ("claimed", 4)

    play(happens)


def test_what_is_sealed_with_a_strange_key_goes_to_a_node_that_has_it(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        stranger = await it.node("stranger", key=Fernet.generate_key().decode())
        await dispatcher.claim(join())
        other = await it.node("other")
        assert await commands(stranger) == []
        assert (await served(other)).epoch == 2

    play(happens)


# --- Dispatchers that die, POSTs that are given up ---


def test_a_claim_whose_dispatcher_has_died_is_found_by_the_next_post(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dead, other, node = it.dispatcher("dead"), it.dispatcher("other"), await it.node()
        claim = await dead.claim(join())
        await taken(node)
        again = await other.claim(join())
        assert (again.outcome, claimed(again).session_id) == ("same", claimed(claim).session_id)
        assert await other.resolved(claimed(again), 0) == "acked"

    play(happens)


def test_a_claim_that_another_post_waits_for_is_not_given_up(play: Play) -> None:
    async def happens(it: Scene) -> None:
        one, other, node = it.dispatcher("one"), it.dispatcher("other"), await it.node()
        first, second = await one.claim(join()), await other.claim(join())
        await one.give_up(claimed(first), "No worker took it in time.")
        await taken(node)
        assert await other.resolved(claimed(second), SOON_S) == "acked"

    play(happens)


def test_a_reply_of_an_older_claim_settles_no_newer_one(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node)  # nobody waits for this ack
        await asyncio.sleep(0.05)
        await node.lost(owned, "Its worker has died.")
        again = await dispatcher.claim(join())
        assert await dispatcher.resolved(claimed(again), 0.05) is None
        await taken(node)
        assert await dispatcher.resolved(claimed(again), SOON_S) == "acked"

    play(happens)


# --- Ending ---


def test_a_node_that_misses_the_letter_hears_it_with_the_next_renewal(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        await dispatcher.end(owned.session_id, "Enough.")
        it.redis.delete(f"{{av}}:mbox:{node.node}")
        assert await node.renew([owned]) == {owned.key: Verdict.END}

    play(happens)


def test_a_post_while_a_session_is_ending_begins_another(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        older = await active(dispatcher, node)
        await dispatcher.end(older.session_id, "Enough.")
        claim = await dispatcher.claim(join())
        assert (claim.outcome, claimed(claim).epoch) == ("new", 2)
        assert await node.renew([older]) == {older.key: Verdict.FENCED}
        await node.finish(older, "ended", "Enough.")
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert record.state == "claimed"

    play(happens)


def test_a_session_whose_node_dies_while_it_ends_is_ended(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        await dispatcher.end(owned.session_id, "Enough.")
        it.move(LEASE_S + 0.1)
        it.server.pretend_uptime()
        assert [each.became for each in await dispatcher.reap()] == ["ended"]

    play(happens)


def test_only_the_latest_that_are_over_are_remembered(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=8)
        for start in range(0, 1016, 8):
            await asyncio.gather(
                *(dispatcher.claim(join(f"room {n}")) for n in range(start, start + 8))
            )
            for command in await commands(node):
                await node.finish(command.record, "ended", None)
            await node.heartbeat(range(1, 9), 8)
        assert len(await dispatcher.sessions()) == 1000
        assert sum(1 for _ in it.redis.scan_iter("{av}:over:*")) == 1000

    play(happens)


# --- Nodes that die, and fences ---


def lose_lease(it: Scene) -> None:
    """The node is silent for longer than a lease, while the dispatchers look on."""
    it.move(LEASE_S + 0.1)
    it.server.pretend_uptime()


def test_a_lost_node_s_session_goes_to_another_and_one_dispatcher_moves_it(play: Play) -> None:
    async def happens(it: Scene) -> None:
        one, two, dead = it.dispatcher("one"), it.dispatcher("two"), await it.node("dead")
        owned = await active(one, dead)
        lose_lease(it)
        alive = await it.node("alive")
        reaped = [each for all_of_it in (await one.reap(), await two.reap()) for each in all_of_it]
        assert reaped == [Reaped(owned.session_id, "lease", "moved")]
        moved = await taken(alive)
        assert moved.epoch == 2
        assert await dead.renew([owned]) == {owned.key: Verdict.FENCED}
        assert await dead.enter(owned) is Verdict.FENCED
        await dead.finish(owned, "failed", "Its worker has died.")
        assert await alive.renew([moved]) == {moved.key: Verdict.OK}

    play(happens)


def test_a_claim_that_its_node_never_took_moves_after_a_second_and_a_half(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, dead = it.dispatcher(), await it.node("dead")
        claim = await dispatcher.claim(join())
        alive = await it.node("alive")
        it.move(0.5)  # a second is left for what happens here on a slow machine
        it.server.pretend_uptime()
        assert await dispatcher.reap() == []
        it.move(1.1)
        assert [each.became for each in await dispatcher.reap()] == ["moved"]
        await taken(alive)
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"
        assert await commands(dead) == []

    play(happens)


def test_a_session_waits_for_a_slot_and_is_not_lost(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, dead = it.dispatcher(), await it.node("dead")
        owned = await active(dispatcher, dead)
        lose_lease(it)
        assert [each.became for each in await dispatcher.reap()] == ["waits"]
        it.move(300)
        it.server.pretend_uptime()
        assert await dispatcher.reap() == []
        late = await it.node("late")
        it.move(0.6)
        assert await dispatcher.reap() == [Reaped(owned.session_id, "waiting", "moved")]
        assert (await served(late)).session_id == owned.session_id

    play(happens)


async def stays_served(
    it: Scene, dispatcher: RedisLedger, owned: SessionRecord, node: RedisNodeLedger
) -> None:
    """The node has its session as before, and nobody moves it where there is another."""
    record = await dispatcher.find(owned.session_id)
    assert record is not None
    assert (record.state, record.slot, record.epoch) == ("active", node.slot(1), 1)
    await it.node("other")
    it.move(5)
    it.server.pretend_uptime()
    assert await dispatcher.reap() == []


def test_a_node_that_comes_back_while_its_session_waits_keeps_it(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        lose_lease(it)
        await dispatcher.reap()
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        await stays_served(it, dispatcher, owned, node)

    play(happens)


def test_a_report_of_a_session_that_waits_takes_it_back(play: Play) -> None:
    """A node that was away may report before it renews."""

    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        lose_lease(it)
        assert [each.became for each in await dispatcher.reap()] == ["waits"]
        assert await node.enter(owned) is Verdict.OK
        await stays_served(it, dispatcher, owned, node)

    play(happens)


def test_a_report_of_a_session_whose_slot_another_has_is_fenced(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        lose_lease(it)
        await dispatcher.reap()
        await node.heartbeat([1], 1)
        await dispatcher.claim(join("another-room"))
        await served(node)
        assert await node.enter(owned) is Verdict.FENCED

    play(happens)


def test_a_reply_that_nobody_has_written_is_left_out(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join())
        (listening,) = it.redis.hmget(f"{{av}}:sess:{claimed(claim).key}", "waiters")
        it.redis.rpush(f"{{av}}:reply:{listening}", "nonsense", "id no-number acked")
        await taken(node)
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"

    play(happens)


def test_a_redis_that_has_become_a_replica_is_left_for_the_one_that_the_name_leads_to() -> None:
    with redis_server() as server:

        async def happens() -> None:
            async with scene(server) as it:
                dispatcher, node = it.dispatcher(), await it.node()
                it.redis.replicaof("127.0.0.1", free_port())
                with pytest.raises(StoreDown):
                    await dispatcher.claim(join())
                it.redis.replicaof("NO", "ONE")
                owned = await active(dispatcher, node)
                assert await node.renew([owned]) == {owned.key: Verdict.OK}

        asyncio.run(happens())


def test_a_slot_whose_letter_was_lost_is_given_again(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join())
        it.redis.delete(f"{{av}}:mbox:{node.node}")
        it.move(1.6)
        it.server.pretend_uptime()
        assert [each.became for each in await dispatcher.reap()] == ["waits"]
        await node.heartbeat([1], 1)
        it.move(0.6)
        assert [each.became for each in await dispatcher.reap()] == ["moved"]
        assert (await served(node)).session_id == claimed(claim).session_id

    play(happens)


def test_a_letter_of_an_older_claim_is_left_out(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        await dispatcher.claim(join())
        it.move(1.6)
        it.server.pretend_uptime()
        await node.heartbeat([2], 2)
        assert [each.became for each in await dispatcher.reap()] == ["moved"]
        assert (await served(node)).slot == node.slot(2)  # of two commands

    play(happens)


def test_a_session_whose_token_expires_too_soon_fails_with_its_node(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node, join(lives_s=39))
        lose_lease(it)
        assert [each.became for each in await dispatcher.reap()] == ["failed"]
        record = await dispatcher.find(owned.session_id)
        assert record is not None
        assert "expires" in (record.reason or "")
        assert await node.renew([owned]) == {owned.key: Verdict.END}

    play(happens)


def test_a_node_that_starts_again_inherits_nothing(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, before = it.dispatcher(), await it.node("host")
        owned = await active(dispatcher, before)
        await dispatcher.claim(join())  # a command for the one that has died
        after = await it.node("host")
        assert await commands(after) == []
        assert (await dispatcher.claim(join("second"))).outcome == "new"
        assert (await served(after)).room == "second"
        record = await dispatcher.find(owned.session_id)
        assert record is not None
        assert record.slot == before.slot(1)

    play(happens)


def test_epochs_rise_from_one_session_of_a_key_to_the_next(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        older = await active(dispatcher, node)
        await node.finish(older, "failed", "Its worker has died.")
        claim = await dispatcher.claim(join())
        assert claimed(claim).epoch == 2
        assert claimed(claim).session_id != older.session_id
        assert await node.renew([older]) == {older.key: Verdict.FENCED}

    play(happens)


def test_of_two_at_the_same_epoch_the_recorded_one_stays(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        older = await active(dispatcher, node)
        it.server.flush()
        it.server.pretend_uptime()  # as if the node had been out of reach for long
        await node.heartbeat([2], 2)
        newer = await active(dispatcher, node)
        assert await node.renew([older]) == {older.key: Verdict.FENCED}
        assert await node.renew([newer]) == {newer.key: Verdict.OK}

    play(happens)


def test_a_higher_epoch_comes_back_over_a_lower_one(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=3)
        await node.lost(await active(dispatcher, node), "Its worker has died.")
        older = await taken(node)
        it.server.flush()
        it.server.pretend_uptime()
        await node.heartbeat([3], 3)
        newer = await active(dispatcher, node)
        assert await node.renew([older]) == {older.key: Verdict.OK}
        assert await node.renew([newer]) == {newer.key: Verdict.FENCED}
        states = {record.session_id: record.state for record in await dispatcher.sessions()}
        assert states == {older.session_id: "joining", newer.session_id: "ended"}

    play(happens)


# --- Redis that is emptied, restarted, stopped ---


def test_an_emptied_redis_is_written_anew_by_those_who_serve(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=3)
        await dispatcher.claim(join(), owner="mine", traceparent="00-1-2-01")
        owned = (await taken(node)).entered("active", None, time.time(), counters={"frames": 9})
        await node.enter(owned)
        before = await dispatcher.find(owned.session_id)
        it.server.flush()
        assert await dispatcher.sessions() == []
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        after = await dispatcher.find(owned.session_id)
        assert before is not None
        assert after == before
        it.server.pretend_uptime()
        await node.heartbeat([2, 3], 3)
        other = join(participant="other")
        assert (await dispatcher.claim(join("b"), owner="mine", cap=1)).outcome == "too_many"
        assert (await dispatcher.claim(other, policy="reject")).outcome == "conflict"
        again = await dispatcher.claim(join())
        assert claimed(again).session_id == owned.session_id

    play(happens)


def test_a_report_and_a_renewal_that_meet_an_emptied_redis_do_not_fence_each_other(
    play: Play,
) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        for first in ("renew", "enter"):
            it.server.flush()
            said = {"renew": node.renew([owned]), "enter": node.enter(owned)}
            asked = [said.pop(first), *said.values()]
            verdicts = await asyncio.gather(*asked)
            assert {owned.key: Verdict.OK} in verdicts
            assert Verdict.OK in verdicts

    play(happens)


def test_an_emptied_redis_gives_nothing_before_the_nodes_have_come_back(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node)
        it.server.flush()
        await node.heartbeat([2], 2)
        assert (await dispatcher.claim(join())).outcome == "full"
        await node.renew([owned])
        again = await dispatcher.claim(join())
        assert (again.outcome, claimed(again).session_id) == ("same", owned.session_id)
        assert (await dispatcher.claim(join("second"))).outcome == "full"
        it.move(2.1)
        assert (await dispatcher.claim(join("second"))).outcome == "new"

    play(happens)


def test_an_ack_that_meets_an_emptied_redis_counts(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        await dispatcher.claim(join())
        owned = (await served(node)).entered("joining", None, time.time())
        it.server.flush()
        assert await node.ack(owned) is Verdict.OK
        again = await dispatcher.claim(join())
        assert claimed(again).acked

    play(happens)


def test_the_end_of_a_session_that_redis_has_lost_is_remembered(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        it.server.flush()
        await node.finish(owned, "ended", "The agent has left.")
        (record,) = await dispatcher.sessions()
        assert (record.state, record.reason) == ("ended", "The agent has left.")

    play(happens)


def test_an_end_and_a_renewal_that_meet_an_emptied_redis_end_the_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        it.server.flush()
        await asyncio.gather(
            node.renew([owned]), node.finish(owned, "ended", "The agent has left.")
        )
        (record,) = await dispatcher.sessions()
        assert (record.state, record.reason) == ("ended", "The agent has left.")

    play(happens)


@pytest.mark.parametrize("command", ["", "serve", "serve key", "a b c d", "later 1 2", "end x y"])
def test_a_letter_that_nobody_has_written_ends_nothing(play: Play, command: str) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        it.redis.rpush(f"{{av}}:mbox:{node.node}", command)
        await dispatcher.claim(join())
        assert [each for each in await commands(node) if isinstance(each, ServeCommand)]
        await node.drain()

    play(happens)


def test_nothing_is_reaped_for_one_lease_after_a_restart() -> None:
    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            dispatcher, node = it.dispatcher(), await it.node(slots=2)
            owned = await active(dispatcher, node)
            await dispatcher.reap()
            server.kill()
            server.start()
            it.redis = server.client()
            it.move(LEASE_S + 0.1)
            it.redis.hset("{av}:watch", "seen", 10**15)  # nobody has noticed
            assert await dispatcher.reap() == []
            assert await node.renew([owned]) == {owned.key: Verdict.OK}

    with movable_clock(), redis_server(keeps=True) as server:
        asyncio.run(happens(server))


def test_nothing_is_reaped_for_one_lease_after_nobody_looked(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node)
        it.redis.hdel("{av}:watch", "seen")
        await dispatcher.reap()
        it.move(60)  # Redis was stopped and has just gone on
        assert await dispatcher.reap() == []
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        for _ in range(12):
            it.move(1)
            await node.heartbeat([2], 2)
            await dispatcher.reap()
        record = await dispatcher.find(owned.session_id)
        assert record is not None
        assert record.epoch == 2

    play(happens)


@pytest.mark.parametrize("how", ["pause", "kill"])
def test_a_redis_that_does_not_answer_is_noticed(how: str) -> None:
    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            dispatcher, node = it.dispatcher(), await it.node(slots=2)
            owned = await active(dispatcher, node)
            server.pause() if how == "pause" else server.kill()
            with within(10):
                calls = await asyncio.gather(
                    dispatcher.claim(join("second")),
                    dispatcher.sessions(),
                    dispatcher.reap(),
                    dispatcher.ping(),
                    node.renew([owned]),
                    node.heartbeat([2], 2),
                    return_exceptions=True,
                )
            assert all(isinstance(each, StoreDown) for each in calls), calls
            with pytest.raises(StoreDown):
                await node.take(0.1)
            server.resume() if how == "pause" else server.start()
            assert await node.renew([owned]) == {owned.key: Verdict.OK}
            await node.heartbeat([2], 2)
            server.pretend_uptime()
            claim = await dispatcher.claim(join("second"))  # the first may have been heard
            waiting = asyncio.create_task(dispatcher.resolved(claimed(claim), 5))
            await taken(node)
            assert await waiting == "acked"

    with redis_server() as server:
        asyncio.run(happens(server))


def test_what_could_not_be_said_is_said_with_the_next_renewal() -> None:
    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            dispatcher, node = it.dispatcher(), await it.node(slots=3)
            ended, lost = await active(dispatcher, node, join("a")), None
            lost = await active(dispatcher, node, join("b"))
            server.kill()
            await node.finish(ended, "ended", "The agent has left.")
            await node.lost(lost, "Its worker has died.")
            server.start()
            await node.heartbeat([3], 3)
            await node.renew([])
            records = {each.room: each for each in await dispatcher.sessions()}
            assert (records["a"].state, records["a"].reason) == ("ended", "The agent has left.")
            assert (records["b"].state, records["b"].epoch) == ("claimed", 2)

    with redis_server() as server:
        asyncio.run(happens(server))


# --- Drain and handoff ---


def test_a_draining_node_is_given_nothing_and_keeps_what_it_has(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=3)
        owned = await active(dispatcher, node)
        claim = await dispatcher.claim(join("second"))  # lies in its mailbox
        other = await it.node("other")
        await node.drain()
        await node.heartbeat([3], 3)
        assert (await taken(other)).session_id == claimed(claim).session_id
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"
        assert (await dispatcher.claim(join("third"))).outcome == "full"
        assert await commands(node) == []
        assert await node.renew([owned]) == {owned.key: Verdict.OK}
        await dispatcher.end(owned.session_id, "Enough.")
        assert [type(command) for command in await commands(node)] == [EndCommand]

    play(happens)


def test_letters_other_than_claims_outlive_the_drain(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        await dispatcher.end(owned.session_id, "Enough.")
        await node.drain()
        assert [type(command) for command in await commands(node)] == [EndCommand]

    play(happens)


def test_a_drain_outlives_an_emptied_redis(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        await node.drain()
        it.server.flush()
        await node.heartbeat([1, 2], 2)
        await node.offer(1)
        it.server.pretend_uptime()
        assert (await dispatcher.claim(join())).outcome == "full"

    play(happens)


def test_a_session_is_handed_off_while_it_goes_on(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, old = it.dispatcher(), await it.node("old", slots=2)
        owned = await active(dispatcher, old)
        assert not await old.handoff(owned)
        new = await it.node("new")
        assert await old.handoff(owned)
        moved = await taken(new)
        assert (moved.epoch, moved.session_id) == (2, owned.session_id)
        assert await old.renew([owned]) == {owned.key: Verdict.OK}
        assert await commands(old) == []
        await new.enter(moved.entered("active", None, time.time()))
        assert await commands(old) == [HandoffDoneCommand(owned.key, owned.session_id)]
        assert await old.renew([owned]) == {owned.key: Verdict.FENCED}
        await old.finish(owned, "ended", "It was handed off.")
        record = await dispatcher.find(owned.session_id)
        assert record is not None
        assert record.state == "active"

    play(happens)


def test_nobody_takes_over_a_session_whose_token_is_spent(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, old = it.dispatcher(), await it.node("old")
        owned = await active(dispatcher, old, join(lives_s=60))
        await it.node("new")
        it.move(31)
        assert not await old.handoff(owned)

    play(happens)


def test_the_old_face_stays_twenty_seconds_at_most(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, old, new = it.dispatcher(), await it.node("old"), await it.node("new", slots=0)
        owned = await active(dispatcher, old)
        await new.heartbeat([1], 1)
        assert await old.handoff(owned)
        it.move(19)
        assert await old.renew([owned]) == {owned.key: Verdict.OK}
        it.move(1.1)
        assert await old.renew([owned]) == {owned.key: Verdict.FENCED}

    play(happens)


def test_a_replacement_that_dies_is_replaced(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, old = it.dispatcher(), await it.node("old")
        owned = await active(dispatcher, old)
        dead = await it.node("dead")
        assert await old.handoff(owned)
        it.move(1.6)
        it.server.pretend_uptime()
        alive = await it.node("alive")
        assert [each.became for each in await dispatcher.reap()] == ["moved"]
        assert await commands(dead) == []
        moved = await taken(alive)
        assert await old.renew([owned]) == {owned.key: Verdict.OK}
        await alive.enter(moved.entered("active", None, time.time()))
        assert [type(command) for command in await commands(old)] == [HandoffDoneCommand]

    play(happens)


def test_an_end_during_a_handoff_reaches_both(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, old = it.dispatcher(), await it.node("old")
        owned = await active(dispatcher, old)
        new = await it.node("new")
        await old.handoff(owned)
        await taken(new)
        await dispatcher.end(owned.session_id, "Enough.")
        assert [type(command) for command in await commands(old)] == [EndCommand]
        assert [type(command) for command in await commands(new)] == [EndCommand]

    play(happens)


def test_a_meeting_that_ends_during_a_handoff_ends_the_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, old = it.dispatcher(), await it.node("old")
        owned = await active(dispatcher, old)
        new = await it.node("new")
        await old.handoff(owned)
        moved = await taken(new)
        await old.finish(owned, "ended", "The agent has left.")
        assert await new.renew([moved]) == {moved.key: Verdict.END}

    play(happens)


# --- What is in Redis, and who may speak to it ---


def test_no_token_is_readable_in_redis_and_none_outlives_its_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        request = join()
        owned = await active(dispatcher, node, request)
        await dispatcher.claim(request)
        raw = b"".join(it.redis.dump(key) or b"" for key in it.redis.keys())  # noqa: SIM118
        assert request.token.encode() not in raw
        assert owned.session_id.encode() in raw
        await node.finish(owned, "ended", None)
        for key in it.redis.scan_iter("{av}:*", _type="hash"):
            assert "join" not in it.redis.hgetall(key)

    # `dump` is no text
    play(happens)


def test_all_keys_have_the_hash_tag_and_those_that_could_pile_up_expire(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=4)
        owned = await active(dispatcher, node, join("a"))
        await dispatcher.claim(join("b"), owner="mine")
        await dispatcher.end(owned.session_id, "Enough.")
        await node.finish(owned, "ended", None)
        await node.drain()
        await dispatcher.reap()
        keys = {key: it.redis.pttl(key) for key in it.redis.scan_iter()}
        assert all(key.startswith("{av}:") for key in keys)
        lasting = {key for key, ttl in keys.items() if ttl < 0}
        assert lasting <= {
            f"{{av}}:{each}" for each in ("idle", "nodes", "leases", "watch", "clock")
        }

    play(happens)


def test_the_ledger_needs_no_more_than_these_rights() -> None:
    rights = (
        "user avatar on >secret ~{av}:* resetchannels "
        "-@all +@read +@write +@connection +@scripting +info +time"
    )

    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            it.redis.execute_command("ACL", "SETUSER", *rights.split()[1:])
            url = server.url.replace("redis://", "redis://avatar:secret@")
            dispatcher = it.dispatcher(url=url)
            node = RedisNodeLedger(url, Encryption([SEAL_KEY]), name="host")
            await dispatcher.ping()
            await node.heartbeat([1], 1)
            await active(dispatcher, node)
            assert await dispatcher.reap() == []
            await node.close()

    with redis_server(tcp=True) as server:
        asyncio.run(happens(server))


def test_the_ledger_speaks_tls_and_trusts_no_stranger(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pem = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    port = free_port()

    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            url = f"rediss://localhost:{port}"
            await it.dispatcher(url=f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}").ping()
            with pytest.raises(StoreDown):
                await it.dispatcher(url=url).ping()

    with redis_server() as server, tls_front(server.socket_path, port, pem, pem):
        asyncio.run(happens(server))


@pytest.mark.parametrize("user", ["nobody:secret", "avatar:wrong"])
def test_a_wrong_user_gets_one_clear_sentence(user: str) -> None:
    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            it.redis.execute_command("ACL", "SETUSER", "avatar", "on", ">secret", "+@all", "~*")
            dispatcher = it.dispatcher(url=server.url.replace("redis://", f"redis://{user}@"))
            for call in (dispatcher.ping(), dispatcher.sessions()):
                with pytest.raises(StoreDown, match="check the user and password") as caught:
                    await call
                assert "secret" not in str(caught.value)
                assert "wrong" not in str(caught.value)

    with redis_server(tcp=True) as server:
        asyncio.run(happens(server))


def _forbid(server: RedisServer, client: Redis) -> str:
    """Scripts, for whoever comes by the URL that is returned."""
    client.execute_command("ACL", "SETUSER", "canary", "on", ">secret", "~*", "+@all", "-evalsha")
    return server.url.replace("redis://", "redis://canary:secret@")


def _isolate(server: RedisServer, client: Redis) -> str:
    """Let nothing be written without a replica, and there is none."""
    client.config_set("min-replicas-to-write", 1)
    return server.url


@pytest.mark.parametrize(
    ("harm", "sentence", "words"),
    [
        (_forbid, "Redis' ACL forbids what the ledger does; the log says what.", "evalsha"),
        (_isolate, "Redis cannot do what it was asked; the log says what.", "replicas"),
    ],
)
def test_redis_own_words_go_to_the_log_and_not_to_callers(
    harm: Callable[[RedisServer, Redis], str],
    sentence: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once in a while: every launch and every heartbeat would say them."""

    def logged() -> list[str]:
        return [each.message for each in caplog.records if each.name == store.logger.name]

    async def happens(server: RedisServer) -> None:
        async with scene(server) as it:
            await it.node()
            dispatcher = it.dispatcher(url=harm(server, it.redis))
            for times_logged in (1, 1, 2):
                if times_logged == 2:
                    monkeypatch.setattr(store, "LOG_AGAIN_S", 0.0)
                with pytest.raises(StoreDown) as caught:
                    await dispatcher.claim(join())
                assert str(caught.value) == sentence
                assert len(logged()) == times_logged
            assert all(words in text and "secret" not in text for text in logged())

    monkeypatch.setattr(store, "_logged", {})
    with redis_server(tcp=True) as server:
        asyncio.run(happens(server))


def test_errors_of_redis_that_all_differ_do_not_flood_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_logged", {})
    for number in range(1000):
        store._down(ResponseError(f"ERR {number}"))
    assert len(caplog.records) == store.MOST_LOGGED


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="AVATAR_REDIS_URL") as caught:
        RedisLedger("http://user:secret@host", Encryption([SEAL_KEY]), name="dispatcher")
    assert "secret" not in str(caught.value)


def test_an_expiry_is_read_from_a_token_whatever_it_is() -> None:
    assert expiry_of(token(100)) == pytest.approx(time.time() + 100, abs=2)
    for strange in ("", "a.b.c", "..", "a.e30.c", "a.eyJleHAiOiJ4In0.c", "a.eyJleHAiOjFlOTl9.c"):
        assert expiry_of(strange) is None


def test_the_documentation_has_every_script_and_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
    folder = files("dispatcher") / "ledger" / "scripts"
    source = {each.name.removesuffix(".lua"): each.read_text() for each in folder.iterdir()}
    assert all(f"`{name}`" in text for name in source if name != "common")
    keys = set(re.findall(r"AV \.\. '(\w+:?)'", "".join(source.values())))
    assert len(keys) >= 13
    assert all(f"`{{av}}:{key}" in text for key in keys), keys
    assert f"`{quota.PREFIX}:" in text


def test_what_stands_in_python_and_in_lua_is_the_same() -> None:
    lua = files("dispatcher").joinpath("ledger", "scripts", "common.lua").read_text("utf-8")
    reports = {name: int(value) for name, value in re.findall(r"local (\w+) = (\d+)\b", lua)}

    assert reports["MAX_LIFE"] == MAX_LIFE
    assert reports["UNACKED"] == 1000 * UNACKED_S
