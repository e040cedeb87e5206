"""A session that is handed from one node to another, with workers that the test plays."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from pool_stage import SEAL, WAIT_TIMEOUT_S, FakeSupervisor, FakeWorker, Stage, played
from redis_server import RedisServer, redis_server

from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.node.node import Node
from dispatcher.pools.redis import RedisPool

LEASE_S = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


class Handing:
    """A session on its way: the `old` worker is in the meeting, the `new` one has been told of it
    and is not."""

    def __init__(
        self, stage: Stage, session: SessionRecord, old: FakeWorker, new: FakeWorker
    ) -> None:
        self.stage = stage
        self.session = session
        self.old = old
        self.new = new

    async def arrives(self) -> None:
        """The new worker gets there, and the session goes on with it."""
        self.new.says("joining")
        self.new.says("active")
        await self.stage.reach(
            self.session.session_id, lambda each: (each.state, each.epoch) == ("active", 2)
        )


@asynccontextmanager
async def handing(server: RedisServer) -> AsyncIterator[Handing]:
    server.flush()
    server.pretend_uptime()
    standing: asyncio.Future[Handing] = asyncio.get_running_loop().create_future()
    supervisors = [FakeSupervisor(1), FakeSupervisor(1)]

    async def stand() -> None:
        async with asyncio.TaskGroup() as tasks:
            pool = RedisPool(RedisLedger(server.url, SEAL, name="dispatcher"))
            tasks.create_task(pool.run())

            async def node(number: int) -> Node:
                ledger = RedisNodeLedger(server.url, SEAL, name=f"node-{number}")
                joined = Node(ledger, supervisors[number], tasks, LEASE_S, lambda _: None)
                tasks.create_task(joined.run())
                while not (await pool.slots())["idle"]:
                    await asyncio.sleep(0.01)
                return joined

            first = await node(0)
            session, old = await Stage(pool, supervisors[0]).launched()
            await node(1)
            hurry = asyncio.Event()
            tasks.create_task(first.drain(0.0, hurry, hurry))
            stage = Stage(pool, supervisors[1])
            new = await stage.hand()
            assert (await new.line())["assignment"]["epoch"] == 2
            standing.set_result(Handing(stage, session, old, new))
            await asyncio.Event().wait()

    async with asyncio.timeout(20), played(stand(), standing, *supervisors) as handed:
        yield handed


async def test_the_old_worker_leaves_when_the_new_one_is_there(server: RedisServer) -> None:
    async with handing(server) as scene:
        leaving = asyncio.create_task(scene.old.line())
        await asyncio.sleep(0.3)
        assert not leaving.done()
        await scene.arrives()
        assert await leaving is None
        scene.old.exits(0, "The worker was told to stop.")
        await scene.stage.slots({"busy": 1})


@pytest.mark.parametrize(
    "fate",
    [
        lambda old: old.exits(-9),
        lambda old: old.exits(1, "The renderer failed."),
        lambda old: (old.says("dismissed", "Another has its place."), old.exits(0)),
    ],
    ids=["killed", "failed", "thrown out"],
)
async def test_what_becomes_of_the_old_worker_is_of_no_matter_to_the_new_one(
    server: RedisServer, fate: Callable[[FakeWorker], object]
) -> None:
    async with handing(server) as scene:
        fate(scene.old)
        await scene.stage.slots({"claimed": 1})
        await scene.arrives()


async def test_a_meeting_that_is_over_meanwhile_needs_no_new_worker(server: RedisServer) -> None:
    async with handing(server) as scene:
        scene.new.says("joining")
        scene.old.exits(0, "The agent has left.")
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            assert await scene.new.line() is None
        scene.new.exits(0, "The worker was told to stop.")
        session = await scene.stage.reach(scene.session.session_id, lambda each: each.over)
        assert (session.state, session.reason) == ("ended", "The agent has left.")
