"""Characters' folders: what may be in them, and one line for everything that is wrong."""

import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_character import draw, manifest
from PIL import Image

from worker.characters import atlas, check
from worker.characters.check import findings
from worker.characters.compositor import Compositor
from worker.characters.folder import SHIPPED, Character, names
from worker.characters.life import Pose
from worker.characters.source import MAX_PIXELS, open_source, plain
from worker.errors import InputError
from worker.tools import character as command


@pytest.fixture
def dot(tmp_path: Path) -> Path:
    return draw(tmp_path / "dot")


def packed(folder: Path, path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, top + file.name)
    return path


def wrong(path: Path) -> list[str]:
    return [finding.line for finding in findings(path) if finding.wrong]


def notes(path: Path) -> list[str]:
    return [f.line for f in findings(path) if not f.wrong and not f.is_fact]


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The character with its manifest changed in place."""
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


# Reading


def test_a_manifest_is_read_into_parts_with_their_states(dot: Path) -> None:
    character = Character.read(dot)
    assert character.name == "dot"
    assert len(character.mouth.states) == 8
    assert character.mouth.states[3] == (0.2, 0.0, 0.0, 0.0, 1.0)
    assert character.eyes.states[1] == (0.0, -0.6, 0.0, 0.0)
    assert character.gestures["wave_hello"].frames == (0, 1, 2, 1, 2, 1, 0)
    assert {"nod", "shake", "laugh", "wave_hello"} <= set(character.gestures)
    assert character.expressions["happy"].smile == 1
    assert "sad" in character.expressions


def test_always_and_states_describe_a_sheet_too(dot: Path) -> None:
    def two_sheets(content: dict[str, Any]) -> None:
        content["mouth"]["sheets"] = [
            {"file": "mouths.png", "axes": {"opening": [0, 0.2, 0.5, 1]}, "always": {"smile": 1}},
            {"file": "rest.png", "states": [{}, {"opening": 0.4, "teeth": 1}]},
        ]

    character = Character.read(changed(dot, two_sheets))
    assert character.mouth.states[1] == pytest.approx((0.2, 0, 0, 0, 1))
    assert character.mouth.states[4:] == ((0, 0, 0, 0, 0), (0.4, 0, 1, 0, 0))


@pytest.mark.parametrize("top", ["", "dot/"])
def test_a_zip_is_the_same_as_its_folder(dot: Path, tmp_path: Path, top: str) -> None:
    archive = packed(dot, tmp_path / "dot.zip", top)
    pictures = [Compositor(atlas.build(Character.read(path), 128, 128)) for path in (dot, archive)]
    stance = pictures[0].stance
    first, second = (compositor.draw(stance(Pose(), None)) for compositor in pictures)
    assert first.y.tobytes() == second.y.tobytes()
    assert wrong(archive) == []


def test_characters_are_found_by_name_in_an_operators_folder(dot: Path) -> None:
    house = dot.parent
    packed(dot, house / "packed.zip")
    assert {"ada", "dot", "packed"} <= set(names(str(house)))
    assert Character.load("dot", str(house)).title == "Dot"
    assert Character.load("packed", str(house)).title == "Dot"
    assert Character.find(str(dot)).title == "Dot"
    with pytest.raises(InputError, match=r"no character 'eve'; choose one of: .*dot"):
        Character.load("eve", str(house))


@pytest.mark.parametrize(
    "file", ["../x.png", "/etc/passwd", "a/../../x", "a\\b", "", ".", "./a.png", "c:x", "a//b"]
)
def test_a_manifest_leads_nowhere_else(dot: Path, file: str) -> None:
    with pytest.raises(InputError):
        plain(file)
    (line,) = wrong(changed(dot, lambda content: content.update(wall=file)))
    assert line.startswith("wall: ")


def test_a_link_out_of_the_folder_is_not_followed(dot: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes((dot / "wall.png").read_bytes())
    (dot / "wall.png").unlink()
    (dot / "wall.png").symlink_to(tmp_path / "secret.png")
    (line,) = wrong(dot)
    assert line == "wall.png: leads out of the folder; put the file itself there."


def test_a_link_in_a_zip_is_not_followed(dot: Path, tmp_path: Path) -> None:
    (dot / "wall.png").unlink()
    archive = packed(dot, tmp_path / "dot.zip")
    entry = zipfile.ZipInfo("wall.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(entry, "/etc/passwd")
    (line,) = wrong(archive)
    assert line.startswith("wall.png: is a link in ")


def test_what_would_take_too_much_memory_is_refused(dot: Path, tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 10
    Image.new("1", (side, side)).save(dot / "wall.png")
    (line,) = wrong(dot)
    assert line.startswith(f"wall.png: has {side}x{side} pixels; make it smaller")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", b" " * 200_000_000)
    with pytest.raises(InputError, match=r"more than 256 files or 128 MB"):
        open_source(bomb)


# Faults


DAMAGES: dict[str, tuple[str, Any]] = {
    "version: has to be 2": ("version", 1),
    "frame: has to be [left, top, right, bottom]": ("frame", [0, 0, 10]),
    "frame: is [10, 0, 0, 10], no rectangle": ("frame", [10, 0, 0, 10]),
    "frame: has to be a square": ("frame", [0, 0, 256, 200]),
    "figure_height: has to be a number from 16 to 20000": ("figure_height", "tall"),
    "figure: has to name a file": ("figure", 5),
    "head.box: has to be [left": ("head", 5),
    "head.fade: has to be [left": ("head", {"box": [40, 20, 216, 196], "fade": []}),
    "shoulders: `from` has to be above `to`": ("shoulders", {"from": 9, "to": 8}),
    "mouth.sheets: has to be a list of sheets": ("mouth", {}),
    "face.box: has to lie within head.box": ("face", {"box": [0, 0, 256, 256], "fade": [1] * 4}),
    "overlays.hand.frames: has to be a whole number from 1 to 64": (
        "overlays",
        {"hand": {"file": "hand.png", "box": [0, 0, 2, 2], "frames": 0}},
    ),
    "expressions.happy.gaze: has to be [right, down]": ("expressions", {"happy": {"gaze": 1}}),
    "expressions.happy: has no 'teeth'": ("expressions", {"happy": {"teeth": 1}}),
    "expressions: 'A b' is no name": ("expressions", {"A b": {}}),
    "gestures.bow.seconds: has to be a number": ("gestures", {"bow": {"seconds": 0, "keys": []}}),
    "gestures.bow.keys: have to rise": ("gestures", {"bow": {"seconds": 1, "keys": [[2, {}]]}}),
    "gestures.bow.keys[0].x: has to be a number from -1 to 1": (
        "gestures",
        {"bow": {"seconds": 1, "keys": [[0.5, {"x": 5}]]}},
    ),
    "gestures.bow.overlay: is no name among the overlays (hand)": (
        "gestures",
        {"bow": {"seconds": 1, "overlay": "foot"}},
    ),
    "gestures.bow.expression: has to be [name, intensity]": (
        "gestures",
        {"bow": {"seconds": 1, "expression": ["glad", 1]}},
    ),
}


@pytest.mark.parametrize("said", DAMAGES)
def test_a_fault_in_the_manifest_is_one_line_that_names_its_entry(dot: Path, said: str) -> None:
    entry, value = DAMAGES[said]
    changed(dot, lambda content: content.update({entry: value}))
    assert any(line.startswith(said) for line in wrong(dot)), wrong(dot)
    with pytest.raises(InputError, match="cannot be used"):
        Character.read(dot)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '"x"', "[" * 100_000, "\x00", '{"version": NaN}']
)
def test_a_manifest_that_is_none_is_one_line(dot: Path, content: str) -> None:
    (dot / "manifest.json").write_text(content)
    with pytest.raises(InputError) as caught:
        Character.read(dot)
    assert str(caught.value).count("\n") == 0


def test_all_faults_are_said_and_not_the_first_alone(dot: Path) -> None:
    changed(dot, lambda content: content.update(frame=1, figure_height=0, version=3, licence=7))
    assert len(wrong(dot)) == 4


def test_a_good_character_has_no_faults_and_tells_what_it_costs(dot: Path) -> None:
    assert wrong(dot) == []
    facts = [finding.line for finding in findings(dot) if finding.is_fact]
    assert [fact.split(":")[0] for fact in facts] == ["512x512", "720x720", "1280x720"]
    assert all(" MB, " in fact and " ms of CPU" in fact for fact in facts)


# Pictures


def test_a_missing_picture_and_a_wrong_size_are_said(dot: Path) -> None:
    (dot / "wall.png").unlink()
    Image.new("RGBA", (96, 40)).save(dot / "mouths.png")
    (dot / "eyes.png").write_text("no picture")
    missing, size, none = wrong(dot)
    assert missing.startswith("wall.png: is missing in ")
    assert size == (
        "mouths.png: is 96x40, but 8 states of the mouth are 96x320; draw it anew, or fix the "
        "manifest's box or states."
    )
    assert none.startswith("eyes.png: is no picture that can be used (")


def test_a_seam_at_a_sprites_edge_is_said(dot: Path) -> None:
    image = Image.open(dot / "mouths.png")
    image.paste((0, 0, 0, 255), (0, 40 * 5, 3, 40 * 6))
    image.save(dot / "mouths.png")
    (line,) = wrong(dot)
    assert line.startswith("mouths.png, state 5 (opening 0.5, smile 1): differs from the figure ")
    assert "left edge, a seam" in line


def test_parts_that_overlap_are_said(dot: Path) -> None:
    changed(dot, lambda content: content["eyes"].update(box=[80, 60, 176, 84]))
    (line,) = wrong(dot)
    assert line == "eyes.box: overlaps brows.box; draw each pixel in one of them only."


def test_a_mouth_that_does_not_shut_is_said(dot: Path) -> None:
    def never_shut(content: dict[str, Any]) -> None:
        content["mouth"]["sheets"][0]["axes"]["opening"] = [0.1, 0.2, 0.5, 1]

    (line,) = wrong(changed(dot, never_shut))
    assert line == "mouth.sheets: have no state with opening 0; draw the shut mouth."
    image = Image.open(dot / "mouths.png")
    image.paste(image.crop((0, 240, 96, 280)), (0, 0))
    image.save(dot / "mouths.png")
    changed(dot, lambda content: content["mouth"].update(sheets=manifest()["mouth"]["sheets"]))
    assert any("state 0 (all 0): is not shut" in line for line in wrong(dot))


def test_lids_that_never_shut_are_said(dot: Path) -> None:
    def open_eyed(content: dict[str, Any]) -> None:
        content["eyes"]["sheets"][0]["axes"]["lid"] = [0, 0.5, 0.8]

    assert wrong(changed(dot, open_eyed)) == [
        "eyes.sheets: have no state with lid 1; draw shut eyes, for blinks."
    ]


def test_an_expression_or_a_gesture_that_changes_nothing_is_said(dot: Path) -> None:
    changed(dot, lambda content: content["expressions"].update(bored={"squint": 1}))
    changed(dot, lambda content: content["gestures"].update(freeze={"seconds": 1}))
    first, second = wrong(dot)
    assert first == ("expressions.bored: changes no pixel; draw states for it, or leave it out.")
    assert second == "gestures.freeze: moves nothing; give it keys or an overlay."


def test_a_missing_licence_is_wrong_and_an_unknown_entry_a_note(dot: Path) -> None:
    changed(dot, lambda content: [content.pop("licence"), content.update(hair="x.png")])
    assert wrong(dot) == ["licence: is missing; say under which licence the drawings are."]
    assert any(line.startswith("hair: is read by nobody") for line in notes(dot))


@pytest.mark.parametrize("name", names())
def test_what_is_shipped_has_no_faults(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At one size: what it costs at the others is only told; test_character_memory.py has it."""
    monkeypatch.setattr(check, "SIZES", check.SIZES[:1])
    assert wrong(SHIPPED / name) == []


