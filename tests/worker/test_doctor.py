"""avatar doctor: finds what is missing, says what to do, and never falls over."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.tools.doctor import Finding, main, satisfies

Asked = Callable[..., tuple[int, str]]

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ImportError(f"No module named {{name!r}}")

sys.meta_path.insert(0, Missing())
from worker.tools.doctor import main
sys.exit(main([]))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder in which the package's metadata lie as an installer leaves them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [
        f"{text}; extra == '{name}'"
        for name in ("worker", "dispatcher", "localroom")
        for text in extras[name]
    ]
    place = tmp_path / "installed"
    place.mkdir()
    return describe(place, [*project["dependencies"], *needed], project["requires-python"])


def describe(folder: Path, dependencies: list[str], python: str = ">=3.11") -> Path:
    info = folder / "avatar_face-0.1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", "Name: avatar-face", "Version: 0.1.0"]
    lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {each}" for each in dependencies)]
    lines += ["Provides-Extra: dev", 'Requires-Dist: never-there; extra == "dev"']
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    return folder


def doctor(
    metadata: Path, blocked: tuple[str, ...] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, where what is `blocked` cannot be imported."""
    places = f"{metadata}:{ROOT}:{ROOT / 'tests' / 'support'}"
    start = ["-c", BLOCKED.format(names=blocked)] if blocked else ["-m", "worker.tools.doctor"]
    settings = {"PYTHONPATH": places, "AVATAR_RENDERER": "plain_renderer:create"}
    return subprocess.run(
        [sys.executable, "-P", *start],
        env=os.environ | settings | environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture
def asked(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Asked:
    """The program in this process: its exit status and what it says."""

    def run(metadata: Path = installed, **environ: str) -> tuple[int, str]:
        monkeypatch.syspath_prepend(metadata)
        monkeypatch.setenv("AVATAR_RENDERER", "plain_renderer:create")
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = main([])
        out, err = capsys.readouterr()
        assert err == ""
        return status, out

    return run


def missing(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("missing ")]


def test_all_is_well_where_everything_is_installed(installed: Path) -> None:
    done = doctor(installed)
    assert (missing(done.stdout), done.stderr, done.returncode) == ([], "", 0)
    for part in ("Python 3.", "av ", "videosdk ", "libx264", "libopus", "resampling", "CPU"):
        assert part in done.stdout
    assert "never-there" not in done.stdout


@pytest.mark.parametrize("name", ["av", "numpy", "soxr", "httpx", "PIL", "videosdk", "tqdm"])
def test_a_module_that_cannot_be_imported_is_named_with_its_remedy(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    status, said = asked()
    assert status == 1
    package = {"PIL": "pillow"}.get(name, name)
    assert any(
        line.startswith(f"missing  {package} ") and f'pip install "{package}' in line
        for line in missing(said)
    )


def test_everything_missing_at_once_is_still_an_answer(installed: Path) -> None:
    done = doctor(installed, ("av", "numpy", "soxr", "httpx", "PIL", "videosdk", "tqdm"))
    assert (done.returncode, done.stderr) == (1, "")
    assert len(missing(done.stdout)) >= 7 + 4 + 1


def test_packages_that_are_absent_or_too_old_are_named(asked: Asked, tmp_path: Path) -> None:
    status, said = asked(describe(tmp_path, ["not-there-at-all>=1", "numpy>=900", "av"]))
    absent, old = missing(said)
    assert absent.startswith("missing  not-there-at-all is not installed; run: ")
    assert absent.endswith('-m pip install "not-there-at-all>=1"')
    assert "needs >=900" in old
    assert status == 1


def test_a_python_that_is_too_old_is_named(asked: Asked, tmp_path: Path) -> None:
    (line,) = missing(asked(describe(tmp_path, [], ">=4"))[1])
    assert "needs >=4; install a newer Python" in line


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"AVATAR_SIZE": "3x3"}, "AVATAR_SIZE is '3x3'"),
        ({"AVATAR_CHARACTER": "nobody"}, "no character 'nobody'"),
        ({"AVATAR_RENDERER": "nowhere"}, "nowhere"),
        ({"AVATAR_CHARACTERS": "/nowhere"}, "AVATAR_CHARACTERS is '/nowhere', no folder"),
        ({"AVATAR_BADGE": "yes"}, "AVATAR_BADGE is 'yes'; it has to be on or off"),
        ({"AVATAR_RENDERER": "plain_renderer:broken"}, "fails (ZeroDivisionError: "),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    asked: Asked, environ: dict[str, str], said: str
) -> None:
    status, out = asked(**environ)
    (line,) = missing(out)
    assert said in line
    assert status == 1


@pytest.mark.parametrize(
    ("environ", "status", "said"),
    [
        ({"AVATAR_STILNESS": "1"}, 1, "did you mean AVATAR_STILLNESS?"),
        ({"AVATAR_PORT": "tcp://10.0.0.7:8089"}, 1, "AVATAR_PORT is the address of a service"),
        ({"SSL_CERT_FILE": "/nowhere"}, 1, "SSL_CERT_FILE is '/nowhere'"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere"}, 1, "REQUESTS_CA_BUNDLE is '/nowhere'"),
        ({"ALL_PROXY": "foo://x"}, 1, "ALL_PROXY names no proxy that is known"),
        ({"HTTPS_PROXY": "http://p"}, 0, "HTTPS_PROXY is for other hosts"),
        ({"AVATAR_WORLD": "1"}, 1, "AVATAR_WORLD is no setting and has no effect"),
    ],
)
def test_a_variable_without_effect_is_named(
    asked: Asked, environ: dict[str, str], status: int, said: str
) -> None:
    answer = asked(**environ)
    assert answer[0] == status
    assert answer[1].count(said) == 1


def test_an_operators_own_characters_are_listed(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / "manifest.json").write_text("{}")
    assert f"characters in {tmp_path}: eve\n" in asked(AVATAR_CHARACTERS=str(tmp_path))[1]


@pytest.mark.parametrize(
    ("version", "specifiers", "answer"),
    [
        ("16.1.0", "<17,>=14", True),
        ("17.0", "<17,>=14", False),
        ("13.9.9", ">=14,<17", False),
        ("14", ">=14.0.0", True),
        ("0.4.1", "==0.4.1", True),
        ("0.4.10", "==0.4.1", False),
        ("3.11.2", ">=3.11", True),
        ("3.9.18", ">=3.11", False),
        ("2.0rc1", ">=2", True),
        ("1.0", "", True),
        ("1.5", "!=1.5", False),
    ],
)
def test_versions_are_compared_by_their_numbers(
    version: str, specifiers: str, answer: bool
) -> None:
    assert satisfies(version, specifiers) is answer


def test_a_finding_is_one_line() -> None:
    assert str(Finding("2 CPUs")) == "ok       2 CPUs"
    assert str(Finding("av is not installed", "run: x")) == "missing  av is not installed; run: x"
