"""Where participants find the certificate of the authority: a file, or memory with a path."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NAME: Final = "ca.pem"

logger = logging.getLogger("avatar.localroom.authority")


@contextmanager
def published(certificate: bytes, folder: Path | None) -> Iterator[Path]:
    """A path under which other programs read the `certificate` while the block runs.

    It is a file in the `folder`. Where that is full, read-only or None, it is memory of this
    process, which only programs of the same user on this machine can read. Raises OSError.
    """
    try:
        if folder is None:
            raise FileNotFoundError("there is no temporary folder")
        path = folder / NAME
        path.write_bytes(certificate)
    except OSError as error:
        logger.warning(
            "the certificate is kept in memory, which programs of other users cannot read: %s",
            error.strerror or error,
        )
    else:
        yield path
        return
    descriptor = os.memfd_create("avatar-ca", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as memory:
            memory.write(certificate)
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)
