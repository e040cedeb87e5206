"""How fast slots are claimed: eight dispatchers, two nodes, one Redis, all processes of their own.

What is measured is the real ledger (dispatcher/ledger/), from the call of `RedisLedger.claim`
until it returns: the join request is sealed, one script is run in Redis, which takes a slot,
writes the record and sends the command, and the answer is read. The slot's node takes the command,
unseals the join request, finishes the session and offers the slot again, so that all is steady;
it looks into its mailbox each 2 ms. Workers are left out; dispatchers reap, nodes send heartbeats
and renewals as they always do. Every session has a room of its own.

- ``steady``: claims are due at a fixed rate, a little more than 2,000 a second over all
  dispatchers. A latency counts from when the claim was due, so what piles up is not hidden. It
  is this run of which `p50_ms`, `p99_ms` and `per_s` speak. Claims that find no idle slot count
  for nothing.
- ``flat out``: each dispatcher claims again as soon as it is answered, some at a time.
- ``crashes``: as ``steady``, while dispatchers are killed with SIGKILL and others are started.
- ``acked``: at a tenth of the rate, and the node acks what it takes, as it does once a worker has
  taken the join request; `ack_p50_ms` and `ack_p99_ms` last until the dispatcher has that reply.

Doubles are counted by the nodes and not by the ledger: a slot that is given while it is taken, or
a session that is given twice, wherever.

Usage: ``python benchmarks/claims.py out`` writes ``out/claims.json``; exit status 1 beyond the
limits.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from cryptography.fernet import Fernet
from ledgers import join
from redis_server import RedisServer, redis_server

from dispatcher.errors import StoreDown
from dispatcher.http.server import freeze_gc
from dispatcher.ledger.command import ServeCommand
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger

DISPATCHERS: Final = 8
NODES: Final = 2
SLOTS: Final = 256
"""Of each node: more than are ever taken at once."""

RATE: Final = 2_080.0
"""Claims that are due per second, over all dispatchers."""

AT_ONCE: Final = 4
"""Claims of each dispatcher that are under way at once, flat out."""

STEADY_S, FLAT_OUT_S, CRASHES_S, ACKED_S = 20.0, 8.0, 12.0, 5.0
WARM_UP_S: Final = 1.0
CRASHES: Final = 3
LOOK_S: Final = 0.002
"""How often a node looks into its mailbox. A real one does so at once, and so it does where acks
are measured; here what nodes cost shall not hide what a claim costs. Those that look seldom take
many commands at once, and claims wait behind them in Redis."""

LONGEST_S: Final = 120
"""No process of it outlives this."""

WAIT_TIMEOUT_S: Final = 4.0
"""What is left of a POST; a session that is not acked then is given up."""

SEAL_KEY: Final = Fernet.generate_key().decode()
"""Of this run; its processes have it from the environment."""

P99_MS: Final = 5.0
PER_S: Final = 2_000.0


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run."""

    per_s: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    ack_p50_ms: float
    ack_p99_ms: float
    claims: int
    not_acked: int
    outcomes: Mapping[str, int]
    double_claims: int
    moved: int
    """Sessions whose node was too slow for the lease of 1.5 s, so that they went elsewhere."""
    kills: int
    cpu_us: Mapping[str, float]
    """Of one claim, on average: of its dispatcher, its node and Redis."""


# --- The processes ---


async def dispatch(url: str, rate: float, seconds: float, *, acked: bool) -> None:
    """A dispatcher; at a fixed `rate`, or flat out where that is 0. Prints what it has seen."""
    ledger = RedisLedger(
        url, Encryption([os.environ["AVATAR_SEAL_KEYS"]]), name=f"dispatcher-{os.getpid()}"
    )
    mine = secrets.token_hex(4)
    claims: list[tuple[float, float]] = []  # when it was done, and how long it took
    acks: list[float] = []
    outcomes: Counter[str] = Counter()
    not_acked = 0
    loop = asyncio.get_running_loop()

    async def claim(number: int, due: float) -> None:
        nonlocal not_acked
        request = join(f"room-{mine}-{number}")
        try:
            claim = await ledger.claim(request)
        except StoreDown:
            outcomes["store_down"] += 1
            return
        done = loop.time()
        outcomes[claim.outcome] += 1
        if claim.outcome == "new":
            claims.append((done, done - due))
        if acked and claim.record is not None:
            if await ledger.resolved(claim.record, WAIT_TIMEOUT_S) == "acked":
                acks.append(loop.time() - due)
            else:
                not_acked += 1

    async def reap() -> None:
        while True:
            await ledger.reap()
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as tasks:
        keeping = [tasks.create_task(ledger.run()), tasks.create_task(reap())]
        await ledger.ping()
        freeze_gc()
        _say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        began, cpu_s = loop.time(), time.process_time()
        async with asyncio.TaskGroup() as claiming:
            if rate:
                for number in range(int(rate * seconds)):
                    due = began + number / rate
                    if due > loop.time():
                        await asyncio.sleep(due - loop.time())
                    if acked:
                        claiming.create_task(claim(number, due))
                    else:
                        await claim(number, due)
            else:

                async def over_and_over(lane: int) -> None:
                    number = 0
                    while loop.time() < began + seconds:
                        await claim(AT_ONCE * number + lane, loop.time())
                        number += 1

                for lane in range(AT_ONCE):
                    claiming.create_task(over_and_over(lane))
        for task in keeping:
            task.cancel()
    await ledger.close()
    warm = began + min(WARM_UP_S, seconds / 4)
    measured = [took for done, took in claims if done >= warm]
    last = max((done for done, _ in claims), default=warm + 1)
    _say(
        json.dumps(
            {
                "took": measured,
                "per_s": len(measured) / (last - warm),
                "acks": acks,
                "not_acked": not_acked,
                "outcomes": outcomes,
                "cpu_s": time.process_time() - cpu_s,
            }
        )
    )


