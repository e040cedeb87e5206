"""The finder's nets: got once, checked, whole or not at all; without, one line says what to do.

The wheels here are made here, and no test asks a network.
"""

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.errors import InputError
from worker.tools.portrait import models

NAMES = sorted(models.NETS)
CONTENT = {name: f"the net {name}".encode() * 100 for name in NAMES}


@pytest.fixture(autouse=True)
def nets_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same three places, with the hashes of our own contents."""
    ours = {
        name: (inside, hashlib.sha256(CONTENT[name]).hexdigest())
        for name, (inside, _) in models.NETS.items()
    }
    monkeypatch.setattr(models, "NETS", ours)


def wheel(**instead: bytes | None) -> models.Fetch:
    """Fetches a wheel with the three nets, or with others, or none, in their places."""

    def fetch(folder: Path) -> None:
        with zipfile.ZipFile(folder / "some-1-py3-none-any.whl", "w") as archive:
            for name, (inside, _) in models.NETS.items():
                content = instead.get(name.partition(".")[0], CONTENT[name])
                if content is not None:
                    archive.writestr(f"{inside}/{name}", content)
            archive.writestr("some/large.so", bytes(1000))

    return fetch


def never(folder: Path) -> None:
    raise AssertionError("nothing is to be fetched")


def failing(error: BaseException) -> models.Fetch:
    def fetch(folder: Path) -> None:
        (folder / "half.whl").write_bytes(b"PK")
        raise error

    return fetch


def put(folder: Path, **instead: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).write_bytes(instead.get(name.partition(".")[0], CONTENT[name]))


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def quiet(line: str) -> None:
    pass


def test_the_nets_are_got_once_and_nothing_else_of_the_wheel_stays(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "nets"
    said: list[str] = []
    assert models.obtain(folder, said.append, wheel()) == folder
    assert held(folder) == CONTENT
    (line,) = said
    assert models.WHEEL in line
    assert str(folder) in line
    assert models.obtain(folder, said.append, never) == folder
    assert len(said) == 1


def test_nets_that_were_put_there_are_taken_also_where_nobody_may_write(tmp_path: Path) -> None:
    put(tmp_path / "nets")
    (tmp_path / "nets").chmod(0o555)
    assert models.obtain(tmp_path / "nets", quiet, never) == tmp_path / "nets"


@pytest.mark.parametrize("harm", [b"", b"cut off"])
def test_a_damaged_net_is_got_again(harm: bytes, tmp_path: Path) -> None:
    put(tmp_path, face_landmark=harm)
    models.obtain(tmp_path, quiet, wheel())
    assert held(tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("fetch", "says"),
    [
        (wheel(face_landmark=b"another net"), "face_landmark.tflite in some-1"),
        (wheel(iris_landmark=None), "iris_landmark.tflite is not in some-1"),
        (lambda folder: None, "no wheel"),
        (lambda folder: (folder / "a.whl").write_bytes(b"no archive"), "a.whl is damaged"),
        (failing(InputError("pip says no")), "pip says no"),
        (failing(OSError(28, "No space left on device")), "No space left on device"),
    ],
    ids=["another net", "no net", "no wheel", "no archive", "pip fails", "disk full"],
)
def test_what_goes_wrong_is_said_in_one_line_and_leaves_nothing(
    fetch: models.Fetch, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        models.obtain(tmp_path, quiet, fetch)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert held(tmp_path) == {}


def test_an_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        models.obtain(tmp_path, quiet, failing(KeyboardInterrupt()))
    assert held(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_got(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot be kept in .*file") as caught:
        models.obtain(tmp_path / "file", quiet, never)
    assert models.FOLDER_SETTING in str(caught.value)


def test_a_folder_is_named_or_lies_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    at_home = tmp_path / ".cache" / "avatar-face" / "portrait"
    assert models.place({}) == at_home
    assert models.place({"XDG_CACHE_HOME": "relative", models.FOLDER_SETTING: ""}) == at_home
    assert models.place({"XDG_CACHE_HOME": "/c"}) == Path("/c/avatar-face/portrait")
    named = {"XDG_CACHE_HOME": "/c", models.FOLDER_SETTING: "/srv/nets"}
    assert models.place(named) == Path("/srv/nets")


def test_without_a_home_a_folder_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(models.Path, "home", homeless)
    with pytest.raises(InputError, match=models.FOLDER_SETTING):
        models.place({})


# pip


def runs(answer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is run from now on is answered by `answer`; the commands."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return answer(command, **options)

    monkeypatch.setattr(models.subprocess, "run", run)
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: object())
    return commands


def test_pip_is_asked_for_one_wheel_and_gives_up_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = runs(lambda c, **o: subprocess.CompletedProcess(c, 0, "", ""), monkeypatch)
    models.download(tmp_path)
    (command,) = commands
    assert command[-3:] == ["--dest", str(tmp_path), "mediapipe==0.10.21"]
    assert {"--no-deps", "--no-input", "--no-cache-dir", "--retries", "--timeout"} <= set(command)
    assert not any("://" in word or "index" in word for word in command)


def test_pips_last_word_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = "WARNING: Retrying\nERROR: No matching distribution found\n"
    runs(lambda c, **o: subprocess.CompletedProcess(c, 1, "", words), monkeypatch)
    with pytest.raises(InputError, match=r"\(ERROR: No matching distribution found\)") as caught:
        models.download(tmp_path)
    assert "\n" not in str(caught.value)
    assert models.FOLDER_SETTING in str(caught.value)


def test_a_download_without_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def endless(command: list[str], timeout: float, **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    runs(endless, monkeypatch)
    with pytest.raises(InputError, match="within 7 s"):
        models.download(tmp_path, longest_s=7)


def test_without_pip_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="ensurepip"):
        models.download(tmp_path)
