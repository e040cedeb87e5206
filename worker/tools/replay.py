"""avatar replay: a recorded session is rendered again, so that what went wrong can be seen.

    python -P -m worker.tools.replay 20260131T120000.000000Z-1f0c.avatar -o session.mp4

The renderer is made anew and gets the same calls, so it draws the same pictures, bit for bit; each
is compared with the checksum of the one that was shown. The sound is what was handed to the tracks,
with the silence of the interrupts. Times without a connection to the meeting are left out.
"""

import argparse
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from agent_side.wire import Word
from worker.characters.backdrop import COLOUR
from worker.characters.folder import locate
from worker.characters.source import expanded
from worker.errors import InputError, WorkerError
from worker.media import FPS, FRAME_SAMPLES, SILENCE, Pcm, Picture
from worker.process.loading import load_renderer, renderer_names
from worker.recording.album import MOST_HELD, RESTS_HELD
from worker.recording.file import (
    AS_DRAWN,
    SILENT,
    CutOff,
    Damaged,
    Header,
    RecordingLine,
    RecordingReader,
    checksum,
)
from worker.recording.timeline import bare, timeline
from worker.renderer import ExpressionCue, GestureCue, PostureCue, Renderer, WordsCue
from worker.settings import Settings, parse_share, parse_size
from worker.sound import ramp_down
from worker.tools.arguments import REFUSED, Parser
from worker.tools.film import FilmWriter

DIFFERENT: Final = 1

OWING: Final = {
    "product": "another version of this program",
    "code": "other code of this program",
    "face": "other files of the character",
    "behind": "another background",
    "numpy": "another numpy",
    "machine": "another kind of processor",
}
"""What it may be owing to that a picture differs, by the header's field."""


DRAWING: Final = frozenset({"push", "drain", "reset", "idle", "finish"})
"""The calls that take a renderer's time."""

MOST_UNSHOWN: Final = 1000
"""Of them, from one tick to the next. A session needs a dozen; a file can be all of them, and
would be minutes of work for no picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """40 ms of a replayed session: a picture and 960 samples.

    `at` is when it was published, in seconds from the recording's begin. `as_shown` is whether
    `picture` is the one that was shown then.
    """

    at: float
    segment: int
    picture: Picture
    pcm: Pcm
    as_shown: bool


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A picture that was drawn again, under the number that it had."""

    number: int
    segment: int
    picture: Picture
    pcm: Pcm
    as_shown: bool