# The command


def run(*arguments: object) -> int:
    try:
        return command.main([str(each) for each in arguments])
    except SystemExit as done:
        return int(done.code or 0)


def test_check_says_whether_a_character_can_be_used(
    dot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", dot) == 0
    assert capsys.readouterr().out.endswith("dot can be used (2 notes).\n")
    (dot / "wall.png").unlink()
    assert run("check", dot) == 1
    out, err = capsys.readouterr()
    assert out.startswith("wrong  wall.png: is missing")
    assert (out.count("\n"), err) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "/nowhere"], "avatar character check: There is no character at /nowhere;"),
        (["check", os.devnull], "avatar character check: /dev/null is no character:"),
        (["check"], "avatar character check: the following arguments are required: FOLDER"),
        (["preview", "nobody", "-o", "x"], "avatar character preview: There is no character 'nob"),
        (["dance"], "avatar character: there is no command 'dance'; choose one of: check,"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith(said)
    assert (out, err.count("\n")) == ("", 1)


def test_preview_makes_a_contact_sheet_and_a_film(
    dot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.tools.film import read_film

    out = tmp_path / "out"
    assert run("preview", dot, "-o", out, "--seconds", "3", "--size", "128x128") == 0
    assert sorted(path.name for path in out.iterdir()) == ["dot.mp4", "dot.webp"]
    assert len(read_film(out / "dot.mp4").times_s) == 75
    with Image.open(out / "dot.webp") as sheet:
        assert sheet.width > 2000
        assert sheet.height > 2000
    assert capsys.readouterr().out.count("\n") == 2
