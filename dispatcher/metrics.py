"""Metrics: what operators watch of a dispatcher or a node, and of the workers beside it.

The names and labels are a contract with dashboards and alert rules. No label has more values
than are written here, and each is there from the begin. A process has one set of them, as it
has one log; the workers count in memory that is shared with them, see
dispatcher/workers/shared_numbers.py.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import prometheus_client.values
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from dispatcher.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Full,
    Refused,
    StoreDown,
    TooMany,
    Unauthorized,
)

RESULT_OF: Final[Mapping[type[Exception], str]] = {
    BadRequest: "bad_request",
    Unauthorized: "unauthorized",
    Forbidden: "forbidden",
    TooMany: "too_many",
    Conflict: "conflict",
    Refused: "refused",
    StoreDown: "store_down",
    Full: "full",
}
"""What a launch is counted as that ends so; the first that fits, else it has failed."""

AT_THE_GATE: Final = ("bad_request", "unauthorized", "forbidden", "too_many")
"""Results of launches that no pool has seen: a flood of them makes no dispatch look quick."""

RESULTS: Final = ("launched", *RESULT_OF.values(), "failed")
BACKENDS: Final = ("local", "redis")
SLOTS: Final = ("idle", "claimed", "busy", "draining")
REASONS: Final = ("worker_lost", "lease_expired", "handoff")
PARTS: Final = ("metrics", "recording")
"""What may fail beside the faces; see dispatcher/degraded.py."""
KINDS: Final = ("letter", "number", "record", "reply", "report", "slot", "type", "version")

DISPATCH_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 4.5, 5)
CLAIM_S: Final = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2)

REGISTRY: Final = CollectorRegistry()

prometheus_client.values.ValueClass = prometheus_client.values.MutexValue
"""This process counts in its own memory, whatever its environment says to the library."""

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


def _counters(name: str, text: str, label: str, values: Sequence[str]) -> Mapping[str, Counter]:
    each = Counter(name, text, [label], registry=REGISTRY)
    return {value: each.labels(value) for value in values}


REQUESTS: Final = _counters(
    "avatar_dispatch_requests_total", "POST /launch by what became of it", "result", RESULTS
)
DISPATCH: Final = Histogram(
    "avatar_dispatch_seconds",
    "From a launch that a pool has seen to its answer",
    buckets=DISPATCH_S,
    registry=REGISTRY,
)
_CLAIM: Final = Histogram(
    "avatar_claim_seconds",
    "Getting a slot for a session, or the answer that there is none",
    ["backend"],
    buckets=CLAIM_S,
    registry=REGISTRY,
)
CLAIM: Final = {backend: _CLAIM.labels(backend) for backend in BACKENDS}
_SLOTS: Final = Gauge(
    "avatar_pool_slots", "Slots by what they are doing", ["state"], registry=REGISTRY
)
POOL_SLOTS: Final = {state: _SLOTS.labels(state) for state in SLOTS}
REDISPATCHED: Final = _counters(
    "avatar_redispatch_total", "Sessions that were given to another worker", "reason", REASONS
)
FENCED: Final = Counter(
    "avatar_session_fenced_total",
    "Sessions that this node has left because another one has them",
    registry=REGISTRY,
)
UNREADABLE: Final = _counters(
    "avatar_unreadable_items_total",
    "Items of Redis or of a worker's pipe that were left out, as they cannot be read",
    "kind",
    KINDS,
)
STORE_UP: Final = Gauge(
    "avatar_store_up", "Whether Redis answers; 1 where there is none", registry=REGISTRY
)
STORE_UP.set(1)
DRAINING: Final = Gauge(
    "avatar_draining", "Whether this process takes no more sessions", registry=REGISTRY
)
AUXILIARY_FAILURES: Final = _counters(
    "avatar_auxiliary_failures_total",
    "Failures of what a face does not need: sessions go on",
    "part",
    PARTS,
)
_DEGRADED: Final = Gauge(
    "avatar_degraded", "Whether a part that a face does not need fails", ["part"], registry=REGISTRY
)
DEGRADED: Final = {part: _DEGRADED.labels(part) for part in PARTS}


@contextmanager
def launching() -> Iterator[None]:
    """Count one launch by how this block ends, and how long it took."""
    began = time.perf_counter()
    result = "launched"
    try:
        yield
    except BaseException as error:
        fits = [word for kind, word in RESULT_OF.items() if isinstance(error, kind)]
        result = fits[0] if fits else "failed"
        raise
    finally:
        REQUESTS[result].inc()
        if result not in AT_THE_GATE:
            DISPATCH.observe(time.perf_counter() - began)


async def exposition(
    numbers: Collector, slots: Callable[[], Awaitable[Mapping[str, int]]]
) -> bytes:
    """All metrics of this process and those that its workers count, as Prometheus reads them.

    While the store is down, the slots stay as they were last known.
    """
    with suppress(StoreDown):
        for state, count in (await slots()).items():
            POOL_SLOTS[state].set(count)
    workers = CollectorRegistry()
    workers.register(numbers)
    return generate_latest(REGISTRY) + generate_latest(workers)