class Replay:
    """A renderer that gets the calls of the recorded one, and its pictures by their numbers.

    `flaw` says why what comes next is not known; "" while all is well.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.flaw = ""
        self._renderer = renderer
        self._unshown = 0
        self._count = 0
        self._frames: deque[Drawn] = deque(maxlen=MOST_HELD)
        self._rests: deque[Drawn] = deque(maxlen=RESTS_HELD)
        self._shown: Drawn | None = None

    def shots(self, lines: Iterator[RecordingLine]) -> Iterator[Shot]:
        """Every tick of the session. Each is held back until none can cut it any more."""
        held: Shot | None = None
        last = 0
        for line in lines:
            match line.what:
                case "tick":
                    if held is not None:
                        last = int(held.pcm[-1])
                        yield held
                    held, whole = self._tick(line), True
                    self._unshown = 0
                case "cut" if held is not None and whole:
                    held, whole = _silenced(held, line.whole("unheard"), last), False
                case "back":
                    last = 0
                case _:
                    self._call(line)
            if self.flaw:
                break
        if held is not None:
            yield held

    def _tick(self, line: RecordingLine) -> Shot:
        drawn = self._find(line)
        sound = line.text("sound")
        if sound == SILENT:
            pcm = SILENCE
        elif sound == AS_DRAWN:
            pcm = drawn.pcm
        else:
            pcm = line.pcm("sound")
        pcm = np.pad(pcm[:FRAME_SAMPLES], (0, FRAME_SAMPLES - len(pcm[:FRAME_SAMPLES])))
        return Shot(line.at, line.whole("segment"), drawn.picture, pcm, drawn.as_shown)

    def _find(self, line: RecordingLine) -> Drawn:
        """The picture of a tick; whatever was shown before where it is not there."""
        number = -1 if line.values.get("picture") is None else line.whole("picture")
        shown = self._shown
        if shown is None or shown.number != number:
            shown = self._take(number) or next((r for r in self._rests if r.number == number), None)
        if shown is not None:
            self._shown = shown
            return shown
        if self._shown is None:
            raise Damaged(f"line {line.number} shows a picture that was not drawn")
        return replace(self._shown, pcm=SILENCE, as_shown=False)

    def _take(self, number: int) -> Drawn | None:
        """The frame of that number; those before it are not shown any more."""
        if all(frame.number != number for frame in self._frames):
            return None
        while self._frames[0].number != number:
            self._frames.popleft()
        return self._frames.popleft()

    def _call(self, line: RecordingLine) -> None:
        self._unshown += line.what in DRAWING
        if self._unshown > MOST_UNSHOWN:
            self.flaw = f"line {line.number} draws what was never shown"
            return
        try:
            self._perform(line)
        except WorkerError:
            raise
        except Exception as error:  # noqa: BLE001 - anybody's code, which may have failed then, too
            reason = bare(f"{type(error).__name__}: {error}")
            self.flaw = f"the renderer fails at {line.at:.2f} s ({reason})"

    def _perform(self, line: RecordingLine) -> None:
        renderer = self._renderer
        match line.what:
            case "push":
                pcm = line.pcm("pcm")
                if not 1 <= len(pcm) <= FRAME_SAMPLES:
                    raise Damaged(f"line {line.number} has {len(pcm)} samples")
                renderer.push(line.whole("segment"), pcm)
            case "finish":
                renderer.finish(line.whole("segment"))
            case "drain":
                self._drain(line)
            case "reset":
                renderer.reset()
            case "idle":
                picture = renderer.idle()
                self._add(self._rests, 0, picture, SILENCE, line.whole("check"))
            case "gesture" | "express" | "pose":
                self._act(line)
            case "words":
                words = tuple(_word(row) for row in line.rows("words", 3))
                renderer.cue(WordsCue(line.whole("segment"), words))
            case "failed":
                self.flaw = f"the renderer failed at {line.at:.2f} s ({bare(line.text('error'))})"
            case "lost":
                self.flaw = f"{line.whole('lines')} lines are missing at {line.at:.2f} s"

    def _drain(self, line: RecordingLine) -> None:
        frames = self._renderer.drain()
        rows = line.rows("frames", 4)
        for frame, row in zip(frames, rows, strict=False):
            self._add(self._frames, frame.segment, frame.picture, frame.pcm, row[-1])
        self._count += len(rows) - min(len(frames), len(rows))

    def _add(
        self, place: deque[Drawn], segment: int, picture: Picture, pcm: Pcm, check: object
    ) -> None:
        as_shown = checksum(picture) == check
        place.append(Drawn(self._count, segment, picture, pcm, as_shown))
        self._count += 1

    def _act(self, line: RecordingLine) -> None:
        """What the character here cannot do is left out, and the pictures differ."""
        face, name = self._renderer, line.text("name")
        if line.what == "gesture" and name in face.gestures:
            face.cue(GestureCue(name))
        elif line.what == "express" and name in face.expressions:
            face.cue(ExpressionCue(name, line.measure("intensity")))
        elif line.what == "pose" and name in face.postures:
            face.cue(PostureCue(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """The program.

    0 and a line about the film; 1 where its pictures differ or some are missing, and a line about
    that; 2 and a line about what is of no use.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.film is None and not given.events:
        parser.error("name a film with -o OUT.mp4, or ask for --events")
    try:
        return _run(given)
    except Damaged as damage:
        return _refuse(f"{given.recording} is damaged: {damage}.")
    except WorkerError as error:
        return _refuse(str(error))


def _run(given: argparse.Namespace) -> int:
    reader = RecordingReader(given.recording)
    if given.events or not reader.header.sound:
        for text in timeline(reader):
            sys.stdout.write(f"{text}\n")
        if given.film is None:
            return 0
        if not reader.header.sound:
            return _refuse(
                f"{given.recording} has no sound, so there is no film, only what is above; "
                "record with AVATAR_RECORD_SOUND=on for one."
            )
        reader = RecordingReader(given.recording)
    return _film(reader, given.recording, given.film, quiet=given.quiet)


def _film(reader: RecordingReader, source: Path, target: Path, *, quiet: bool) -> int:
    """Write the film and say what came of it; returns the exit status."""
    _check(source, target)
    settings = settings_of(reader.header, Settings.from_env(os.environ), source.parent)
    different, first = 0, 0.0
    with closing(load_renderer(settings)) as renderer:
        stage = Replay(renderer)
        shots = stage.shots(reader.lines())
        shot = next(shots, None)
        if shot is None:
            why = stage.flaw or reader.flaw or "none was shown"
            raise InputError(f"{source} has no picture in it: {why}.")
        with (
            FilmWriter(target, shot.picture.width, shot.picture.height) as film,
            tqdm(unit=" pictures", leave=False, disable=True if quiet else None) as progress,
        ):
            while shot is not None:
                if not shot.as_shown:
                    first = first if different else film.pictures / FPS
                    different += 1
                film.add_picture(shot.picture)
                film.add_sound(shot.pcm)
                progress.update()
                shot = next(shots, None)
    shown = f"{different} not as shown, the first at {first:.2f} s" if different else "all as shown"
    flaw = stage.flaw or str(reader.flaw or "")
    stopped = f"; then {flaw}" if flaw else ""
    sys.stdout.write(
        f"{target}: {film.pictures / FPS:.2f} s, {film.pictures} pictures, {shown}{stopped}.\n"
    )
    if different:
        sys.stderr.write(f"avatar replay: {_why(reader.header, settings)}\n")
    whole = not stage.flaw and (reader.flaw is None or isinstance(reader.flaw, CutOff))
    return 0 if whole and not different else DIFFERENT


