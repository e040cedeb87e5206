"""A small causal convolutional net in numpy, four hops at a time.

Layers of dilated convolutions, each adding to what the one before it said; every layer keeps
as much of its past as its taps reach back. All arrays of a step have fixed shapes, so what a
hop gets does not depend on how its sound was cut. `training/nets.py` is the same net
to be trained.

There are two sets of weights: for a voice alone, and for one among other sounds.
`AdaptiveVisemeNet` takes the one that suits.
"""

from collections import deque
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.lipsync.features import GROUP
from worker.lipsync.shape import VISEMES, Floats

QUIET: Final = "weights.npz"
NOISY: Final = "weights_noisy.npz"
OUTPUTS: Final = len(VISEMES) + 3
"""Logits of the visemes, then opening, rounding and the logit of lips pressed together."""
NOISY_BELOW_DB: Final = 36.0
QUIET_ABOVE_DB: Final = 40.0
"""Loudest against quietest: alone, a voice has pauses and closures so far below its vowels. Half a
second into the training voices' dev sentences, 1 % of the hops are below the first, and 93 % with
music at 10 dB."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Taps `dilation` hops apart: `weight` (taps * inputs + 1, outputs), oldest tap first.

    The last row of `weight` is the bias, the weight of an input that is always 1.
    """

    weight: Floats
    taps: int
    dilation: int

    @property
    def inputs(self) -> int:
        return (len(self.weight) - 1) // self.taps

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def history(self) -> int:
        """Hops before the present one that the layer sees."""
        return (self.taps - 1) * self.dilation


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What was learnt; shared by all sessions, so nobody can write to it."""

    layers: tuple[Layer, ...]
    head: Layer

    @property
    def history(self) -> int:
        """Hops before the present one that the net sees."""
        return sum(layer.history for layer in self.layers)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Weights for a voice alone, and for one among other sounds."""

    quiet: Weights
    noisy: Weights


@cache
def shipped() -> Pair:
    """The weights of this package, loaded once."""
    return Pair(_read(QUIET), _read(NOISY))


def _read(name: str) -> Weights:
    with files(__package__).joinpath(name).open("rb") as file, np.load(file) as arrays:
        return from_arrays(dict(arrays))


def from_arrays(arrays: dict[str, npt.NDArray[np.generic]]) -> Weights:
    """The weights in an .npz: `w0 b0 w1 b1 ..`, the last being the head; `taps`, `dilations`.

    Where there is `s0 s1 ..`, (outputs,), weights are that many times what is stored.
    """

    def fixed(index: int) -> Floats:
        weight, bias = arrays[f"w{index}"].astype(np.float32), arrays[f"b{index}"]
        if (scale := arrays.get(f"s{index}")) is not None:
            weight = weight * scale.astype(np.float32)
        array = np.vstack([weight, bias]).astype(np.float32)
        array.flags.writeable = False
        return array

    shapes = zip(arrays["taps"].tolist(), arrays["dilations"].tolist(), strict=True)
    layers = [Layer(fixed(index), taps, dilation) for index, (taps, dilation) in enumerate(shapes)]
    return Weights(tuple(layers[:-1]), layers[-1])


class _Memory:
    """A layer and the past of what goes into it; silent before a session begins."""

    def __init__(self, layer: Layer) -> None:
        self._weight = layer.weight
        past = np.zeros((layer.history + GROUP, layer.inputs), np.float32)
        self._older, self._old, self._new = past[:-GROUP], past[GROUP:], past[-GROUP:]
        row, item = past.strides
        self._seen = np.lib.stride_tricks.as_strided(
            past,
            (GROUP, layer.taps, layer.inputs),
            (row, row * layer.dilation, item),
            writeable=False,
        )
        self._row = np.ones((GROUP, len(layer.weight)), np.float32)
        self._taps = np.lib.stride_tricks.as_strided(
            self._row, self._seen.shape, (self._row.strides[0], layer.inputs * item, item)
        )
        self._out = np.empty((GROUP, layer.outputs), np.float32)

    def step(self, values: Floats) -> Floats:
        """From (GROUP, inputs) to (GROUP, outputs), which the next step overwrites."""
        self._older[...] = self._old
        self._new[...] = values
        self._taps[...] = self._seen
        return np.dot(self._row, self._weight, out=self._out)


class VisemeNet:
    """One session's run through the net."""

    def __init__(self, weights: Weights) -> None:
        self._first, *self._middle = [_Memory(layer) for layer in weights.layers]
        self._head = _Memory(weights.head)

    def push(self, features: Floats) -> Floats:
        """From (GROUP, FEATURES) to (GROUP, OUTPUTS), which the next push overwrites."""
        values = self._first.step(features)
        np.maximum(values, 0.0, out=values)
        for memory in self._middle:
            change = memory.step(values)
            np.maximum(change, 0.0, out=change)
            values += change
        return self._head.step(values)


class AdaptiveVisemeNet:
    """One session's run through the net that suits what is heard.

    The net for noise begins, as nobody knows yet. Where the other one suits better it takes over,
    and has heard all that matters: what it says is what it would have said all the time.
    """

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._noisy = True
        reach = max(pair.quiet.history, pair.noisy.history)
        self._past: deque[Floats] = deque(maxlen=-(-reach // GROUP))
        self.hush()

    def hush(self) -> None:
        """Forget the sound; what is around it is still there."""
        self._past.clear()
        self._net = self._chosen()

    def push(self, features: Floats, range_db: float | None) -> Floats:
        """From (GROUP, FEATURES) to (GROUP, OUTPUTS), which the next push overwrites.

        The features are kept, so nobody may write to them; `range_db` is that of `Features`, of
        what was heard before.
        """
        if range_db is not None:
            noisy = range_db < (QUIET_ABOVE_DB if self._noisy else NOISY_BELOW_DB)
            if noisy != self._noisy:
                self._noisy = noisy
                self._net = self._chosen()
                for past in self._past:
                    self._net.push(past)
        self._past.append(features)
        return self._net.push(features)

    def _chosen(self) -> VisemeNet:
        return VisemeNet(self._pair.noisy if self._noisy else self._pair.quiet)
