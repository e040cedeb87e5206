"""Starts a program of ours whatever PYTHONPATH holds.

    python -P .../avatar_runtime/__main__.py [--as PROGRAM] MODULE ...

With ``--as`` it runs in the console of commands, under that name.

A folder in PYTHONPATH may hold a ``worker.py`` or a ``redis.py`` of somebody else's, which Python
would take instead of ours and of our dependencies. Here our packages come from beside this file,
and PYTHONPATH is searched last: a renderer or a meeting of your own is still found there.

This file is run by its path and imports nothing of ours, as all that it could import might be
somebody else's until it has done its work.
"""

import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = str(Path(__file__).resolve().parents[1])

OURS: Final = frozenset({"agent_side", "avatar_runtime", "dispatcher", "localroom", "worker"})


class OurPackages:
    """Finds our own packages beside this file, before anything else is asked."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python's protocol of a finder: None leaves the module to the others."""
        return PathFinder.find_spec(name, [ROOT], target) if name in OURS else None


def reordered(path: Sequence[str], pythonpath: str) -> list[str]:
    """`path` with the folders of `pythonpath` behind all others, so that they shadow nothing."""
    theirs = {os.path.abspath(each) for each in pythonpath.split(os.pathsep) if each}  # noqa: PTH100
    first = [each for each in path if os.path.abspath(each) not in theirs]  # noqa: PTH100
    return [*first, *(each for each in path if each not in first)]


def limit_threads() -> None:
    """Before they are loaded, tell the libraries for arithmetic of a quota, which they ignore."""
    cpus = import_module("avatar_runtime.cpus").cpus()
    if cpus.threads < cpus.scheduled:
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, str(cpus.threads))


def main() -> None:
    """Run the module that the arguments name, with those after it; it exits by itself."""
    sys.path[:] = reordered(sys.path, os.environ.get("PYTHONPATH", ""))
    sys.meta_path.insert(0, OurPackages)
    limit_threads()
    del sys.argv[0]
    if sys.argv[0] == "--as":
        program = sys.argv[1]
        del sys.argv[:2]
        sys.exit(import_module("avatar_runtime.console").guarded(program, run))
    run()


def run() -> None:
    """The module that the first argument names, as the program that it is."""
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