def settings_of(header: Header, here: Settings, folder: Path) -> Settings:
    """The settings of a recorded session. Raises an WorkerError for what cannot be used.

    A recording may come from anybody, so it does not choose code: a renderer that is not ours is
    used where `here`, the operator's own settings, name it as well. Nor does it choose pictures:
    a background is one of `folder`, in which the recording is, or of the character.
    """
    if header.renderer not in renderer_names() and header.renderer != here.renderer:
        raise InputError(
            f"It was made with the renderer {header.renderer!r}; set AVATAR_RENDERER to that "
            "if you trust it and have it."
        )
    width, height = parse_size(f"{header.width}x{header.height}", "The recording's size")
    return replace(
        here,
        renderer=header.renderer,
        character=header.character,
        characters=here.characters or header.characters,
        background=_background(header, here, folder),
        badge=header.badge,
        stillness=parse_share(str(header.stillness), "The recording's stillness"),
        width=width,
        height=height,
        seed=header.seed,
    )


def _background(header: Header, here: Settings, folder: Path) -> str:
    """The colour or the picture that the recording means, where it may be read."""
    named = header.background
    if named in ("", here.background) or COLOUR.fullmatch(named):
        return named
    beside = folder / Path(named).name
    allowed = [folder]
    with suppress(InputError):
        allowed.append(locate(header.character, here.characters or header.characters))
    for path in (beside, expanded(named)):
        with suppress(OSError):
            if path.is_file() and any(
                path.resolve().is_relative_to(place.resolve()) for place in allowed
            ):
                return str(path)
    raise InputError(
        f"It was made before the background {named!r}; put that picture beside the recording, or "
        "set AVATAR_BACKGROUND to it."
    )


def _why(then: Header, settings: Settings) -> str:
    """What the pictures may differ for, in one line."""
    now = Header.of(settings)
    reasons = [
        f"{what} ({bare(getattr(then, name)) or 'none'} then, {getattr(now, name) or 'none'} now)"
        for name, what in OWING.items()
        if getattr(then, name) != getattr(now, name)
    ]
    if not reasons:
        return "the pictures differ though all that makes them is the same; please report it."
    return f"the pictures may differ for: {'; '.join(reasons)}."


def _silenced(shot: Shot, unheard: int, before: int) -> Shot:
    """`shot` as it sounded when its last `unheard` samples had not left the tracks.

    `before` is the last sample before it.
    """
    heard = FRAME_SAMPLES - min(unheard, FRAME_SAMPLES)
    last = int(shot.pcm[heard - 1]) if heard else before
    rest = ramp_down(last, FRAME_SAMPLES - heard)
    return replace(shot, pcm=np.concatenate([shot.pcm[:heard], rest]))


def _word(row: list[object]) -> Word:
    match row:
        case [str(text), int() | float() as start_s, int() | float() as end_s]:
            return Word(text, float(start_s), float(end_s))
    raise Damaged("a word in it has no times")


def _check(source: Path, target: Path) -> None:
    try:
        if target.exists() and target.samefile(source):
            raise InputError(f"{target} is the recording itself; name another file for the film.")
    except OSError as error:
        raise InputError(f"{target} cannot be used ({error.strerror}); name another.") from error
    if target.suffix.lower() != ".mp4":
        raise InputError(f"{target} would be an MP4 film; give it a name that ends in .mp4.")


def _refuse(reason: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"avatar replay: {' '.join(reason.split())}\n")
    return REFUSED


def _parser() -> Parser:
    parser = Parser("avatar replay", "Films a recorded session anew, or says what happened in it.")
    add = parser.add_argument
    add("recording", metavar="FILE", type=Path, help="a file of AVATAR_RECORD")
    add("-o", "--output", metavar="OUT.mp4", dest="film", type=Path,
        help="the film: what the session showed, with its sound")  # fmt: skip
    add("--events", action="store_true", help="say what happened and when, a line each")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
