"""avatar: the command starts the program that a subcommand names, and is nothing more."""

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
PLACES = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"}


def avatar(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", ROOT / "avatar_cli.py", *map(str, arguments)],
        env=os.environ | PLACES | environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_help_lists_the_commands_on_one_screen() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = avatar(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "  speak " in done.stdout
        assert "  doctor " in done.stdout
        assert done.stdout.count("\n") <= 24


def test_version_is_one_line() -> None:
    done = avatar("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("avatar ")
    assert done.stdout.count("\n") == 1


def test_an_unknown_command_gets_one_line() -> None:
    done = avatar("spaek", "in.wav")
    assert (done.returncode, done.stdout) == (2, "")
    known = "serve, node, worker, room, speak, replay, character, doctor"
    assert done.stderr == f"avatar: there is no command 'spaek'; choose one of: {known}.\n"


def test_speak_makes_a_film(tmp_path: Path) -> None:
    source, target = tmp_path / "in.wav", tmp_path / "out.mp4"
    with wave.open(str(source), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(np.full(24_000, 500, np.int16).tobytes())
    done = avatar(
        "speak", source, "-o", target, "--size", "64x64", AVATAR_RENDERER="plain_renderer:create"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{target}: 1.8 s, made in ")
    assert sorted(tmp_path.iterdir()) == [source, target]


def test_character_lists_what_it_can_do_and_checks_one() -> None:
    done = avatar("character", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"  {name} " in done.stdout for name in ("check", "preview", "build"))
    done = avatar("character", "check", ROOT / "worker" / "characters" / "ada")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ada can be used" in done.stdout


def test_a_program_s_refusal_is_the_command_s() -> None:
    done = avatar("speak", "missing.wav", "-o", "out.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("avatar speak: missing.wav does not exist;")
    assert done.stderr.count("\n") == 1
