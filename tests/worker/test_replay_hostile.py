"""A recording may come from anybody: it chooses no picture to read and no work without end."""

import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from drawn_character import draw
from PIL import Image
from recorded import CountingRenderer

from worker.errors import InputError
from worker.recording.file import FORMAT, Header, RecordingReader, compose, pack
from worker.settings import Settings
from worker.tools.replay import MOST_UNSHOWN, Replay, main, settings_of

HERE = Settings(width=64, height=64)
ROWS_A_BLOCK = 5000


def recording(path: Path, rows: Iterable[tuple[str, dict[str, Any]]], **changes: object) -> Path:
    header = replace(Header.of(replace(HERE, record_sound=True)), **changes)  # type: ignore[arg-type]
    lines = [compose(0.0, "begin", {"format": FORMAT, **asdict(header)})]
    lines += [compose(0.04, what, values) for what, values in rows]
    blocks = range(0, len(lines), ROWS_A_BLOCK)
    path.write_bytes(b"".join(pack(b"".join(lines[at : at + ROWS_A_BLOCK])) for at in blocks))
    return path


IDLE: tuple[str, dict[str, Any]] = ("idle", {"check": 0})


class Idle(CountingRenderer):
    """Counts how often it is asked for a picture of rest."""

    asked = 0

    def idle(self) -> Any:
        self.asked += 1
        return super().idle()


def test_pictures_that_nobody_was_shown_are_not_drawn_for_ever(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.avatar", [IDLE] * 200_000)
    renderer = Idle()
    stage = Replay(renderer)
    assert list(stage.shots(RecordingReader(path).lines())) == []
    assert renderer.asked == MOST_UNSHOWN
    assert stage.flaw == f"line {MOST_UNSHOWN + 2} draws what was never shown"


def test_the_command_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recording(tmp_path / "r.avatar", [IDLE] * (MOST_UNSHOWN + 5))
    assert main([str(path), "-o", str(tmp_path / "out.mp4")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"avatar replay: {path} has no picture in it: line ")
    assert err.count("\n") == 1


def test_a_session_that_rests_for_hours_is_drawn_to_its_end(tmp_path: Path) -> None:
    ticks = MOST_UNSHOWN + 50
    rows = [
        row
        for number in range(ticks)
        for row in (IDLE, ("tick", {"picture": number, "segment": 0, "sound": "silent"}))
    ]
    stage = Replay(Idle())
    path = recording(tmp_path / "r.avatar", rows)
    assert len(list(stage.shots(RecordingReader(path).lines()))) == ticks
    assert stage.flaw == ""


# Pictures


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of recordings beside pictures that are nobody's business."""
    (tmp_path / "recordings").mkdir()
    (tmp_path / "private").mkdir()
    for where in ("recordings", "private"):
        Image.new("RGB", (64, 64), "red").save(tmp_path / where / f"{where}.png")
    draw(tmp_path / "dot")
    return tmp_path


def background_of(place: Path, named: str, here: Settings = HERE) -> str:
    header = replace(Header.of(HERE), background=named, character=str(place / "dot"))
    return settings_of(header, here, place / "recordings").background


def test_a_background_is_beside_the_recording_or_in_the_character(place: Path) -> None:
    beside = str(place / "recordings" / "recordings.png")
    assert background_of(place, "") == ""
    assert background_of(place, "#20404f") == "#20404f"
    assert background_of(place, "/elsewhere/on/that/machine/recordings.png") == beside
    assert background_of(place, beside) == beside
    wall = str(place / "dot" / "wall.png")
    assert background_of(place, wall) == wall


def test_any_other_picture_is_not_read(place: Path) -> None:
    private = str(place / "private" / "private.png")
    (place / "recordings" / "link.png").symlink_to(private)
    os.mkfifo(place / "recordings" / "fifo.png")
    for named in (
        private,
        f"{place}/recordings/../private/private.png",
        str(place / "recordings" / "link.png"),
        "fifo.png",
        "/etc/passwd",
        "/dev/zero",
        "x" * 5000,
        "..",
    ):
        with pytest.raises(InputError, match="put that picture beside the recording, or set"):
            background_of(place, named)
    assert background_of(place, private, replace(HERE, background=private)) == private


def test_what_is_no_ordinary_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path / "fifo"), "/dev/zero", str(tmp_path), "x" * 5000):
        assert main([path, "--events"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("avatar replay: ")
        assert err.count("\n") == 1
