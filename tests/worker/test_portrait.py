"""`avatar character build`: a photo becomes a character, or one line says why it does not.

The face in tests/data/portrait is nobody's: art/portrait_face.py renders it. Most
tests tell where it is; those that find it are left out without the extra `portrait` and the nets.
"""

import importlib.util
import json
import math
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worker.errors import InputError
from worker.tools import character
from worker.tools.portrait import brows, eyes, figure, finder, models, mouth, photo
from worker.tools.portrait.__main__ import main
from worker.tools.portrait.landmarks import Iris, Landmarks
from worker.tools.portrait.mouth_geometry import Mouth
from worker.tools.portrait.warp import curve, sampled, sources

DATA = Path(__file__).parents[1] / "data" / "portrait"
FACE = DATA / "face.jpg"
MARKS = DATA / "face.json"
TURNED = DATA / "turned.jpg"
SMALL = 0.42
"""Scale of what most tests build: the face is little taller than it has to be."""

FETCHING_S = 60.0
"""Longer than this no test run waits for the nets."""


@cache
def lacks_for_finding() -> str:
    """What to do before faces can be found here; nothing if they can."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return "the extra `portrait` is not installed: pip install -e '.[portrait]'"
    folder = models.place(os.environ)
    try:
        models.obtain(folder, lambda _: None, partial(models.download, longest_s=FETCHING_S))
    except InputError as error:
        build = "avatar character build tests/data/portrait/face.jpg -o /tmp/me"
        return f"the nets are not there; with a network, `{build}` gets them: {error}"
    return ""


@pytest.fixture(scope="module")
def can_find() -> None:
    if lacks := lacks_for_finding():
        pytest.skip(lacks)


needs_finder = pytest.mark.usefixtures("can_find")


def find(picture: Image.Image) -> list[Landmarks]:
    return finder.Finder(lambda: models.place(os.environ)).find(picture)


@cache
def face() -> Image.Image:
    return photo.load(FACE)


@cache
def marks() -> Landmarks:
    return Landmarks.read(MARKS, face().size)


def scaled(scale: float) -> tuple[Image.Image, Landmarks]:
    """The portrait and its landmarks, smaller."""
    size = (round(face().width * scale), round(face().height * scale))
    small = face().resize(size, Image.Resampling.LANCZOS)
    return small, marks().mapped(0.0, np.zeros(2), size[0] / face().width, np.zeros(2))


@cache
def small_figure() -> figure.Figure:
    return figure.make(*scaled(SMALL))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small photo and the file of its landmarks."""
    folder = tmp_path_factory.mktemp("photo")
    picture, places = scaled(SMALL)
    picture.save(folder / "small.png")
    places.write(folder / "small.json", picture.size)
    return folder / "small.png", folder / "small.json"


