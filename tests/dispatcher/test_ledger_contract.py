"""What every ledger does, whether it is in Redis or in the memory of one machine's process."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest
from ledgers import (
    MemoryScene,
    active,
    claimed,
    commands,
    join,
    scene,
    served,
    taken,
)
from ledgers import (
    Scene as RedisScene,
)
from redis_server import RedisServer, redis_server

from dispatcher.ledger.command import EndCommand, RenewCommand
from dispatcher.ledger.port import Ledger, Verdict

SOON_S = 2.0
"""More time than a reply needs."""

Scene = RedisScene | MemoryScene
Play = Callable[[Callable[[Scene], Coroutine[None, None, None]]], None]


@pytest.fixture(scope="module", params=["memory", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer | None]:
    if request.param == "memory":
        yield None
    else:
        with redis_server() as running:
            yield running


@pytest.fixture
def play(server: RedisServer | None) -> Play:
    """Runs what happens on an empty ledger."""

    def opened() -> AbstractAsyncContextManager[Scene]:
        return MemoryScene() if server is None else scene(server)

    def run(happens: Callable[[Scene], Coroutine[None, None, None]]) -> None:
        async def main() -> None:
            async with opened() as it:
                await happens(it)

        asyncio.run(main())

    return run


async def able(dispatcher: Ledger) -> str:
    """What the only node can do."""
    (fact,) = (fact for fact, number in (await dispatcher.nodes()).items() if number)
    return fact


def test_a_claim_reaches_the_node_and_its_ack_the_dispatcher(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        request = join()
        claim = await dispatcher.claim(request, owner="key", traceparent="00-1-2-01")
        owned = await served(node)
        assert claim.outcome == "new"
        assert (owned.join, owned.owner, owned.traceparent) == (
            request,
            "key",
            "00-1-2-01",
        )
        assert (owned.slot, owned.epoch) == (node.slot(1), 1)
        assert await node.ack(owned.entered("joining", None, time.time())) is Verdict.OK
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"

    play(happens)


def test_a_session_shows_its_life(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        owned = owned.entered("active", None, time.time(), counters={"frames": 25})
        await node.enter(owned)
        await node.finish(owned, "ended", "The agent has left.")
        (record,) = await dispatcher.sessions()
        assert [step.state for step in record.life] == ["claimed", "joining", "active", "ended"]
        assert record.reason == record.life[-1].reason == "The agent has left."
        assert (record.attempts, record.counters) == (1, {"frames": 25})
        assert record == await dispatcher.find(owned.session_id)

    play(happens)


def test_a_slot_is_idle_again_when_its_node_offers_it(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        await node.finish(owned, "ended", None)
        assert (await dispatcher.claim(join("second"))).outcome == "full"
        await node.offer(1)
        assert (await dispatcher.claim(join("second"))).outcome == "new"

    play(happens)


def test_a_heartbeat_gives_away_no_slot_that_is_claimed(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        await dispatcher.claim(join())
        await node.heartbeat([1], 1)  # it has not looked into its mailbox yet
        assert (await dispatcher.claim(join("second"))).outcome == "full"

    play(happens)


def test_a_heartbeat_withdraws_what_it_lists_no_more(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        await node.heartbeat([2], 2)
        assert claimed(await dispatcher.claim(join())).slot == node.slot(2)
        assert (await dispatcher.claim(join("second"))).outcome == "full"

    play(happens)


def test_claims_that_wait_together_are_all_answered(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        await it.node(slots=200)
        claims = await asyncio.gather(*(dispatcher.claim(join(f"room {n}")) for n in range(210)))
        slots = [claim.record.slot for claim in claims if claim.record]
        assert len(slots) == len(set(slots)) == 200
        assert [claim.outcome for claim in claims].count("full") == 10

    play(happens)


def test_a_repeat_before_the_ack_waits_for_the_same_ack(play: Play) -> None:
    async def happens(it: Scene) -> None:
        one, other, node = it.dispatcher(), it.dispatcher("other"), await it.node()
        first, second = await one.claim(join()), await other.claim(join())
        assert second.outcome == "same"
        waiting = asyncio.gather(
            one.resolved(claimed(first), SOON_S),
            one.resolved(claimed(first), SOON_S),
            other.resolved(claimed(second), SOON_S),
        )
        await taken(node)
        assert await waiting == ["acked"] * 3

    play(happens)


def test_the_newer_face_takes_the_place_of_the_older(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        older = await active(dispatcher, node, join(participant="older"))
        assert (await dispatcher.claim(join(participant="newer"))).outcome == "new"
        kinds = {type(command).__name__ for command in await commands(node)}
        assert kinds == {"EndCommand", "ServeCommand"}
        assert await node.renew([older]) == {older.key: Verdict.END}
        record = await dispatcher.find(older.session_id)
        assert record is not None
        assert record.state == "ending"

    play(happens)


def test_the_older_face_makes_room_for_the_newer_where_there_is_none(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        older = await active(dispatcher, node, join(participant="older"))
        claim = await dispatcher.claim(join(participant="newer"))
        assert claim.record is None or claim.record.slot is None
        (command,) = await commands(node)
        assert isinstance(command, EndCommand)
        await node.finish(older, "ended", command.reason)
        await node.offer(1)
        claim = await dispatcher.claim(join(participant="newer"))
        assert claimed(claim).slot == node.slot(1)

    play(happens)


def test_two_faces_are_in_a_room_where_that_is_wanted(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        await active(dispatcher, node, join(participant="one"))
        claim = await dispatcher.claim(join(participant="other"), policy="multi")
        assert claim.outcome == "new"
        assert not any(isinstance(command, EndCommand) for command in await commands(node))

    play(happens)


def test_a_second_face_is_refused_where_that_is_wanted(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        owned = await active(dispatcher, node, join(participant="one"))
        request = join(participant="other")
        assert (await dispatcher.claim(request, policy="reject")).outcome == "conflict"
        await node.finish(owned, "ended", None)
        assert (await dispatcher.claim(request, policy="reject")).outcome == "new"

    play(happens)


def test_an_owner_has_no_more_sessions_than_allowed(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=9)
        claims = await asyncio.gather(
            *(dispatcher.claim(join(f"room {n}"), owner="mine", cap=3) for n in range(6))
        )
        outcomes = [claim.outcome for claim in claims]
        assert (outcomes.count("new"), outcomes.count("too_many")) == (3, 3)
        assert (await dispatcher.claim(join("else"), owner="other", cap=3)).outcome == "new"
        for command in await commands(node):
            await node.finish(command.record, "ended", None)
        assert (await dispatcher.claim(join("later"), owner="mine", cap=3)).outcome == "new"

    play(happens)


def test_a_face_that_leaves_for_another_does_not_count_against_its_owner(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        await it.node(slots=2)
        await dispatcher.claim(join(participant="older"), owner="mine", cap=1)
        claim = await dispatcher.claim(join(participant="newer"), owner="mine", cap=1)
        assert claim.outcome == "new"

    play(happens)


def test_a_refusal_is_told_to_those_who_wait(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join())
        await node.finish(await served(node), "failed", "No such face.", refused=True)
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "refused"
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert (record.state, record.reason) == ("failed", "No such face.")

    play(happens)


def test_a_claim_that_is_given_up_leaves_no_face_behind(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join(), owner="mine", cap=1)
        owned = await served(node)
        await dispatcher.give_up(claimed(claim), "No worker took it in time.")
        assert await node.ack(owned) is Verdict.END
        await node.finish(owned, "ended", "No worker took it in time.")
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert (record.over, record.reason) == (True, "No worker took it in time.")
        await node.offer(1)
        assert (await dispatcher.claim(join(), owner="mine", cap=1)).outcome == "new"

    play(happens)


def test_an_ack_that_came_first_keeps_the_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join())
        owned = await taken(node)
        await dispatcher.give_up(claimed(claim), "No worker took it in time.")
        assert await node.renew([owned]) == {owned.key: Verdict.OK}

    play(happens)


def test_any_dispatcher_ends_a_session(play: Play) -> None:
    async def happens(it: Scene) -> None:
        one, other, node = it.dispatcher("one"), it.dispatcher("other"), await it.node()
        owned = await active(one, node)
        for _ in range(2):
            record = await other.end(owned.session_id, "It was ended by a request.")
            assert record is not None
            assert record.state == "ending"
        (command,) = await commands(node)
        assert command == EndCommand(owned.key, owned.session_id, "It was ended by a request.")
        await node.finish(owned, "ended", command.reason)
        record = await one.find(owned.session_id)
        assert record is not None
        assert record.state == "ended"
        assert await one.end("0123456789abcdef", "") is None

    play(happens)


def test_what_is_ended_before_its_node_reads_of_it_never_begins(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        claim = await dispatcher.claim(join())
        await dispatcher.end(claimed(claim).session_id, "Enough.")
        assert not any(not isinstance(command, EndCommand) for command in await commands(node))
        record = await dispatcher.find(claimed(claim).session_id)
        assert record is not None
        assert record.state == "ended"
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "ended"

    play(happens)


def test_a_repeat_finds_the_session_and_says_what_it_does_not_apply(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        newer = replace(join(lives_s=7200), character="leo", agent_participant_id="agent")
        claim = await dispatcher.claim(newer)
        assert (claim.outcome, claimed(claim).session_id) == ("same", owned.session_id)
        assert claim.not_applied == ("character",)
        assert await dispatcher.resolved(claimed(claim), 0) == "acked"
        (command,) = await commands(node)
        assert isinstance(command, RenewCommand)
        assert command.join == replace(newer, character=None)
        assert command.renewals == 1

    play(happens)


def test_a_claim_that_a_node_turns_down_goes_to_another_slot(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=2)
        claim = await dispatcher.claim(join())
        owned = await served(node)
        await node.nack(owned, "Its worker has died.")
        again = await taken(node)
        assert (again.slot, again.epoch) == (node.slot(2), 2)
        assert await dispatcher.resolved(claimed(claim), SOON_S) == "acked"
        assert await node.ack(owned) is Verdict.FENCED

    play(happens)


def test_a_node_is_known_by_what_it_can_do(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher = it.dispatcher()
        assert await able(dispatcher) == "none"
        node = await it.node()
        assert await able(dispatcher) == "able"
        await node.heartbeat([], 1)
        assert await able(dispatcher) == "unable"
        await node.drain()
        await node.heartbeat([], 1)
        assert await able(dispatcher) == "draining"

    play(happens)


def test_a_draining_node_keeps_what_it_has_and_is_given_nothing(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node(slots=3)
        owned = await active(dispatcher, node)
        assert await dispatcher.slots() == {"idle": 2, "claimed": 0, "busy": 1, "draining": 0}
        await node.drain()
        assert (await dispatcher.claim(join("second"))).outcome == "full"
        assert await dispatcher.slots() == {"idle": 0, "claimed": 0, "busy": 0, "draining": 1}
        assert not await node.handoff(owned), "there is no other node"
        assert await node.renew([owned]) == {owned.key: Verdict.OK}

    play(happens)


def test_who_looks_a_session_up_sees_no_join_request(play: Play) -> None:
    async def happens(it: Scene) -> None:
        dispatcher, node = it.dispatcher(), await it.node()
        owned = await active(dispatcher, node)
        found = await dispatcher.find(owned.session_id)
        assert found is not None
        assert found.join is None
        assert await dispatcher.find("0123456789abcdef") is None

    play(happens)
