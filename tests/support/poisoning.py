"""What may be wrong with what is in Redis while faces speak: each kind of poison in every key, and
nodes and dispatchers of the version before."""

import asyncio
import subprocess
import tarfile
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import redis
from cluster import REDIS_PORT, HostCluster, HostProgram
from failing import Failure, FailureTarget, Strike
from operations import Operation
from poison import KINDS, Kind, poison
from talking import Talk

ROOT: Final = Path(__file__).parents[2]

NEW_FILE: Final = "dispatcher/refusals.py"
"""The version before is the one that did not have it, where it was added first."""

ROUNDS: Final = (4, 7, 19)
"""Which field of each record is harmed, one time after the other."""

ROUND_S: Final = 1.5
"""Between two of them: whoever serves a session writes its record anew each second."""


def _poisoned(kind: Kind) -> Strike:
    def strike(scene: FailureTarget) -> None:
        with redis.Redis(scene.cluster.redis.host.address, REDIS_PORT) as store:
            for which in ROUNDS:
                for key in list(store.scan_iter("{av}:*")):
                    if not key.startswith(b"{av}:aside"):
                        poison(store, key, kind, which)
                time.sleep(ROUND_S)

    return strike


POISONED: Final = tuple(
    Failure(f"poisoned Redis: {kind}", "nobody's", _poisoned(kind), store=True) for kind in KINDS
)


def _older_tree(folder: Path) -> Path:
    """The tree of the version before, from this repository's history. Raises OSError without."""
    git = ("git", "-C", str(ROOT))
    added = subprocess.run(
        [*git, "log", "--diff-filter=A", "--format=%H", "--", NEW_FILE],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not added:
        raise FileNotFoundError("There is no git history here, so no version before this one.")
    tree = subprocess.run(
        [*git, "archive", f"{added[-1]}^"], capture_output=True, check=False
    ).stdout
    if not tree:
        raise FileNotFoundError("The git history here does not have the version before this one.")
    place = folder / "older"
    with tarfile.open(fileobj=BytesIO(tree)) as archive:
        archive.extractall(place, filter="data")
    return place


async def _other_versions(running: HostCluster, talks: Sequence[Talk]) -> list[str]:
    """Nodes and a dispatcher of the version before come, and go again, as in a rolling update."""
    older = await asyncio.to_thread(_older_tree, running.folder)
    wrong = []
    for tree in (older, None):
        dispatcher = running.dispatchers[1]
        wrong += await stopped(dispatcher)
        dispatcher.runs_from(tree)
        dispatcher.start()
        for old in list(running.nodes):
            running.succeed(old, tree)
            await asyncio.to_thread(running.until_ready)
            wrong += await stopped(old)
    for talk in talks:
        session = await asyncio.to_thread(running.session, talk.session_id)
        if session is None or session["state"] != "active":
            wrong.append(f"{talk.room_id} is {session and session['state']}")
    return wrong


async def stopped(program: HostProgram) -> list[str]:
    """Tell it to stop; what went wrong with that."""
    program.stop()
    status = await asyncio.to_thread(program.wait)
    return [f"{program.name} exited with status {status}"] if status else []


VERSIONS: Final = (Operation("nodes of an older version beside newer ones", True, _other_versions),)
