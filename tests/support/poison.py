"""Poison: what a hand, a fault or another version may leave in any key of the ledger."""

from collections.abc import Callable
from typing import Any, Final, Literal

import redis

HUGE: Final = 10**18
"""More than any number of ours: no whole number of a script is exact there."""

NO_TEXT: Final = b"\xff\xfe"
"""Bytes that are no UTF-8."""

Kind = Literal["no text", "huge", "missing", "empty", "no json", "another type", "junk"]
KINDS: Final[tuple[Kind, ...]] = (
    "no text",
    "huge",
    "missing",
    "empty",
    "no json",
    "another type",
    "junk",
)

VALUES: Final[dict[str, bytes]] = {
    "no text": NO_TEXT,
    "huge": b"%d" % HUGE,
    "empty": b"",
    "no json": b'{"a": [',
    "junk": b"nonsense",
}


def poison(client: "redis.Redis", key: bytes, kind: Kind, which: int = 0) -> str:
    """Harm that key, the field or member of that number in it; returns in words what was done."""
    store: Any = client
    is_a = store.type(key).decode()
    if is_a == "none":
        return f"{key!r} is not there"
    if kind == "another type":
        store.delete(key)
        if is_a == "string":
            store.rpush(key, NO_TEXT)
        else:
            store.set(key, NO_TEXT)
        return f"{key!r} is no {is_a} any more"
    harm: Callable[[Any, bytes, Kind, int], str] = HARMS[is_a]
    return f"{key!r}: {harm(store, key, kind, which)}"


def _hash(store: Any, key: bytes, kind: Kind, which: int) -> str:
    fields = sorted(store.hkeys(key))
    field = fields[which % len(fields)]
    if kind == "missing":
        store.hdel(key, field)
    else:
        store.hset(key, field, VALUES[kind])
    return f"{field!r} is {kind}"


def _list(store: Any, key: bytes, kind: Kind, which: int) -> str:
    item = VALUES.get(kind, b"one two three four")
    (store.lpush if which % 2 else store.rpush)(key, item)
    return f"has an item that is {kind}"


def _sorted(store: Any, key: bytes, kind: Kind, which: int) -> str:
    members = store.zrange(key, 0, -1)
    if kind == "huge" and members:
        member = members[which % len(members)]
        store.zadd(key, {member: HUGE})
        return f"{member!r} has a score of {HUGE}"
    store.zadd(key, {VALUES.get(kind, b"host@1/one"): 0 if which % 2 else HUGE})
    return f"has a member that is {kind}"


def _set(store: Any, key: bytes, kind: Kind, _: int) -> str:
    store.sadd(key, VALUES.get(kind, b"member"))
    return f"has a member that is {kind}"


def _string(store: Any, key: bytes, kind: Kind, _: int) -> str:
    store.set(key, VALUES.get(kind, b""))
    return f"is {kind}"


HARMS: Final[dict[str, Callable[[Any, bytes, Kind, int], str]]] = {
    "hash": _hash,
    "list": _list,
    "zset": _sorted,
    "set": _set,
    "string": _string,
}
