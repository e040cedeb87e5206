"""What an installation brings: the base is what an agent needs, the extras what runs a face.

The wheel is built from this tree and installed with pip from its index into a virtual environment
of its own.
"""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from dispatching import ROOT, dispatcher, environ
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from avatar_runtime import extras

pytestmark = pytest.mark.timeout(600)

NO_INDEX = re.compile("connection|Cannot connect|No matching distribution|timed out", re.IGNORECASE)

PIPS_OWN = {"pip", "setuptools", "wheel"}


def run(*command: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*map(str, command)],
        env={**without_ours(), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=500,
        check=False,
    )


def without_ours() -> dict[str, str]:
    return {name: value for name, value in environ().items() if name != "PYTHONPATH"}


def pip(*arguments: object) -> None:
    """Run the pip of the test environment; skips where it cannot reach an index."""
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip(f"pip reaches no index here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a virtual environment after `pip install avatar-face`."""
    folder = tmp_path_factory.mktemp("base")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    pip("--python", folder / "venv" / "bin" / "python", "install", "--quiet", wheel)
    return folder / "venv"


def needs(name: str, seen: set[str]) -> Iterator[str]:
    """The distribution `name` and all that it needs on this machine, as installed here."""
    if (plain := canonicalize_name(name)) in seen:
        return
    seen.add(plain)
    yield plain
    for text in distribution(name).requires or ():
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield from needs(wanted.name, seen)


def test_the_base_install_brings_httpx_and_nothing_else(base: Path) -> None:
    done = run(sys.executable, "-m", "pip", "--python", base / "bin" / "python", "freeze", "--all")
    found = {canonicalize_name(re.split(r"==| @ ", line)[0]) for line in done.stdout.splitlines()}
    assert found - PIPS_OWN == {"avatar-face", *needs("httpx", set())}


def test_an_agent_imports_all_of_its_side_from_the_base(base: Path) -> None:
    every = "import agent_side; print([getattr(agent_side, each) for each in agent_side.__all__])"
    done = run(base / "bin" / "python", "-W", "error", "-c", every)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("serve", "dispatcher,worker"),
        ("serve --local", "dispatcher,worker,localroom"),
        ("node", "dispatcher,worker"),
        ("worker", "worker"),
        ("room", "localroom"),
        ("speak x.wav -o x.mp4", "worker"),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(
    base: Path, command: str, extra: str
) -> None:
    done = run(base / "bin" / "avatar", *command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f" are missing; pip install 'avatar-face[{extra}]'\n")


def test_here_nothing_is_missing() -> None:
    assert extras.missing(["worker", "dispatcher", "localroom"]) == []


def test_the_example_agent_speaks_with_the_base_install(base: Path, tmp_path: Path) -> None:
    """It has VideoSDK's SDK beside it, as agents have, and a worker.py of its own."""
    sdk, project = tmp_path / "sdk", tmp_path / "project"
    link_sdk(sdk)
    project.mkdir()
    (project / "worker.py").write_text("raise SystemExit('not for you')")
    agent = project / "agent.py"
    agent.write_bytes((ROOT / "examples" / "agent.py").read_bytes())
    speech = ROOT / "benchmarks" / "speech.wav"
    with dispatcher(tmp_path / "log", "--local", AVATAR_MEETING="videosdk") as running:
        places = os.pathsep.join([str(project), str(sdk)])
        python = base / "bin" / "python"
        done = run(python, agent, speech, **running.exported(), PYTHONPATH=places)
        assert done.returncode == 0, done.stderr + running.log()
        (turn,) = re.findall(r"turn 1: ([0-9.]+) s were heard, interrupted=False", done.stdout)
        assert float(turn) > 1.0
        assert running.stop() == 0


def link_sdk(folder: Path) -> None:
    """Make the SDK of this environment, with all that it needs, importable from `folder`."""
    folder.mkdir()
    for name in needs("videosdk", set()):
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
