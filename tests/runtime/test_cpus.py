"""Slots and threads follow the CPUs that the process may use: affinity and quota, not the host's.

The files of /proc and /sys are those that kernels and container runtimes show.
"""

import os
from pathlib import Path

import pytest

from avatar_runtime.cpus import Cpus, cpus, quota
from dispatcher.settings import DispatcherSettings

VERSION_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
VERSION_1 = "33 30 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
MEMORY_1 = "34 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


def machine(root: Path, membership: str, mounts: list[str], files: dict[str, str]) -> Path:
    for name, text in {
        "proc/self/cgroup": membership,
        "proc/self/mountinfo": "\n".join([*mounts, "not a mount"]),
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("membership", "mounts", "files", "limit"),
    [
        # version 2: a container with a namespace of its own, and one without a limit
        ("0::/", [VERSION_2], {"cpu.max": "200000 100000"}, 2.0),
        ("0::/", [VERSION_2], {"cpu.max": "max 100000"}, None),
        ("0::/", [VERSION_2], {}, None),
        # a unit of systemd: its slice may have less than itself
        ("0::/a/b", [VERSION_2], {"a/b/cpu.max": "50000 100000"}, 0.5),
        (
            "0::/a/b",
            [VERSION_2],
            {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"},
            1.5,
        ),
        (
            "0::/a/b",
            [VERSION_2],
            {"a/b/cpu.max": "300000 100000", "a/cpu.max": "150000 100000"},
            1.5,
        ),
        # a path of the host's that is not mounted here
        ("0::/../../pod", [VERSION_2], {"cpu.max": "100000 100000"}, 1.0),
        # version 1, on a host and in a container that sees its own end of the path
        (
            "3:memory:/a\n4:cpu,cpuacct:/a",
            [MEMORY_1, VERSION_1.format(root="/")],
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        (
            "4:cpu,cpuacct:/docker/id",
            [VERSION_1.format(root="/docker/id")],
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        (
            "4:cpu,cpuacct:/docker/id",
            [VERSION_1.format(root="/docker/id")],
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            None,
        ),
        # both versions mounted, the CPU with the older one
        (
            "4:cpu,cpuacct:/\n0::/",
            [VERSION_1.format(root="/"), VERSION_2],
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            1.0,
        ),
        # what is of no known form is no limit
        ("0::/", [VERSION_2], {"cpu.max": "many"}, None),
        ("0::/", [VERSION_2], {"cpu.max": "100 0"}, None),
        ("nonsense", [VERSION_2], {"cpu.max": "100000 100000"}, None),
    ],
)
def test_the_quota_is_that_of_the_cgroup_and_of_those_above_it(
    tmp_path: Path, membership: str, mounts: list[str], files: dict[str, str], limit: float | None
) -> None:
    assert quota(machine(tmp_path, membership, mounts, files)) == limit


def test_a_system_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path) is None


@pytest.mark.parametrize(
    ("found", "slots", "threads", "text"),
    [
        (Cpus(4, 4, None), 8, 4, "4 CPUs"),
        (Cpus(1, 1, None), 2, 1, "1 CPU"),
        (Cpus(64, 64, 2.0), 4, 2, "2 CPUs (the host has 64; cgroup quota 2)"),
        (Cpus(64, 64, 1.5), 3, 1, "1.5 CPUs (the host has 64; cgroup quota 1.5)"),
        (Cpus(64, 64, 0.1), 1, 1, "0.1 CPUs (the host has 64; cgroup quota 0.1)"),
        (Cpus(64, 3, 8.0), 6, 3, "3 CPUs (the host has 64; affinity 3)"),
        (Cpus(512, 512, None), 256, 512, "512 CPUs"),
    ],
)
def test_slots_and_threads_are_for_what_may_be_used(
    found: Cpus, slots: int, threads: int, text: str
) -> None:
    assert (found.slots, found.threads, str(found)) == (slots, threads, text)


def test_the_default_of_the_slots_is_what_doctor_says() -> None:
    assert DispatcherSettings.from_env({}).slots == cpus().slots


def test_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 9})
    monkeypatch.setattr("avatar_runtime.cpus.quota", lambda _: None)
    assert DispatcherSettings.from_env({}).slots == 6
