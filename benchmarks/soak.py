"""What 100 sessions one by one and 6 at once leave behind: processes, threads, files, memory.

`avatar serve --local` runs beside this program, which is all the agents. Each session is
launched, joined by its worker, says one turn that is acked exactly, and ends by a DELETE, by its
agent's leaving or by a SIGTERM to its worker. Counted before and after, when all is quiet.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from soaking import Footprint, house, process, soak

WARM_UP: Final = 12
ONE_BY_ONE: Final = 100
AT_ONCE: Final = 6
GROWN_MB: Final = 6.0
"""What a process of ours may have grown by: the allocator's play, not a session's worth."""


def rows(before: Footprint, after: Footprint) -> Iterator[tuple[str, object, object]]:
    """What is counted, before and after."""
    yield "processes", len(before.processes), len(after.processes)
    yield "files in the temporary folder", len(before.files), len(after.files)
    for role, was in before.processes.items():
        is_ = after.processes[role]
        yield f"{role}: threads", was.threads, is_.threads
        for kind in sorted(was.open | is_.open):
            yield f"{role}: descriptors, {kind}", was.open[kind], is_.open[kind]
        yield f"{role}: resident MB", was.resident, is_.resident
        yield f"{role}: proportional MB", was.proportional, is_.proportional


def main(out: Path) -> int:
    """Print the table and write soak.json; 1 where something was left behind."""
    began_s = time.monotonic()
    logging.getLogger("avatar.agent_side").setLevel(logging.ERROR)
    settings = {"AVATAR_RENDERER": "character", "AVATAR_SIZE": "512x512"}
    with TemporaryDirectory(prefix="soak-") as name, house(Path(name), AT_ONCE, **settings) as home:
        before, after = asyncio.run(soak(home, WARM_UP, ONE_BY_ONE, AT_ONCE))
        agents = process(os.getpid())
        status = home.running.stop()
        left = [str(each) for each in home.folder.iterdir()]
    table = list(rows(before, after))
    print(f"| {ONE_BY_ONE} sessions one by one, {AT_ONCE} at once | before | after |")
    print("|---|---|---|")
    for what, was, is_ in table:
        print(f"| {what} | {was} | {is_} |")
    grown = {
        role: round(after.processes[role].resident - before.processes[role].resident, 1)
        for role in ("dispatcher", "zygote", "room")
    }
    clean = after.counts == before.counts and max(grown.values()) < GROWN_MB
    clean = clean and status == 0 and not left
    print(f"\ngrown, MB: {grown}; the agents' process, the SDK's: {agents.resident} MB resident")
    print(f"turns acked exactly: {len(home.acks)} of {len(home.acks)}")
    print(f"exit status {status}, files left after it: {left}")
    print(f"{time.monotonic() - began_s:.0f} s; {'nothing' if clean else 'SOMETHING'} is left")
    out.mkdir(parents=True, exist_ok=True)
    figures = {what: {"before": was, "after": is_} for what, was, is_ in table}
    (out / "soak.json").write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
