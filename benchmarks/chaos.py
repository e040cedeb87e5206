"""What a viewer notices when workers, nodes, dispatchers, Redis, machines or cables fail.

Three hosts in network namespaces: Redis and a dispatcher; a dispatcher and a node; a node. The
local room is beside their bridge, with an agent for each of two faces that speak without a
pause, one who hears them over WHEP, and an onlooker who counts the pictures that arrive. Then
something is killed, stopped, cut off or emptied, held so for longer than a lease, and mended.

Of every row: how long a face was silent, sessions that were lost, how long one face's pictures
came from two senders, and what a join request got that was POSTed again and again meanwhile.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from cluster import CHEAP, DRAIN_S, LEASE_S, HostCluster, HostNode, cluster, machines, why_not
from ear import ear
from failing import FAILURES, HOLD_S, Failure, FailureTarget, Hit
from hosts import HUB
from onlooker import Onlooker, onlooker
from operations import OPERATIONS, Operation
from poisoning import POISONED, VERSIONS
from room_stage import room_process
from talking import (
    OVER,
    UNBROKEN_S,
    Installation,
    Lateness,
    PostAnswer,
    Poster,
    Talk,
    client_of_agents,
    end,
    lateness,
    post,
    posting,
    summary,
    talking,
)

from agent_side import AvatarError
from localroom.faults import Faults
from localroom.launch import LocalRoom

LIMIT_S: Final = LEASE_S + 2.0
"""The longest a face may be silent whose worker, node or host has failed."""

HANDOFF_S: Final = 2.0
"""The longest silence when a node hands a face over."""

BEFORE_S: Final = 1.0
AFTER_S: Final = LEASE_S + 1.0
"""How long it is looked at what the mending does: leases that were not renewed run out again."""

LATE_S: Final = 10.0
"""How much longer a face is waited for, so that the row says how late it was."""

JITTER_S: Final = 0.1
"""Of a face that was hit every pause counts that is more than the network's play."""

STEADY_S: Final = 1.0
"""A face that was heard so much at the end speaks."""

UNANSWERED_S: Final = 2.0
"""How long no POST may get the session that lives; they come twice a second at each dispatcher."""

ANSWER_S: Final = 4.5
"""Stock agents give up after 5 s."""

SPEECH_S: Final = 60.0

INTERRUPTED: Final = 130
"""The exit status that a shell has for Ctrl-C."""

UNPLAYED: Final = (AssertionError, AvatarError, LookupError, OSError, ValueError, httpx.HTTPError)
"""What a scene that never got so far ends with: no session, no worker, no answer in time."""

logger = logging.getLogger("avatar.benchmarks.chaos")


@dataclass(frozen=True, slots=True)
class Observers:
    """Two faces that speak, and what is noticed of them."""

    talks: list[Talk]
    onlooker: Onlooker
    poster: Poster
    lateness: Lateness


@dataclass(slots=True)
class FailureResult:
    """What came of one failure; `wrong` says in words what is beyond a limit."""

    name: str
    silent_s: float = 0.0
    limit_s: float = 0.0
    others_silent_s: float = 0.0
    lost: int = 0
    faces_shown: int = 0
    doubles: int = 0
    doubles_limit: int = 0
    posts: dict[str, int] = field(default_factory=dict)
    slowest_post_s: float = 0.0
    unanswered_s: float = 0.0
    newcomer: int | None = None
    newcomer_s: float | None = None
    agents_late_s: float = 0.0
    """How long the agents' own process was held up: what they did not send, no face can say."""
    wrong: list[str] = field(default_factory=list)


