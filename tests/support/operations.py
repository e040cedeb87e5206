"""What is done to faces that speak, and ends none: by operators, by strangers, by their agents."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import claiming
from cluster import DRAIN_S, HostCluster, HostNode, HostProgram
from talking import UNBROKEN_S, Talk


@dataclass(frozen=True, slots=True)
class Operation:
    """What somebody does; `do` returns in words what went wrong.

    `hands_over` says that faces may be silent for a moment, as when a node hands them over.
    """

    name: str
    hands_over: bool
    do: Callable[[HostCluster, Sequence[Talk]], Awaitable[list[str]]]


async def _scale_down(running: HostCluster, talks: Sequence[Talk]) -> list[str]:
    return await _retire(running, running.home(talks[0].session), talks)


async def _update_nodes(running: HostCluster, talks: Sequence[Talk]) -> list[str]:
    """One after the other, each when its successor takes sessions."""
    wrong = []
    for old in list(running.nodes):
        running.succeed(old)
        await asyncio.to_thread(running.until_ready)
        wrong += await _retire(running, old, talks)
    return wrong


async def _update_dispatchers(running: HostCluster, _: Sequence[Talk]) -> list[str]:
    wrong = []
    for each in running.dispatchers:
        wrong += await _stop(each)
        each.start()
        await asyncio.to_thread(running.until_ready)
    return wrong


async def _retire(running: HostCluster, node: HostNode, talks: Sequence[Talk]) -> list[str]:
    """Tell a node to stop. Its faces have to speak on until its drain time is over."""
    sessions = [await asyncio.to_thread(running.session, each.session_id) for each in talks]
    asked_s = time.monotonic()
    wrong = await _stop(node)
    for talk, session in zip(talks, sessions, strict=True):
        if session and running.named(session) == node.name:
            pauses = talk.silences(asked_s, time.monotonic())
            wrong += [
                f"{node.name} cut a face {each.began_s - asked_s:.1f} s after SIGTERM"
                for each in pauses
                if each.began_s - asked_s < DRAIN_S - UNBROKEN_S
            ]
    return wrong


async def _stop(program: HostProgram) -> list[str]:
    program.signal(signal.SIGTERM)
    status = await asyncio.to_thread(program.wait)
    return [f"{program.name} exited with status {status}"] if status else []


OPERATIONS: Final = (
    Operation("a node is told to stop: scale-down", True, _scale_down),
    Operation("rolling update of the nodes", True, _update_nodes),
    Operation("rolling update of the dispatchers", False, _update_dispatchers),
    Operation("a stranger who wants the face", False, claiming.stranger),
    Operation("a named agent comes back under another id", True, claiming.reborn),
)
