"""How many CPUs this process may use: its affinity and its cgroups' quota, not the host's count.

A container or a systemd unit with a quota of two CPUs on a host with 64 gets the time of two,
whatever ``os.cpu_count`` says.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

MAX_SLOTS: Final = 256
SLOTS_PER_CPU: Final = 2


@dataclass(frozen=True, slots=True)
class Cpus:
    """The CPUs of the `host`, those that the process may be `scheduled` on, and its `quota`.

    `quota` is CPU time by time, such as 1.5; None where nothing limits it.
    """

    host: int
    scheduled: int
    quota: float | None

    @property
    def usable(self) -> float:
        """How many CPUs' time there is; may be less than one."""
        return self.scheduled if self.quota is None else min(float(self.scheduled), self.quota)

    @property
    def threads(self) -> int:
        """How many threads have a CPU; at least one."""
        return max(1, int(self.usable))

    @property
    def slots(self) -> int:
        """The default of AVATAR_SLOTS: two sessions for each CPU; at least one."""
        return min(MAX_SLOTS, max(1, int(SLOTS_PER_CPU * self.usable)))

    def __str__(self) -> str:
        """Such as ``2 CPUs (the host has 16; quota 2)``."""
        limits = [f"the host has {self.host}"] if self.usable != self.host else []
        if self.scheduled != self.host:
            limits.append(f"affinity {self.scheduled}")
        if self.quota is not None and self.quota < self.scheduled:
            limits.append(f"cgroup quota {self.quota:g}")
        text = f"{self.usable:g} CPU{'s' if self.usable != 1 else ''}"
        return f"{text} ({'; '.join(limits)})" if limits else text


def cpus(root: Path = Path("/")) -> Cpus:
    """The CPUs of this process; `root` is where /proc and /sys are."""
    host = os.cpu_count() or 1
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else host
    return Cpus(host, scheduled, quota(root))


def quota(root: Path) -> float | None:
    """The smallest quota of this process's cgroups and of those above them; None without one."""
    found: list[float] = []
    for folder in _folders(root):
        for read in (_version_2, _version_1):
            try:
                limit = read(folder)
            except (OSError, ValueError, ZeroDivisionError):
                continue  # a missing file, or one of an unknown form
            if limit is not None:
                found.append(limit)
    return min(found, default=None)


def _version_2(folder: Path) -> float | None:
    limit, period = (folder / "cpu.max").read_text().split()
    return None if limit == "max" else _cpus_of(int(limit), int(period))


def _version_1(folder: Path) -> float | None:
    limit = int((folder / "cpu.cfs_quota_us").read_text())
    return _cpus_of(limit, int((folder / "cpu.cfs_period_us").read_text()))


def _cpus_of(limit_us: int, period_us: int) -> float | None:
    return limit_us / period_us if limit_us > 0 else None


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "surrogateescape").splitlines()


def _folders(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups and of those above them, as far as they are seen.

    In a container, the path may be the host's, of which only the end is mounted:
    then the mount itself is its cgroup.
    """
    try:
        memberships = _lines(root / "proc/self/cgroup")
        mounts = _lines(root / "proc/self/mountinfo")
    except OSError:
        return
    paths = {}
    for _, controllers, name in (line.split(":", 2) for line in memberships if ":/" in line):
        if not controllers or "cpu" in controllers.split(","):
            paths["cgroup" if controllers else "cgroup2"] = PurePosixPath(name)
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = (*after.split(), "", "", "")[:3]
        if kind not in paths or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        mounted, place = (PurePosixPath(each) for each in before.split()[3:5])
        top = root / place.relative_to("/")
        path = paths[kind]
        below = path.relative_to(mounted) if path.is_relative_to(mounted) else PurePosixPath()
        folder = top / below
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top))