async def serve(url: str, *, acks: bool) -> None:
    """A node, until its stdin ends. Prints the doubles, and every session that it was given."""
    ledger = RedisNodeLedger(
        url, Encryption([os.environ["AVATAR_SEAL_KEYS"]]), name=f"node-{os.getpid()}"
    )
    holds: dict[str, SessionRecord] = {}
    taken: set[str] = set()
    given: list[str] = []
    doubles = 0

    def idle() -> list[int]:
        return [n for n in range(1, SLOTS + 1) if ledger.slot(n) not in taken]

    async def live(owned: SessionRecord) -> None:
        slot = owned.slot or ""
        if acks:
            owned = owned.entered("joining", None, time.time(), attempts=1)
            await ledger.ack(owned)
        del holds[owned.key]
        taken.discard(slot)
        await asyncio.gather(  # one after the other, in one round trip
            ledger.finish(owned, "ended", "The agent has left."),
            ledger.offer(int(slot.rpartition("/")[2])),
        )

    async def beat() -> None:
        while True:
            await ledger.heartbeat(idle(), SLOTS)
            await ledger.renew(list(holds.values()))
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:

        async def read() -> None:
            nonlocal doubles
            while True:
                await asyncio.sleep(0 if acks else LOOK_S)
                for command in await ledger.take():
                    if isinstance(command, ServeCommand):
                        slot = command.record.slot or ""
                        doubles += slot in taken
                        taken.add(slot)
                        holds[command.record.key] = command.record
                        given.append(f"{command.record.session_id} {command.record.epoch}")
                        tasks.create_task(live(command.record))

        await ledger.heartbeat(idle(), SLOTS)
        keeping = [tasks.create_task(beat()), tasks.create_task(read())]
        freeze_gc()
        _say("ready")
        cpu_s = time.process_time()
        await asyncio.to_thread(sys.stdin.readline)
        for task in keeping:
            task.cancel()
    await ledger.close()
    cpu_s = time.process_time() - cpu_s
    _say(json.dumps({"doubles": doubles, "given": given, "cpu_s": cpu_s}))


# --- The runs ---


