"""A talk in the local room while things fail: what a viewer hears of it, and what POSTs get."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import httpx
import numpy as np
from caller import FACE, TOKEN, RoomAgent, calling, scale
from cluster import HostCluster, HostDispatcher
from ear import ListenerProcess
from room_stage import RoomStage

from agent_side.join import JoinInfo
from localroom.faults import Faults
from localroom.launch import LocalRoom
from worker.media import Pcm

ROUND_S: Final = 4.0
"""After so long the scale of a speech begins anew, before it climbs out of a voice's band."""

POST_EVERY_S: Final = 0.5
AGENT_TIMEOUT_S: Final = 5.0
"""When the stock agent gives up on a POST."""

UNBROKEN_S: Final = 0.3
"""A shorter pause in what arrives is the network's and this machine's."""

KEPT_S: Final = 0.15
"""A decoder keeps some 80 ms."""

TICK_S: Final = 0.02

OVER: Final = ("ended", "failed")
END_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Silence:
    """A pause in what was heard; times are `time.monotonic`."""

    began_s: float
    ended_s: float

    @property
    def lasted_s(self) -> float:
        return self.ended_s - self.began_s


@dataclass(frozen=True, slots=True)
class Installation:
    """What there is all the time."""

    local: LocalRoom
    running: HostCluster
    ear: ListenerProcess


@dataclass(slots=True)
class Talk:
    """One that goes on; `session` is how its session stood before anything failed."""

    room_id: str
    agent: RoomAgent
    ear: ListenerProcess
    face_url: str
    session: dict[str, Any]
    stage: RoomStage
    stack: AsyncExitStack
    """What others bring into the room; left when the talk is over."""

    @property
    def session_id(self) -> str:
        return str(self.session["session_id"])

    def voiced(self) -> list[float]:
        """When each 20 ms with a voice in it arrived."""
        return self.ear.voiced(self.face_url)

    def silences(
        self, since_s: float, until_s: float, least_s: float = UNBROKEN_S
    ) -> list[Silence]:
        """The pauses in the voice; the last one may not have ended."""
        return silences(self.voiced(), since_s, until_s, least_s)

    async def until_it_speaks(self, seconds: float, timeout_s: float = END_S) -> None:
        """Wait until that much has been heard. Raises TimeoutError."""
        enough = len(self.voiced()) + round(seconds / 0.02)
        async with asyncio.timeout(timeout_s):
            while len(self.voiced()) < enough:
                await asyncio.sleep(0.05)


def silences(
    voiced: Sequence[float], since_s: float, until_s: float, least_s: float = UNBROKEN_S
) -> list[Silence]:
    """The pauses of so long between the moments at which a voice came.

    What a listener's decoder has kept of a voice that broke off sounds when the next one begins,
    and is none: such a moment does not end a pause.
    """
    moments = [since_s, *(at for at in voiced if since_s <= at <= until_s), until_s]
    found: list[Silence] = []
    for pause in (Silence(*pair) for pair in pairwise(moments)):
        if pause.lasted_s < least_s:
            continue
        if found and pause.began_s - found[-1].ended_s < KEPT_S:
            found[-1] = Silence(found[-1].began_s, pause.ended_s)
        else:
            found.append(pause)
    return found


def speech(seconds: float) -> Pcm:
    """A voice without a pause."""
    return np.tile(scale(ROUND_S), round(seconds / ROUND_S + 0.5))


@asynccontextmanager
async def talking(
    house: Installation, room_id: str, seconds: float, faults: Faults | None = None
) -> AsyncIterator[Talk]:
    """A face that speaks for so long and is heard, in a room with `faults`.

    In the end its session is over.
    """
    cluster, ear = house.running, house.ear
    stage = RoomStage(house.local, room_id, faults)
    first = cluster.dispatchers[0]
    session_id = ""
    try:
        async with stage.open(), calling(stage, first.url) as agent, AsyncExitStack() as stack:
            session_id = await _session_of(first, room_id)
            session = await asyncio.to_thread(cluster.session, session_id)
            assert session is not None
            face_url = house.local.whep_url(room_id, FACE)
            talk = Talk(room_id, agent, ear, face_url, session, stage, stack)
            ear.receive(talk.face_url)
            await agent.say(speech(seconds))
            yield talk
    finally:
        if session_id:
            await end(cluster, session_id)


