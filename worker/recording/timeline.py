"""What happened in a recorded session, as lines for a person who looks at who spoke when.

Each has the seconds from the recording's begin, and the place in the film of `avatar replay`, which
leaves out what nobody saw. Texts of the recording are shown as JSON, so none of them can do
anything to a terminal.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.media import FPS
from worker.recording.file import Damaged, RecordingLine, RecordingReader

PAUSE_S: Final = 0.5
"""Packets of speech that are not further apart are reported together."""

DRAWN: Final = frozenset({"push", "finish", "drain", "idle", "close"})
"""Calls that a renderer gets all the time."""


@dataclass(slots=True)
class SpeechBurst:
    """Packets of speech that came close together."""

    sender: str
    turn: int | None
    first_at: float
    last_at: float
    packets: int = 0
    samples: int = 0

    def continues(self, line: RecordingLine, sender: str, turn: int | None) -> bool:
        same = sender == self.sender and turn == self.turn
        return same and line.at - self.last_at <= PAUSE_S


class Timeline:
    """Makes one line after the other; holds what belongs to the next."""

    def __init__(self) -> None:
        self._ticks = 0
        self._segment = 0
        self._speech: SpeechBurst | None = None

    def of(self, line: RecordingLine) -> Iterator[str]:
        """The lines that are whole now that `line` came."""
        if line.what == "audio":
            yield from self._audio(line)
            return
        if line.what == "tick":
            yield from self._tick(line)
            return
        if line.what not in DRAWN:
            yield from self.rest()
            yield self._text(line.at, line.what, _values(line))

    def rest(self) -> Iterator[str]:
        """What was held."""
        speech, self._speech = self._speech, None
        if speech is not None:
            turn = "" if speech.turn is None else f" of turn {speech.turn}"
            yield self._text(
                speech.first_at,
                "audio",
                f"from {shown(speech.sender)}: {speech.samples} samples{turn} "
                f"in {speech.packets} packets until {speech.last_at:.3f}",
            )

    def _audio(self, line: RecordingLine) -> Iterator[str]:
        sender = line.text("sender")
        turn = line.whole("turn") if "turn" in line.values else None
        if self._speech is None or not self._speech.continues(line, sender, turn):
            yield from self.rest()
            self._speech = SpeechBurst(sender, turn, line.at, line.at)
        self._speech.last_at = line.at
        self._speech.packets += 1
        self._speech.samples += line.whole("samples")

    def _tick(self, line: RecordingLine) -> Iterator[str]:
        segment = line.whole("segment")
        if segment != self._segment:
            yield from self.rest()
            if self._segment:
                yield self._text(line.at, "silent", f"segment {self._segment} sounds no longer")
            if segment:
                yield self._text(line.at, "sounds", f"segment {segment} begins or goes on")
            self._segment = segment
        self._ticks += 1

    def _text(self, at: float, what: str, about: str) -> str:
        return f"{at:10.3f}  film {self._ticks / FPS:9.2f}  {bare(what):8}  {about}".rstrip()


def timeline(reader: RecordingReader) -> Iterator[str]:
    """A line for each thing that happened, in the order in which it was noted."""
    header, lines = reader.header, Timeline()
    yield (
        f"{bare(header.utc)}  session {shown(header.session)}, version {shown(header.product)}, "
        f"character {shown(header.character)}, {header.width}x{header.height}, "
        f"seed {header.seed}, {'with' if header.sound else 'without'} sound"
    )
    try:
        for line in reader.lines():
            yield from lines.of(line)
        flaw = reader.flaw
    except Damaged as damage:
        flaw = damage
    yield from lines.rest()
    if flaw is not None:
        yield f"Here the recording stops: {flaw}."


def _values(line: RecordingLine) -> str:
    """The values of a line, short: ``name=value``, a message's own fields among them."""
    values = {name: value for name, value in line.values.items() if name not in ("at", "what")}
    fields = values.pop("fields", None)
    if isinstance(fields, dict):
        values |= fields
    return " ".join(f"{bare(name)}={shown(value)}" for name, value in values.items())


def shown(value: object) -> str:
    """As JSON, and the one control character that JSON leaves as it is, as the others."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def bare(text: str) -> str:
    """`text`, shown without quotes."""
    return shown(text)[1:-1]
