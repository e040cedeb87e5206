"""A worker that takes memory without end is ended, and nobody else notices."""

from pathlib import Path

from dispatching import WAIT_TIMEOUT_S, dispatcher
from processes import alive, shown, until

LIMIT_MB = 200


def used_kb(pid: int) -> int:
    """What the process has in memory of its own heap and data."""
    for line in shown(pid, "status").decode().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1])
    return 0


def test_a_worker_has_so_much_memory_and_no_more(tmp_path: Path) -> None:
    with dispatcher(
        tmp_path / "log",
        AVATAR_RENDERER="hungry_renderer:create",
        AVATAR_WORKER_MEMORY_MB=str(LIMIT_MB),
        AVATAR_SLOTS="2",
    ) as running:
        modest = running.launched("room")
        running.reach(modest, "active")
        worker = running.worker(modest)
        hungry = running.launched("room-2", character="hungry")
        most = 0

        def failed() -> bool:
            nonlocal most
            most = max(most, *map(used_kb, running.family() - running.children()), 0)
            return bool(running.session(hungry)["state"] == "failed")

        until(failed, WAIT_TIMEOUT_S)
        assert running.session(hungry)["attempts"] == 3
        assert most < 2 * LIMIT_MB * 1024, "before they are ended"
        assert running.session(modest)["state"] == "active"
        assert alive(worker)
        assert running.launch("room-3").status_code == 200
