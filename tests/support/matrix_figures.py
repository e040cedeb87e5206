"""What became of a conversation: the agent's diary held against what left the worker's track.

Speech is noise, so any four samples of it tell which turn they are of and where they stand in
it. What is heard is therefore found by content alone, wherever and whenever it is heard.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from matrix_agent import Diary
from matrix_script import INTERRUPTED, NEXT, PHASES
from matrix_tap import Piece

from worker.media import SAMPLE_RATE, Pcm
from worker.sound import FADE_SAMPLES, fade_in, ramp_down

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WORD: Final = 4
"""Samples that tell where they come from."""


@dataclass(frozen=True, slots=True)
class HeardSamples:
    """Everything that left the track, in order, and where each sample comes from.

    `turn` and `place` of a sample that was said, in order of leaving; turn 0 is silence or a
    ramp that takes a click away, -1 is sound that nobody said. `cuts` are the samples before
    which the worker cut off what had not left. `left_at` is when the sample's piece left,
    `sounds_at` when the sample itself is due.
    """

    pcm: Pcm
    left_at: Floats
    sounds_at: Floats
    turn: Ints
    place: Ints
    cuts: list[int]

    def of(self, turn: int) -> Ints:
        """The places in `turn` of its samples, in the order in which they were heard."""
        places: Ints = self.place[self.turn == turn]
        return places


def identify(pieces: Sequence[Piece], speech: Mapping[int, Pcm]) -> HeardSamples:
    """Find out what each sample that left is."""
    pcm = np.concatenate([piece.pcm for piece in pieces])
    lengths = [len(piece.pcm) for piece in pieces]
    left_at = np.repeat([piece.time_s for piece in pieces], lengths)
    within = [np.arange(length) / SAMPLE_RATE for length in lengths]
    turn = np.where(pcm != 0, -1, 0).astype(np.int64)
    place = np.full(len(pcm), -1, np.int64)
    if len(pcm) >= WORD:
        numbers, places, words = _vocabulary(speech)
        heard = _words(pcm)
        at = np.searchsorted(words, heard).clip(0, len(words) - 1)
        for first in np.flatnonzero((words[at] == heard) & _voiced(pcm)):
            turn[first : first + WORD] = numbers[at[first]]
            place[first : first + WORD] = places[at[first]] + np.arange(WORD)
    cuts = [int(at) for at, length in zip(np.cumsum(lengths), lengths, strict=True) if not length]
    found = HeardSamples(pcm, left_at, left_at + np.concatenate(within), turn, place, cuts)
    for begin, end in _stretches(found.turn == -1):
        _explain(found, begin, end, speech)
    return found


def _words(pcm: Pcm) -> Ints:
    windows = np.lib.stride_tricks.sliding_window_view(pcm, WORD)
    words: Ints = np.frombuffer(np.ascontiguousarray(windows).tobytes(), np.int64)
    return words


def _voiced(pcm: Pcm) -> npt.NDArray[np.bool_]:
    windows = np.lib.stride_tricks.sliding_window_view(pcm != 0, WORD)
    return np.asarray(windows.all(axis=1), np.bool_)


def _vocabulary(speech: Mapping[int, Pcm]) -> tuple[Ints, Ints, Ints]:
    """Turn, place and content of each word that was said, sorted by content."""
    words = np.concatenate([_words(pcm) for pcm in speech.values()])
    places = np.concatenate([np.arange(len(pcm) - WORD + 1) for pcm in speech.values()])
    numbers = np.repeat(list(speech), [len(pcm) - WORD + 1 for pcm in speech.values()])
    order = np.argsort(words, kind="stable")
    return numbers[order], places[order], words[order]


def _stretches(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _explain(heard: HeardSamples, begin: int, end: int, speech: Mapping[int, Pcm]) -> None:
    """Sound that was not said as it is may be a ramp: down where speech stops, or up into it."""
    if end - begin <= FADE_SAMPLES:
        if begin and _is_ramp_down(heard.pcm, begin, end):
            heard.turn[begin:end] = 0
        elif end < len(heard.pcm) and heard.turn[end] > 0:
            _explain_fade(heard, end, speech[int(heard.turn[end])])


def _is_ramp_down(pcm: Pcm, begin: int, end: int) -> bool:
    ramp = ramp_down(int(pcm[begin - 1]), FADE_SAMPLES)
    return np.array_equal(pcm[begin:end], ramp[: end - begin])


def _explain_fade(heard: HeardSamples, end: int, said: Pcm) -> None:
    """Up to `end` it may be `said`, faded in. The last faded samples may be as they were said."""
    into = int(heard.place[end])
    for length in range(FADE_SAMPLES, FADE_SAMPLES - 2 * WORD, -1):
        begin, first = end - length, into - length
        if begin < 0 or first < 0:
            continue
        faded = fade_in(said[first : first + FADE_SAMPLES])[:length]
        if np.array_equal(heard.pcm[begin:end], faded):
            heard.turn[begin:end] = heard.turn[end]
            heard.place[begin:end] = np.arange(first, into)
            return


@dataclass(frozen=True, slots=True)
class PlayedConversation:
    """What was said, what left the worker's track, and what the agent was told."""

    speech: Mapping[int, Pcm]
    pieces: Sequence[Piece]
    diary: Diary


