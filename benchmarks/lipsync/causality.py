"""How far ahead a reader of lips listens: it is told another future, and must not notice."""

from collections.abc import Callable
from typing import Final

import numpy as np

from worker.lipsync.shape import HOP_S, VisemeTrack
from worker.media import SAMPLE_RATE, Pcm

MOST_MS: Final = 80.0
"""What may be looked at beyond the moment that is spoken of."""

Read = Callable[[Pcm], VisemeTrack]


def look_ahead_ms(read: Read, pcm: Pcm, at: int, seed: int = 0) -> float:
    """How long before sample `at` the track of `pcm` changes when all from `at` on does.

    The other future is loud noise. Below 0 where nothing before `at` changes; what counts is the
    middle of the first hop that does.
    """
    other = pcm.copy()
    noise = np.random.default_rng(seed).integers(-20_000, 20_000, len(pcm) - at)
    other[at:] = noise.astype(np.int16)
    changed = differs(read(pcm), read(other))
    if not changed.any():
        return float("-inf")
    return at * 1000 / SAMPLE_RATE - (int(changed.argmax()) + 0.5) * HOP_S * 1000


def differs(one: VisemeTrack, other: VisemeTrack) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """At which hops two tracks are not the same, bit for bit."""
    return np.asarray(
        (one.visemes != other.visemes).any(axis=1)
        | (one.opening != other.opening)
        | (one.rounding != other.rounding)
        | (one.closed != other.closed)
    )


def furthest_ms(read: Read, pcm: Pcm, moments: int = 7) -> float:
    """The greatest `look_ahead_ms` at moments all over `pcm`, on hop boundaries and off them."""
    rng = np.random.default_rng(1)
    places = rng.integers(len(pcm) // 8, len(pcm) - len(pcm) // 8, moments)
    hop = round(SAMPLE_RATE * HOP_S)
    places[::2] -= places[::2] % hop
    return max(look_ahead_ms(read, pcm, int(at), seed) for seed, at in enumerate(places))
