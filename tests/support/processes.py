"""Processes as /proc shows them."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return _state(pid)[0] not in ("", "Z", "X")


def parent(pid: int) -> int:
    """Who has started it; 0 once it is gone."""
    return _state(pid)[1]


def descendants(pid: int) -> set[int]:
    """All processes that `pid` has started, and theirs."""
    parents = {each: _state(each)[1] for each in _all()}
    found = {pid}
    while grown := {each for each, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {pid}


def until(fact: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until `fact` is true; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, f"not true within {timeout_s} s"
        time.sleep(0.005)


def delivered(pid: int, number: signal.Signals) -> bool:
    """Whether the process has got every such signal: two that wait become one."""
    found = re.search(rb"^ShdPnd:\s+(\w+)$", shown(pid, "status"), re.MULTILINE)
    return found is None or not int(found[1], 16) >> (number - 1) & 1


def shown(pid: int, place: str) -> bytes:
    """What ``/proc/PID/PLACE`` says; nothing once the process is gone."""
    try:
        return Path(f"/proc/{pid}/{place}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _all() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _state(pid: int) -> tuple[str, int]:
    """(state, parent); the name in between may contain anything but ends with the last ``)``."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)
