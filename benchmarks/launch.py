"""How long an agent waits for its face: from the POST to a worker in the meeting that hears it.

An agent on the real SDK is in the local room already, as in a call that is going on; then it
POSTs. All is measured where the agent is: the answer to the POST, the worker's first word, and
`on_avatar_ready`, which needs a message there and back, so both directions are open by then.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import measure
from dispatching import Dispatcher, dispatcher
from room_stage import RoomStage, room_process

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.join import JoinInfo
from localroom.launch import LocalRoom

WARM_LAUNCHES: Final = 50
WATCHED_LAUNCHES: Final = 10
COLD_LAUNCHES: Final = 5
FACE: Final = "avatar"
TOKEN: Final = "eyJ.agent-token.sig"
TIMEOUT_S: Final = 20.0
LIMITS_MS: Final = {"p50": 150.0, "p95": 400.0}
"""Of a warm launch, POST to a worker that hears."""

REST_S: Final = 0.3
"""Between two launches: the pool gets its next worker ready."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch, each in ms since the POST; `picture` only where somebody watches.

    `start` is how long its dispatcher had taken to be ready, where this is its first launch.
    """

    answered: float
    active: float
    first_word: float
    hears: float
    picture: float | None = None
    start: float | None = None


class FirstPacket:
    """Notes when the first packet of the face arrives."""

    def __init__(self) -> None:
        self.first_s: float | None = None

    def handle_event(self, action: str, data: Any) -> None:
        if action == "data" and data["from"] == FACE and self.first_s is None:
            self.first_s = time.time()


async def launch(running: Dispatcher, local: LocalRoom, room: str, *, watched: bool) -> Launch:
    """An agent's face is asked for, comes, and is sent away again."""
    stage = RoomStage(local, room)
    async with stage.open(), _client(running) as client:
        agent = await stage.enter("agent", is_agent=True)
        viewer = await stage.enter("viewer") if watched else None
        first_packet, ready = FirstPacket(), asyncio.Event()
        agent.add_event_listener(first_packet)
        hears_s = 0.0

        def on_ready(_: int) -> None:
            nonlocal hears_s
            hears_s = time.time()
            ready.set()

        out = AvatarAudioOut(
            credentials=AvatarCredentials(FACE, TOKEN), on_avatar_ready=on_ready, room_id=room
        )
        out._set_meeting(agent)
        began_s = time.time()
        watching = asyncio.create_task(_first_picture(viewer)) if viewer else None
        answer = await client.post("/launch", content=_join(room), headers=JSON)
        answered_s = time.time()
        answer.raise_for_status()
        async with asyncio.timeout(TIMEOUT_S):
            await ready.wait()
            picture_s = await watching if watching else None
        path = f"/v1/sessions/{answer.json()['session_id']}"
        session = (await client.get(path)).json()
        assert session["state"] == "active", session
        await out.aclose()
        await client.delete(path)
        assert first_packet.first_s is not None

    def since(moment_s: float) -> float:
        return 1000 * (moment_s - began_s)

    return Launch(
        since(answered_s),
        since(datetime.fromisoformat(session["since"]).timestamp()),
        since(first_packet.first_s),
        since(hears_s),
        None if picture_s is None else since(picture_s),
    )


JSON: Final = {"Content-Type": "application/json"}


def _join(room: str) -> str:
    return JoinInfo(room, TOKEN, FACE).to_json()


@asynccontextmanager
async def _client(running: Dispatcher) -> AsyncIterator[httpx.AsyncClient]:
    """Its certificates are loaded before the clock starts; the connection is a new one."""
    async with httpx.AsyncClient(base_url=running.http.base_url, timeout=TIMEOUT_S) as client:
        yield client


async def _first_picture(viewer: Any) -> float:
    """When the face's first picture was there, decoded."""
    while True:
        face = viewer.participants.get(FACE)
        for stream in list(face.streams.values()) if face else []:
            if stream.kind == "video":
                await stream.track.recv()
                return time.time()
        await asyncio.sleep(0.002)


@contextmanager
def serving(local: LocalRoom, warm: int) -> Iterator[Dispatcher]:
    """A dispatcher whose workers draw the face that ships, in the local room."""
    settings = {
        "AVATAR_MEETING": "videosdk",
        "AVATAR_RENDERER": "character",
        "AVATAR_SIZE": "512x512",
        "AVATAR_SIGNALING_HOSTS": local.signaling_base_url,
        "AVATAR_WARM": str(warm),
        **local.environment,
    }
    with (
        TemporaryDirectory(prefix="bench-launch-") as folder,
        dispatcher(Path(folder) / "log", **settings) as running,
    ):
        yield running


async def series(local: LocalRoom, warm: int, count: int, *, watched: bool = False) -> list[Launch]:
    """So many launches by one dispatcher, one after the other."""
    launches = []
    starts_s = time.monotonic()
    with serving(local, warm) as running:
        start = 1000 * (time.monotonic() - starts_s)
        for number in range(count):
            launches.append(await launch(running, local, f"room-{number}", watched=watched))
            await asyncio.sleep(REST_S)
    return [replace(launches[0], start=start), *launches[1:]]


async def run() -> dict[str, list[Launch]]:
    with room_process() as local:
        await series(local, 1, 1)  # what this process and the room load on first use
        warm = await series(local, 2, 1 + WARM_LAUNCHES)
        watched = await series(local, 2, 1 + WATCHED_LAUNCHES, watched=True)
        cold = [(await series(local, 0, 1))[0] for _ in range(COLD_LAUNCHES)]
    return {
        "warm": warm[1:],
        "warm, somebody watches": watched[1:],
        "the first of a dispatcher, warm": [warm[0], watched[0]],
        "the first of a dispatcher, no warm worker": cold,
    }


NAMES: Final = {
    "start": "before: start of the dispatcher to ready",
    "answered": "POST to 200",
    "active": "POST to session active",
    "first_word": "POST to the worker's first word at the agent",
    "hears": "POST to worker joined and able to hear",
    "picture": "POST to first picture at a viewer, decoded",
}


def figures(launches: Sequence[Launch]) -> dict[str, dict[str, float]]:
    """p50, p95 and the maximum of each measure (ms)."""
    found = {}
    for field, name in NAMES.items():
        values = [value for each in launches if (value := getattr(each, field)) is not None]
        if values:
            found[name] = {
                "p50": measure.percentile(values, 50),
                "p95": measure.percentile(values, 95),
                "max": max(values),
            }
    return found


def main(out: Path) -> int:
    """Print the tables and write launch.json; 1 where a warm launch takes too long."""
    launches = asyncio.run(run())
    results = {kind: figures(each) for kind, each in launches.items()}
    for kind, rows in results.items():
        print(f"| {kind}, {len(launches[kind])} launches, ms | p50 | p95 | max |")
        print("|---|---|---|---|")
        for name, row in rows.items():
            print(f"| {name} | {row['p50']:.0f} | {row['p95']:.0f} | {row['max']:.0f} |")
        print()
    out.mkdir(parents=True, exist_ok=True)
    (out / "launch.json").write_text(json.dumps(results, indent=2) + "\n")
    hears = results["warm"][NAMES["hears"]]
    kept = all(hears[name] <= limit for name, limit in LIMITS_MS.items())
    print(f"limits of a warm launch, able to hear: {LIMITS_MS}: {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
