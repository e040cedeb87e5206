"""A picture that others made is opened as one of a few formats, and a broken one is one line."""

import ast
import os
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from worker.characters.backdrop import backdrop
from worker.characters.source import open_source, picture
from worker.errors import InputError
from worker.tools.portrait import photo
from worker.tools.portrait.landmarks import Landmarks

ROOT = Path(__file__).parents[2]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
OTHERS = ("PPM", "TGA", "PCX", "SGI", "ICO", "JPEG2000", "DDS")


def test_every_picture_is_opened_with_a_list_of_formats() -> None:
    opened = [
        (path.name, call)
        for package in ("worker", "dispatcher", "agent_side", "localroom")
        for path in (ROOT / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Image.open"
    ]
    assert opened
    assert [n for n, call in opened if "formats" not in {k.arg for k in call.keywords}] == []


@pytest.fixture
def no_ghostscript(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        pytest.fail("a program was started for a picture")

    monkeypatch.setattr("subprocess.check_call", started)
    monkeypatch.setattr("subprocess.Popen", started)


@pytest.mark.usefixtures("no_ghostscript")
@pytest.mark.parametrize("kind", ["EPS", *OTHERS])
def test_other_formats_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "me.jpg"
    if kind == "EPS":
        path.write_bytes(EPS)
    else:
        try:
            Image.new("RGB", (64, 64)).save(path, kind)
        except (KeyError, OSError):
            pytest.skip(f"this Pillow does not write {kind}")
    with pytest.raises(InputError, match="give a JPEG, PNG or WebP photo"):
        photo.load(path)
    with pytest.raises(InputError, match=r"give a colour such as #20404f, or a WebP, PNG or JPEG"):
        backdrop(str(path), 64, 64)
    with pytest.raises(InputError, match=r"save it anew as WebP or PNG"):
        picture(open_source(_folder(tmp_path)), "me.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_what_cameras_and_editors_write_is_read(kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "me", kind)
    assert photo.load(tmp_path / "me").size == (64, 48)


def _folder(path: Path) -> Path:
    (path / "manifest.json").write_text("{}")
    return path


def _with_exif(exif: bytes) -> bytes:
    content = BytesIO()
    Image.new("RGB", (64, 48), "red").save(content, "JPEG", exif=b"Exif\0\0" + exif)
    return content.getvalue()


def _entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value


def _directory(*entries: bytes) -> bytes:
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    return head + b"".join(entries) + struct.pack("<I", 0)


EXIF = {
    "nothing": b"",
    "no TIFF": b"garbage" * 4,
    "half a head": b"II*\0\x08",
    "a directory nowhere": b"II*\0" + struct.pack("<I", 0xFFFFFFF0),
    "a directory that promises more": b"II*\0" + struct.pack("<IH", 8, 0xFFFF),
    "an orientation that is a text": _directory(_entry(0x112, 2, 4, b"abc\0")),
    "an orientation that is a fraction by nothing": _directory(_entry(0x112, 5, 1, b"\xff" * 4)),
    "an orientation of many numbers": _directory(_entry(0x112, 3, 0x7FFFFFFF, b"\0\0\0\0")),
    "an orientation of no kind": _directory(_entry(0x112, 99, 1, b"\1\0\0\0")),
    "an orientation beyond 8": _directory(_entry(0x112, 3, 1, b"\x2a\0\0\0")),
    "an inner directory that is itself": _directory(
        _entry(0x8769, 4, 1, b"\x08\0\0\0"), _entry(0x112, 3, 1, b"\6\0\0\0")
    ),
}


@pytest.mark.parametrize("exif", EXIF.values(), ids=EXIF)
def test_a_photo_with_broken_exif_is_a_photo(exif: bytes, tmp_path: Path) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(_with_exif(exif))
    assert sorted(photo.load(path).size) == [48, 64]
    made = backdrop(str(path), 32, 32)
    assert made is not None
    assert made.size == (32, 32)


@pytest.mark.parametrize(
    "error",
    [
        KeyError(1), TypeError("x"), ZeroDivisionError(), struct.error("x"), IndexError("x"),
        AttributeError("x"), EOFError(), RuntimeError("x"), OverflowError("x"), OSError("x"),
        SyntaxError("x"), ValueError("x"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_reading_the_exif_raises_leaves_the_photo(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise error

    path = tmp_path / "me.jpg"
    path.write_bytes(_with_exif(b""))
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", broken)
    assert photo.load(path).size == (64, 48)
    assert backdrop(str(path), 32, 32) is not None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_a_damaged_picture_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    content = BytesIO()
    Image.effect_noise((96, 96), 60).convert("RGB").save(content, kind)
    whole = content.getvalue()
    for cut in range(0, len(whole), max(1, len(whole) // 40)):
        for damaged in (whole[:cut], whole[:cut] + b"\xff" * 24 + whole[cut + 24 :]):
            (tmp_path / "me").write_bytes(damaged)
            with suppress(InputError):
                photo.load(tmp_path / "me")


@pytest.mark.parametrize("what", ["fifo", "device"])
def test_what_would_block_or_never_end_is_refused(what: str, tmp_path: Path) -> None:
    path = Path("/dev/zero")
    if what == "fifo":
        path = tmp_path / "fifo"
        os.mkfifo(path)
    with pytest.raises(InputError, match="is not an ordinary file; name a JPEG, PNG or WebP photo"):
        photo.load(path)
    with pytest.raises(InputError, match="is not an ordinary file; name a WebP, PNG or JPEG"):
        backdrop(str(path), 64, 64)
    with pytest.raises(InputError, match="is not an ordinary file; name one with landmarks"):
        Landmarks.read(path, (1, 1))
    with pytest.raises(InputError, match="is no character"):
        open_source(path)
