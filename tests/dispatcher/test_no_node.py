"""Without a node that can take sessions a pool says so: in answers, /readyz and once in the log."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from ledgers import SEAL_KEY, Scene, active, join, scene
from redis_server import RedisServer, movable_clock, redis_server

from dispatcher.errors import Full
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.redis import RedisLedger
from dispatcher.pools.redis import MISSES_BEFORE_ERROR, NO_NODE, RedisPool

WAIT_TIMEOUT_S = 30.0

Story = Callable[[Scene, RedisPool], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with movable_clock(), redis_server() as running:
        yield running


async def says(pool: RedisPool, why: str) -> None:
    """Wait until it is not ready for that reason; ready where there is none."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while pool.why_not_ready != why:
            await asyncio.sleep(0.01)
    assert pool.ready == (not why)


async def refusal(pool: RedisPool) -> str:
    with pytest.raises(Full) as refused:
        await pool.launch(join("another-room"), 2.0)
    return str(refused.value)


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    name = "avatar.dispatcher.pools.redis"
    return [each.getMessage() for each in caplog.records if each.name == name]


def play(server: RedisServer, story: Story) -> None:
    async def run() -> None:
        async with scene(server) as it:
            pool = RedisPool(RedisLedger(server.url, Encryption([SEAL_KEY]), name="pool"))
            running = asyncio.create_task(pool.run())
            try:
                await story(it, pool)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_there_is_none(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "avatar")

    async def story(it: Scene, pool: RedisPool) -> None:
        await says(pool, NO_NODE["none"])
        assert await refusal(pool) == NO_NODE["none"]
        node = await it.node()
        await says(pool, "")
        owned = await active(it.dispatcher(), node)
        await says(pool, "")
        assert "slots are taken" in await refusal(pool)
        assert owned.state == "active"

    play(server, story)
    assert [each for each in reports(caplog) if "node" in each] == [
        NO_NODE["none"],
        "a node can take sessions",
    ]


def test_all_are_about_to_stop(server: RedisServer) -> None:
    async def story(it: Scene, pool: RedisPool) -> None:
        node = await it.node()
        await says(pool, "")
        await node.drain()
        await node.heartbeat([], 1)
        await says(pool, NO_NODE["draining"])
        assert await refusal(pool) == NO_NODE["draining"]

    play(server, story)


def test_none_has_a_worker(server: RedisServer) -> None:
    async def story(it: Scene, pool: RedisPool) -> None:
        node = await it.node()
        await says(pool, "")
        await node.heartbeat([], 1)
        await says(pool, NO_NODE["unable"])
        assert await refusal(pool) == NO_NODE["unable"]
        await it.node("another")
        await says(pool, "")

    play(server, story)


def test_the_only_one_is_lost(server: RedisServer) -> None:
    """Also while its session's lease is not out."""

    async def story(it: Scene, pool: RedisPool) -> None:
        node = await it.node()
        await active(it.dispatcher(), node)
        await says(pool, "")
        it.move(6)
        await says(pool, NO_NODE["none"])

    play(server, story)


def test_a_node_that_is_not_seen_for_a_moment_is_not_missed() -> None:
    """As after Redis was emptied: it comes back with its next heartbeat."""
    pool = RedisPool(Mock())
    able = {"able": 1, "unable": 0, "draining": 0, "none": 0}
    none = {**able, "able": 0, "none": 1}
    pool._note_store("")
    pool._note_nodes(none)
    assert pool.why_not_ready == NO_NODE["none"], "it was never seen"
    pool._note_nodes(able)
    for looks in (MISSES_BEFORE_ERROR - 1, MISSES_BEFORE_ERROR - 1):
        for _ in range(looks):
            pool._note_nodes(none)
        assert pool.ready
        pool._note_nodes(able)
    for _ in range(MISSES_BEFORE_ERROR):
        pool._note_nodes(none)
    assert pool.why_not_ready == NO_NODE["none"]
