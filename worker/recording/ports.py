"""The session's two ports, recorded: each call is noted and passed on unchanged."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from agent_side.join import redact
from agent_side.wire import AudioChunk, Message, Words
from agent_side.wire import Pcm as Speech
from worker.errors import WorkerError
from worker.media import AvatarFrame, Pcm, Picture
from worker.meeting import Away, Back, Joined, Left, Meeting, MeetingEvent, Received
from worker.recording.album import Album
from worker.recording.file import AS_DRAWN, SILENT
from worker.recording.writer import Writer
from worker.renderer import Cue, ExpressionCue, GestureCue, PostureCue, Renderer, WordsCue


class RecordedRenderer(Renderer):
    """A renderer whose calls are noted."""

    def __init__(self, renderer: Renderer, writer: Writer, album: Album, sound: bool) -> None:
        self.fork_safe = renderer.fork_safe
        self.prefetch_frames = renderer.prefetch_frames
        self.gestures = renderer.gestures
        self.expressions = renderer.expressions
        self.postures = renderer.postures
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

    def cue(self, cue: Cue) -> None:
        call, values = self._values(cue)
        self._note(call, **values)
        with self._watched(call):
            self._renderer.cue(cue)

    def close(self) -> None:
        self._note("close")
        self._renderer.close()

    def _values(self, cue: Cue) -> tuple[str, dict[str, object]]:
        """The line of a cue: its name in the file and its values."""
        match cue:
            case GestureCue(name):
                return "gesture", {"name": name}
            case ExpressionCue(name, intensity):
                return "express", {"name": name, "intensity": intensity}
            case PostureCue(name):
                return "pose", {"name": name}
            case WordsCue(segment, words):
                said = [(word.text if self._sound else "", *word[1:]) for word in words]
                return "words", {"segment": segment, "words": said}

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
        except WorkerError as error:
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

    @property
    def offset_s(self) -> float | None:
        return self._meeting.offset_s

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
