"""Reading a manifest: every value is checked, and every fault is one line that names its entry."""

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeGuard

from avatar_runtime.texts import read_text
from worker.characters.acting import EXPRESSIONS, GESTURES, GestureMotion, Mood, Move
from worker.characters.parts import Box, Overlay, Part, Sheet
from worker.characters.source import plain
from worker.errors import InputError

VERSION: Final = 2
MAX_STATES: Final = 512
MAX_FRAMES: Final = 64
MAX_KEYS: Final = 64
MAX_NAMED: Final = 64
MAX_NAME: Final = 32
"""The longest name of a gesture that a message may carry."""
MAX_SECONDS: Final = 10.0
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""A gesture's, an expression's or an overlay's."""

Range = tuple[float, float]

PARAMETERS: Final[Mapping[str, Mapping[str, Range]]] = {
    "mouth": {
        "opening": (0, 1), "width": (-1, 1), "teeth": (0, 1), "tongue": (0, 1), "smile": (-1, 1),
    },
    "eyes": {"lid": (-0.3, 1), "gaze_x": (-1, 1), "gaze_y": (-1, 1), "squint": (0, 1)},
    "brows": {"raised": (-1, 1), "slant": (-1, 1), "skew": (0, 1)},
}  # fmt: skip
"""What the states of a part differ in; a state's numbers stand in this order."""

MOODS: Final[Mapping[str, Range]] = {
    "smile": (-1, 1), "squint": (0, 1), "raised": (-1, 1), "slant": (-1, 1), "skew": (0, 1),
    "lid": (-0.3, 1), "gaze_x": (-1, 1), "gaze_y": (-1, 1), "opening": (0, 1), "width": (-1, 1),
}  # fmt: skip

MOVES: Final[Mapping[str, Range]] = {
    "x": (-1, 1), "y": (-1, 1), "turn": (-1, 1), "pitch": (-1, 1), "tilt": (-3, 3),
    "raised": (-1, 1), "lid": (-0.3, 1), "breath": (-1, 1), "opening": (0, 1), "width": (-1, 1),
}  # fmt: skip

KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        {
            "version",
            "title",
            "licence",
            "made_by",
            "figure",
            "figure_height",
            "wall",
            "frame",
            "head",
            "face",
            "shoulders",
            "mouth",
            "eyes",
            "brows",
            "overlays",
            "gestures",
            "expressions",
        }
    ),
    "head": frozenset({"box", "fade"}),
    "face": frozenset({"box", "fade"}),
    "shoulders": frozenset({"from", "to"}),
    "mouth": frozenset({"box", "inside", "sheets"}),
    "eyes": frozenset({"box", "sheets"}),
    "brows": frozenset({"box", "sheets"}),
}


def parse(content: bytes) -> dict[str, object]:
    """The object in a manifest's JSON. Raises InputError."""
    try:
        manifest = json.loads(read_text(content))
    except (ValueError, RecursionError) as error:
        raise InputError(f"manifest.json: is not JSON ({error}); fix it there.") from error
    if not isinstance(manifest, dict):
        raise InputError("manifest.json: has to be an object, { ... }.")
    return manifest


