"""A worker on its way into a meeting does not arrive once the session may be somebody else's."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pool_stage import WAIT_TIMEOUT_S, FakeSupervisor, FakeWorker

from agent_side.join import JoinInfo
from dispatcher.ledger.record import SessionRecord
from dispatcher.workers.session_runner import SessionRunner

SURE_S = 0.2
JOIN = JoinInfo("room", "token", "face")


@asynccontextmanager
async def serving(
    sure_s: float = SURE_S,
) -> AsyncIterator[tuple[SessionRunner, FakeWorker, FakeSupervisor]]:
    """A session that is surely ours for so long, and its first worker."""
    fakes = FakeSupervisor(1)
    session = SessionRecord.claimed("id", JOIN, time.time())
    until = asyncio.get_running_loop().time() + sure_s
    served = SessionRunner(session, fakes, sure_until=until)
    running = asyncio.create_task(served.run())
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            yield served, await fakes.acquired.get(), fakes
    finally:
        served.stop("The test is over.")
        await fakes.close()
        await running


async def killed(hand: FakeWorker) -> None:
    while not hand._writer.is_closing():
        await asyncio.sleep(0.01)


async def test_who_is_not_in_the_meeting_in_time_is_killed_and_followed_once_it_is_sure() -> None:
    async with serving() as (served, hand, fakes):
        await hand.line()
        hand.says("joining")
        await killed(hand)
        await asyncio.sleep(0.2)
        assert fakes.acquired.empty()
        served.assure(math.inf)
        second = await fakes.acquired.get()
        await second.take()


async def test_who_is_in_the_meeting_stays_whatever_becomes_of_the_store() -> None:
    async with serving() as (_, hand, _):
        await hand.take()
        await asyncio.sleep(2 * SURE_S)
        assert not hand._writer.is_closing()


async def test_who_joins_anew_gets_leave_to_only_as_long_as_it_is_sure() -> None:
    async with serving() as (served, hand, _):
        await hand.take()
        await asyncio.sleep(2 * SURE_S)
        hand.says("rejoining", "The room was gone.")
        hand.asks(1)
        await asyncio.sleep(SURE_S)
        assert not hand._writer.is_closing(), "who waits for leave waits"
        served.assure(asyncio.get_running_loop().time() + SURE_S)
        assert await hand.line() == {"permission": 1}
        await killed(hand)


async def test_whoever_is_assured_again_and_again_may_take_its_time() -> None:
    async with serving() as (served, hand, _):
        await hand.line()
        hand.says("joining")
        for _ in range(8):
            await asyncio.sleep(SURE_S / 3)
            served.assure(asyncio.get_running_loop().time() + SURE_S)
        assert not hand._writer.is_closing()
