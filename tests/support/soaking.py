"""Many sessions in the local room, and what they leave behind in each process of ours."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from caller import RoomAgent, caller, scale
from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher
from processes import shown
from room_stage import POLL_S, RoomStage, trusting

from localroom.launch import LocalRoom

SPEECH: Final = scale(0.3)
SPEECH_S: Final = 0.3

ENDS: Final = ("DELETE", "the agent leaves", "SIGTERM")
"""How sessions end, in turn."""

WARM: Final = 2


@dataclass(frozen=True, slots=True)
class Process:
    """What one process holds; memory in MB."""

    threads: int
    open: Counter[str]
    """File descriptors by their kind: socket, pipe, anon_inode, file."""
    resident: float
    proportional: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """What is there: our processes by their role, and files in the temporary folder."""

    processes: dict[str, Process]
    files: Counter[str]
    """By their names; which slots the waiting workers have does not matter."""

    @property
    def counts(self) -> dict[str, object]:
        """All of it that has to be the same after a session as before."""
        each = {role: (held.threads, dict(held.open)) for role, held in self.processes.items()}
        return {**each, "files": self.files}


@dataclass(slots=True)
class LocalService:
    """`avatar serve --local`, with a temporary folder of its own."""

    running: Dispatcher
    room: LocalRoom
    folder: Path
    acks: list[tuple[object, ...]] = field(default_factory=list)

    def footprint(self) -> Footprint:
        zygote = self.running.zygote()
        (room,) = self.running.children() - {zygote}
        waiting = sorted(self.running.family() - {zygote, room})
        roles = {"dispatcher": self.running.process.pid, "zygote": zygote, "room": room}
        roles |= {f"waiting worker {number}": pid for number, pid in enumerate(waiting, 1)}
        files = Counter(str(each.relative_to(self.folder)) for each in self.folder.rglob("*"))
        return Footprint({role: process(pid) for role, pid in roles.items()}, files)

    async def session(self, name: str, end: str) -> None:
        """One session from the agent's coming to the worker's end; its turn is acked."""
        stage = RoomStage(self.room, name)
        async with stage.open():
            async with caller(stage, self.running) as agent:
                session_id = (await self._session_of(name))["session_id"]
                await agent.say(SPEECH)
                await agent.out.wait_for_playout()
                self.acks.append(agent.reports[-1])
                await self._end(end, session_id, agent, stage)
            await self._until_over(session_id)

    async def rest(self, before: Footprint | None = None) -> Footprint:
        """The footprint once all is quiet: no session, no room, and workers that wait.

        Where there is one from `before`, waits for the same counts for a while.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_TIMEOUT_S
        while True:
            await asyncio.sleep(0.1)
            quiet = len(self.running.family()) == 2 + WARM and not await self._state()
            late = loop.time() > deadline
            assert quiet or not late, "sessions go on, or workers do not come"
            if quiet:
                after = await asyncio.to_thread(self.footprint)
                if before is None or after.counts == before.counts or late:
                    return after

    async def _state(self) -> object:
        return await asyncio.to_thread(self.room.state)

    async def _session_of(self, room: str) -> dict[str, str]:
        sessions = await asyncio.to_thread(self.running.sessions)
        return next(each for each in reversed(sessions) if each["room"] == room)

    async def _end(self, end: str, session_id: str, agent: RoomAgent, stage: RoomStage) -> None:
        match end:
            case "DELETE":
                path = f"/v1/sessions/{session_id}"
                await asyncio.to_thread(self.running.http.delete, path)
            case "SIGTERM":
                os.kill(self.running.worker(session_id), signal.SIGTERM)
            case _:
                await agent.out.aclose()
                await stage.exit(agent.peer)

    async def _until_over(self, session_id: str) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while True:
                session = await asyncio.to_thread(self.running.session, session_id)
                if session["state"] == "ended":
                    return
                assert session["state"] != "failed", session
                await asyncio.sleep(POLL_S)


@contextmanager
def house(folder: Path, slots: int, **settings: str) -> Iterator[LocalService]:
    """One that runs; the SDK in this process trusts its room meanwhile."""
    temporary = folder / "tmp"
    temporary.mkdir()
    chosen = {
        "AVATAR_MEETING": "videosdk",
        "AVATAR_SLOTS": str(slots),
        "AVATAR_WARM": str(WARM),
        "AVATAR_EMPTY_ROOM_S": "0.1",
        "TMPDIR": str(temporary),
        **settings,
    }
    with dispatcher(folder / "log", "--local", **chosen) as running:
        exported = running.exported()
        room = LocalRoom(
            exported["SIGNALING_BASE_URL"],
            Path(exported["REQUESTS_CA_BUNDLE"]),
            exported["LOCALROOM_CONTROL"],
        )
        with trusting(room):
            yield LocalService(running, room, temporary)


async def soak(
    house: LocalService, warm_up: int, one_by_one: int, at_once: int
) -> tuple[Footprint, Footprint]:
    """The footprints before and after all those sessions; all turns were acked exactly."""
    for number in range(warm_up):
        await house.session(f"warm-up-{number}", ENDS[number % len(ENDS)])
    await asyncio.gather(*(house.session(f"warm-at-once-{n}", ENDS[0]) for n in range(at_once)))
    before = await house.rest()
    for number in range(one_by_one):
        await house.session(f"one-{number}", ENDS[number % len(ENDS)])
    ends = [ENDS[number % len(ENDS)] for number in range(at_once)]
    await asyncio.gather(*(house.session(f"at-once-{n}", end) for n, end in enumerate(ends)))
    after = await house.rest(before)
    assert house.acks == [("ended", 1, SPEECH_S, False)] * (warm_up + one_by_one + 2 * at_once)
    return before, after


def process(pid: int) -> Process:
    """What the process holds now."""
    status = shown(pid, "status").decode()
    rollup = shown(pid, "smaps_rollup").decode()
    return Process(
        threads=int(_number(status, "Threads:")),
        open=Counter(_kind(each) for each in Path(f"/proc/{pid}/fd").iterdir()),
        resident=round(_number(status, "VmRSS:") / 1024, 1),
        proportional=round(_number(rollup, "Pss:") / 1024, 1),
    )


def _number(text: str, name: str) -> float:
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))


def _kind(descriptor: Path) -> str:
    try:
        target = str(descriptor.readlink())
    except FileNotFoundError:
        return "closing"
    return "file" if target.startswith("/") else target.partition(":")[0]
