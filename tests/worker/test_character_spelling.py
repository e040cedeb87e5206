"""A character's name or path means the same everywhere, however files and texts were written."""

import codecs
import json
import shutil
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_character import draw

from agent_side.join import JoinInfo
from avatar_runtime.texts import folded, read_text, tidied
from worker.__main__ import with_character
from worker.characters.folder import SHIPPED, Character, locate, names
from worker.errors import InputError
from worker.process.loading import load_renderer
from worker.settings import Settings
from worker.tools import character as command
from worker.tools.doctor import findings
from worker.tools.portrait.landmarks import Landmarks
from worker.tools.speak import _parser, _settings

ACCENTED = "größe.png"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with characters in it, and an operator's folder of others."""
    draw(tmp_path / "dot")
    packed(tmp_path / "dot", tmp_path / "LOUD.ZIP")
    own = tmp_path / "own"
    own.mkdir()
    shutil.copytree(tmp_path / "dot", own / "Eve")
    packed(tmp_path / "dot", own / "Zoe.Zip")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVATAR_CHARACTERS", "own")
    monkeypatch.setenv("AVATAR_SIZE", "64x64")
    return tmp_path


def packed(folder: Path, path: Path, rename: Callable[[str], str] = lambda name: name) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            entry = zipfile.ZipInfo("x")
            entry.filename = rename(file.name)  # as it is: the constructor would mend it
            archive.writestr(entry, file.read_bytes())
    return path


def for_speak(name: str) -> str:
    given = _parser().parse_args(["in.wav", "-o", "out.mp4", "--character", name])
    settings = _settings(given)
    load_renderer(settings).close()
    return str(locate(settings.character, settings.characters))


