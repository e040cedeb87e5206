"""Words as a hint: what is ruled out, when, and that it helps; a face takes them in any order."""

from pathlib import Path

import numpy as np
import pytest

from agent_side.wire import Word
from worker.lipsync.lips import LipSync, VisemeReader, read
from worker.lipsync.prompt import DAMPED, MARGIN_HOPS, Prompt, possible
from worker.lipsync.shape import VISEMES
from worker.media import FRAME_SAMPLES
from worker.renderer import WordsCue
from worker.renderers.character import create
from worker.settings import Settings
from worker.tools.film import read_sound

SPEECH = Path(__file__).parents[2] / "benchmarks" / "speech.wav"


def ruled_out(text: str) -> set[str]:
    return {viseme for viseme, left in zip(VISEMES, possible(text), strict=True) if left < 1}


def test_letters_rule_out_what_none_of_them_stands_for() -> None:
    assert "PP" in ruled_out("sun")
    assert "PP" not in ruled_out("sum")
    assert "FF" not in ruled_out("enough")
    assert "FF" not in ruled_out("Photo")
    assert "TH" not in ruled_out("Thé")
    assert "sil" not in ruled_out("cat")


def test_vowels_are_left_to_the_ear() -> None:
    assert not {"aa", "E", "I", "O", "U"} & ruled_out("cat")


@pytest.mark.parametrize("text", ["", "42", "a1", "слово", "言葉", "...", "naïve3"])
def test_what_cannot_be_read_rules_nothing_out(text: str) -> None:
    assert not ruled_out(text)


def test_a_word_counts_from_a_little_before_it_to_a_little_after_it() -> None:
    prompt = Prompt()
    prompt.add([Word("sun", 1.0, 1.5)])
    known = [hop for hop in range(300) if prompt.left(hop) is not None]
    assert known == list(range(100 - MARGIN_HOPS, 150 + MARGIN_HOPS))


def test_between_two_words_either_may_be_heard() -> None:
    prompt = Prompt()
    prompt.add([Word("moon", 0.5, 1.0), Word("sun", 0.1, 0.5)])
    left = prompt.left(50)
    assert left is not None
    assert left[VISEMES.index("PP")] == 1
    early = Prompt()
    early.add([Word("moon", 0.5, 1.0), Word("sun", 0.1, 0.5)])
    first = early.left(30)
    assert first is not None
    assert first[VISEMES.index("PP")] == DAMPED


def test_words_of_no_sound_change_nothing() -> None:
    pcm = read_sound(SPEECH)[0][: 24_000 * 2]
    reader = VisemeReader()
    reader.words([Word("sun", 100.0, 101.0)])
    track = reader.push(pcm)
    plain = read(pcm)
    assert np.array_equal(track.visemes, plain.visemes[: len(track.visemes)])


def test_a_mouth_that_is_told_of_no_closure_shows_less_of_it() -> None:
    pcm = read_sound(SPEECH)[0][: 24_000 * 4]
    reports = VisemeReader()
    reports.words([Word("a", 0.0, 4.0)])
    assert reports.push(pcm).closed.max() < 0.5 * read(pcm).closed.max()


def test_a_face_takes_words_early_late_twice_and_for_nobody() -> None:
    face = create(Settings.from_env({"AVATAR_SIZE": "64x64"}))
    block = read_sound(SPEECH)[0][24_000 : 24_000 + FRAME_SAMPLES]
    for segment in (1, 2, 40):
        face.cue(WordsCue(segment, (Word("sun", 0.0, 1.0),)))
        face.cue(WordsCue(segment + 1, (Word("moon", 0.0, 1.0),) * 300))
        face.push(segment, block)
        face.cue(WordsCue(segment, (Word("sum", 0.2, 1.0),)))
        face.cue(WordsCue(0, (Word("sum", 0.2, 1.0),)))
        face.finish(segment)
        face.cue(WordsCue(segment, (Word("late", 0.2, 1.0),)))
        assert [frame.segment for frame in face.drain() if len(frame.pcm)] == [segment]
        face.reset()


def test_a_speaker_is_known_after_the_first_sound() -> None:
    pcm = read_sound(SPEECH)[0][: 24_000 * 3]
    reader = VisemeReader()
    reader.push(pcm)
    reader.finish()
    again = [reader.push(pcm), reader.finish()]
    reader.reset()
    anew = [reader.push(pcm), reader.finish()]
    assert not np.array_equal(again[0].visemes, anew[0].visemes)
    assert np.array_equal(anew[0].visemes, read(pcm).visemes[: len(anew[0].visemes)])


def test_lips_that_were_interrupted_begin_with_a_shut_mouth() -> None:
    pcm = read_sound(SPEECH)[0][24_000 : 24_000 + 10 * FRAME_SAMPLES]
    lips = LipSync()
    lips.push(pcm)
    lips.reset()
    assert lips.push(np.zeros(FRAME_SAMPLES * 3, np.int16))[0].opening == 0.0
