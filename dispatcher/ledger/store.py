"""Store: the connection to Redis; runs the ledger's scripts, many in one round trip.

The scripts are in ``dispatcher/ledger/scripts``: each is `CLOCK`, ``common.lua`` and its own file,
loaded where Redis does not know it (at first, and after a restart) and called by its digest.
What a script could not read follows its answer; it is logged and counted here.
"""

import asyncio
import json
import logging
import time
from builtins import TimeoutError as OutOfTime
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha1
from importlib.resources import files
from ssl import SSLError
from typing import Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,  # noqa: A004 - Redis' own, which is not Python's
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from dispatcher.errors import NotDone, SettingsError, StoreDown
from dispatcher.ledger.refusals import refuse

PREFIX: Final = "{av}:"
"""All keys begin with it; the braces keep them in one slot of a cluster."""

STORE_S: Final = 0.9
"""How long Redis may take to answer: with what comes before and after, within a second."""

MAX_BATCH: Final = 128
"""Calls in one round trip."""

MAX_POPPED: Final = 64
"""Items of a list that are read at once."""

LOG_AGAIN_S: Final = 10.0
"""How long the same error of Redis is not logged again."""

MOST_LOGGED: Final = 16
"""Errors that are logged in that time."""

CLOCK: Final = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

Reply = str | int | float | bool | None | list["Reply"] | dict[str, "Reply"]
"""What a script returns, as JSON, or nothing. An empty list is an empty object there."""


UNANSWERED: Final = (RedisError, OSError, OutOfTime, ValueError)
"""What a call ends with that got no answer; ValueError for one that is no answer of Redis."""

logger = logging.getLogger("avatar.dispatcher.store")

_logged: dict[str, float] = {}
"""Which errors were logged lately, and when."""


class Store:
    """A client of Redis; all its methods raise StoreDown within about a second where it cannot
    be reached, and open the connection anew with the next call."""

    def __init__(self, url: str) -> None:
        """`url` is ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user and password.

        Raises SettingsError."""
        self._main = _Connection(url)
        self._blocking = _Connection(url)
        self._calls: list[_Call] = []
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        await self._main.close()
        await self._blocking.close()

    async def ping(self) -> None:
        """Return when Redis lets us in and runs scripts."""
        await self.call("slots")

    async def call(self, name: str, *arguments: str | int | float) -> Reply:
        """What the script of that name returns.

        Calls that wait for the connection at the same time go together, in their order. A call
        may be made twice where a connection breaks: every script stands that.
        """
        mine = _Call(name, arguments)
        self._calls.append(mine)
        try:
            async with self._turn:
                while not mine.done:
                    batch, self._calls = self._calls[:MAX_BATCH], self._calls[MAX_BATCH:]
                    await self._send(batch)
        except asyncio.CancelledError:
            if mine in self._calls:
                self._calls.remove(mine)
            raise
        if isinstance(mine.answer, Exception):
            raise _down(mine.answer) from mine.answer
        if mine.answer is None:
            return None
        try:
            return _read_answer(mine.answer)
        except (ValueError, RecursionError) as error:
            raise _down(error) from error

    async def pop(self, name: str, timeout_s: float) -> list[str]:
        """The oldest items of the list of that name, MAX_POPPED at most; waits for the first.

        On a connection of its own: one caller at a time.
        """
        key = PREFIX + name
        try:
            async with asyncio.timeout(timeout_s + STORE_S):
                (popped,) = await self._blocking.ask([("BLPOP", key, timeout_s)])
                if _is_of_another_type(popped):
                    await self.call("aside", name, "", "")
                if not isinstance(popped, list):
                    return []
                (more,) = await self._blocking.ask([("LPOP", key, MAX_POPPED - 1)])
        except UNANSWERED as error:
            raise _down(error) from error
        return [str(popped[1]), *map(str, more if isinstance(more, list) else ())]

    async def move(self, source: str, target: str, timeout_s: float) -> None:
        """Move the oldest item of the list `source` to the list `target`; wait for it until
        `timeout_s` is over. An item that is moved after the answer was lost is kept.

        On the same connection as `pop`.
        """
        command = ("BLMOVE", PREFIX + source, PREFIX + target, "LEFT", "RIGHT", timeout_s)
        try:
            async with asyncio.timeout(timeout_s + STORE_S):
                (moved,) = await self._blocking.ask([command])
                _is_of_another_type(moved)  # `take` sets it aside
        except UNANSWERED as error:
            raise _down(error) from error

    async def _send(self, batch: "list[_Call]") -> None:
        """Give every call of `batch` its answer, or all of them the error."""
        try:
            async with asyncio.timeout(STORE_S):
                try:
                    await self._run(batch)
                except ConnectionError:  # it was open for long, and Redis is another by now
                    await self._run(batch)
        except asyncio.CancelledError:
            # The caller whose turn it was goes, and takes its own call along; the others' stay.
            self._calls[:0] = [call for call in batch if not call.done]
            raise
        except UNANSWERED as error:
            # Who has come meanwhile would wait as long again.
            waiting, self._calls = self._calls, []
            for call in (*batch, *waiting):
                if not call.done:
                    call.resolve(error)

    async def _run(self, batch: "list[_Call]") -> None:
        answers = await self._main.ask([_evalsha(call) for call in batch])
        unknown = [
            number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)
        ]
        if unknown:
            names = {batch[number].name for number in unknown}
            await self._main.ask([("SCRIPT", "LOAD", script(name)) for name in names])
            again = await self._main.ask([_evalsha(batch[number]) for number in unknown])
            for number, answer in zip(unknown, again, strict=True):
                answers[number] = answer
        for call, answer in zip(batch, answers, strict=True):
            call.resolve(answer if isinstance(answer, Exception | None) else str(answer))