@pytest.fixture(scope="module")
def built(small: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "me"
    assert build(small[0], folder, small[1], "--title", "Nobody") == 0
    return folder


def build(path: Path, folder: Path, reports: Path | None, *more: str) -> int:
    landmarks = [] if reports is None else ["--landmarks", str(reports)]
    return main([str(path), "-o", str(folder), *landmarks, *more])


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return read


def states(sheet: dict[str, Any]) -> list[dict[str, Any]]:
    if "states" in sheet:
        return list(sheet["states"])
    names = list(sheet["axes"])
    rows = product(*sheet["axes"].values())
    return [dict(zip(names, row, strict=True)) | sheet.get("always", {}) for row in rows]


# The folder


def test_a_built_character_says_what_it_is(built: Path) -> None:
    reports = manifest(built)
    assert (reports["version"], reports["title"]) == (2, "Nobody")
    with Image.open(built / reports["figure"]) as image:
        assert image.height == reports["figure_height"] <= 1500
    left, top, right, bottom = reports["frame"]
    assert right - left == bottom - top


def test_every_sheet_holds_every_state(built: Path) -> None:
    reports = manifest(built)
    for part in ("mouth", "eyes", "brows"):
        left, top, right, bottom = reports[part]["box"]
        for sheet in reports[part]["sheets"]:
            with Image.open(built / sheet["file"]) as image:
                rows = len(states(sheet)) * (bottom - top)
                assert image.size == (right - left, rows), sheet["file"]


def test_parts_lie_in_the_head_and_apart_from_each_other(built: Path) -> None:
    reports = manifest(built)
    head = reports["head"]["box"]
    boxes = [reports[part]["box"] for part in ("brows", "eyes", "mouth")]
    for box in boxes:
        assert head[0] <= box[0] < box[2] <= head[2]
        assert head[1] <= box[1] < box[3] <= head[3]
    for above, below in pairwise(boxes):
        assert above[3] <= below[1]
    inside, lips = reports["mouth"]["inside"], reports["mouth"]["box"]
    assert lips[0] <= inside[0] < inside[2] <= lips[2]
    assert lips[1] <= inside[1] < inside[3] <= lips[3]


def test_the_head_comes_to_rest_over_a_thirty_second_of_the_frame(built: Path) -> None:
    reports = manifest(built)
    assert min(reports["head"]["fade"]) >= (reports["frame"][2] - reports["frame"][0]) / 32


def test_there_are_all_states_that_a_face_needs(built: Path) -> None:
    reports = manifest(built)
    mouths = [state for sheet in reports["mouth"]["sheets"] for state in states(sheet)]
    assert any(state.get("teeth") == 1 for state in mouths)
    assert any(state.get("tongue") == 1 for state in mouths)
    for smile in (-1, 0, 1):
        assert any(state["opening"] == 0 and state.get("smile", 0) == smile for state in mouths)
    looks = [state for sheet in reports["eyes"]["sheets"] for state in states(sheet)]
    assert {state["lid"] for state in looks} >= {-0.3, 0, 1}
    assert {tuple(state["gaze"]) for state in looks} >= {(0, 0), (-0.6, 0.05), (0.6, 0.05)}


def test_force_replaces_a_character_and_the_same_photo_gives_the_same_bytes(
    small: tuple[Path, Path], built: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "me")
    (tmp_path / "me" / "wall.webp").write_bytes(b"old")
    (tmp_path / "me" / "stray.webp").write_bytes(b"old")
    assert build(small[0], tmp_path / "me", small[1], "--title", "Nobody", "--force") == 0
    names = sorted(path.name for path in built.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "me").iterdir())
    for name in names:
        assert (built / name).read_bytes() == (tmp_path / "me" / name).read_bytes(), name
    assert [path.name for path in tmp_path.iterdir()] == ["me"]


def test_the_landmarks_that_come_out_go_in_again(built: Path, small: tuple[Path, Path]) -> None:
    written, reports = built / "landmarks.json", small[1]
    assert written.read_text() == reports.read_text()


def test_a_folder_that_is_there_is_left_alone(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "diary.txt").write_text("dear diary")
    for more in ([], ["--force"]):
        assert build(small[0], tmp_path / "me", small[1], *more) == 2
    assert (tmp_path / "me" / "diary.txt").read_text() == "dear diary"
    assert capsys.readouterr().err.count("\n") == 2


# What is refused: one line, status 2, nothing written