@dataclass(frozen=True, slots=True)
class Figures:
    """How a conversation went. Samples are at 24 kHz.

    - `spoken`: turns of which something was heard.
    - `lost`: samples that were never heard, zeros within speech too; of the interrupted turn,
      as many are due as were heard.
    - `repeated`, `misplaced`: samples heard once more, and behind a later one of their turn.
    - `stale`: samples of the interrupted turn heard after the worker had cut it, had told the
      agent that it was over, or had begun the next turn.
    - `foreign`: samples that nobody said.
    - `inserted`: silence within a turn that was not said there.
    - `wrong_acks`: what is wrong about the acks, in words; the best is nothing.
    - `interrupt_ms`: from the call to the last sample of the interrupted turn that was heard;
      None where nothing of it was.
    - `hung`: how often our `wait_for_playout` did not return, or the whole was given up.
    """

    version: int
    spoken: int
    lost: int
    repeated: int
    misplaced: int
    stale: int
    foreign: int
    inserted: int
    acks: int
    wrong_acks: list[str]
    interrupt_ms: float | None
    hung: int
    lasted_s: float


def figures(conversation: PlayedConversation) -> Figures:
    """Hold what was heard against what was said."""
    speech, diary = conversation.speech, conversation.diary
    heard = identify(conversation.pieces, speech)
    places = {turn: heard.of(turn) for turn in speech}
    silence, zeros = _silence(heard, speech)
    dead = np.flatnonzero(heard.turn == INTERRUPTED)
    was_cut = len(dead) and math.isfinite(diary.interrupted_at)
    latency_s = heard.sounds_at[dead[-1]] - diary.interrupted_at if was_cut else None
    return Figures(
        version=diary.version,
        spoken=sum(len(each) > 0 for each in places.values()),
        lost=sum(lost_voice(heard, turn, speech[turn]) for turn in speech)
        + max(0, zeros - silence),
        repeated=sum(len(each) - len(np.unique(each)) for each in places.values()),
        misplaced=sum(_behind(each) for each in places.values()),
        stale=_stale(heard, diary),
        foreign=int(np.count_nonzero(heard.turn == -1)),
        inserted=max(0, silence - zeros),
        acks=len(diary.acks),
        wrong_acks=_wrong_acks(heard, diary, speech),
        interrupt_ms=None if latency_s is None else round(1000 * max(0.0, float(latency_s)), 1),
        hung=diary.hung,
        lasted_s=round(diary.phases[-1] - diary.phases[0], 1),
    )


def lost_voice(heard: HeardSamples, turn: int, said: Pcm) -> int:
    """Samples of the turn, other than zeros, that were never heard."""
    places = np.unique(heard.of(turn))
    due = said[: len(places)] if turn == INTERRUPTED else said
    return int(np.count_nonzero(due)) - int(np.count_nonzero(places < len(due)))


def _behind(places: Ints) -> int:
    if not len(places):
        return 0
    return int(np.count_nonzero(places < np.maximum.accumulate(places)))


def _silence(heard: HeardSamples, speech: Mapping[int, Pcm]) -> tuple[int, int]:
    """Silent samples heard within turns, and how many were said there."""
    within = np.zeros(len(heard.pcm), np.bool_)
    zeros = 0
    for turn, said in speech.items():
        where = np.flatnonzero(heard.turn == turn)
        if len(where):
            within[where[0] : where[-1] + 1] = True
            zeros += _zeros_between(heard.place[where], said)
    return int(np.count_nonzero(within & (heard.turn == 0))), zeros


def _zeros_between(places: Ints, said: Pcm) -> int:
    return int(np.count_nonzero(said[places.min() : places.max() + 1] == 0))


def _stale(heard: HeardSamples, diary: Diary) -> int:
    """Samples of the dead turn after whatever shows that it was over."""
    dead = heard.turn == INTERRUPTED
    over = np.zeros(len(dead), np.bool_)
    for cut in heard.cuts:
        if cut < len(over) and heard.left_at[cut] > diary.interrupted_at:
            over[cut:] = True
    for reported_at, _, interrupted, _ in diary.acks:
        if interrupted:
            over |= heard.left_at > reported_at
    following = np.flatnonzero(heard.turn == NEXT)
    if len(following):
        over[following[0] :] = True
    return int(np.count_nonzero(dead & over))


def _wrong_acks(heard: HeardSamples, diary: Diary, speech: Mapping[int, Pcm]) -> list[str]:
    """Each turn ends in exactly one ack, in order, that says how much of it was heard."""
    wrong = []
    for phase, since, until in zip(PHASES, diary.phases, diary.phases[1:], strict=False):
        acks = [ack for ack in diary.acks if since <= ack[0] < until]
        if len(acks) != len(phase.turns):
            wrong.append(f"{len(acks)} instead of {len(phase.turns)}")
        for turn, (_, position_s, interrupted, number) in zip(phase.turns, acks, strict=False):
            if interrupted != (turn == INTERRUPTED):
                wrong.append(f"turn {turn} interrupted: {interrupted}")
            if number not in (None, turn):
                wrong.append(f"turn {turn} called {number}")
            off = round(position_s * SAMPLE_RATE) - _played(heard, turn, speech[turn])
            if off:
                wrong.append(f"turn {turn} {1000 * off / SAMPLE_RATE:+.0f} ms")
    return wrong


def _played(heard: HeardSamples, turn: int, said: Pcm) -> int:
    """Samples of the turn that were heard, and of the zeros between them as many as were."""
    where = np.flatnonzero(heard.turn == turn)
    if not len(where):
        return 0
    silence = int(np.count_nonzero(heard.turn[where[0] : where[-1] + 1] == 0))
    return len(where) + min(silence, _zeros_between(heard.place[where], said))
