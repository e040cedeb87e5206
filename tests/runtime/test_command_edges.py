"""Every command has its documented status and one line, wherever its output goes and names lead."""

import itertools
import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from drawn_character import draw
from PIL import Image

from avatar_cli import COMMANDS
from avatar_runtime import programs
from avatar_runtime.console import INTERNAL, INTERRUPTED, LOST

ROOT = Path(__file__).parents[2]
ENVIRON = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}", "AVATAR_SIZE": "64x64"}
STRANGE = os.fsdecode(b"caf\xe9 \xc3\xbc \xff")
"""A name of which two bytes are no UTF-8, with an umlaut and spaces."""

REFUSED = 2


def avatar(
    arguments: list[str],
    environ: Mapping[str, str] = {},
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    **options: Any,
) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "avatar_cli.py", *arguments],
        env={**os.environ, **ENVIRON, **environ},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        timeout=120,
        check=False,
        **options,
    )
    return done.returncode, done.stdout or b"", done.stderr or b""


def clean(said: bytes) -> None:
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said
    assert b"Error: " not in said


def with_a_reader_that_left(arguments: list[str]) -> tuple[int, bytes]:
    read, write = os.pipe()
    os.close(read)
    try:
        status, _, said = avatar(arguments, stdout=write)
    finally:
        os.close(write)
    return status, said


def with_outputs_that_are_closed(arguments: list[str]) -> tuple[int, bytes]:
    status, _, _ = avatar(arguments, preexec_fn=lambda: os.closerange(1, 3))
    return status, b""


def in_ascii(arguments: list[str]) -> tuple[int, bytes]:
    environ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    status, out, said = avatar(arguments, {**environ, "PYTHONIOENCODING": "ascii"})
    out.decode("ascii")
    return status, said


EDGES: dict[str, Callable[[list[str]], tuple[int, bytes]]] = {
    each.__name__: each
    for each in (with_a_reader_that_left, with_outputs_that_are_closed, in_ascii)
}


@pytest.mark.parametrize(
    ("command", "edge"), [*zip(["", *COMMANDS], itertools.cycle(EDGES), strict=False)]
)
def test_every_command_prints_its_help_on_an_edge(command: str, edge: str) -> None:
    """One for each: the console in which all of them run is the same."""
    status, said = EDGES[edge]([*([command] if command else []), "--help"])
    clean(said)
    assert (status, said) == (0, b"")


@pytest.mark.parametrize("command", [*COMMANDS, "no-command"])
def test_every_command_refuses_with_status_2(command: str) -> None:
    status, said = in_ascii([command, f"--{STRANGE}"])
    clean(said)
    assert status == REFUSED
    assert said


@pytest.mark.parametrize("command", ["character", "replay"])
def test_output_that_is_lost_is_one_line_and_its_status(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        status, _, said = avatar([command, "--help"], stdout=full)
    assert status == LOST
    line = f"avatar {command}: the output cannot be written (No space left on device).\n"
    assert said == line.encode()


# Work


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose name is no UTF-8, with what commands read in it."""
    place = tmp_path / STRANGE
    place.mkdir()
    draw(place / STRANGE)
    Image.new("RGB", (64, 64)).save(place / f"{STRANGE}.png")
    with wave.open(os.fspath(place / "in.wav"), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(np.full(12_000, 500, np.int16).tobytes())
    return place


WORK: dict[str, tuple[int, list[str]]] = {
    "speak": (0, ["in.wav", "-o", f"{STRANGE}.mp4", "--character", f"./{STRANGE}"]),
    "speak nothing": (REFUSED, [f"no {STRANGE}.wav", "-o", "out.mp4"]),
    "speak as nobody": (REFUSED, ["in.wav", "-o", "out.mp4", "--character", STRANGE + "x"]),
    "speak before": (REFUSED, ["in.wav", "-o", "out.mp4", "--background", STRANGE]),
    "replay": (REFUSED, [STRANGE, "--events"]),
    "character check": (0, [f"./{STRANGE}"]),
    "character preview": (REFUSED, [f"./{STRANGE}", "-o", "sheets", "--speech", STRANGE]),
    "character build": (REFUSED, [f"{STRANGE}.png", "-o", "made", "--landmarks", STRANGE]),
    "doctor": (0, []),
}


@pytest.mark.parametrize(
    ("work", "edge"), [*((work, "in_ascii") for work in WORK), ("speak", "with_a_reader_that_left")]
)
def test_names_that_are_no_utf_8_and_outputs_that_break_change_nothing(
    work: str, edge: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, arguments = WORK[work]
    words = work.split()
    command = words[:2] if words[0] == "character" else words[:1]
    monkeypatch.chdir(place)
    status, said = EDGES[edge]([*command, *arguments])
    clean(said)
    assert status == expected, said
    assert len(said.splitlines()) == (0 if expected == 0 else 1)
    if work == "speak":
        assert (place / f"{STRANGE}.mp4").stat().st_size > 1000


# The runner itself

PROGRAMS: dict[str, tuple[str, int, str]] = {
    "returns": ("pass", 0, ""),
    "exits with 3": ("raise SystemExit(3)", 3, ""),
    "exits with a sentence": ("raise SystemExit('No.')", 1, "No.\n"),
    "is interrupted": ("raise KeyboardInterrupt", INTERRUPTED, "avatar x: interrupted.\n"),
    "cannot be imported": (
        "import nothing_of_that_name",
        INTERNAL,
        "avatar x: cannot go on (ModuleNotFoundError: No module named 'nothing_of_that_name'); "
        "`avatar doctor` may know why.\n",
    ),
    "fails": (
        "raise ValueError('a\\nb')",
        INTERNAL,
        "avatar x: failed (ValueError: a b); this is a fault of the program: run it again with "
        "AVATAR_LOG_LEVEL=DEBUG and report what it says.\n",
    ),
}


@pytest.mark.parametrize(("code", "status", "line"), PROGRAMS.values(), ids=PROGRAMS)
def test_whatever_a_program_does_is_a_status_and_at_most_one_line(
    code: str, status: int, line: str, tmp_path: Path
) -> None:
    (tmp_path / "some_program.py").write_text(code)
    command = programs.command("some_program", program="avatar x")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", line)
    environ["AVATAR_LOG_LEVEL"] = "DEBUG"
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert ("Traceback" in done.stderr) == (status == INTERNAL)
    assert done.stderr.endswith(line)


def test_a_program_has_its_own_arguments(tmp_path: Path) -> None:
    file = tmp_path / "some_program.py"
    file.write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    done = subprocess.run(
        programs.command("some_program", "--a", "b c", program="avatar x"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["--a", "b c"]