class _Connection:
    """One connection, which is made when it is needed."""

    def __init__(self, url: str) -> None:
        try:
            pool = ConnectionPool.from_url(
                url,
                decode_responses=True,
                encoding_errors="surrogateescape",  # what is no UTF-8 is refused where it is read
                protocol=2,
                socket_timeout=None,  # callers have a deadline
                socket_connect_timeout=STORE_S,
                retry=Retry(NoBackoff(), 0),
            )
            self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        except (TypeError, ValueError, RedisError) as error:  # TypeError: an unknown option
            raise SettingsError(
                "AVATAR_REDIS_URL cannot be used; it has to be redis://host:port/0, rediss:// for "
                "TLS or unix:///path, with user:password@ before the host, and options that "
                "redis-py knows, such as ?ssl_ca_certs=."
            ) from error

    async def ask(self, commands: Sequence[Sequence[str | int | float]]) -> list[object]:
        """The answers to `commands`, in one round trip; an answer may be an error of Redis."""
        connection = self._connection
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_packed_command(connection.pack_commands(commands))
        answers: list[object] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            # It was the primary, and its place is taken: the name leads to another by now.
            await self.close()
            raise ConnectionError("This Redis is a replica.")
        return answers

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._connection.disconnect()


def _evalsha(call: "_Call") -> tuple[str | int | float, ...]:
    return ("EVALSHA", digest(call.name), 1, PREFIX + "leases", *call.arguments)


class _Call:
    """One call of a script, and its answer once it has one."""

    __slots__ = ("answer", "arguments", "done", "name")

    def __init__(self, name: str, arguments: Sequence[str | int | float]) -> None:
        self.name = name
        self.arguments = arguments
        self.answer: str | Exception | None = None
        self.done = False

    def resolve(self, answer: str | Exception | None) -> None:
        self.answer = answer
        self.done = True


@cache
def script(name: str) -> str:
    """The whole text of one script."""
    folder = files("dispatcher") / "ledger" / "scripts"
    common, body = ((folder / f"{each}.lua").read_text() for each in ("common", name))
    return f"{CLOCK}{common}local function run()\n{body}end\nreturn with_refusals(run())\n"


@cache
def digest(name: str) -> str:
    """By which Redis knows it."""
    return sha1(script(name).encode(), usedforsecurity=False).hexdigest()


def _read_answer(text: str) -> Reply:
    """The answer of a script, without what it has refused, which is logged and counted."""
    answer, _, refused = text.partition("\n")
    for kind, key, why in json.loads(refused or "[]"):
        refuse(str(kind), str(key), str(why))
    reply: Reply = json.loads(answer)
    return reply


def _is_of_another_type(answer: object) -> bool:
    """Whether a command has met a key of another type. Raises any other error of Redis."""
    if not isinstance(answer, ResponseError):
        return False
    if str(answer).startswith("WRONGTYPE"):
        return True
    raise answer


def _down(error: Exception) -> StoreDown:
    """The sentence for it, which callers may read. It never repeats the URL, in which a password
    is, nor Redis' own words, which go to the log."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        what = "Redis does not let us in; check the user and password in AVATAR_REDIS_URL."
    elif isinstance(error, NoPermissionError):
        _log(error)
        what = "Redis' ACL forbids what the ledger does; the log says what."
    elif _within(error, SSLError):
        what = "Redis has no TLS, or no certificate that is trusted; check rediss:// and its files."
    elif _within(error, FileNotFoundError):
        what = "A file that AVATAR_REDIS_URL names is not there, its socket or its certificate."
    elif isinstance(error, TimeoutError | OutOfTime):
        what = "Redis does not answer; see whether it runs, and speaks TLS if the URL says so."
    elif isinstance(error, ConnectionError | OSError):
        what = "Redis cannot be reached; see whether it runs at AVATAR_REDIS_URL, and try again."
    else:
        _log(error)
        return NotDone("Redis cannot do what it was asked; the log says what.")
    return StoreDown(what)


def _within(error: BaseException | None, kind: type[Exception]) -> bool:
    """Whether it, or what it came from, is of that kind."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _log(error: Exception) -> None:
    """Log Redis' own words, each once in LOG_AGAIN_S: every heartbeat and launch gets them."""
    text, now = str(error).partition(" script: ")[0], time.monotonic()
    for old in [each for each, since in _logged.items() if now - since >= LOG_AGAIN_S]:
        del _logged[old]
    if text not in _logged and len(_logged) < MOST_LOGGED:
        _logged[text] = now
        logger.warning("Redis says: %s", text)


def as_list(answer: Reply) -> list[Reply]:
    """An answer that is to be a list; an empty one is an empty object in JSON."""
    return answer if isinstance(answer, list) else []


def as_mapping(answer: Reply) -> Mapping[str, Reply]:
    """An answer that is to be an object."""
    return answer if isinstance(answer, dict) else {}


def word(text: str) -> str:
    """`text` without what separates words in the ledger."""
    return "_".join(text.split()).replace("/", "_")
