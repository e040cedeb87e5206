"""A claim has a deadline: a node that has no worker for it gives it to another within the POST."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from pool_stage import SEAL, WAIT_TIMEOUT_S, FakeSupervisor, Stage, played
from redis_server import RedisServer, redis_server

from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.node import owned_session as hold
from dispatcher.node.node import Node
from dispatcher.pools.redis import RedisPool
from dispatcher.workers.process import WorkerProcess

LEASE_S = 10.0


class Idle(FakeSupervisor):
    """Its zygote forks nothing any more; `noticed` says whether its supervisor knows that."""

    def __init__(self, slots: int, noticed: bool) -> None:
        super().__init__(slots)
        self.asked = 0
        self._noticed = noticed

    @property
    def ready(self) -> bool:
        return True  # or it would not be chosen: it was, when it was asked last

    @property
    def can_acquire(self) -> bool:
        return not self._noticed

    async def acquire(self) -> WorkerProcess:
        self.asked += 1
        return await asyncio.get_running_loop().create_future()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def two_nodes(server: RedisServer, bad: Idle) -> AsyncIterator[Stage]:
    """A pool whose longest idle slots are those of the `bad` node."""
    server.flush()
    server.pretend_uptime()
    good = FakeSupervisor(2)
    standing: asyncio.Future[Stage] = asyncio.get_running_loop().create_future()

    async def stand() -> None:
        async with asyncio.TaskGroup() as tasks:
            pool = RedisPool(RedisLedger(server.url, SEAL, name="dispatcher"))
            tasks.create_task(pool.run())
            idle = 0
            for name, fakes in (("bad", bad), ("good", good)):
                ledger = RedisNodeLedger(server.url, SEAL, name=name)
                node = Node(ledger, fakes, tasks, LEASE_S, lambda _: None)
                tasks.create_task(node.run())
                idle += fakes.slots
                while not pool.ready or (await pool.slots())["idle"] < idle:
                    await asyncio.sleep(0.01)
            standing.set_result(Stage(pool, good))
            await asyncio.Event().wait()

    async with asyncio.timeout(30), played(stand(), standing, bad, good) as stage:
        yield stage


@pytest.mark.parametrize("noticed", [False, True])
async def test_a_node_that_forks_nothing_is_left_for_one_that_does(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    monkeypatch.setattr(hold, "CLAIM_S", 0.3)
    bad = Idle(1, noticed)

    async with two_nodes(server, bad) as stage:
        session, hand = await stage.launched()
        assert hand is not None, "the good node has acquired"
        session = await stage.reach(session.session_id, lambda each: each.state == "active")
        assert (session.slot or "").startswith("good@")
        assert bad.asked == (0 if noticed else 1)
        await stage.end(session, hand)


def test_the_first_worker_has_to_be_ready_before_the_claim_runs_out() -> None:
    """Its lease is `UNACKED_S`, and a POST waits for two claims."""
    assert 0 < hold.CLAIM_S < hold.UNACKED_S
    assert 2 * hold.CLAIM_S < WAIT_TIMEOUT_S
