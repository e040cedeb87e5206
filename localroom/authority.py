"""The file with the room's certificate, which participants are told to trust.

Its path is the same at each start where possible, so that a shell needs it once. The file has the
authorities that the user trusts otherwise as well, so that a program in that shell still reaches
other hosts. The room's own key is in no file and ends with the process.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

logger = logging.getLogger("avatar.localroom.authority")

NAME: Final = "ca.pem"

OTHERS: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name the file of authorities for the SDK's HTTP library."""


@contextmanager
def published(
    certificate: str, usual: Path | None, folder: Path | None, environ: Mapping[str, str]
) -> Iterator[Path]:
    """A path under which other programs read the `certificate` while the block runs.

    It is the `usual` file, or a file in the `folder`. Where none of them can be written, it is
    memory of this process, which only programs of the same user on this machine can read.
    Raises OSError.
    """
    if usual is not None and publish(certificate, usual, environ):
        yield usual
        return
    try:
        if folder is None:
            raise FileNotFoundError("there is no temporary folder")
        path = folder / NAME
        path.write_text(certificate)
    except OSError as error:
        logger.warning(
            "the certificate is kept in memory, which programs of other users cannot read: %s",
            error.strerror or error,
        )
    else:
        yield path
        return
    with in_memory(certificate.encode()) as path:
        yield path


@contextmanager
def in_memory(content: bytes) -> Iterator[Path]:
    """A path under which the `content` is read, though it is in no file. Raises OSError."""
    descriptor = os.memfd_create("avatar-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as memory:
            memory.write(content)
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)


def usual_file(environ: Mapping[str, str], name: str) -> Path | None:
    """Where the certificate of the room `name` is each time; None where there is no home."""
    cache = environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification has relative paths ignored.
        base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "avatar-face" / "room" / f"{name}.pem"


def publish(certificate: str, path: Path, environ: Mapping[str, str]) -> bool:
    """Write our `certificate` and the others that are trusted; False where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, f"{certificate}\n{_others(path, environ)}")
    except OSError as error:
        logger.warning("%s cannot be written (%s); another file is used", path, error.strerror)
        return False
    return True


def _others(path: Path, environ: Mapping[str, str]) -> str:
    named = next((environ[name] for name in OTHERS if environ.get(name)), "")
    try:
        if named and not (path.exists() and path.samefile(named)):
            return Path(named).read_text("utf-8")
        import certifi

        return Path(certifi.where()).read_text("utf-8")
    except (OSError, ValueError, ImportError):
        return ""


def replace_file(path: Path, text: str) -> None:
    """Replace the file atomically: a reader finds the old text or the new one. Raises OSError."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