def for_check(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert command.main(["check", name]) == 0
    return capsys.readouterr().out.splitlines()[-1].partition(" can be used")[0]


SPELLINGS = {
    "ada": str(SHIPPED / "ada"),
    "ADA": str(SHIPPED / "ada"),
    "eve": "own/Eve",
    "Eve": "own/Eve",
    "zoe": "own/Zoe.Zip",
    "./own/Eve/": "own/Eve",
    "dot": "dot",
    "LOUD.ZIP": "LOUD.ZIP",
    "./LOUD.ZIP": "LOUD.ZIP",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_command_means_the_same_character(
    spelling: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    meant = SPELLINGS[spelling]
    assert for_speak(spelling) == meant
    if "ada" not in meant:  # drawing it in three sizes takes long
        assert for_check(spelling, capsys) == meant
    monkeypatch.setenv("AVATAR_CHARACTER", spelling)
    assert "ok       a face is drawn, 64x64" in [str(each) for each in findings()]


@pytest.mark.parametrize("spelling", ["nobody", "NOBODY", "a b", "\u0430da", ""])
def test_what_is_nobody_is_nobody_for_all(spelling: str, place: Path) -> None:
    for asked in (locate, Character.find, Character.load):
        with pytest.raises(InputError, match="There is no character"):
            asked(spelling, "own")


@pytest.mark.parametrize("name", ["eve", "ADA", "zoe"])
def test_a_join_request_means_the_same_names(name: str, place: Path) -> None:
    settings = Settings(characters="own", character="leo", width=64, height=64)
    join = JoinInfo.from_json(json.dumps({"room_name": "r", "token": "t", "character": name}))
    _, renderer = with_character(settings, load_renderer(settings), join)
    renderer.close()


def test_a_join_request_never_means_the_working_directory(place: Path) -> None:
    settings = Settings(characters="own", width=64, height=64)
    with pytest.raises(InputError, match="There is no character 'dot'"):
        with_character(settings, load_renderer(settings), JoinInfo("r", "t", character="dot"))


def test_all_names_are_small(place: Path) -> None:
    assert names("own") == ["ada", "eve", "leo", "zoe"]


def test_a_home_that_is_none_is_one_sentence() -> None:
    with pytest.raises(InputError, match="has no home folder"):
        locate("~nobody-has-this-name/ada")


# Texts that people edit

TEXTS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "Notepad's Unicode": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "the other Unicode": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "Windows' line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "a Mac's line ends": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("edited", TEXTS.values(), ids=TEXTS)
def test_a_manifest_is_read_as_whatever_editor_saved_it(
    edited: Callable[[str], bytes], tmp_path: Path
) -> None:
    manifest = draw(tmp_path / "dot") / "manifest.json"
    text = json.dumps({**json.loads(manifest.read_text()), "title": "Größe"}, indent=1)
    manifest.write_bytes(edited(text))
    assert Character.read(tmp_path / "dot").title == "Größe"


@pytest.mark.parametrize("edited", TEXTS.values(), ids=TEXTS)
def test_landmarks_are_read_as_whatever_editor_saved_them(
    edited: Callable[[str], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "landmarks.json"
    file.write_bytes(edited('{\n"photo": [3, 4]\n}'))
    with pytest.raises(InputError, match="it belongs to a photo of 3x4"):
        Landmarks.read(file, (5, 6))


def test_a_text_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        read_text(b"caf\xe9")


def test_what_an_environment_file_leaves_around_a_value_is_taken_off() -> None:
    environ = {"AVATAR_SIZE": "64x64\r", "AVATAR_CHARACTER": "\ufeff leo ", "HOME": " x\r"}
    settings = Settings.from_env(environ)
    assert (settings.width, settings.character) == (64, "leo")
    assert tidied(environ)["HOME"] == " x\r"


# Files' names


def renamed(folder: Path, old: str, name: str, in_manifest: str) -> Path:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace(f'"{old}"', json.dumps(in_manifest)))
    (folder / old).rename(folder / name)
    return folder


NAMINGS = {
    "capital letters": ("WALL.PNG", "wall.png"),
    "small letters": ("wall.png", "Wall.PNG"),
    "a Mac's form": (unicodedata.normalize("NFD", ACCENTED), ACCENTED),
    "everybody else's form": (ACCENTED, unicodedata.normalize("NFD", ACCENTED)),
}


@pytest.mark.parametrize(("on_disk", "in_manifest"), NAMINGS.values(), ids=NAMINGS)
def test_a_file_is_found_under_its_name_in_any_form(
    on_disk: str, in_manifest: str, tmp_path: Path
) -> None:
    folder = renamed(draw(tmp_path / "dot"), "wall.png", on_disk, in_manifest)
    (folder / "manifest.json").rename(folder / "Manifest.JSON")
    archive = packed(folder, tmp_path / "dot.zip")
    for path in (folder, archive):
        character = Character.read(path)
        assert character.image(character.wall).mode == "RGBA"


ARCHIVES: dict[str, Callable[[str], str]] = {
    "at its top": lambda name: name,
    "in a folder": lambda name: f"Dot/{name}",
    "with backslashes": lambda name: f"Dot\\{name}",
    "in capital letters": lambda name: f"DOT/{name.upper()}",
}


@pytest.mark.parametrize("rename", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_may_be_made_anywhere(rename: Callable[[str], str], tmp_path: Path) -> None:
    draw(tmp_path / "dot")
    character = Character.read(packed(tmp_path / "dot", tmp_path / "DOT.ZIP", rename))
    assert character.image(character.figure).mode == "RGBA"


@pytest.mark.parametrize("page", ["cp437", "cp850", "cp1252", "utf-8"])
def test_an_archive_that_does_not_say_its_code_page_is_read(page: str, tmp_path: Path) -> None:
    folder = renamed(draw(tmp_path / "dot"), "wall.png", ACCENTED, ACCENTED)
    archive = packed(folder, tmp_path / "dot.zip", lambda name: name.replace(ACCENTED, "@" * 20))
    written = ACCENTED.encode(page)
    stand_in = b"@" * 20
    # Of the same length, as an archive notes the length of each name.
    name = written[:-4] + b"x" * (20 - len(written)) + written[-4:]
    archive.write_bytes(archive.read_bytes().replace(stand_in, name))
    text = "größe" + "x" * (20 - len(written)) + ".png"
    assert zipfile.ZipFile(archive).infolist()[0].flag_bits & 0x800 == 0
    character = Character.read(tmp_path / "dot.zip")
    assert character.source.read(text)


def test_names_that_differ_in_more_are_others() -> None:
    assert folded("Größe") == folded("GRÖSSE")
    assert folded("wall.png") != folded("wa11.png")