class Child:
    """A process of this program; its first line is ``ready``, its last what it has seen."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "AVATAR_SEAL_KEYS": SEAL_KEY},
        )

    def await_ready(self) -> None:
        if self._lines.readline() != "ready\n":
            raise SystemExit("A process of the benchmark did not start; see above.")

    def go(self) -> None:
        """Start, for a dispatcher; stop, for a node."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):
            stdin.write("\n")
            stdin.flush()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def seen(self) -> dict[str, object]:
        """What it prints at its end; nothing where it was killed."""
        said = self._lines.read()
        self._process.wait()
        return dict(json.loads(said)) if said else {}

    @property
    def _lines(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout


def measure(
    server: RedisServer, rate: float, seconds: float, *, crashes: int = 0, acked: bool = False
) -> Run:
    """One run on an empty Redis."""
    server.flush()
    server.pretend_uptime()
    whole = ["--acked"] if acked else []
    nodes = [Child("--node", server.url, *whole) for _ in range(NODES)]
    arguments = ("--dispatcher", server.url, str(rate / DISPATCHERS), str(seconds), *whole)
    dispatchers = [Child(*arguments) for _ in range(DISPATCHERS)]
    for child in (*nodes, *dispatchers):
        child.await_ready()
    before_s = _cpu_s(server)
    for child in dispatchers:
        child.go()
    for number in range(crashes):
        time.sleep(seconds / (crashes + 1))
        dispatchers[number].kill()
        late = str(seconds * (crashes - number) / (crashes + 1))
        dispatchers.append(Child(*arguments[:3], late))
        dispatchers[-1].await_ready()
        dispatchers[-1].go()
    dispatched = [seen for seen in (child.seen() for child in dispatchers) if seen]
    for child in nodes:
        child.go()
    redis_s = _cpu_s(server) - before_s
    return _run(dispatched, [child.seen() for child in nodes], crashes, redis_s)


def _cpu_s(server: RedisServer) -> float:
    with server.client() as client:
        info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _run(
    dispatched: Sequence[Mapping[str, object]],
    served: Sequence[Mapping[str, object]],
    kills: int,
    redis_s: float,
) -> Run:
    took = sorted(each for seen in dispatched for each in _floats(seen["took"]))
    acks = sorted(each for seen in dispatched for each in _floats(seen["acks"]))
    outcomes: Counter[str] = Counter()
    for seen in dispatched:
        outcomes.update(seen["outcomes"])  # type: ignore[call-overload]
    given = Counter(each for seen in served for each in seen["given"])  # type: ignore[attr-defined]
    doubles = sum(int(str(seen["doubles"])) for seen in served)
    return Run(
        per_s=round(sum(float(str(seen["per_s"])) for seen in dispatched), 1),
        p50_ms=_at(took, 0.5),
        p99_ms=_at(took, 0.99),
        worst_ms=_at(took, 1.0),
        ack_p50_ms=_at(acks, 0.5),
        ack_p99_ms=_at(acks, 0.99),
        claims=outcomes.total(),
        not_acked=sum(int(str(seen["not_acked"])) for seen in dispatched),
        outcomes=dict(outcomes),
        double_claims=doubles + sum(times - 1 for times in given.values()),
        moved=len(given) - len({each.split()[0] for each in given}),
        kills=kills,
        cpu_us={
            "dispatcher": _us(sum(float(str(seen["cpu_s"])) for seen in dispatched), outcomes),
            "node": _us(sum(float(str(seen["cpu_s"])) for seen in served), outcomes),
            "redis": _us(redis_s, outcomes),
        },
    )


def _us(seconds: float, outcomes: Counter[str]) -> float:
    return round(1e6 * seconds / outcomes.total(), 1)


def _floats(values: object) -> list[float]:
    assert isinstance(values, list)
    return values


def _at(ordered: Sequence[float], part: float) -> float:
    """A quantile, in ms from s."""
    if not ordered:
        return 0.0
    return round(1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))], 3)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", default="out", type=Path)
    parser.add_argument("--dispatcher", nargs=3, metavar=("URL", "RATE", "SECONDS"))
    parser.add_argument("--node", metavar="URL")
    parser.add_argument("--acked", action="store_true")
    options = parser.parse_args()
    signal.alarm(LONGEST_S)
    if options.dispatcher:
        url, rate, seconds = options.dispatcher
        asyncio.run(dispatch(url, float(rate), float(seconds), acked=options.acked))
        return 0
    if options.node:
        asyncio.run(serve(options.node, acks=options.acked))
        return 0
    load = round(os.getloadavg()[0], 2)
    with redis_server() as server:
        runs = {
            "steady": measure(server, RATE, STEADY_S),
            "flat out": measure(server, 0.0, FLAT_OUT_S),
            "crashes": measure(server, RATE, CRASHES_S, crashes=CRASHES),
            "acked": measure(server, RATE / 10, ACKED_S, acked=True),
        }
    _print(runs)
    steady = runs["steady"]
    doubles = sum(run.double_claims for run in runs.values())
    figures = {
        "p99_ms": steady.p99_ms,
        "p50_ms": steady.p50_ms,
        "per_s": steady.per_s,
        "double_claims": doubles,
        "dispatchers": DISPATCHERS,
        "nodes": NODES,
        "slots": NODES * SLOTS,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": load,
        "runs": {name: asdict(run) for name, run in runs.items()},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "claims.json").write_text(json.dumps(figures, indent=2) + "\n")
    beyond = _beyond(steady, doubles)
    for sentence in beyond:
        print(sentence)
    return 1 if beyond else 0


def _beyond(steady: Run, doubles: int) -> list[str]:
    """What is not as it has to be."""
    lines = []
    if steady.p99_ms > P99_MS:
        lines.append(f"beyond the limit: p99 {steady.p99_ms} ms > {P99_MS} ms")
    if steady.per_s < PER_S:
        lines.append(f"beyond the limit: {steady.per_s} claims/s < {PER_S}")
    if doubles:
        lines.append(f"beyond the limit: {doubles} double claims")
    return lines


def _print(runs: Mapping[str, Run]) -> None:
    print(f"{'':10}{'claims/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'worst':>9}{'ack p99':>9}", end="")
    print(f"{'claims':>9}{'full':>6}{'doubles':>9}{'moved':>7}   CPU us: dispatcher, node, Redis")
    for name, run in runs.items():
        print(f"{name:10}{run.per_s:10.0f}{run.p50_ms:9.2f}{run.p99_ms:9.2f}", end="")
        print(f"{run.worst_ms:9.2f}{run.ack_p99_ms:9.2f}{run.claims:9}", end="")
        print(f"{run.outcomes.get('full', 0):6}{run.double_claims:9}{run.moved:7}", end="   ")
        print(", ".join(f"{each:.0f}" for each in run.cpu_us.values()))


if __name__ == "__main__":
    sys.exit(main())
