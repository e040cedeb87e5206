"""What every pool does, whether its sessions are on this machine or on many."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from bounds import within
from pool_stage import WAIT_TIMEOUT_S, Backing, FakeWorker, stage
from redis_server import redis_server

from agent_side.join import JoinInfo
from dispatcher.errors import Conflict, Full, Refused, TooMany

JOIN = JoinInfo("room", "token", "face")
FRESH = JoinInfo("room", "fresh-token", "face")


@pytest.fixture(scope="module", params=["local", "redis"])
def backing(request: pytest.FixtureRequest) -> Iterator[Backing]:
    """What sets the pools apart: where their sessions are."""
    if request.param == "redis":
        with redis_server() as running:
            yield running
    else:
        yield request.param


# Launching -----------------------------------------------------------------------------------


async def test_a_launch_is_answered_when_a_worker_has_taken_it(backing: Backing) -> None:
    async with stage(backing) as scene:
        launching = asyncio.create_task(
            scene.pool.launch(JOIN, WAIT_TIMEOUT_S, "owner", "00-trace-parent-01")
        )
        hand = await scene.hand()
        reports = await hand.line()
        assert not launching.done()
        hand.says("joining")
        session = await launching
        assert (session.room, session.participant_id) == ("room", "face")
        assignment = reports.pop("assignment")
        assert reports == json.loads(JOIN.to_json())
        slot = (await scene.session(session.session_id)).slot
        assert slot is not None
        assert slot.endswith(("/1", "/2"))
        assert assignment == {
            "session_id": session.session_id,
            "epoch": 1,
            "slot": slot,
            "traceparent": "00-trace-parent-01",
        }
        hand.says("active")
        session = await scene.reach(session.session_id, lambda each: each.state == "active")
        assert [step.state for step in session.life] == ["claimed", "joining", "active"]
        assert (session.attempts, session.epoch, session.reason) == (1, 1, None)
        assert [each.session_id for each in await scene.pool.sessions()] == [session.session_id]


async def test_the_same_face_again_is_the_same_session_and_its_worker_hears(
    backing: Backing,
) -> None:
    async with stage(backing) as scene:
        session, hand = await scene.launched()
        again = await scene.pool.launch(FRESH, WAIT_TIMEOUT_S)
        assert again.session_id == session.session_id
        reports = await hand.line()
        assert reports["token"] == "fresh-token"
        assert reports["assignment"]["session_id"] == session.session_id
        assert scene.fakes.acquired.empty()


async def test_a_newer_token_reaches_the_worker_that_follows(backing: Backing) -> None:
    async with stage(backing) as scene:
        session, hand = await scene.launched()
        await scene.pool.launch(FRESH, WAIT_TIMEOUT_S)
        await hand.line()
        hand.exits(-9)
        second = await scene.hand()
        reports = await second.take()
        assert reports["token"] == "fresh-token"
        session = await scene.reach(session.session_id, lambda each: each.attempts == 2)
        assert session.epoch == 1


async def test_a_renewal_names_another_agent_to_the_worker_that_lives_and_to_its_successor(
    backing: Backing,
) -> None:
    async with stage(backing) as scene:
        session, hand = await scene.launched()
        for agent in ("agent", "reborn"):
            newer = replace(FRESH, agent_participant_id=agent)
            again = await scene.pool.launch(newer, WAIT_TIMEOUT_S)
            assert (again.session_id, again.not_applied) == (session.session_id, ())
            assert (await hand.line())["agent_participant_id"] == agent
        nameless = await scene.pool.launch(JOIN, WAIT_TIMEOUT_S)
        assert nameless.not_applied == ()
        assert (await hand.line())["agent_participant_id"] == "reborn"
        hand.exits(-9)
        reports = await (await scene.hand()).take()
        assert (reports["agent_participant_id"], reports["token"]) == ("reborn", "token")


async def test_a_renewal_says_what_it_does_not_apply_and_the_face_stays_the_same(
    backing: Backing,
) -> None:
    async with stage(backing) as scene:
        _, hand = await scene.launched()
        newer = replace(FRESH, character="leo", metadata={"more": 1})
        again = await scene.pool.launch(newer, WAIT_TIMEOUT_S)
        assert again.not_applied == ("character", "metadata")
        reports = await hand.line()
        assert reports["token"] == "fresh-token"
        assert not {"character", "metadata"} & set(reports)
        hand.exits(-9)
        reports = await (await scene.hand()).take()
        assert not {"character", "metadata"} & set(reports)


async def test_renewals_at_once_lose_no_name(backing: Backing) -> None:
    async with stage(backing) as scene:
        _, hand = await scene.launched()
        named = replace(JOIN, agent_participant_id="reborn")
        await asyncio.gather(
            *(scene.pool.launch(each, WAIT_TIMEOUT_S) for each in (JOIN, FRESH, named, JOIN, FRESH))
        )
        hand.exits(-9)
        reports = await (await scene.hand()).take()
        assert reports["agent_participant_id"] == "reborn"


async def test_many_launches_of_one_face_are_one_session(backing: Backing) -> None:
    async with stage(backing) as scene:
        launches = [asyncio.create_task(scene.pool.launch(JOIN, WAIT_TIMEOUT_S)) for _ in range(8)]
        await (await scene.hand()).take()
        assert len({(await each).session_id for each in launches}) == 1
        assert scene.fakes.acquired.empty()


async def test_what_a_worker_refuses_is_refused_and_not_tried_again(backing: Backing) -> None:
    async with stage(backing) as scene:
        launching = asyncio.create_task(scene.pool.launch(JOIN, WAIT_TIMEOUT_S))
        hand = await scene.hand()
        await hand.line()
        hand.exits(2, "There is no character 'nobody'.")
        with pytest.raises(Refused, match=r"GET /v1/sessions/\w+ says why") as refusal:
            await launching
        session = await scene.session(str(refusal.value).split()[-3].rpartition("/")[2])
        assert (session.state, session.attempts) == ("failed", 1)
        assert session.reason == "There is no character 'nobody'."
        assert scene.fakes.acquired.empty()


async def test_where_every_slot_is_taken_it_is_full(backing: Backing) -> None:
    async with stage(backing, slots=1) as scene:
        session, hand = await scene.launched()
        with within(10), pytest.raises(Full, match="slots are taken"):
            await scene.pool.launch(JoinInfo("other", "token", "face"), 40)
        again = await scene.pool.launch(JOIN, WAIT_TIMEOUT_S)
        assert again.session_id == session.session_id, "who is there is not turned away"
        await scene.end(session, hand)
        await scene.slots({"idle": 1})
        other, _ = await scene.launched("other")
        assert other.session_id != session.session_id


async def test_a_launch_that_no_worker_takes_is_answered_in_time(backing: Backing) -> None:
    async with stage(backing) as scene:
        with within(10), pytest.raises(Full):
            await scene.pool.launch(JOIN, 0.5)
        await (await scene.hand()).line()


async def test_a_launch_that_gives_up_leaves_the_session_to_one_that_has_time(
    backing: Backing,
) -> None:
    async with stage(backing) as scene:
        older = asyncio.create_task(scene.pool.launch(JOIN, 0.6))
        hand = await scene.hand()
        newer = asyncio.create_task(scene.pool.launch(JOIN, WAIT_TIMEOUT_S))
        with pytest.raises(Full):
            await older
        assert not newer.done()
        assert (await hand.take())["token"] == "token"
        session = await newer
        assert await scene.reach(session.session_id, lambda each: each.state == "active")


async def test_when_the_last_launch_gives_up_the_session_is_over(backing: Backing) -> None:
    async with stage(backing) as scene:
        launches = [
            asyncio.create_task(scene.pool.launch(JOIN, timeout_s)) for timeout_s in (0.5, 0.7)
        ]
        hand = await scene.hand()
        await hand.line()
        for each in launches:
            with pytest.raises(Full):
                await each
        assert await hand.line() is None
        hand.exits(0)
        (session,) = await scene.pool.sessions()
        await scene.reach(session.session_id, lambda each: each.over)


# What another face in a room means, and how many one may have ---------------------------------


@pytest.mark.parametrize("slots", [1, 2])
async def test_another_face_replaces_the_older_one(backing: Backing, slots: int) -> None:
    """Even where it needs the very slot that the older one has."""

    async def leave(hand: FakeWorker) -> None:
        assert await hand.line() is None
        hand.exits(0, "The worker was told to stop.")

    async with stage(backing, slots) as scene:
        older, hand = await scene.launched()
        leaving = asyncio.create_task(leave(hand))
        newer, _ = await scene.launched(face="other")
        await leaving
        assert newer.participant_id == "other"
        session = await scene.reach(older.session_id, lambda each: each.over)
        assert (session.state, session.reason) == (
            "ended",
            "Another face has taken its place in the room.",
        )
        await scene.reach(newer.session_id, lambda each: each.state == "active")


async def test_a_room_may_have_many_faces_or_keep_the_one_that_it_has(
    backing: Backing,
) -> None:
    async with stage(backing, policy="multi") as scene:
        older, _ = await scene.launched()
        newer, _ = await scene.launched(face="other")
        for each in (older, newer):
            await scene.reach(each.session_id, lambda each: each.state == "active")
    async with stage(backing, policy="reject") as scene:
        older, _ = await scene.launched()
        with pytest.raises(Conflict):
            await scene.pool.launch(JoinInfo("room", "token", "other"), WAIT_TIMEOUT_S)
        same = await scene.pool.launch(JOIN, WAIT_TIMEOUT_S)
        assert same.session_id == older.session_id


async def test_one_owner_has_so_many_sessions_and_no_more(backing: Backing) -> None:
    async with stage(backing, slots=4, cap=1) as scene:
        mine, hand = await scene.launched(owner="mine")
        with pytest.raises(TooMany):
            await scene.pool.launch(JoinInfo("room-2", "token", "face"), WAIT_TIMEOUT_S, "mine")
        again = await scene.pool.launch(JOIN, WAIT_TIMEOUT_S, "mine")
        assert again.session_id == mine.session_id
        await scene.launched("room-3", owner="yours")
        await scene.end(mine, hand)
        await scene.launched("room-2", owner="mine")


# Lives and ends ------------------------------------------------------------------------------


async def test_a_session_can_be_ended(backing: Backing) -> None:
    async with stage(backing) as scene:
        session, hand = await scene.launched()
        for ended in (
            await scene.end(session, hand),
            await scene.pool.end(session.session_id),
        ):
            assert ended is not None
            assert (ended.state, ended.reason) == ("ended", "It was ended by a request.")
        assert await scene.pool.end("nobody") is None
        assert await scene.pool.find("nobody") is None
        newer, _ = await scene.launched()
        assert newer.session_id != session.session_id


@pytest.mark.parametrize("state", ["ended", "dismissed"])
async def test_a_worker_that_leaves_by_itself_ends_its_session(
    backing: Backing, state: str
) -> None:
    """One that was thrown out does not come back, even if it was asked for a moment ago."""

    async with stage(backing) as scene:
        session, hand = await scene.launched()
        if state == "dismissed":
            await scene.pool.launch(FRESH, WAIT_TIMEOUT_S)
            await hand.line()
        hand.says(state, "It is over.")
        hand.exits(0)
        session = await scene.reach(session.session_id, lambda each: each.over)
        assert (session.state, session.reason) == ("ended", "It is over.")
        assert [step.state for step in session.life][-1] == "ended"
        await scene.slots({"idle": 2})
        assert scene.fakes.acquired.empty()


async def test_workers_that_are_lost_are_replaced_until_it_fails(backing: Backing) -> None:
    """Three on one machine, and one on each of two others (here, the same one again)."""
    epochs = [1, 1, 1] if backing == "local" else [1, 1, 1, 2, 3]

    async with stage(backing, slots=1) as scene:
        session, hand = await scene.launched()
        for epoch in epochs[1:]:
            hand.exits(-9)
            hand = await scene.hand()
            reports = await hand.take()
            assert reports["assignment"]["epoch"] == epoch
        hand.exits(-9)
        session = await scene.reach(session.session_id, lambda each: each.over)
        assert (session.state, session.reason) == (
            "failed",
            "The worker was ended by signal 9.",
        )
        assert (session.attempts, session.epoch) == (len(epochs), epochs[-1])


async def test_a_worker_that_joins_anew_says_why_and_waits_for_leave_to(
    backing: Backing,
) -> None:
    async with stage(backing) as scene:
        session, hand = await scene.launched()
        hand.says("rejoining", "The room was gone.")
        session = await scene.reach(session.session_id, lambda each: each.reason is not None)
        assert (session.state, session.reason) == ("joining", "The room was gone.")
        hand.asks(1)
        assert await hand.line() == {"permission": 1}
        hand.says("active")
        session = await scene.reach(session.session_id, lambda each: each.state == "active")
        assert (session.reason, session.attempts) == (None, 1)
        assert [step.reason for step in session.life][-2:] == ["The room was gone.", None]


async def test_what_all_workers_of_a_session_have_counted_is_summed(backing: Backing) -> None:
    async with stage(backing) as scene:
        session, hand = await scene.launched()
        for frames in (25, 50):
            hand.says("counters", frames=frames)
        hand.exits(-9)
        second = await scene.hand()
        await second.take()
        second.says("counters", frames=10, segments=1)
        second.exits(0, "The meeting is over.")
        session = await scene.reach(session.session_id, lambda each: each.over)
        assert session.counters == {"frames": 60, "segments": 1}


async def test_slots_are_counted(backing: Backing) -> None:
    async with stage(backing, slots=3) as scene:
        assert scene.pool.ready
        assert scene.pool.why_not_ready == ""
        await scene.slots({"idle": 3})
        launching = asyncio.create_task(scene.pool.launch(JOIN, WAIT_TIMEOUT_S))
        hand = await scene.hand()
        await scene.slots({"idle": 2, "claimed": 1})
        await hand.take()
        await launching
        await scene.slots({"idle": 2, "busy": 1})


async def test_a_pool_that_drains_takes_nothing_more(backing: Backing) -> None:
    async with stage(backing) as scene:
        _, hand = await scene.launched()
        draining = asyncio.create_task(scene.pool.drain(WAIT_TIMEOUT_S))
        if backing == "local":
            await asyncio.wait_for(hand.asked_to_finish.wait(), WAIT_TIMEOUT_S)
            hand.exits(0, "The worker was told to stop.")
        await draining
        assert not scene.pool.ready
        assert "about to stop" in scene.pool.why_not_ready
        with pytest.raises(Full, match="about to stop"):
            await scene.pool.launch(JoinInfo("other", "token", "face"), WAIT_TIMEOUT_S)