async def end(cluster: HostCluster, session_id: str) -> None:
    """End a session and wait until it is over, or until nobody knows it any more."""
    async with client_of_agents() as client, asyncio.timeout(END_S):
        while True:
            for dispatcher in cluster.dispatchers:
                with suppress(httpx.HTTPError):
                    answer = await client.delete(f"{dispatcher.url}/v1/sessions/{session_id}")
                    if answer.status_code == 404 or (
                        answer.status_code == 200 and answer.json()["state"] in OVER
                    ):
                        return
            await asyncio.sleep(0.1)


async def _session_of(dispatcher: HostDispatcher, room_id: str) -> str:
    async with client_of_agents() as client:
        sessions = (await client.get(f"{dispatcher.url}/v1/sessions")).json()["sessions"]
    live = [each for each in sessions if each["room"] == room_id and each["state"] not in OVER]
    (session,) = live
    return str(session["session_id"])


@dataclass(frozen=True, slots=True)
class PostAnswer:
    """What came of one POST; without a status there was no answer within an agent's patience."""

    sent_s: float
    dispatcher: str
    status: int | None
    took_s: float
    session_id: str | None
    retry_after: bool


@dataclass(slots=True)
class Poster:
    """Agents that POST the same join request again and again, at both dispatchers."""

    room_id: str
    answers: list[PostAnswer] = field(default_factory=list)

    async def run(self, dispatcher: HostDispatcher) -> None:
        """At one dispatcher, until cancelled."""
        async with client_of_agents() as client:
            while True:
                self.answers.append(await post(client, dispatcher, self.room_id))
                await asyncio.sleep(POST_EVERY_S)


class Lateness:
    """How long this process' event loop, with the agents in it, was held up, and when."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []

    def most_s(self, since_s: float) -> float:
        return max((late_s for at, late_s in self._late if at >= since_s), default=0.0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due_s = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._late.append((due_s, time.monotonic() - due_s))


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Measured until the block ends."""
    late = Lateness()
    running = asyncio.create_task(late.run(), name="lateness")
    try:
        yield late
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def posting(cluster: HostCluster, room_id: str) -> AsyncIterator[Poster]:
    """POSTs until the block ends."""
    poster = Poster(room_id)
    tasks = [
        asyncio.create_task(poster.run(each), name=f"posts to {each.name}")
        for each in cluster.dispatchers
    ]
    try:
        yield poster
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def client_of_agents() -> httpx.AsyncClient:
    """One that reads no certificates, which would hold up all agents of this process."""
    return httpx.AsyncClient(timeout=AGENT_TIMEOUT_S, verify=False)


async def post(
    client: httpx.AsyncClient, dispatcher: HostDispatcher, room_id: str, agent_id: str | None = None
) -> PostAnswer:
    """One POST, which lasts as long as an agent's patience at most."""
    body = JoinInfo(room_id, TOKEN, FACE, agent_participant_id=agent_id).to_json()
    headers = {"Content-Type": "application/json"}
    sent_s = time.monotonic()
    try:
        async with asyncio.timeout(AGENT_TIMEOUT_S):
            answer = await client.post(f"{dispatcher.url}/launch", content=body, headers=headers)
    except (httpx.HTTPError, TimeoutError):
        return PostAnswer(sent_s, dispatcher.name, None, time.monotonic() - sent_s, None, False)
    took_s = time.monotonic() - sent_s
    session_id = answer.json().get("session_id")
    retry = "retry-after" in answer.headers
    return PostAnswer(sent_s, dispatcher.name, answer.status_code, took_s, session_id, retry)


def summary(answers: Sequence[PostAnswer]) -> dict[str, int]:
    """How many answers of each kind."""
    kinds = [str(each.status) if each.status else "none" for each in answers]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