async def fail(house: Installation, failure: Failure, room: str) -> FailureResult:
    """Two faces speak; something fails, stays so, and is mended."""
    running = house.running
    faults = Faults(eviction="silent" if failure.discreet else "told")
    async with observed(house, room, faults) as observers:
        mine, home = observers.talks[0], running.home(observers.talks[0].session)
        struck_s = time.monotonic()
        mend = await asyncio.to_thread(failure.strike, FailureTarget(running, mine))
        newcomer = await _newcomer(running, failure, f"{room}-new")
        await asyncio.sleep(struck_s + HOLD_S - time.monotonic())
        if mend:
            await asyncio.to_thread(mend)
        running.start()
        await asyncio.sleep(AFTER_S)
        hit = [each for each in observers.talks if _is_hit(failure.hit, each, mine, running, home)]
        unanswered_s = None if failure.store else UNANSWERED_S
        limits = Limits(LIMIT_S if hit else 0.0, failure.doubles, unanswered_s)
        row = await _row(failure.name, running, observers, hit, limits, struck_s)
    row.newcomer, row.newcomer_s = newcomer.status, round(newcomer.took_s, 2)
    if newcomer.status not in ((200, 503) if failure.store else (200,)):
        row.wrong.append(f"a new session's POST got {newcomer.status}")
    if newcomer.took_s > ANSWER_S:
        row.wrong.append(f"a new session's POST took {row.newcomer_s} s")
    return row


