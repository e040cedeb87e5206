"""Quotas: how often one owner may launch, and how often one address may be refused.

A launch counts against its owner (a key, a user, an address where no authentication is required),
and with a ledger it counts for all dispatchers together. What is refused counts against the
address that it came from, here alone, as a flood has to cost as little as can be; beyond its
limit it is refused with 429 instead. Never the other way round: an address that is refused as
often as you like still gets in with a good key, because a company's agents and whoever attacks it
may come through one proxy. Guessing is made hopeless by the length of the keys, not by locking
anybody out.
"""

import logging
import math
import time
from typing import Final

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter as Limiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from dispatcher.errors import TooMany
from dispatcher.ledger.refusals import refuse
from dispatcher.settings import DispatcherSettings

PREFIX: Final = "{av}:rate"
"""Of the counts in Redis: beside all else that is ours there, and under the same access rule."""

REDIS_S: Final = 0.3
"""How long Redis may take for a count, until it is made here."""

logger = logging.getLogger("avatar.dispatcher.quota")


class RateLimiter:
    """Counts launches and refusals; the limits are those of `settings`."""

    def __init__(self, settings: DispatcherSettings) -> None:
        self._launches = parse_many(settings.rate) if settings.rate else []
        self._refusals = parse_many(settings.refusals) if settings.refusals else []
        self._here = Limiter(MemoryStorage())
        self._redis = _redis(settings.redis_url) if settings.redis_url else None
        self._counts = None if self._redis is None else _storage(self._redis)
        self._everywhere = None if self._counts is None else Limiter(self._counts)

    async def launch(self, owner: str) -> None:
        """One more of this owner. Raises TooMany."""
        if self._everywhere is not None:
            try:
                try:
                    await _hit(self._everywhere, self._launches, owner, "launches")
                except (StorageError, TooMany, ValueError):
                    if not await self._repaired(owner):
                        raise
                    await _hit(self._everywhere, self._launches, owner, "launches")
                return
            except (StorageError, ValueError) as error:
                logger.debug("counting launches here, as Redis did not: %s", type(error).__name__)
        await _hit(self._here, self._launches, owner, "launches")

    async def _repaired(self, owner: str) -> bool:
        """Whether a count of this owner was none, and is forgotten now: nobody would let him in
        until somebody deletes it. Raises StorageError."""
        assert self._counts is not None
        broken = [each for each in self._launches if not await _is_sound(self._counts, each, owner)]
        for limit in broken:
            key = limit.key_for(owner)
            refuse("number", f"{PREFIX}/{key}", "It is no count of launches.")
            await self._counts.clear_sliding_window(key, limit.get_expiry())
        return bool(broken)

    async def refusal(self, peer: str) -> None:
        """One more of this address. Raises TooMany."""
        await _hit(self._here, self._refusals, peer, "requests that cannot be let in")

    async def aclose(self) -> None:
        """Leave Redis."""
        if self._redis is not None:
            await self._redis.aclose()


async def _is_sound(storage: RedisStorage, limit: RateLimitItem, owner: str) -> bool:
    """Whether what Redis has of an owner's launches is what is written here: numbers up to the
    limit that are forgotten after its time. Raises StorageError."""
    expiry_s = limit.get_expiry()
    try:
        window = await storage.get_sliding_window(limit.key_for(owner), expiry_s)
    except ValueError:
        return False
    except StorageError as error:
        if isinstance(error.storage_error, ResponseError):  # a key of another type
            return False
        raise
    return all(
        0 <= count <= limit.amount and (not count or 0 < left_s <= 2 * expiry_s)
        for count, left_s in (window[:2], window[2:])
    )


async def _hit(limiter: Limiter, limits: list[RateLimitItem], name: str, what: str) -> None:
    for limit in limits:
        if not await limiter.hit(limit, name):
            stats = await limiter.get_window_stats(limit, name)
            wait_s = max(1, math.ceil(stats.reset_time - time.time()))
            raise TooMany(f"Those were too many {what}: {limit} is the limit.", wait_s)


def _redis(url: str) -> ConnectionPool:
    pool: ConnectionPool = ConnectionPool.from_url(
        url,
        socket_timeout=REDIS_S,
        socket_connect_timeout=REDIS_S,
        retry=Retry(NoBackoff(), 0),
    )
    return pool


def _storage(pool: ConnectionPool) -> RedisStorage:
    # Where Redis is, the pool knows; the library wants an address all the same.
    return RedisStorage(
        "async+redis://",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=PREFIX,
        connection_pool=pool,  # type: ignore[arg-type]  # documented, and not in the signature
    )
