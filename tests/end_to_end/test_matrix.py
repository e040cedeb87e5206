"""The figures of `make matrix` are read from a conversation to the sample."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matrix_agent import Diary
from matrix_bounds import broken
from matrix_cell import MatrixCell
from matrix_figures import PlayedConversation, figures
from matrix_script import INTERRUPTED, LONG, NEXT, PHASES, QUEUED, speech
from matrix_tap import NOTHING, Piece, Tap, read

from worker.media import PIECE_SAMPLES, SAMPLE_RATE, Pcm
from worker.sound import fade_in, ramp_down

NAME = "test"
SAID = speech(NAME)
HEARD_S = 1.0
"""How much is heard of the turn that is interrupted."""


def test_a_perfect_conversation_has_perfect_figures() -> None:
    its = figures(conversation(perfect()))
    assert (its.spoken, its.lost, its.repeated, its.misplaced) == (6, 0, 0, 0)
    assert (its.stale, its.foreign, its.inserted, its.wrong_acks) == (0, 0, 0, [])
    assert its.interrupt_ms == pytest.approx(30, abs=0.1)
    assert broken(MatrixCell("ours", "ours", "none"), replace(its, version=2)) == []


def test_lost_samples_are_counted_and_the_ack_is_wrong() -> None:
    sound = perfect()
    sound[LONG] = np.delete(sound[LONG], slice(480, 960))
    its = figures(conversation(sound))
    assert its.lost == 480
    assert its.wrong_acks == ["turn 1 +20 ms"]


def test_deleted_zeros_are_lost_samples() -> None:
    sound = perfect()
    sound[LONG] = sound[LONG][sound[LONG] != 0]
    assert figures(conversation(sound)).lost == np.count_nonzero(SAID[LONG] == 0)


def test_a_turn_that_is_not_heard_is_lost() -> None:
    sound = perfect()
    sound[NEXT] = NOTHING
    its = figures(conversation(sound))
    assert (its.spoken, its.lost) == (5, len(SAID[NEXT]))


def test_silence_within_speech_is_counted_and_that_between_turns_is_not() -> None:
    sound = perfect()
    first, rest = np.split(sound[NEXT], [960])
    pause = ramp_down(int(first[-1]), PIECE_SAMPLES)
    sound[NEXT] = np.concatenate([first, pause, fade_in(rest)])
    its = figures(conversation(sound))
    assert (its.inserted, its.lost, its.foreign) == (PIECE_SAMPLES, 0, 0)


def test_repeated_and_exchanged_pieces_are_counted() -> None:
    sound = perfect()
    first, second, rest = np.split(sound[NEXT], [480, 960])
    sound[NEXT] = np.concatenate([second, first, rest])
    assert figures(conversation(sound)).misplaced == 480
    sound[NEXT] = np.concatenate([first, first, second, rest])
    its = figures(conversation(sound))
    assert its.repeated == 480


def test_sound_that_nobody_said_is_foreign() -> None:
    sound = perfect()
    stranger = speech("somebody else")[LONG][:480]
    sound[QUEUED[0]] = np.concatenate([sound[QUEUED[0]], stranger])
    assert figures(conversation(sound)).foreign == 480


def test_an_interrupted_turn_that_is_heard_after_the_cut_is_stale() -> None:
    heard = round(HEARD_S * SAMPLE_RATE)
    sound = perfect()
    sound[INTERRUPTED] = SAID[INTERRUPTED][: heard + 480]
    its = figures(conversation(sound, cut_after=heard))
    assert its.stale == 480
    assert broken(MatrixCell("ours", "ours", "none"), replace(its, version=2))


def test_acks_that_are_missing_doubled_or_of_another_turn_are_wrong() -> None:
    whole = conversation(perfect())
    acks = whole.diary.acks

    def wrong(changed: list[tuple[float, float, bool, int | None]]) -> list[str]:
        diary = replace(whole.diary, acks=changed)
        return figures(replace(whole, diary=diary)).wrong_acks

    assert wrong(acks[1:]) == ["0 instead of 1"]
    assert wrong([acks[0], *acks]) == ["2 instead of 1"]
    time_s, position_s, _, _ = acks[0]
    assert wrong([(time_s, position_s, False, 2), *acks[1:]]) == ["turn 1 called 2"]
    assert wrong([(time_s, position_s, True, 1), *acks[1:]]) == ["turn 1 interrupted: True"]
    assert wrong([(time_s, position_s + 0.02, False, 1), *acks[1:]]) == ["turn 1 +20 ms"]


def test_a_figure_that_breaks_a_bound_is_named() -> None:
    its = figures(conversation(perfect()))
    for changed in (
        replace(its, version=2, lost=1),
        replace(its, version=2, foreign=1),
        replace(its, version=2, stale=1),
        replace(its, version=2, repeated=1),
        replace(its, version=2, wrong_acks=["turn 1 called 2"]),
        replace(its, version=2, hung=1),
        replace(its, version=1),
    ):
        assert len(broken(MatrixCell("ours", "ours", "none"), changed)) == 1


def test_a_tap_reads_what_it_wrote_and_no_half_of_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "tap"
    with closing(Tap(path)) as tap:
        tap.note(480, SAID[LONG][:480])
        tap.note(0, NOTHING)
        tap.note(960, SAID[LONG][480:960])
    path.write_bytes(path.read_bytes()[:-1])
    first, cut = read(path)
    assert np.array_equal(first.pcm, SAID[LONG][:480])
    assert (first.pts, len(cut.pcm)) == (480, 0)
    assert first.time_s <= cut.time_s


def perfect() -> dict[int, Pcm]:
    """The sound of each turn, as it should be heard."""
    return {**SAID, INTERRUPTED: SAID[INTERRUPTED][: round(HEARD_S * SAMPLE_RATE)]}


def conversation(sound: dict[int, Pcm], cut_after: int | None = None) -> PlayedConversation:
    """One in which this was heard, with 0.2 s of silence between phases and perfect acks.

    The turn is interrupted 30 ms before the end of what is heard of it.
    """
    diary = Diary()
    pieces: list[Piece] = []
    now = 100.0
    for phase in PHASES:
        diary.phases.append(now)
        for turn in phase.turns:
            pcm = sound[turn]
            ends = len(SAID[turn])
            if turn == INTERRUPTED:
                ends = round(HEARD_S * SAMPLE_RATE)
                diary.interrupted_at = now + len(pcm) / SAMPLE_RATE - 0.03
            for at in range(0, len(pcm), PIECE_SAMPLES):
                if turn == INTERRUPTED and at == cut_after:
                    pieces.append(Piece(now, 0, NOTHING))
                pieces.append(Piece(now, 0, pcm[at : at + PIECE_SAMPLES]))
                now += len(pieces[-1].pcm) / SAMPLE_RATE
            if turn == INTERRUPTED and len(pcm):
                pieces.append(Piece(now, 0, ramp_down(int(pcm[-1]), PIECE_SAMPLES)))
                now += 0.02
            diary.acks.append((now, ends / SAMPLE_RATE, turn == INTERRUPTED, turn))
        pieces.append(Piece(now, 0, np.zeros(round(0.2 * SAMPLE_RATE), np.int16)))
        now += 0.2
    diary.phases.append(now)
    return PlayedConversation(SAID, pieces, diary)