class ManifestReader:
    """Takes values out of a manifest and notes what is wrong with them.

    Each method returns something of the right type in any case; it means nothing once there
    are `faults`.
    """

    def __init__(self, manifest: Mapping[str, object]) -> None:
        self.faults: list[str] = []
        self.strangers: list[str] = []
        """Entries that nobody reads, each with what to do."""
        self._manifest = manifest
        self._know("", manifest)

    def fault(self, entry: str, what: str) -> None:
        self.faults.append(f"{entry}: {what}")

    def version(self) -> None:
        if self._manifest.get("version") != VERSION:
            self.fault("version", f"has to be {VERSION}; docs/characters.md describes that format.")

    def has(self, entry: str) -> bool:
        return self._get(entry) is not None

    def text(self, entry: str) -> str:
        """A string that says something; "" where it is missing, which is noted elsewhere."""
        value = self._get(entry)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip() or len(value) > 500:
            self.fault(entry, "has to be a text of up to 500 characters.")
            return ""
        return value

    def file(self, entry: str, value: object = None) -> str:
        """The plain name of a file in the folder."""
        value = self._get(entry) if value is None else value
        if isinstance(value, str):
            try:
                return plain(value)
            except InputError as error:
                self.fault(entry, str(error))
                return ""
        self.fault(entry, "has to name a file in the folder.")
        return ""

    def number(self, entry: str, low: float = 0.0, high: float = 100_000.0) -> float:
        value = self._get(entry)
        return self._number(entry, value, (low, high))

    def box(self, entry: str, value: object = None) -> Box:
        """A rectangle that is not empty."""
        value = self._get(entry) if value is None else value
        sides = value if isinstance(value, list) else []
        if len(sides) != 4 or not all(map(_is_number, sides)):
            self.fault(entry, "has to be [left, top, right, bottom] in pixels of the figure.")
            return Box(0, 0, 1, 1)
        left, top, right, bottom = map(float, sides)
        if left >= right or top >= bottom or max(map(abs, sides)) > 100_000:
            self.fault(entry, f"is {sides}, no rectangle: left < right and top < bottom.")
            return Box(0, 0, 1, 1)
        return Box(left, top, right, bottom)

    def fade(self, entry: str) -> tuple[float, float, float, float]:
        value = self._get(entry)
        sides = value if isinstance(value, list) else []
        if len(sides) != 4 or not all(_is_number(side) and 0 <= side <= 100_000 for side in sides):
            self.fault(entry, "has to be [left, top, right, bottom], lengths in pixels.")
            return (1, 1, 1, 1)
        left, top, right, bottom = map(float, sides)
        return (left, top, right, bottom)

    def part(self, name: str) -> Part:
        """Mouth, eyes or brows with all their states."""
        box = self.box(f"{name}.box")
        if box.width != round(box.width) or box.height != round(box.height):
            self.fault(f"{name}.box", "has to have whole pixels, as the sheets' pictures have.")
        value = self._get(f"{name}.sheets")
        if not isinstance(value, list) or not value:
            self.fault(f"{name}.sheets", "has to be a list of sheets, at least one.")
            return Part(name, box, ())
        sheets = tuple(
            self._sheet(name, f"{name}.sheets[{place}]", each) for place, each in enumerate(value)
        )
        if sum(len(sheet.states) for sheet in sheets) > MAX_STATES:
            self.fault(f"{name}.sheets", f"have more than {MAX_STATES} states; draw fewer.")
        return Part(name, box, sheets)

    def overlays(self) -> dict[str, Overlay]:
        overlays = {}
        for name, entry, value in self._named("overlays"):
            group = self._group(entry, value, {"file", "box", "frames"})
            frames = self._whole(f"{entry}.frames", group.get("frames"), range(1, MAX_FRAMES + 1))
            file = self.file(f"{entry}.file", group.get("file", 0))
            box = self.box(f"{entry}.box", group.get("box", 0))
            if box.width != round(box.width) or box.height != round(box.height):
                self.fault(f"{entry}.box", "has to have whole pixels, as its pictures have.")
            overlays[name] = Overlay(file, box, frames)
        return overlays

    def expressions(self) -> dict[str, Mood]:
        """The default ones, and those of the manifest instead or besides."""
        moods = dict(EXPRESSIONS)
        for name, entry, value in self._named("expressions"):
            moods[name] = Mood(**self._values(entry, value, MOODS))
        return moods

    def gestures(
        self, overlays: Mapping[str, Overlay], expressions: Mapping[str, Mood]
    ) -> dict[str, GestureMotion]:
        """The built-in ones, and those of the manifest instead or besides."""
        gestures = dict(GESTURES)
        for name, entry, value in self._named("gestures"):
            gestures[name] = self._gesture(entry, value, overlays, expressions)
        return gestures

    # Pieces

    def _gesture(
        self,
        entry: str,
        value: object,
        overlays: Mapping[str, Overlay],
        expressions: Mapping[str, Mood],
    ) -> GestureMotion:
        group = self._group(entry, value, {"seconds", "keys", "overlay", "frames", "expression"})
        seconds = self._number(f"{entry}.seconds", group.get("seconds"), (0.2, MAX_SECONDS))
        keys = self._keys(f"{entry}.keys", group.get("keys", []), seconds)
        overlay = group.get("overlay")
        frames: tuple[int, ...] = ()
        if overlay is not None:
            if not isinstance(overlay, str) or overlay not in overlays:
                known = ", ".join(overlays) or "there are none"
                self.fault(f"{entry}.overlay", f"is no name among the overlays ({known}).")
                overlay = None
            else:
                count = overlays[overlay].frames
                wanted = group.get("frames", list(range(count)))
                places = wanted if isinstance(wanted, list) else []
                if not 0 < len(places) <= 1000:
                    self.fault(f"{entry}.frames", "has to be a list of frames of the overlay.")
                frames = tuple(
                    self._whole(f"{entry}.frames", place, range(count)) for place in places
                )
        elif "frames" in group:
            self.fault(f"{entry}.frames", "needs an overlay whose frames they are.")
        expression = group.get("expression")
        worn: tuple[str, float] | None = None
        if expression is not None:
            match expression:
                case [str(name), int() | float() as intensity] if name in expressions:
                    share = self._number(f"{entry}.expression", intensity, (0, 1))
                    worn = (name, share)
                case _:
                    self.fault(
                        f"{entry}.expression",
                        f"has to be [name, intensity], one of {', '.join(expressions)}.",
                    )
        return GestureMotion(seconds, keys, overlay, frames, worn)

    def _keys(self, entry: str, value: object, seconds: float) -> tuple[tuple[float, Move], ...]:
        keys: list[tuple[float, Move]] = []
        if not isinstance(value, list) or len(value) > MAX_KEYS:
            self.fault(entry, f"has to be a list of up to {MAX_KEYS} [seconds, {{...}}].")
            return ()
        for place, key in enumerate(value):
            match key:
                case [int() | float() as moment, dict() as moved] if _is_number(moment):
                    move = Move(**self._values(f"{entry}[{place}]", moved, MOVES))
                    keys.append((float(moment), move))
                case _:
                    self.fault(f"{entry}[{place}]", "has to be [seconds, { what is moved }].")
        moments = [0.0, *(moment for moment, _ in keys), seconds]
        # A key at the very begin would be a jolt, and one at the end has no time to rest.
        if keys and any(a >= b for a, b in itertools.pairwise(moments)):
            self.fault(entry, f"have to rise, above 0 and below its {seconds:g} seconds.")
        return tuple(keys)

    def _sheet(self, part: str, entry: str, value: object) -> Sheet:
        group = self._group(entry, value, {"file", "axes", "states", "always"})
        file = self.file(f"{entry}.file", group.get("file", 0))
        always = self._state(part, f"{entry}.always", group.get("always", {}))
        if ("axes" in group) == ("states" in group):
            self.fault(entry, "has to have either axes or states.")
            return Sheet(file, ())
        if "axes" in group:
            states = self._product(part, f"{entry}.axes", group["axes"])
        else:
            listed = group["states"]
            if not isinstance(listed, list) or not 0 < len(listed) <= MAX_STATES:
                self.fault(f"{entry}.states", "has to be a list of states, at least one.")
                listed = []
            states = [
                self._state(part, f"{entry}.states[{place}]", state)
                for place, state in enumerate(listed)
            ]
        order = tuple(PARAMETERS[part])
        return Sheet(
            file,
            tuple(
                tuple(state.get(name, always.get(name, 0.0)) for name in order) for state in states
            ),
        )

    def _product(self, part: str, entry: str, value: object) -> list[dict[str, float]]:
        axes = self._group(entry, value, {*PARAMETERS[part], "gaze"})
        steps: list[list[dict[str, float]]] = []
        for name, places in axes.items():
            if not isinstance(places, list) or not 0 < len(places) <= MAX_STATES:
                self.fault(f"{entry}.{name}", "has to be a list of its values.")
                continue
            steps.append([self._state(part, f"{entry}.{name}", {name: place}) for place in places])
        if not steps or math.prod(map(len, steps)) > MAX_STATES:
            self.fault(entry, f"has to have 1 to {MAX_STATES} states in all.")
            return []
        return [
            {name: number for each in state for name, number in each.items()}
            for state in itertools.product(*steps)
        ]

    def _state(self, part: str, entry: str, value: object) -> dict[str, float]:
        return self._values(entry, value, PARAMETERS[part])

    def _values(self, entry: str, value: object, ranges: Mapping[str, Range]) -> dict[str, float]:
        """Named numbers within their ranges; `gaze` is the two numbers of a direction."""
        allowed = {*ranges, *(["gaze"] if "gaze_x" in ranges else [])} - {"gaze_x", "gaze_y"}
        values: dict[str, float] = {}
        for name, number in self._group(entry, value, allowed).items():
            if name == "gaze":
                match number:
                    case [x, y]:
                        values["gaze_x"] = self._number(f"{entry}.gaze", x, ranges["gaze_x"])
                        values["gaze_y"] = self._number(f"{entry}.gaze", y, ranges["gaze_y"])
                    case _:
                        self.fault(f"{entry}.gaze", "has to be [right, down], -1 to 1 each.")
            else:
                values[name] = self._number(f"{entry}.{name}", number, ranges[name])
        return values

    def _number(self, entry: str, value: object, within: Range) -> float:
        if not _is_number(value) or not within[0] <= value <= within[1]:
            self.fault(entry, f"has to be a number from {within[0]:g} to {within[1]:g}.")
            return within[0]
        return float(value)

    def _whole(self, entry: str, value: object, within: range) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value not in within:
            self.fault(entry, f"has to be a whole number from {within[0]} to {within[-1]}.")
            return within[0]
        return value

    def _named(self, entry: str) -> Iterable[tuple[str, str, object]]:
        value = self._get(entry)
        if value is None:
            return
        if not isinstance(value, dict) or len(value) > MAX_NAMED:
            self.fault(entry, f"has to be an object with up to {MAX_NAMED} names.")
            return
        for name, each in value.items():
            if NAME.fullmatch(name) is None or len(name) > MAX_NAME:
                self.fault(
                    entry, f"{name!r} is no name: up to {MAX_NAME} small letters, digits, - and _."
                )
            else:
                yield name, f"{entry}.{name}", each

    def _group(self, entry: str, value: object, allowed: Iterable[str]) -> dict[str, object]:
        if not isinstance(value, dict):
            self.fault(entry, "has to be an object, { ... }.")
            return {}
        allowed = sorted(allowed)
        for name in value:
            if name not in allowed:
                self.fault(entry, f"has no {name!r}; it may have {', '.join(allowed)}.")
        return {name: each for name, each in value.items() if name in allowed}

    def _get(self, entry: str) -> object:
        """The value at a path such as ``head.box``; None where there is none."""
        value: object = self._manifest
        for name in entry.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _know(self, entry: str, group: Mapping[str, object]) -> None:
        for name, value in group.items():
            if name not in KNOWN[entry]:
                place = f"{entry}.{name}" if entry else name
                self.strangers.append(
                    f"{place}: is read by nobody; remove it, or write it as one of "
                    f"{', '.join(sorted(KNOWN[entry]))}."
                )
            elif not entry and name in KNOWN and isinstance(value, dict):
                self._know(name, value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
