"""The console in which all commands run: their output, their last line, and their exit status.

- Characters that the output's encoding has not are written as ``\\xNN``, ``\\uNNNN``.
- Who closes a pipe has read enough: the program goes on, and its status is its own.
- Output that is lost for another reason, such as a full disk, is one line and status 74.
- Ctrl-C is one line and status 130.
- Any other error, which is ours, is one line and status 70; AVATAR_LOG_LEVEL=DEBUG adds where.

Imports nothing but the standard library, so that it speaks where the rest cannot even start.
"""

import io
import os
import select
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TextIO

INTERNAL: Final = 70
"""An error of ours: EX_SOFTWARE of sysexits.h."""

LOST: Final = 74
"""What was to be read could not be written: EX_IOERR."""

INTERRUPTED: Final = 130

STANDARD: Final = (0, 1, 2)

Status = int | str | None


class Output(io.FileIO):
    """One of the standard outputs. Whatever cannot be written to it is dropped and noted."""

    lost: OSError | None = None
    """Why output was lost although its reader is still there."""

    def write(self, content: Any) -> int:
        """As a file does it; never raises, and after a failure writes nowhere."""
        try:
            while (written := super().write(content)) is None:
                select.select([], [self], [])  # the pipe is non-blocking
            return written
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.lost = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(content).nbytes


def guarded(program: str, main: Callable[[], Status]) -> int:
    """What `main` returns or exits with, whatever becomes of its output and of itself."""
    out, err = _prepared()
    status, line = _outcome(program, main)
    if line:
        _write(sys.stderr, line)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if out.lost is not None:
        _write(sys.stderr, f"{program}: the output cannot be written ({out.lost.strerror}).\n")
    return LOST if status == 0 and (out.lost or err.lost) else status


def _outcome(program: str, main: Callable[[], Status]) -> tuple[int, str]:
    """(exit status, the last line or none)."""
    try:
        code = main()
    except SystemExit as leaving:
        code = leaving.code
    except KeyboardInterrupt:
        return INTERRUPTED, f"{program}: interrupted.\n"
    except BrokenPipeError:
        # Of a pipe that is no standard output of ours; the reader has gone all the same.
        return LOST, f"{program}: the reader has closed the pipe.\n"
    except (ImportError, OSError) as error:
        what = f"{type(error).__name__}: {error}"
        return INTERNAL, _failure(
            f"{program}: cannot go on ({what}); `avatar doctor` may know why."
        )
    except Exception as error:  # noqa: BLE001 - the last line of every command
        what = f"{type(error).__name__}: {error}"
        return INTERNAL, _failure(
            f"{program}: failed ({what}); this is a fault of the program: run it again with "
            "AVATAR_LOG_LEVEL=DEBUG and report what it says."
        )
    if isinstance(code, str):
        return 1, f"{code}\n"
    return (0 if code is None else int(code)), ""


def _failure(sentence: str) -> str:
    line = " ".join(sentence.split()) + "\n"
    if os.environ.get("AVATAR_LOG_LEVEL") == "DEBUG":
        return f"{traceback.format_exc()}{line}"
    return line


def _prepared() -> tuple[Output, Output]:
    """Standard streams that are there, and outputs that never raise."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            # Whatever was opened next would get this number, and what is printed.
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor
    out, err = Output(1, "w", closefd=False), Output(2, "w", closefd=False)
    sys.stdout = _text(out, sys.stdout, line_buffering=out.isatty())
    sys.stderr = _text(err, sys.stderr, line_buffering=True)
    return out, err


def _text(output: Output, before: TextIO | None, *, line_buffering: bool) -> io.TextIOWrapper:
    if before is not None:
        with suppress(OSError, ValueError):
            before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=line_buffering,
    )


def _write(stream: TextIO, text: str) -> None:
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()
