"""Sound to mouth: visemes at 100 Hz, mouth shapes at 25 pictures a second (`LipSync`).

Causal, with a look-ahead of 55 ms, state per session. What the net says of a hop is steadied
twice: its visemes by what was believed a hop before, its opening by lips that shut when they are
pressed together, however short that is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent_side.wire import Word
from worker.lipsync import net
from worker.lipsync.features import GROUP, GROUP_SAMPLES, HOP, Features
from worker.lipsync.prompt import Prompt
from worker.lipsync.shape import SHUT, VISEMES, Floats, MouthShape, VisemeTrack
from worker.media import Pcm

AHEAD_HOPS: Final = 5
"""The net, at hop i, speaks of hop i - 5."""
LOOKAHEAD_S: Final = 0.055
"""From the middle of a hop to the end of the sound that its viseme may depend on."""

KEEP: Final = 0.2
"""Share of the belief in a viseme that stays from one hop to the next: no flutter."""
_KEPT: Final = np.float32(KEEP)
_FRESH: Final = np.float32((1.0 - KEEP) / len(VISEMES))

PRESSED: Final = 0.47
"""Belief above which lips are pressed together: no more than 2 % of what vowels the training
voices say in their dev sentences shut them, even with vocal tracts made 28 % shorter or longer."""
HELD_HOPS: Final = 4
"""For at least so long lips stay pressed, one picture at 25 a second: it is seen at any phase."""
PRESSED_OPENING: Final = 0.1
"""What is left of their opening then: what lips' neighbours make of it, as in the reference."""

PICTURE_HOPS: Final = 4
GAIN: Final = 1.15
"""What the net's caution and the easing take from the opening is given back."""
REST_BELOW: Final = 0.12
"""Opening under which a mouth that says nothing is shut; a sung vowel may be no viseme."""
OPEN_SPEED: Final = 0.85
"""Share of the way that the mouth opens in one picture; it shuts all the way in one."""
WIDTH_SPEED: Final = 0.6
SHUT_BELOW: Final = 0.15
TONGUE_ABOVE: Final = 0.3
"""Opening at which the tongue of n, t, d and l shows."""

_LEAST: Final = np.float32(30.0)
"""Minus a logit that is as good as any lesser."""
_NONE: Final = np.float32(0.0)
_ONE: Final = np.float32(1.0)

_SIL: Final = VISEMES.index("sil")
_PP: Final = VISEMES.index("PP")
_FF: Final = VISEMES.index("FF")
_TH: Final = VISEMES.index("TH")
_ALVEOLAR: Final = (VISEMES.index("DD"), VISEMES.index("nn"))
_SPREAD: Final = np.array(
    [0.0, 0.0, 0.15, 0.3, 0.3, 0.3, 0.0, 0.55, 0.3, 0.0, 0.25, 0.7, 1.0, 0.0, 0.0], np.float32
)
"""How far each viseme draws the corners of the mouth apart."""


