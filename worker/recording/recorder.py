"""The flight recorder: what a session was told, did and showed, in a bounded file; off by default.

It stands at the session's two ports: a `Renderer` and a `Meeting` that take note of what passes
through them and change nothing. A thread of its own writes the notes, so that neither the beat of
the face nor its renderer ever waits for a disk. Where too many wait for it, notes are lost, and
the file says how many; where it cannot write, it stops, and the dispatcher is told. The session
goes on either way, also where the folder cannot be used from the start.

The join request is no part of it, and what the meeting's server says of an error is redacted, so no
token is; nor is speech, unless AVATAR_RECORD_SOUND is on.
"""

import logging
import os
import re
import secrets
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final, cast

import numpy as np

from agent_side.join import redact
from agent_side.wire import AudioChunk, Message, Words
from agent_side.wire import Pcm as Speech
from worker.errors import AvatarError
from worker.media import AvatarFrame, Pcm, Picture
from worker.meeting import Away, Back, Joined, Left, Meeting, MeetingEvent, Received, Timed
from worker.recording.file import AS_DRAWN, FORMAT, SILENT, SUFFIX, Header, checksum, compose, pack
from worker.renderer import Expressive, Prompted, Renderer, Word
from worker.settings import Settings

logger = logging.getLogger("avatar.worker.recorder")

MOST_WAITING: Final = 2 * 1024 * 1024
"""Lines that wait for the writer (bytes): 20 s of a session with its sound."""

BLOCK: Final = 64 * 1024
BLOCK_S: Final = 1.0
"""A block is written when it is so long (bytes), or has waited so long."""

FINISH_S: Final = 1.0
"""How long the end of a session waits for the writer."""

RESERVE: Final = 256
"""Bytes that are kept for saying that the file is full."""

MOST_HELD: Final = 64
"""Frames that were drawn and may still be shown; a session has some ten of them."""

RESTS_HELD: Final = 4

PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A session's name that may stand in a file's name."""


Tell = Callable[[str], None]
"""Told by a thread why recordings fail, or "" when one was written to its end."""

PROBE: Final = bytes(4096)
"""What is written to find out whether a folder takes a file: some bytes, as a disk may be full."""


def prepare(settings: Settings) -> None:
    """Pay what a recording costs at first, before a session and before workers are forked."""
    if settings.record:
        Header.of(settings)


def probe(folder: str, tell: Tell) -> None:
    """Say by `tell` where no recording can be written to the `folder`, which is made if need be.

    In a thread of its own, as a folder on another machine may not answer for long.
    """

    def run() -> None:
        try:
            _make(folder)
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                _put(file, PROBE)
        except OSError as error:
            tell(_why(folder, error))

    _start(run, tell)


def _make(folder: str) -> None:
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)


def _why(folder: str, error: OSError) -> str:
    return f"AVATAR_RECORD is {folder!r}: {error.strerror or error}"


def _start(run: Callable[[], None], tell: Tell) -> threading.Thread | None:
    """A thread that holds up nobody's end; None where this process may start no more."""
    thread = threading.Thread(target=run, name="avatar-record", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        tell(f"no thread could be started: {error}")
        return None
    return thread


def _nobody(_: str) -> None:
    """Nobody wants to know."""


class Recorder:
    """Stands between a session and its ports. This one records nothing."""

    def renderer(self, renderer: Renderer) -> Renderer:
        """One that has what `renderer` has, no more and no less."""
        return renderer

    def meeting(self, meeting: Meeting) -> Meeting:
        """`meeting`, seen."""
        return meeting

    def ended(self, reason: str) -> None:
        """The session is over, and why."""


class FlightRecorder(Recorder):
    """Records one session."""

    def __init__(self, writer: "Writer", sound: bool) -> None:
        self._writer = writer
        self._sound = sound
        self._album = Album()

    def renderer(self, renderer: Renderer) -> Renderer:
        kinds = {
            (False, False): Recorded,
            (True, False): RecordedExpressive,
            (False, True): RecordedPrompted,
            (True, True): RecordedWhole,
        }
        kind = kinds[isinstance(renderer, Expressive), isinstance(renderer, Prompted)]
        return kind(renderer, self._writer, self._album, self._sound)

    def meeting(self, meeting: Meeting) -> Meeting:
        kind = RecordedTimed if isinstance(meeting, Timed) else RecordedMeeting
        return kind(meeting, self._writer, self._album, self._sound)

    def ended(self, reason: str) -> None:
        self._writer.note("ended", reason=redact(reason))


@contextmanager
def recorder(
    settings: Settings,
    now: Callable[[], float],
    session: str = "",
    waiting: int = MOST_WAITING,
    tell: Tell = _nobody,
) -> Iterator[Recorder]:
    """What records one session while the block runs, where `settings` ask for it.

    `now` is the event loop's clock; it is asked from the renderer's thread too.
    """
    if not settings.record:
        yield Recorder()
        return
    writer = Writer(settings, now, session, waiting, tell)
    recorder = FlightRecorder(writer, settings.record_sound)
    try:
        yield recorder
    except BaseException as error:
        text = f": {error}" if isinstance(error, AvatarError) else ""
        recorder.ended(type(error).__name__ + text)
        raise
    finally:
        writer.close()


class Writer:
    """Writes notes into a file of its own, on a thread of its own.

    `note` never waits and never raises. Any thread may call it; the file keeps their order. It
    makes the line itself, so that the writer has nothing to do but to compress and to write,
    once a second and without holding up the others.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float],
        session: str,
        waiting: int,
        tell: Tell = _nobody,
    ) -> None:
        self._tell = tell
        self._settings = settings
        self._now = now
        self._began = now()
        self._utc = datetime.now(UTC)
        self._session = session
        self._most_waiting = waiting
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._lines: list[bytes] = []
        self._waiting = 0
        self._lost = 0
        self._over = False
        self._thread = _start(self._run, self._fail)

    def note(self, what: str, **values: object) -> None:
        """A line of the file, sooner or later; bytes among the values are samples."""
        if self._over:
            return
        line = self._line(what, values)
        with self._lock:
            if len(line) > BLOCK or self._waiting + len(line) > self._most_waiting:
                self._lost += 1
                return
            if self._lost:
                self._lines.append(self._line("lost", {"lines": self._lost}))
                self._lost = 0
            self._lines.append(line)
            self._waiting += len(line)
        if self._waiting >= BLOCK:
            self._wake.set()

    def close(self) -> None:
        """Write what waits, unless the disk takes too long."""
        self._over = True
        self._wake.set()
        if self._thread is None:
            return
        self._thread.join(FINISH_S)
        if self._thread.is_alive():
            logger.warning("the end of the recording is lost: its disk is too slow")
            self._tell("its disk is too slow")

    def _line(self, what: str, values: Mapping[str, object]) -> bytes:
        return compose(self._now() - self._began, what, values)

    def _run(self) -> None:
        try:
            with self._create() as file:
                self._write(file)
            self._tell("")
        except OSError as error:
            self._fail(_why(self._settings.record, error))
        finally:
            self._over = True
            self._lines.clear()

    def _fail(self, reason: str) -> None:
        self._over = True
        logger.warning("the recording ends here, the session goes on: %s", reason)
        self._tell(reason)

    def _create(self) -> FileIO:
        session = self._session if PLAIN.fullmatch(self._session) else secrets.token_hex(8)
        name = f"{self._utc:%Y%m%dT%H%M%S.%f}Z-{session}{SUFFIX}"
        _make(self._settings.record)
        path = Path(self._settings.record) / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "wb", buffering=0)

    def _write(self, file: FileIO) -> None:
        left = self._settings.record_mb * 1_000_000 - RESERVE
        for block in self._blocks():
            member = pack(block)
            left -= len(member)
            if left < 0:
                _put(file, pack(self._line("full", {})))
                logger.warning(
                    "the recording is full, the session goes on: AVATAR_RECORD_MB is %d",
                    self._settings.record_mb,
                )
                return
            _put(file, member)

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, as soon as they are many or old enough, to the end of the session."""
        header = Header.of(self._settings, self._utc.isoformat(), self._session)
        yield compose(0.0, "begin", {"format": FORMAT, **asdict(header)})
        over = False
        while not over:
            self._wake.wait(BLOCK_S)
            over = self._over
            yield from _in_blocks(self._taken())
        if self._lost:
            yield self._line("lost", {"lines": self._lost})

    def _taken(self) -> list[bytes]:
        """The lines that wait, which do so no longer."""
        with self._lock:
            self._wake.clear()
            lines, self._lines, self._waiting = self._lines, [], 0
        return lines


def _in_blocks(lines: list[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for line in lines:
        block += line
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _put(file: FileIO, data: bytes) -> None:
    """All of it, now: what is written is there when the worker is killed."""
    while data:
        data = data[file.write(data) :]


class Album:
    """Which picture is which: counts what the renderer draws, and finds it when it is shown.

    Told by the renderer's thread, asked by the event loop. Pictures are known by being the very
    same object; those that cannot be shown any more are let go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._frames: deque[tuple[int, AvatarFrame]] = deque(maxlen=MOST_HELD)
        self._rests: deque[tuple[int, Picture]] = deque(maxlen=RESTS_HELD)
        self._shown: tuple[int, Picture] | None = None
        self._newest: tuple[Picture, int] | None = None

    def add_frame(self, frame: AvatarFrame) -> int:
        """The frame was drawn; returns its picture's checksum."""
        with self._lock:
            self._frames.append((self._count, frame))
            self._count += 1
        return self._checked(frame.picture)

    def add_rest(self, picture: Picture) -> int:
        """The face at rest was drawn; returns its checksum."""
        with self._lock:
            self._rests.append((self._count, picture))
            self._count += 1
        return self._checked(picture)

    def find(self, frame: AvatarFrame) -> tuple[int | None, Pcm | None]:
        """The number of the picture that is shown, and the sound that was drawn with it.

        A segment's frames are shown in order; one that is not of speech shows the face at rest,
        or once more what was shown before.
        """
        with self._lock:
            if frame.segment == 0:
                number, pcm = self._find_rest(frame.picture), None
            else:
                number, pcm = self._find_frame(frame)
            if number is not None:
                self._shown = number, frame.picture
            return number, pcm

    def _find_rest(self, picture: Picture) -> int | None:
        known = [self._shown] if self._shown is not None else []
        for number, each in [*known, *self._rests]:
            if each is picture:
                return number
        return None

    def _find_frame(self, frame: AvatarFrame) -> tuple[int | None, Pcm | None]:
        for place, (number, each) in enumerate(self._frames):
            if each.picture is frame.picture and each.segment == frame.segment:
                for _ in range(place + 1):
                    self._frames.popleft()
                return number, each.pcm
        return None, None

    def _checked(self, picture: Picture) -> int:
        """Faces at rest are often the same object for a while."""
        if self._newest is None or self._newest[0] is not picture:
            self._newest = picture, checksum(picture)
        return self._newest[1]


class Recorded:
    """A renderer whose calls are noted: the `Renderer` port and nothing more."""

    def __init__(self, renderer: Renderer, writer: Writer, album: Album, sound: bool) -> None:
        self._renderer = renderer
        self._note = writer.note
        self._album = album
        self._sound = sound

    def push(self, segment: int, pcm: Pcm) -> None:
        sound = {"pcm": _bytes(pcm)} if self._sound else {}
        self._note("push", segment=segment, samples=len(pcm), **sound)
        with self._watched("push"):
            self._renderer.push(segment, pcm)

    def finish(self, segment: int) -> None:
        self._note("finish", segment=segment)
        with self._watched("finish"):
            self._renderer.finish(segment)

    def drain(self) -> list[AvatarFrame]:
        with self._watched("drain"):
            frames = self._renderer.drain()
        self._note("drain", frames=[self._drawn(frame) for frame in frames])
        return frames

    def reset(self) -> None:
        self._note("reset")
        with self._watched("reset"):
            self._renderer.reset()

    def idle(self) -> Picture:
        with self._watched("idle"):
            picture = self._renderer.idle()
        self._note("idle", check=self._album.add_rest(picture))
        return picture

    def close(self) -> None:
        self._note("close")
        self._renderer.close()

    def _drawn(self, frame: AvatarFrame) -> tuple[int, int, bool, int]:
        """Segment, samples, whether it is the last, checksum."""
        return frame.segment, len(frame.pcm), frame.last, self._album.add_frame(frame)

    @contextmanager
    def _watched(self, call: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._note("failed", call=call, error=type(error).__name__)
            raise


class RecordedExpressive(Recorded):
    """A renderer that is `Expressive`, too."""

    @property
    def gestures(self) -> tuple[str, ...]:
        return self._face.gestures

    @property
    def expressions(self) -> tuple[str, ...]:
        return self._face.expressions

    @property
    def postures(self) -> tuple[str, ...]:
        return self._face.postures

    def gesture(self, name: str) -> None:
        self._note("gesture", name=name)
        with self._watched("gesture"):
            self._face.gesture(name)

    def express(self, name: str, intensity: float) -> None:
        self._note("express", name=name, intensity=intensity)
        with self._watched("express"):
            self._face.express(name, intensity)

    def pose(self, name: str) -> None:
        self._note("pose", name=name)
        with self._watched("pose"):
            self._face.pose(name)

    @property
    def _face(self) -> Expressive:
        return cast(Expressive, self._renderer)


class RecordedPrompted(Recorded):
    """A renderer that is `Prompted`, too."""

    def words(self, segment: int, words: Sequence[Word]) -> None:
        said = [(word.text if self._sound else "", word.start_s, word.end_s) for word in words]
        self._note("words", segment=segment, words=said)
        with self._watched("words"):
            cast(Prompted, self._renderer).words(segment, words)


class RecordedWhole(RecordedExpressive, RecordedPrompted):
    """A renderer that is both."""


class RecordedMeeting:
    """A meeting whose events, messages and frames are noted."""

    def __init__(self, meeting: Meeting, writer: Writer, album: Album, sound: bool) -> None:
        self._meeting = meeting
        self._note = writer.note
        self._album = album
        self._sound = sound

    async def join(self) -> None:
        await self._meeting.join()

    async def messages(self) -> AsyncIterator[MeetingEvent]:
        async for event in self._meeting.messages():
            self._happened(event)
            yield event

    async def send(self, message: Message) -> None:
        kind = type(message).__name__
        try:
            await self._meeting.send(message)
        except AvatarError as error:
            self._note("out", message=kind, fields=message, failed=type(error).__name__)
            raise
        self._note("out", message=kind, fields=message)

    def publish(self, frame: AvatarFrame) -> None:
        self._meeting.publish(frame)
        number, drawn = self._album.find(frame)
        sound = {"sound": _sound(frame.pcm, drawn)} if self._sound else {}
        self._note("tick", picture=number, segment=frame.segment, **sound)

    def cut(self) -> int:
        unheard = self._meeting.cut()
        self._note("cut", unheard=unheard)
        return unheard

    async def leave(self) -> None:
        self._note("leave")
        await self._meeting.leave()

    def _happened(self, event: MeetingEvent) -> None:
        match event:
            case Joined(participant_id, is_agent):
                self._note("joined", participant=participant_id, agent=is_agent)
            case Left(participant_id):
                self._note("left", participant=participant_id)
            case Away(reason):
                self._note("away", reason=redact(reason))
            case Back():
                self._note("back")
            case Received(sender, Speech(data)):
                self._note("audio", sender=sender, samples=len(data) // 2)
            case Received(sender, AudioChunk() as chunk):
                self._note(
                    "audio",
                    sender=sender,
                    samples=len(chunk.pcm) // 2,
                    turn=chunk.turn,
                    sequence=chunk.sequence,
                    first=chunk.first_sample,
                    rate=chunk.sample_rate,
                )
            case Received(sender, None):
                self._note("in", sender=sender, message="nothing of ours", fields={})
            case Received(sender, message):
                fields = message if self._sound else _wordless(message)
                self._note("in", sender=sender, message=type(message).__name__, fields=fields)


class RecordedTimed(RecordedMeeting):
    """A meeting that is `Timed`, too."""

    @property
    def offset_s(self) -> float | None:
        return cast(Timed, self._meeting).offset_s


def _wordless(message: Message | None) -> Message | None:
    """What is said is speech, too: only when it is said stays."""
    if not isinstance(message, Words):
        return message
    return replace(message, words=tuple(word._replace(text="") for word in message.words))


def _sound(pcm: Pcm, drawn: Pcm | None) -> bytes | str:
    """The 40 ms of sound of a tick."""
    if drawn is not None and (pcm is drawn or np.array_equal(pcm, drawn)):
        return AS_DRAWN
    return _bytes(pcm) if pcm.any() else SILENT


def _bytes(pcm: Pcm) -> bytes:
    return pcm.astype("<i2").tobytes()
