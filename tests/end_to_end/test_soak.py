"""Sessions leave no process, thread, socket, file or memory behind.

`make soak` does the same with many more of them.
"""

import asyncio
from pathlib import Path

from soaking import house, soak

GROWN_MB = 10.0
"""What a process may have grown by after so few sessions: the allocator's play."""


def test_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    with house(tmp_path, slots=2) as home:
        before, after = asyncio.run(soak(home, warm_up=3, one_by_one=3, at_once=1))
        assert after.counts == before.counts
        for role in ("dispatcher", "zygote", "room"):
            grown = after.processes[role].resident - before.processes[role].resident
            assert grown < GROWN_MB, f"the {role} has grown by {grown} MB"
        assert home.running.stop() == 0
        assert not list(home.folder.iterdir())