class VisemeReader:
    """One session's sound as visemes. Streamed and whole sound give the same, bit for bit."""

    def __init__(self, weights: net.Pair | None = None) -> None:
        self._weights = weights or net.shipped()
        self._features = Features()
        self.reset()

    def reset(self) -> None:
        """Forget the sound, the speaker and what is around."""
        self._features.reset()
        self._net = net.AdaptiveVisemeNet(self._weights)
        self._begin()

    def hush(self) -> None:
        """Forget the sound, not the speaker: the next one begins."""
        self._features.hush()
        self._net.hush()
        self._begin()

    def _begin(self) -> None:
        self._rest = np.zeros(0, np.int16)
        self._samples = 0
        self._hops = -AHEAD_HOPS
        self._belief = np.eye(len(VISEMES), dtype=np.float32)[_SIL]
        self._pressed = False
        self._held = 0
        self._prompt = Prompt()

    def words(self, words: Iterable[Word]) -> None:
        """What is said, where somebody knows; hops that were read already stay as they are."""
        self._prompt.add(words)

    def push(self, pcm: Pcm) -> VisemeTrack:
        """The hops that are ready now that `pcm`, any number of samples at 24 kHz, came."""
        self._samples += len(pcm)
        sound = np.concatenate([self._rest, pcm]) if len(self._rest) else pcm
        whole = len(sound) - len(sound) % GROUP_SAMPLES
        self._rest = sound[whole:].copy()
        starts = range(0, whole, GROUP_SAMPLES)
        return joined(self._group(sound[start : start + GROUP_SAMPLES]) for start in starts)

    def finish(self) -> VisemeTrack:
        """The hops up to the end of the sound, behind which is silence.

        The next sound is taken for the same speaker's.
        """
        hops = -(-self._samples // HOP)
        missing = hops - max(0, self._hops)
        silence = np.zeros(GROUP_SAMPLES - len(self._rest) + 2 * GROUP_SAMPLES, np.int16)
        track = self.push(silence)
        self.hush()
        return VisemeTrack(
            track.visemes[:missing],
            track.opening[:missing],
            track.rounding[:missing],
            track.closed[:missing],
        )

    def _group(self, pcm: Pcm) -> VisemeTrack:
        so_far_db = self._features.range_db  # Of hops before: this group's last are too far ahead.
        out = self._net.push(self._features.push(pcm), so_far_db)
        likely = np.ascontiguousarray(out[:, : len(VISEMES)])
        likely -= likely.max(axis=1, keepdims=True)
        np.exp(likely, out=likely)
        pressed = np.reciprocal(np.exp(np.minimum(-out[:, -1], _LEAST)) + _ONE)
        for hop in range(GROUP):
            left = self._prompt.left(self._hops + hop)
            if left is not None:
                likely[hop] *= left
                pressed[hop] *= left[_PP]
        opening, rounding = np.minimum(np.maximum(out[:, -3:-1], _NONE), _ONE).T
        for hop, together in enumerate((pressed > PRESSED).tolist()):
            if self._shut(pressed=together):
                opening[hop] = min(opening[hop], PRESSED_OPENING)
        for hop, row in enumerate(likely):
            likely[hop] = self._steadied(row)
        skipped = min(GROUP, max(0, -self._hops))
        self._hops += GROUP
        return VisemeTrack(
            likely[skipped:], opening[skipped:], rounding[skipped:], pressed[skipped:]
        )

    def _shut(self, *, pressed: bool) -> bool:
        """Whether lips that are, or are not, pressed together at this hop show as shut."""
        if pressed and not self._pressed:
            self._held = HELD_HOPS
        self._pressed = pressed
        self._held -= 1
        return pressed or self._held >= 0

    def _steadied(self, likely: Floats) -> Floats:
        """What is believed of this hop, and of those before it a little."""
        belief: Floats = self._belief * _KEPT
        belief += _FRESH
        belief *= likely
        belief /= belief.sum()
        self._belief = belief
        return belief


def read(pcm: Pcm, weights: net.Pair | None = None) -> VisemeTrack:
    """The track of a whole sound."""
    reader = VisemeReader(weights)
    return joined([reader.push(pcm), reader.finish()])


def joined(tracks: Iterable[VisemeTrack]) -> VisemeTrack:
    """One track after the other."""
    parts = list(tracks)
    if len(parts) == 1:
        return parts[0]
    if not parts:
        nothing = np.zeros(0, np.float32)
        return VisemeTrack(np.zeros((0, len(VISEMES)), np.float32), nothing, nothing, nothing)
    return VisemeTrack(
        np.concatenate([part.visemes for part in parts]),
        np.concatenate([part.opening for part in parts]),
        np.concatenate([part.rounding for part in parts]),
        np.concatenate([part.closed for part in parts]),
    )


class LipSync:
    """One session's mouth at 25 pictures a second; picture k shows the mouth of 40 k + 20 ms.

    It is made of hops 4 k - 1 to 4 k + 2, so it is ready once the sound up to 40 k + 80 ms is.
    Lips that are pressed together in any of them are shut in the picture.
    """

    def __init__(self, weights: net.Pair | None = None) -> None:
        self._reader = VisemeReader(weights)
        self._forget()

    def reset(self) -> None:
        """Forget the sound, not the speaker, and shut the mouth."""
        self._reader.hush()
        self._forget()

    def words(self, words: Iterable[Word]) -> None:
        """What is said, where somebody knows; see `VisemeReader.words`."""
        self._reader.words(words)

    def push(self, pcm: Pcm) -> list[MouthShape]:
        """The shapes of the pictures that are ready now, in order."""
        self._samples += len(pcm)
        return self._shapes(self._reader.push(pcm))

    def finish(self) -> list[MouthShape]:
        """The shapes of the rest, one for each 40 ms begun; the mouth ends shut."""
        pictures = -(-self._samples // GROUP_SAMPLES)
        shapes = self._shapes(self._reader.finish())
        while self._shown < pictures:
            shapes += self._shapes(_SILENT)
        self._forget()
        return shapes

    def _forget(self) -> None:
        self._hops: list[_Hop] = [_SHUT_HOP]
        self._samples = 0
        self._shown = 0
        self._shape = SHUT

    def _shapes(self, track: VisemeTrack) -> list[MouthShape]:
        self._hops += _hops(track)
        shapes = []
        while len(self._hops) >= PICTURE_HOPS:
            shapes.append(self._picture(self._hops[:PICTURE_HOPS]))
            del self._hops[:PICTURE_HOPS]
        return shapes

    def _picture(self, hops: "list[_Hop]") -> MouthShape:
        self._shown += 1
        visemes = [hop.viseme for hop in hops]
        target = GAIN * _mixed([hop.opening for hop in hops])
        if target < REST_BELOW and visemes[-2:] == [_SIL, _SIL]:
            self._shape = SHUT
            return SHUT
        if any(hop.shut for hop in hops):
            target = 0.0
        opening, width = self._shape.opening, self._shape.width
        opening += (target - opening) * (OPEN_SPEED if target > opening else 1.0)
        width += WIDTH_SPEED * (_mixed([hop.width for hop in hops]) - width)
        teeth = visemes.count(_FF) >= 2
        tip = visemes.count(_TH) >= 2
        tip |= opening > TONGUE_ABOVE and sum(visemes.count(v) for v in _ALVEOLAR) >= 2
        self._shape = MouthShape(min(1.0, opening), width, float(teeth), float(tip and not teeth))
        return self._shape


def _mixed(values: list[float]) -> float:
    """The value of a picture from those of its hops: of their end, for the mouth lags by easing."""
    return 0.35 * values[-2] + 0.65 * values[-1]


@dataclass(frozen=True, slots=True)
class _Hop:
    """What a picture asks of a hop."""

    viseme: int
    opening: float
    width: float
    shut: bool


def _hops(track: VisemeTrack) -> list[_Hop]:
    widths = np.clip((track.visemes * _SPREAD).sum(axis=1) - track.rounding, -1.0, 1.0)
    visemes = track.visemes.argmax(axis=1)
    shut = (track.opening < SHUT_BELOW) & (track.closed > PRESSED)
    columns = (visemes.tolist(), track.opening.tolist(), widths.tolist(), shut.tolist())
    return [_Hop(*row) for row in zip(*columns, strict=True)]


_SHUT_HOP: Final = _Hop(_SIL, 0.0, 0.0, shut=False)
_SILENT: Final = VisemeTrack(
    np.eye(len(VISEMES), dtype=np.float32)[[_SIL] * PICTURE_HOPS],
    np.zeros(PICTURE_HOPS, np.float32),
    np.zeros(PICTURE_HOPS, np.float32),
    np.zeros(PICTURE_HOPS, np.float32),
)
