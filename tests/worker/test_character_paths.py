"""A join request names a character, and is never led out of the folders of characters by it."""

import shutil
from pathlib import Path

import pytest
from dispatching import Dispatcher, dispatcher
from hypothesis import given
from hypothesis import strategies as st
from processes import until

from worker.characters.folder import SHIPPED, Character, places
from worker.errors import InputError

NAMES = [
    "..", ".", "../secret", "secret/../secret", "/etc/passwd", "/", "a/b", "a\\b", "..\\secret",
    "ada\0", "\0", "ada\n", "ada ", " ada", "\u0430da", "%2e%2e", "..%2fsecret", "~",
    "~root", "ada.zip", "secret.zip", "file:///etc/passwd", "x" * 65, "", "a\u0301", "con:",
    "$HOME", "*",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An operator's folder, with links in it, beside what is nobody's business."""
    own = tmp_path / "own"
    own.mkdir()
    shutil.copytree(SHIPPED / "ada", tmp_path / "secret")
    shutil.copytree(SHIPPED / "ada", own / "eve")
    shutil.make_archive(str(tmp_path / "packed"), "zip", SHIPPED / "ada")
    (own / "outside").symlink_to(tmp_path / "secret")
    (own / "upwards").symlink_to("../secret")
    (own / "packed.zip").symlink_to(tmp_path / "packed.zip")
    (own / "inside").symlink_to(own / "eve")
    (own / "through").symlink_to(own / "outside")
    return own


def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder: Path) -> None:
    for name in ("outside", "upwards", "packed", "through"):
        with pytest.raises(InputError, match="leads out of its folder"):
            Character.load(name, str(folder))
    for name in ("eve", "inside", "ada"):
        assert Character.load(name, str(folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_no_name(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="There is no character"):
        Character.load(name, str(folder))


@given(st.text(st.sampled_from("./\\\0~adasecret%\n"), max_size=12))
def test_whatever_is_found_lies_in_a_folder_of_characters(name: str) -> None:
    folder = str(SHIPPED.parent / "characters")
    try:
        found = Character.load(name, folder)
    except InputError:
        return
    assert any((place / found.name).is_dir() for place in places(folder))


def asked(running: Dispatcher, name: str) -> str:
    """Why the worker would not have it."""
    answer = running.launch("room", character=name)
    assert answer.status_code == 422
    path = answer.json()["error"].split()[-3]
    return str(running.http.get(path).json()["reason"])


def test_over_http_a_path_is_422_and_no_worker_hears_of_it(folder: Path, tmp_path: Path) -> None:
    """Where it is a name, the worker looks for it, and is not led away either."""
    with dispatcher(
        tmp_path / "log",
        AVATAR_RENDERER="character",
        AVATAR_CHARACTERS=str(folder),
        AVATAR_REFUSALS="off",
    ) as running:
        for name in filter(None, NAMES):
            answer = running.launch("room", character=name)
            assert answer.status_code == 422, name
            assert "`character`" in answer.json()["error"]
        assert running.sessions() == []
        assert "leads out of its folder" in asked(running, "outside")
        assert "no character 'secret'" in asked(running, "secret")
        session_id = running.launched("room", character="eve")
        until(lambda: running.session(session_id)["state"] == "active")
