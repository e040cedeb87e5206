"""How often one owner may launch: on this machine, and with Redis on all together."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bounds import within
from redis_server import RedisServer, redis_server

from dispatcher.errors import TooMany
from dispatcher.http.rate_limit import RateLimiter
from dispatcher.settings import DispatcherSettings

NOBODY = "redis://127.0.0.1:1"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server(tcp=True) as running:
        yield running


@pytest.fixture(autouse=True)
def empty(server: RedisServer) -> None:
    server.flush()


def quota(rate: str, redis_url: str = "", refusals: str = "") -> RateLimiter:
    return RateLimiter(DispatcherSettings(rate=rate, refusals=refusals, redis_url=redis_url))


async def admitted(quotas: list[RateLimiter], owner: str, times: int) -> list[bool]:
    """Which of so many launches of one owner were let through, at one dispatcher after the
    other."""
    found = []
    for number in range(times):
        try:
            await quotas[number % len(quotas)].launch(owner)
        except TooMany:
            found.append(False)
        else:
            found.append(True)
    for each in quotas:
        await each.aclose()
    return found


async def test_each_owner_has_his_own_rate() -> None:
    one = quota("2/hour")
    assert await admitted([one], "anna", 3) == [True, True, False]
    assert await admitted([one], "bert", 1) == [True]


async def test_several_limits_hold_together() -> None:
    one = quota("9/hour; 2/minute")
    assert await admitted([one], "anna", 3) == [True, True, False]


def test_without_a_rate_everybody_may_launch() -> None:
    assert all(asyncio.run(admitted([quota("")], "anna", 99)))


async def test_it_says_when_to_come_again() -> None:
    one = quota("1/minute", refusals="1/second")
    await one.launch("anna")
    with pytest.raises(TooMany, match="1 per 1 minute") as caught:
        await one.launch("anna")
    assert 1 <= caught.value.retry_after_s <= 60
    await one.refusal("peer:10.0.0.7")
    with pytest.raises(TooMany) as caught:
        await one.refusal("peer:10.0.0.7")
    assert caught.value.retry_after_s == 1
    await one.refusal("peer:10.0.0.8")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_dispatchers_count_together(server: RedisServer, kind: str) -> None:
    url = server.url if kind == "tcp" else f"unix://{server.socket_path}"

    async def scene() -> None:
        both = [quota("3/hour", url), quota("3/hour", url)]
        assert await admitted(both, "anna", 5) == [True, True, True, False, False]

    asyncio.run(scene())
    with server.client() as client:
        kept = list(client.scan_iter("*"))
    assert kept
    assert all(key.startswith("{av}:rate") for key in kept)


async def test_where_redis_is_gone_each_dispatcher_counts_for_itself() -> None:
    both = [quota("2/hour", NOBODY), quota("2/hour", NOBODY)]
    assert await admitted(both, "anna", 6) == [True, True, True, True, False, False]


async def test_a_redis_that_does_not_answer_is_not_waited_for(server: RedisServer) -> None:
    one = quota("9/hour", server.url)
    await one.launch("anna")
    server.pause()
    try:
        with within(10):
            await one.launch("anna")
    finally:
        server.resume()
    await one.aclose()


async def test_counting_needs_no_more_rights_than_the_ledger(server: RedisServer) -> None:
    """Without one of them, each would count for itself."""
    rights = "~{av}:* resetchannels -@all +@read +@write +@connection +@scripting +info +time"
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "avatar", "on", ">secret", *rights.split())
    url = server.url.replace("redis://", "redis://avatar:secret@")

    both = [quota("1/hour", url), quota("1/hour", url)]
    assert await admitted(both, "anna", 2) == [True, False]


POISON: dict[str, Callable[[Any, str], object]] = {
    "huge": lambda store, key: store.set(key, 10**18),
    "no number": lambda store, key: store.set(key, b"\xff\xfe", px=50_000),
    "as Lua reads it": lambda store, key: store.set(key, "1e30", px=100_000),
    "for ever": lambda store, key: store.set(key, 2),
    "another type": lambda store, key: store.rpush(key, "junk"),
}


@pytest.mark.parametrize("window", ["", "/-1"])
@pytest.mark.parametrize("kind", POISON)
async def test_a_count_that_is_none_refuses_nobody(
    server: RedisServer, kind: str, window: str
) -> None:
    one = quota("2/minute", server.url)
    await one.launch("anna")
    with server.client() as store:
        (key,) = store.keys("{av}:rate*anna*")
        store.delete(key)
        POISON[kind](store, key.removesuffix("/-1") + window)
    found = await admitted([one], "anna", 6)
    assert (found[0], found[-1]) == (True, False)
