"""Programs for which files are scarce: a full, read-only or missing folder, or no file at all.

With rights to mount, the folders are real file systems; without them the kernel's limit on the
length of files (RLIMIT_FSIZE) and the rights of a folder do the same, so that no test is left out.
"""

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

SIZE_KB: Final = 64
SPARE_KB: Final = 8
"""What a folder that is nearly full has left: enough for a few small files, and no more."""


@cache
def namespace() -> tuple[str, ...]:
    """The command that gives a program mounts of its own; nothing where that is not allowed."""
    for command in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        try:
            tried = subprocess.run([*command, *mount], capture_output=True, check=False)
        except FileNotFoundError:
            return ()
        if tried.returncode == 0:
            return (*command, "--propagation", "private")
    return ()


def without_files(command: Sequence[str]) -> list[str]:
    """The command in a process that can write no byte to any file; pipes and sockets it can."""
    return ["prlimit", "--fsize=0", "--", *command]


def full(folder: Path, command: Sequence[str], spare_kb: int = 0) -> list[str]:
    """The command in a process for which the `folder` is full, but for `spare_kb`."""
    if not namespace():
        return ["prlimit", f"--fsize={1024 * spare_kb}", "--", *command]
    at = shlex.quote(str(folder))
    fill = f"dd if=/dev/zero of={at}/fill bs=1k count={SIZE_KB - spare_kb} status=none || :"
    return _mounted(folder, f"size={SIZE_KB}k", fill, command)


def read_only(folder: Path, command: Sequence[str]) -> list[str]:
    """The command in a process that cannot write to the `folder`."""
    if not namespace():
        folder.chmod(0o500)
        return [*command]
    return _mounted(folder, "ro", ":", command)


def _mounted(folder: Path, options: str, then: str, command: Sequence[str]) -> list[str]:
    mount = f"mount -t tmpfs -o {options} tmpfs {shlex.quote(str(folder))}"
    return [*namespace(), "sh", "-c", f"{mount} && {{ {then}; }} && exec {shlex.join(command)}"]


@contextmanager
def running(
    command: Sequence[str], environ: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """The command; a process that may write files keeps its log."""
    with log.open("wb") as file:
        keeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
    assert keeper.stdin is not None
    with keeper, keeper.stdin:
        process = subprocess.Popen(
            command, env=environ, stderr=keeper.stdin, stdout=subprocess.DEVNULL
        )
        keeper.stdin.close()
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def bare(**settings: str) -> dict[str, str]:
    """This environment without a temporary folder, and with these settings."""
    hidden = ("TMPDIR", "TEMP", "TMP")
    return {**{k: v for k, v in os.environ.items() if k not in hidden}, **settings}