async def maintain(house: Installation, chore: Operation, room: str) -> FailureResult:
    """Two faces speak while programs are told to stop, and others are started."""
    running = house.running
    async with observed(house, room) as observers:
        began_s = time.monotonic()
        wrong = await chore.do(running, observers.talks)
        await asyncio.sleep(AFTER_S)
        hit = observers.talks if chore.hands_over else []
        limits = Limits(HANDOFF_S if hit else 0.0, 0, UNANSWERED_S)
        row = await _row(chore.name, running, observers, hit, limits, began_s)
    row.wrong += wrong
    return row


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a face may be silent, in how many tenths of a second two may send its pictures,
    and how long nobody may have got its session by a POST, where that is asked for."""

    silent_s: float
    doubles: int
    unanswered_s: float | None


async def _row(
    name: str,
    running: HostCluster,
    observers: Observers,
    hit: list[Talk],
    limits: Limits,
    since_s: float,
) -> FailureResult:
    lost = [each.room_id for each in observers.talks if not await _goes_on(running, each)]
    until_s = time.monotonic()
    silent_s = [longest(each, since_s, until_s, JITTER_S) for each in hit]
    others = [each for each in observers.talks if each not in hit]
    others_s = [longest(each, since_s, until_s, UNBROKEN_S) for each in others]
    answers = observers.poster.answers
    row = FailureResult(
        name=name,
        silent_s=max(silent_s, default=0.0),
        limit_s=limits.silent_s,
        others_silent_s=max(others_s, default=0.0),
        lost=len(lost) + len(_strangers(observers.poster, observers.talks[0])),
        faces_shown=max(observers.onlooker.shown(each.room_id) for each in observers.talks),
        doubles=max(observers.onlooker.doubles(each.room_id, since_s) for each in observers.talks),
        doubles_limit=limits.doubles,
        posts=summary(answers),
        slowest_post_s=_slowest(answers),
        unanswered_s=_unanswered(answers, since_s, until_s),
        agents_late_s=round(observers.lateness.most_s(since_s), 2),
    )
    row.wrong = [*_beyond(row, limits), *_bad_answers(answers)]
    _log(row, observers.talks, since_s, until_s)
    return row


def _is_hit(hit: Hit, talk: Talk, mine: Talk, running: HostCluster, home: HostNode) -> bool:
    match hit:
        case "the face":
            return talk is mine
        case "its node's":
            return running.home(talk.session) is home
        case _:
            return False


@asynccontextmanager
async def observed(
    house: Installation, room: str, faults: Faults | None = None
) -> AsyncIterator[Observers]:
    """Two faces that speak, an onlooker, and POSTs for the first one."""
    async with AsyncExitStack() as stack:
        late = await stack.enter_async_context(lateness())
        watch = await stack.enter_async_context(onlooker(house.local))
        talks = [
            await stack.enter_async_context(talking(house, f"{room}-{each}", SPEECH_S, faults))
            for each in (1, 2)
        ]
        for each in talks:
            await each.until_it_speaks(BEFORE_S)
        poster = await stack.enter_async_context(posting(house.running, talks[0].room_id))
        yield Observers(talks, watch, poster, late)
        for each in talks:
            await each.agent.out.interrupt()


async def _newcomer(running: HostCluster, failure: Failure, room_id: str) -> PostAnswer:
    """What the POST for a new session gets from a dispatcher that is well; it is ended again."""
    dispatcher = running.dispatchers[1 if "dispatcher" in failure.name else 0]
    async with client_of_agents() as client:
        answer = await post(client, dispatcher, room_id)
    if answer.session_id:
        with suppress(TimeoutError):
            await end(running, answer.session_id)
    return answer


async def _goes_on(running: HostCluster, talk: Talk) -> bool:
    """Whether the session is still there and the face speaks, sooner or later."""
    with suppress(TimeoutError):
        await talk.until_it_speaks(STEADY_S, LATE_S)
        session = await asyncio.to_thread(running.session, talk.session_id)
        return session is not None and session["state"] not in OVER
    return False


def longest(talk: Talk, since_s: float, until_s: float, least_s: float) -> float:
    """The longest silence (s); 0 where none lasted as long as that."""
    pauses = talk.silences(since_s, until_s, least_s)
    return round(max((each.lasted_s for each in pauses), default=0.0), 2)


def _strangers(poster: Poster, talk: Talk) -> set[str]:
    """Sessions that a POST for a live one has been given instead of it."""
    return {each.session_id for each in poster.answers if each.session_id} - {talk.session_id}


def _slowest(answers: Sequence[PostAnswer]) -> float:
    return round(max((each.took_s for each in answers if each.status), default=0.0), 2)


def _unanswered(answers: Sequence[PostAnswer], since_s: float, until_s: float) -> float:
    """The longest time in which no POST got its session."""
    got = sorted(each.sent_s + each.took_s for each in answers if each.status == 200)
    moments = [since_s, *(each for each in got if each > since_s), until_s]
    return round(max(after - before for before, after in pairwise(moments)), 2)


def _beyond(row: FailureResult, limits: Limits) -> Iterator[str]:
    if row.silent_s > row.limit_s:
        yield f"silent for {row.silent_s} s"
    if row.others_silent_s:
        yield f"others silent for {row.others_silent_s} s"
    if row.lost:
        yield f"{row.lost} lost"
    if row.faces_shown > 1:
        yield f"{row.faces_shown} faces shown"
    if row.doubles > row.doubles_limit:
        yield f"two senders in {row.doubles} tenths of a second"
    if limits.unanswered_s is not None and row.unanswered_s > limits.unanswered_s:
        yield f"no POST got its session for {row.unanswered_s} s"
    if row.slowest_post_s > ANSWER_S:
        yield f"a POST took {row.slowest_post_s} s"


def _bad_answers(answers: Sequence[PostAnswer]) -> Iterator[str]:
    if strange := {each.status for each in answers} - {200, 503, None}:
        yield f"POSTs were answered {strange}"
    if any(each.status == 503 and not each.retry_after for each in answers):
        yield "503 without Retry-After"
    if not any(each.status == 200 for each in answers[-4:]):
        yield "POSTs are not answered at the end"


def _log(row: FailureResult, talks: list[Talk], since_s: float, until_s: float) -> None:
    logger.info("%s: %s", row.name, row.wrong or "well")
    for each in talks:
        pauses = each.silences(since_s, until_s)
        shown = [f"{p.began_s - since_s:.2f}..{p.ended_s - since_s:.2f}" for p in pauses]
        logger.info("  %s on %s: silent %s", each.room_id, each.session.get("slot"), shown)
        logger.info("  told: %s", each.agent.reports)


HEAD: Final = (
    "what fails",
    "silent, s (limit)",
    "others, s",
    "lost",
    "faces shown",
    "doubles, 0.1 s (limit)",
    "POSTs for it",
    "slowest, s",
    "none got it for, s",
    "a new one's POST",
    "agents late, s",
)


def table(rows: Sequence[FailureResult]) -> Iterator[str]:
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    for row in rows:
        cells = (
            row.name,
            f"{row.silent_s} ({row.limit_s:g})",
            row.others_silent_s,
            row.lost,
            row.faces_shown,
            f"{row.doubles} ({row.doubles_limit})",
            ", ".join(f"{count} x {kind}" for kind, count in row.posts.items()),
            row.slowest_post_s,
            row.unanswered_s,
            "-" if row.newcomer_s is None else f"{row.newcomer or 'none'} in {row.newcomer_s} s",
            row.agents_late_s,
        )
        yield f"| {' | '.join(map(str, cells))} |"


async def run(local: LocalRoom, running: HostCluster, chosen: Sequence[str]) -> list[FailureResult]:
    """Everything, one after the other, or what has one of the words `chosen` in its name."""
    rows: list[FailureResult] = []
    everything: tuple[Failure | Operation, ...] = (*FAILURES, *POISONED, *OPERATIONS, *VERSIONS)
    async with ear() as listening:
        house = Installation(local, running, listening)
        for number, each in enumerate(everything):
            if chosen and not any(word in each.name for word in chosen):
                continue
            row = await _play(house, each, f"chaos-{number}")
            rows.append(row)
            print(f"{each.name}: {'; '.join(row.wrong) or 'well'}", flush=True)
            if not await _recovered(running):
                row.wrong.append("not all of it came back afterwards; the rest is not played")
                break
    return rows


async def _play(house: Installation, each: Failure | Operation, room: str) -> FailureResult:
    """One row, or why there is none."""
    try:
        if isinstance(each, Failure):
            row = await fail(house, each, room)
        else:
            row = await maintain(house, each, room)
    except UNPLAYED as error:
        logger.warning("%s", each.name, exc_info=True)
        row = FailureResult(each.name, wrong=[f"could not be played to its end ({error!r})"])
    return row


async def _recovered(running: HostCluster) -> bool:
    """Mend whatever was left broken; whether all takes sessions then."""
    for host in running.hosts:
        await asyncio.to_thread(host.resume)
        await asyncio.to_thread(host.restore)
    running.start()
    try:
        await asyncio.to_thread(running.until_ready)
    except (AssertionError, RuntimeError) as error:
        logger.warning("%s", error)
        return False
    return True


def main(out: Path, chosen: Sequence[str]) -> int:
    """Print the table and write chaos.json; 1 where a limit was not kept."""
    if reason := why_not():
        print(f"make chaos is skipped: {reason}.")
        return 0
    began_s, load = time.monotonic(), round(os.getloadavg()[0], 1)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("avatar.agent_side").setLevel(logging.CRITICAL)
    out.mkdir(parents=True, exist_ok=True)
    logger.setLevel(logging.INFO if os.environ.get("AVATAR_LOG_LEVEL") == "DEBUG" else "WARNING")
    with TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(os.environ.get("CHAOS_FOLDER", name))
        with (
            machines(3) as made,
            room_process("--host", HUB) as local,
            cluster(local, made, folder) as running,
        ):
            rows = asyncio.run(run(local, running, chosen))
    for line in table(rows):
        print(line)
    figures = {
        "lease_s": LEASE_S,
        "drain_s": DRAIN_S,
        "renderer": CHEAP["AVATAR_RENDERER"],
        "cores": os.cpu_count(),
        "load": load,
        "longest_silence_s": max((row.silent_s for row in rows), default=0.0),
        "lost": sum(row.lost for row in rows),
        "doubles": sum(row.doubles for row in rows if not row.doubles_limit),
        "rows": [asdict(row) for row in rows],
    }
    (out / "chaos.json").write_text(json.dumps(figures, indent=2) + "\n")
    wrong = {row.name: row.wrong for row in rows if row.wrong}
    took_s = time.monotonic() - began_s
    print(f"\nlease {LEASE_S} s, {os.cpu_count()} cores, load {load} before it; {took_s:.0f} s")
    print(f"limits: {wrong or 'kept'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        status = main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"), sys.argv[2:])
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)
