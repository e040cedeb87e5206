"""The flight recorder: what a session received, did and showed, in a bounded file; off by default.

It stands at the session's two ports: a `Renderer` and a `Meeting` that record what passes
through them and change nothing. A thread of its own writes the lines, so that neither the clock of
the face nor its renderer waits for a disk. Where too many lines wait, some are lost, and the file
says how many; where the thread cannot write, it stops, and the dispatcher gets a report. The
session goes on in either case, also where the folder cannot be used from the start.

The join request is no part of it, and what the meeting's server says of an error is redacted, so no
token is; nor is speech, unless AVATAR_RECORD_SOUND is on.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from agent_side.join import redact
from worker.errors import WorkerError
from worker.meeting import Meeting
from worker.recording.album import Album
from worker.recording.file import Header
from worker.recording.ports import RecordedMeeting, RecordedRenderer
from worker.recording.writer import (
    MOST_WAITING,
    Report,
    Writer,
    failure,
    make_folder,
    start_thread,
    write_all,
)
from worker.renderer import Renderer
from worker.settings import Settings

PROBE: Final = bytes(4096)
"""What is written to find out whether a folder takes a file: some bytes, as a disk may be full."""


def prepare(settings: Settings) -> None:
    """Compute what each recording needs, before a session and before workers are forked."""
    if settings.record:
        Header.of(settings)


def probe(folder: str, report: Report) -> None:
    """Report it where no recording can be written to the `folder`, which is made if needed.

    Runs in a thread of its own, as a folder on another machine may not answer for long.
    """

    def run() -> None:
        try:
            make_folder(folder)
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                write_all(file, PROBE)
        except OSError as error:
            report(failure(folder, error))

    start_thread(run, report)


def _nobody(_: str) -> None:
    """Reports are ignored."""


class Recorder:
    """Stands between a session and its ports. This one records nothing."""

    def renderer(self, renderer: Renderer) -> Renderer:
        """`renderer`, recorded."""
        return renderer

    def meeting(self, meeting: Meeting) -> Meeting:
        """`meeting`, recorded."""
        return meeting

    def ended(self, reason: str) -> None:
        """The session has ended, and why."""


class FlightRecorder(Recorder):
    """Records one session."""

    def __init__(self, writer: Writer, sound: bool) -> None:
        self._writer = writer
        self._sound = sound
        self._album = Album()

    def renderer(self, renderer: Renderer) -> Renderer:
        return RecordedRenderer(renderer, self._writer, self._album, self._sound)

    def meeting(self, meeting: Meeting) -> Meeting:
        return RecordedMeeting(meeting, self._writer, self._album, self._sound)

    def ended(self, reason: str) -> None:
        self._writer.note("ended", reason=redact(reason))


@contextmanager
def recorder(
    settings: Settings,
    now: Callable[[], float],
    session: str = "",
    waiting: int = MOST_WAITING,
    report: Report = _nobody,
) -> Iterator[Recorder]:
    """What records one session while the block runs, where `settings` ask for it.

    `now` is the event loop's clock; it is asked from the renderer's thread too.
    """
    if not settings.record:
        yield Recorder()
        return
    writer = Writer(settings, now, session, waiting, report)
    recorder = FlightRecorder(writer, settings.record_sound)
    try:
        yield recorder
    except BaseException as error:
        text = f": {error}" if isinstance(error, WorkerError) else ""
        recorder.ended(type(error).__name__ + text)
        raise
    finally:
        writer.close()