def refused(
    path: Path, reports: Path | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    folder = tmp_path / "out" / "me"
    assert build(path, folder, reports) == 2
    assert not folder.exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a picture"),
        (b"hello, I am a text", "not a picture"),
        (FACE.read_bytes()[:20_000], "damaged"),
    ],
    ids=["empty", "text", "truncated"],
)
def test_a_file_that_is_no_picture_is_refused(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert says in refused(path, MARKS, tmp_path, capsys)


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in refused(tmp_path / "none.jpg", None, tmp_path, capsys)


def test_a_decompression_bomb_is_refused_unopened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    for side in (12_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        path = tmp_path / "bomb.png"
        pixels = chunk(b"IDAT", zlib.compress(b"\0"))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels)
        assert "million pixels" in refused(path, MARKS, tmp_path, capsys)


def test_too_small_a_face_is_refused_with_the_least_height(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, places = scaled(0.3)
    picture.save(tmp_path / "tiny.png")
    places.write(tmp_path / "tiny.json", picture.size)
    err = refused(tmp_path / "tiny.png", tmp_path / "tiny.json", tmp_path, capsys)
    assert f"has to be {figure.MIN_FACE} or more" in err


def test_an_open_mouth_is_refused() -> None:
    lower = marks().lips_inner_bottom.copy()
    lower[1:-1, 1] += 0.2 * np.ptp(lower[:, 0])
    with pytest.raises(InputError, match="open"):
        figure.check(replaced(lips_inner_bottom=lower), "photo.jpg")


def test_a_head_that_leans_far_is_refused_and_a_little_is_evened_out() -> None:
    leaning = marks().mapped(math.radians(30), marks().chin, 1.0, np.zeros(2))
    with pytest.raises(InputError, match="leans by 30 degrees"):
        figure.check(leaning, "photo.jpg")
    turned = face().rotate(-8, Image.Resampling.BICUBIC, center=tuple(marks().nose_base))
    about = marks().nose_base
    upright = figure.make(turned, marks().mapped(math.radians(8), about, 1.0, np.zeros(2)))
    assert abs(upright.face.roll) < math.radians(0.5)


def test_a_turned_face_is_refused() -> None:
    nose = marks().nose_tip + np.array([0.2 * np.ptp(marks().oval[:, 0]), 0])
    with pytest.raises(InputError, match="turned to the side"):
        figure.check(replaced(nose_tip=nose), "photo.jpg")


def replaced(**changes: Any) -> Landmarks:
    names = Landmarks.__slots__
    return Landmarks(**{name: changes.get(name, getattr(marks(), name)) for name in names})


# The file of landmarks


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda reports: reports.pop("chin"), "chin has to be 2 numbers"),
        (lambda reports: reports.update(photo=[10, 20]), "belongs to a photo of 10x20"),
        (lambda reports: reports.update(oval=[[1, 2]]), "oval has to be 8 or more points"),
        (lambda reports: reports.update(nose_tip=["a", 1]), "nose_tip has to be 2 numbers"),
        (lambda reports: reports.update(nose_tip=[90_000, 1]), "nose_tip lies outside"),
        (lambda reports: reports["left_eye"].update(iris=[1, 2, 0]), "left_eye.iris has to be"),
        (lambda reports: reports["right_eye"]["upper"].reverse(), "from left to right"),
        (lambda reports: reports.update(left_eye=7), "left_eye. has to be an object"),
        (lambda reports: reports.update(chin=[math.nan, 1]), "chin has to be 2 numbers"),
    ],
)
def test_landmarks_that_cannot_be_used_are_refused_by_name(
    spoil: Callable[[Any], object],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reports = json.loads(MARKS.read_text())
    spoil(reports)
    path = tmp_path / "marks.json"
    path.write_text(json.dumps(reports))
    assert says in refused(FACE, path, tmp_path, capsys)


@pytest.mark.parametrize("text", ["", "[", "7", "null", "[" * 100_000])
def test_a_landmarks_file_that_is_no_object_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "marks.json"
    path.write_text(text)
    refused(FACE, path, tmp_path, capsys)


# Photos of every kind


@pytest.mark.parametrize("turns", range(1, 9))
def test_a_photo_stands_upright_whatever_way_the_camera_was_held(
    turns: int, tmp_path: Path
) -> None:
    plain = Image.new("RGB", (8, 4), "blue")
    plain.putpixel((0, 0), (255, 0, 0))
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[turns]
    stored = plain if undo is None else plain.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = turns
    stored.save(tmp_path / "photo.png", exif=exif)
    seen = photo.load(tmp_path / "photo.png")
    assert seen.size == plain.size
    assert seen.tobytes() == plain.tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16", "1"])
def test_a_photo_of_any_mode_is_read_as_rgb(mode: str, tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((40, 30), 128, np.uint8))
    if mode == "I;16":
        deep = np.full((40, 30), 128 * 257, np.uint16)
        Image.fromarray(deep).save(tmp_path / "photo.png")
    else:
        suffix = "tif" if mode == "CMYK" else "png"
        grey.convert(mode).save(tmp_path / f"photo.{suffix}")
    (path,) = tmp_path.iterdir()
    seen = photo.load(path)
    assert (seen.mode, seen.size) == ("RGB", (30, 40))
    if mode != "1":
        assert abs(np.asarray(seen, float).mean() - 128) < 3


def test_what_is_transparent_stands_before_a_light_ground(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert photo.load(tmp_path / "clear.png").getpixel((1, 1)) == photo.GROUND


def test_a_large_photo_is_scaled_down_and_a_small_one_is_not_blown_up() -> None:
    small_, places = scaled(0.5)
    assert figure.make(small_, places).face.height == pytest.approx(places.height)
    double = (2 * face().width, 2 * face().height)
    twice = marks().mapped(0.0, np.zeros(2), 2.0, np.zeros(2))
    made = figure.make(face().resize(double), twice)
    assert made.size[1] <= 1500
    assert made.frame[2] <= figure.FRAME


def test_a_photo_that_ends_at_the_chin_is_continued() -> None:
    bottom = int(marks().chin[1]) + 20
    made = figure.make(face().crop((0, 0, face().width, bottom)), marks())
    assert made.size[1] >= made.face.chin[1] + 0.3 * made.face.height
    assert made.frame[1] + made.frame[2] <= made.size[1] + 1


# Mouths


def lips() -> mouth.MouthPainter:
    return _lips()


@cache
def _lips() -> mouth.MouthPainter:
    return mouth.MouthPainter(small_figure())


MOUTHS = [
    Mouth(opening, width, teeth, tongue, smile)
    for opening, width, teeth, tongue, smile in (
        (0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (1, -1, 0, 0, 0), (1, 1, 0, 0, 0), (0, -1, 0, 0, 0),
        (0, 1, 0, 0, 0), (0.5, 0, 0, 0, 1), (1, 1, 0, 0, 1), (1, -1, 0, 0, -1), (0.1, 0, 1, 0, 0),
        (0.1, 1, 1, 0, 1), (0.4, 0, 0, 1, 0), (0, 0, 0, 0, -1), (0, 0, 0, 0, 1),
    )
]  # fmt: skip


@pytest.mark.parametrize("state", MOUTHS, ids=str)
def test_lips_and_jaw_never_fold(state: Mouth) -> None:
    geometry = lips()._geometry
    shape = geometry.shift(state)
    left, top, right, bottom = geometry.box
    x, y = np.meshgrid(np.arange(left, right, 1.0), np.arange(top, bottom, 1.0))
    x, y = x.astype(np.float32), y.astype(np.float32)
    above = y <= geometry._line(x)
    for move, half in ((geometry.upper, above), (geometry.lower, ~above)):
        to_x, to_y = (a + b for a, b in zip((x, y), move(shape, x, y), strict=True))
        area = (
            np.diff(to_x, axis=1)[:-1] * np.diff(to_y, axis=0)[:, :-1]
            - np.diff(to_x, axis=0)[:, :-1] * np.diff(to_y, axis=1)[:-1]
        )
        inside = half[:-1, :-1] & half[1:, 1:] & half[1:, :-1] & half[:-1, 1:]
        assert area[inside].min() > 0.02


@pytest.mark.parametrize("state", MOUTHS, ids=str)
def test_nothing_moves_at_the_border_of_the_box(state: Mouth) -> None:
    geometry = lips()._geometry
    shape = geometry.shift(state)
    left, top, right, bottom = geometry.box
    across = np.arange(left, right, dtype=np.float32)
    down = np.arange(top, bottom, dtype=np.float32)
    edges = [
        (across, np.full_like(across, top)),
        (across, np.full_like(across, bottom)),
        (np.full_like(down, left), down),
        (np.full_like(down, right), down),
    ]
    for x, y in edges:
        above = y <= geometry._line(x)
        for move, here in ((geometry.upper, above), (geometry.lower, ~above)):
            moved = np.hypot(*move(shape, x[None], y[None]))[0]
            assert float((moved * here).max()) < 0.35


def test_both_halves_agree_beside_the_mouth() -> None:
    geometry = lips()._geometry
    shape = geometry.shift(Mouth(1.0, -1.0))
    x = np.arange(geometry.right + 1, geometry.right + geometry.width, dtype=np.float32)[None]
    y = geometry._line(x)
    upper, lower = geometry.upper(shape, x, y), geometry.lower(shape, x, y)
    assert np.allclose(upper[0], lower[0], atol=0.05)
    assert np.allclose(upper[1], lower[1], atol=0.05)


def darkness(picture: np.ndarray[Any, Any]) -> float:
    """The share of what may be the mouth's inside that is dark, as the gauge sees it."""
    painter = lips()
    left, top = painter.box[:2]
    x0, y0, x1, y1 = painter.inside
    luma = picture[y0 - top : y1 - top, x0 - left : x1 - left, :3] @ [0.299, 0.587, 0.114]
    return float((luma < 0.34 * np.percentile(luma, 75)).mean())


def test_the_dark_of_the_mouth_grows_with_its_opening() -> None:
    dark = [darkness(lips().draw(Mouth(opening))) for opening in (0, 0.18, 0.5, 1)]
    assert dark[0] < 0.02
    assert dark == sorted(dark)
    assert dark[-1] > 0.12


def test_a_rounded_mouth_is_narrower_and_a_spread_one_wider() -> None:
    def wide(width: float) -> int:
        geometry = lips()._geometry
        upper, lower = geometry.edges(geometry.shift(Mouth(0.5, width)), lips()._x[0])
        return int((lower - upper > 0.5).sum())

    assert wide(-1) < 0.8 * wide(0)
    assert wide(1) > 1.04 * wide(0)


def test_a_mouth_at_rest_is_the_photo() -> None:
    painter = lips()
    left, top, right, bottom = painter.box
    plain = small_figure().pixels[top:bottom, left:right, :3]
    assert np.abs(painter.draw(Mouth())[..., :3] - plain).max() < 0.5


def test_upper_teeth_stay_where_the_skull_is() -> None:
    one, other = (lips()._teeth_end(Mouth(opening)) for opening in (0.2, 1.0))
    assert one == other


# Eyes and brows


@cache
def looks() -> eyes.EyePainter:
    return eyes.EyePainter(small_figure())


def eyeballs(look: eyes.Eyes) -> np.ndarray[Any, Any]:
    """The colours where the photo's eyes are open."""
    painter = looks()
    picture = painter.draw(look)[..., :3]
    middle = painter._eyes[0]._x.shape[1]
    halves = (picture[:, :middle], picture[:, middle:])
    return np.concatenate(
        [
            half[eye._within(eye._y, 1.0, 1.5) > 0.5]
            for half, eye in zip(halves, painter._eyes, strict=True)
        ]
    )


def test_eyes_at_rest_are_the_photo() -> None:
    left, top, right, bottom = looks().box
    plain = small_figure().pixels[top:bottom, left:right, :3]
    assert np.array_equal(looks().draw(eyes.Eyes())[..., :3], plain)


def test_a_shut_lid_leaves_no_eyeball_to_be_seen() -> None:
    skin = lips().skin.mean()
    open_, shut = eyeballs(eyes.Eyes()), eyeballs(eyes.Eyes(lid=1.0))
    assert np.percentile(open_.mean(axis=1), 15) < 0.55 * skin
    assert np.percentile(shut.mean(axis=1), 15) > 0.45 * skin
    # Skin is redder than an eyeball.
    assert np.median(shut[:, 0] - shut[:, 2]) > 1.5 * np.median(open_[:, 0] - open_[:, 2])


def test_an_iris_goes_where_it_looks() -> None:
    def dark_column(look: eyes.Eyes) -> float:
        eye = looks()._eyes[0]
        luma = eye.draw(look).mean(axis=2)
        inside = eye._within(eye._y, 1.0, 1.5) > 0.5
        weight = np.where(inside, np.clip(90 - luma, 0, None), 0).sum(axis=0)
        return float((weight * np.arange(len(weight))).sum() / weight.sum())

    left, middle, right = (dark_column(eyes.Eyes(gaze=(x, 0.0))) for x in (-0.6, 0.0, 0.6))
    assert left + 2 < middle < right - 2


def test_brows_rise_and_sink() -> None:
    painter = brows.BrowPainter(small_figure())

    def height(state: brows.Brows) -> float:
        luma = painter.draw(state)[..., :3].mean(axis=2)
        weight = np.clip(0.6 * np.median(luma) - luma, 0, None).sum(axis=1)
        return float((weight * np.arange(len(weight))).sum() / weight.sum())

    low, rest, high = (height(brows.Brows(raised)) for raised in (-0.5, 0.0, 1.0))
    assert low > rest + 0.5
    assert high < rest - 1.5


# Warping


def test_a_curve_goes_through_its_points_and_never_over_them() -> None:
    places = np.array([[0.0, 0.0], [1.0, 5.0], [2.0, 5.0], [4.0, 1.0]])
    x = np.linspace(-1, 5, 200).astype(np.float32)
    y = curve(places, x)
    assert np.allclose(curve(places, places[:, 0].astype(np.float32)), places[:, 1], atol=1e-5)
    assert (y.min(), y.max()) == (0.0, 5.0)


def test_sources_undo_a_movement() -> None:
    def move(x: Any, y: Any) -> tuple[Any, Any]:
        return 4 * np.sin(x / 20), 3 * np.cos(y / 15)

    x, y = np.meshgrid(np.arange(60, dtype=np.float32), np.arange(50, dtype=np.float32))
    from_x, from_y = sources(move, x, y)
    right, down = move(from_x, from_y)
    assert np.abs(from_x + right - x).max() < 0.06
    assert np.abs(from_y + down - y).max() < 0.06


def test_sampling_at_the_middles_gives_the_pixels_back() -> None:
    picture = np.random.default_rng(1).uniform(0, 255, (6, 7, 3)).astype(np.float32)
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(6) + 0.5)
    assert np.allclose(sampled(picture, x, y), picture, atol=1e-3)


# Finding


@needs_finder
def test_the_finder_finds_what_was_noted() -> None:
    (found,) = find(face())
    tall = marks().height
    for name in ("chin", "nose_tip", "nose_base"):
        assert np.linalg.norm(getattr(found, name) - getattr(marks(), name)) < 0.02 * tall
    for one, other in ((found.left_eye, marks().left_eye), (found.right_eye, marks().right_eye)):
        assert np.linalg.norm(one.iris.middle - other.iris.middle) < 0.01 * tall
        assert one.iris.radius == pytest.approx(other.iris.radius, rel=0.12)


@needs_finder
@pytest.mark.parametrize("scale", [0.45, 2.5])
def test_the_size_of_a_photo_does_not_matter(scale: float) -> None:
    size = (round(face().width * scale), round(face().height * scale))
    (found,) = find(face().resize(size, Image.Resampling.LANCZOS))
    middle = (marks().left_eye.iris.middle + marks().right_eye.iris.middle) / 2
    seen = (found.left_eye.iris.middle + found.right_eye.iris.middle) / 2
    assert np.linalg.norm(seen / scale - middle) < 0.01 * marks().height


@needs_finder
def test_two_faces_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = Image.new("RGB", (2 * face().width, face().height))
    both.paste(face(), (0, 0))
    both.paste(face(), (face().width, 0))
    both.save(tmp_path / "both.png")
    assert "There are 2 faces" in refused(tmp_path / "both.png", None, tmp_path, capsys)


@needs_finder
@pytest.mark.parametrize("kind", ["plain", "noise", "stripes", "tiny"])
def test_a_picture_without_a_face_is_refused(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(2).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[::20] = 255
    picture = {
        "plain": Image.new("RGB", (300, 300), "grey"),
        "noise": Image.fromarray(noise),
        "stripes": Image.fromarray(stripes),
        "tiny": Image.new("RGB", (1, 1)),
    }[kind]
    picture.save(tmp_path / "photo.png")
    assert "There is no face" in refused(tmp_path / "photo.png", None, tmp_path, capsys)


@needs_finder
def test_a_small_face_in_a_large_photo_is_found_and_refused_for_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd = Image.new("RGB", (2400, 1600), (128, 140, 150))
    crowd.paste(scaled(0.3)[0], (1300, 500))
    crowd.save(tmp_path / "crowd.png")
    assert "pixels tall" in refused(tmp_path / "crowd.png", None, tmp_path, capsys)


@needs_finder
def test_a_face_from_the_side_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "turned to the side" in refused(TURNED, None, tmp_path, capsys)


def test_without_the_finder_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(finder.importlib, "import_module", missing)
    err = refused(FACE, None, tmp_path, capsys)
    assert finder.INSTALL in err
    assert "--landmarks" in err


def test_what_is_wrong_with_the_nets_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finder.importlib, "import_module", lambda name: models)
    monkeypatch.setenv(models.FOLDER_SETTING, str(FACE))
    err = refused(FACE, None, tmp_path, capsys)
    assert f"cannot be kept in {FACE}" in err
    assert "--landmarks" in err


def test_the_command_is_there(small: tuple[Path, Path], tmp_path: Path) -> None:
    picture, places = small
    reports = ["--landmarks", str(places)]
    assert character.main(["build", str(picture), "-o", str(tmp_path / "me"), *reports]) == 0
    assert (tmp_path / "me" / "manifest.json").is_file()


def test_an_iris_is_fitted_to_the_circle_in_the_picture() -> None:
    from worker.tools.portrait.fitting import fitted_iris

    axis = np.arange(80) + 0.5
    far = np.hypot(axis[None] - 41.0, axis[:, None] - 38.0)
    disc = np.where(far < 14, 60, 220).astype(np.uint8)
    picture = Image.fromarray(np.stack([disc] * 3, axis=2))
    found = fitted_iris(picture, Iris(np.array([39.0, 39.0]), 12.0))
    assert found.radius == pytest.approx(14, abs=1.0)
    assert found.middle[0] == pytest.approx(41, abs=0.8)
