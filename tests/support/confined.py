"""A program confined as in a container: another user, no way to more rights, a read-only root."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).parents[2]
USER: Final = 10_001
"""Nobody's number on this machine, and the one that the image has."""

TOOLS: Final = ("unshare", "mount", "chroot", "setpriv")

SYSTEM: Final = ("/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr")
OURS: Final = sorted({str(path) for path in (Path(sys.base_prefix), Path(sys.prefix), ROOT)})
"""The interpreter, what is installed for it, and this product; what is around others first."""


@cache
def why_not() -> str:
    """Why nothing can be confined here; "" where it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} of util-linux and coreutils is not installed"
    if os.geteuid():
        return "only root can make a mount namespace with another root"
    trial = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no mount namespace is to be had ({trial.stderr.strip()})" if trial.returncode else ""


def script(root: Path, command: list[str]) -> str:
    """For a shell in a mount namespace of its own, at the mount point `root`.

    Another root file system with the system's programs and ours, all of it read-only, and an
    empty /tmp of 64 MB to write to.
    """
    at = shlex.quote(str(root))
    lines = ["set -e", f"mount -t tmpfs -o mode=755 tmpfs {at}", f"cd {at}"]
    # First, as ours may lie in /tmp.
    lines += ["mkdir -p tmp", "mount -t tmpfs -o mode=1777,size=64m,nosuid,nodev tmpfs tmp"]
    for place in SYSTEM:
        if Path(place).is_symlink():
            lines.append(f"ln -s {shlex.quote(str(Path(place).readlink()))} .{place}")
        elif Path(place).is_dir():
            lines += _bound(place)
    for place in OURS:
        lines += _bound(place)
    for place in ("/proc", "/dev"):
        lines += [f"mkdir -p .{place}", f"mount --rbind {place} .{place}"]
    lines += [
        "mount -o remount,ro,mode=755 .",
        f"exec chroot . setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs "
        f"--inh-caps=-all --bounding-set=-all -- {shlex.join(command)}",
    ]
    return "\n".join(lines)


def _bound(place: str) -> list[str]:
    """Read-only, at the same place; what lies within another of them is there already."""
    quoted = shlex.quote(place)
    return [
        f"if ! [ -e .{quoted} ]; then mkdir -p .{quoted}; mount --rbind {quoted} .{quoted}; "
        f"mount -o remount,bind,ro .{quoted}; fi"
    ]


@contextmanager
def confined(
    root: Path, command: list[str], environ: dict[str, str], stderr: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """The program, whose process this is itself: each step gives way to the next."""
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script(root, command)],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
