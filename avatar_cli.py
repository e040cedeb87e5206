"""avatar: the command. Each subcommand is a program of its own, which takes this one's place."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from avatar_runtime import extras
from avatar_runtime.console import guarded
from avatar_runtime.programs import command
from avatar_runtime.variables import doubts


class Command(NamedTuple):
    """A subcommand: the module that is its program, one line about it, and the extras it needs."""

    module: str
    about: str
    extras: tuple[str, ...] = ("worker",)


COMMANDS: Final = {
    "serve": Command(
        "dispatcher",
        "take join requests over HTTP and keep a face in each meeting",
        ("dispatcher", "worker"),
    ),
    "node": Command(
        "dispatcher.node.program",
        "serve this machine's share of many machines' sessions",
        ("dispatcher", "worker"),
    ),
    "worker": Command("worker", "be one face in one meeting, asked for on standard input"),
    "room": Command("localroom", "stand in for VideoSDK's servers on this machine", ("localroom",)),
    "speak": Command("worker.tools.speak", "film a face that speaks what a sound file says"),
    "replay": Command(
        "worker.tools.replay", "film a recorded session anew, or say what happened in it"
    ),
    "character": Command(
        "worker.tools.character", "check or preview a character, build one from a photo"
    ),
    "doctor": Command(
        "worker.tools.doctor", "say what is installed, what is missing and what to do", ()
    ),
}

LOGGING: Final = frozenset({"serve", "node", "worker", "doctor"})
"""Those that say by themselves which variables of the environment have no effect."""

LOCAL: Final = "starting a room, the dispatcher and its workers; this takes some seconds"

SHOWN: Final = 3
"""How many missing packages one line names."""

FAILED: Final = 1
REFUSED: Final = 2


def main() -> int:
    """The command, in the common runner; returns its exit status."""
    return guarded("avatar", _main)


def _main() -> int:
    """Start the program that the first argument names; does not return when there is one.

    Signals and the exit status are the program's, because it runs in this very process.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name == "--version":
        sys.stdout.write(f"avatar {_version()}\n")
        return 0
    if name in COMMANDS:
        needed = _extras(name, arguments)
        if absent := extras.missing(needed):
            sys.stderr.write(f"avatar {name}: {_to_install(absent, needed)}\n")
            return FAILED
        _say_first(name, arguments)
        start = command(COMMANDS[name].module, *arguments, program=f"avatar {name}")
        os.execv(sys.executable, start)  # noqa: S606 - our own interpreter and module, no shell
    known = ", ".join(COMMANDS)
    sys.stderr.write(f"avatar: there is no command {name!r}; choose one of: {known}.\n")
    return REFUSED


def _extras(name: str, arguments: list[str]) -> tuple[str, ...]:
    """The extras that the program needs for what it is asked to do."""
    beside = ("localroom",) if name == "serve" and "--local" in arguments else ()
    return (*COMMANDS[name].extras, *beside)


def _to_install(absent: list[str], needed: tuple[str, ...]) -> str:
    named, others = ", ".join(absent[:SHOWN]), len(absent) - SHOWN
    more = f" and {others} more" if others > 0 else ""
    return f"{named}{more} are missing; pip install '{extras.DISTRIBUTION}[{','.join(needed)}]'"


def _say_first(name: str, arguments: list[str]) -> None:
    """What a person is told before the program has loaded all that it needs."""
    lines = [] if name in LOGGING else doubts(os.environ)
    if name == "serve" and "--local" in arguments and not {"-h", "--help"} & {*arguments}:
        lines.append(LOCAL)
    for line in lines:
        sys.stderr.write(f"avatar {name}: {line}\n")
    sys.stderr.flush()


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: avatar COMMAND ...",
            "",
            "A talking face for voice agents.",
            "",
            *lines,
            "",
            "`avatar COMMAND --help` says more about one; `avatar --version` says which this is.",
            "",
        ]
    )


def _version() -> str:
    try:
        return version("avatar-face")
    except PackageNotFoundError:
        return "not installed (run: pip install -e '.[all]')"


if __name__ == "__main__":
    sys.exit(main())
