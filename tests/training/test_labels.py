"""Phonemes of every engine become visemes, openings and roundings."""

import numpy as np
import pytest

from benchmarks.lipsync.metric import vowel_cores
from training.labels import Interval, UnknownPhonemeError, blended, labels, per_hop, seen
from training.sentences import FOREIGN, english, foreign
from training.timing import corrected, lags
from training.voices import NATURAL, RATE, VOICES, Spoken
from worker.lipsync.shape import VISEMES


def said(*signs: str) -> list[Interval]:
    return [(0.1 * index, 0.1 * (index + 1), sign) for index, sign in enumerate(signs)]


def names(intervals: list[Interval]) -> list[str]:
    return [name for _, _, name in intervals]


@pytest.mark.parametrize(
    ("engine", "signs", "visemes"),
    [
        ("flite", "pau m ey b iy", "sil PP E I PP I"),
        ("festival", "th r uw sh er", "TH RR U CH RR"),
        (None, "SIL HH AY1 NG", "sil aa aa I kk"),
        ("espeak", "p iː p əl", "PP I PP E nn"),
        ("espeak", "ɹ aɪ t ʃ", "RR aa I DD CH"),
        ("espeak", "tʃ ts ɲ yː", "CH SS nn U"),
        ("espeak", 'mʲ t ʲ a: ɪ^ u"', "PP DD I aa I U"),
        ("festival", "# tS a1 o ng", "sil CH aa O kk"),
        ("festival", "# y: & l: 7", "sil U aa nn O"),
        ("festival", "pau ax O1 rr J", "sil E O RR nn"),
        ("espeak", "_: D @ I2 3: N", "sil TH E I RR kk"),
        (None, "sil PP aa CH nn", "sil PP aa CH nn"),
    ],
)
def test_each_alphabet_has_its_visemes(engine: str | None, signs: str, visemes: str) -> None:
    assert names(seen(said(*signs.split()), engine=engine)) == visemes.split()


def test_every_viseme_has_a_name_of_its_own_in_the_alphabet_of_visemes() -> None:
    assert names(seen(said(*VISEMES))) == list(VISEMES)


def test_a_diphthong_gives_55_percent_to_its_first_vowel() -> None:
    (start, middle, first), (again, end, second) = seen([(1.0, 2.0, "ay")])

    assert (first, second) == ("aa", "I")
    assert (start, middle, again, end) == pytest.approx((1.0, 1.55, 1.55, 2.0))


def test_h_looks_like_the_vowel_that_follows() -> None:
    assert names(seen(said("hh", "uw", "hh", "iy", "hh"))) == ["U", "U", "I", "I", "sil"]


def test_glides_ng_and_schwa_look_like_vowels_and_k() -> None:
    assert names(seen(said("w", "y", "ng", "ax"))) == ["U", "I", "kk", "E"]


def test_an_unknown_phoneme_is_one_line_with_its_file_and_symbol() -> None:
    with pytest.raises(UnknownPhonemeError) as caught:
        seen(said("m", "aa", "%%"), file="speech/one.json")

    assert "speech/one.json" in str(caught.value)
    assert "'%%'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hop_has_what_is_said_in_its_middle() -> None:
    row = per_hop([(0.0, 0.014, "aa"), (0.016, 0.03, "I")], 4)

    assert [VISEMES[index] for index in row] == ["aa", "sil", "I", "sil"]


def test_what_begins_in_the_middle_of_a_hop_has_it() -> None:
    row = per_hop([(0.005, 0.015, "aa")], 2)

    assert [VISEMES[index] for index in row] == ["aa", "sil"]


def test_a_sustained_sound_reaches_its_target() -> None:
    opening, rounding = blended(np.full(60, VISEMES.index("U")))

    assert opening[30] == pytest.approx(0.32)
    assert rounding[30] == pytest.approx(1.0)


def test_a_bilabial_shuts_the_lips_between_open_vowels() -> None:
    reference = labels([(0, 0.3, "aa"), (0.3, 0.36, "b"), (0.36, 0.7, "aa")], 70)

    assert reference.opening[33] < 0.15
    assert reference.opening[15] > 0.9
    assert reference.closed[30:36].all()
    assert not reference.closed[:30].any()


def test_an_alveolar_does_not_shut_the_lips_between_open_vowels() -> None:
    reference = labels([(0, 0.3, "aa"), (0.3, 0.36, "d"), (0.36, 0.7, "aa")], 70)

    assert reference.opening.max() > reference.opening[33] > 0.3


def test_lips_rest_where_nothing_is_said_and_move_before_it_is() -> None:
    reference = labels([(0.3, 0.6, "O1")], 90, engine="festival")

    assert not reference.opening[:22].any()
    assert reference.rounding[27] > 0
    assert not reference.opening[68:].any()


def test_only_the_middle_half_of_a_vowel_is_its_core() -> None:
    assert np.flatnonzero(vowel_cores([(0.1, 0.3, "aa"), (0.3, 0.4, "SS")], 60)).tolist() == list(
        range(15, 25)
    )


def test_the_lips_of_a_p_part_where_the_sound_comes_back() -> None:
    """The label says that p lasts through its burst and breath, to 0.38 s."""
    rng = np.random.default_rng(1)
    sound = 0.3 * rng.normal(size=RATE).astype(np.float32)
    sound[round(0.25 * RATE) : round(0.33 * RATE)] = 0
    spoken = Spoken(sound, [(0, 0.25, "aa"), (0.25, 0.38, "p"), (0.38, 0.8, "aa")], [])

    (_, _, _), (start, end, _), (after, _, _) = corrected("x", "flite", spoken).phonemes

    assert start == 0.25
    assert end == after == pytest.approx(0.33, abs=0.006)


def test_espeaks_closure_lies_before_its_mark() -> None:
    rng = np.random.default_rng(1)
    sound = 0.3 * rng.normal(size=RATE).astype(np.float32)
    sound[round(0.30 * RATE) : round(0.35 * RATE)] = 0
    spoken = Spoken(sound, [(0, 0.35, "a"), (0.35, 0.4, "t"), (0.4, 0.8, "a")], [])

    vowel, stop, _ = corrected("espeak-f1", "espeak", spoken).phonemes

    assert vowel[1] == stop[0] == pytest.approx(0.30, abs=0.008)
    assert corrected("x", "flite", spoken).phonemes[1][0] == 0.35


def test_the_check_tells_by_how_much_sound_comes_after_its_label() -> None:
    rng = np.random.default_rng(1)
    sound = 0.3 * rng.normal(size=RATE).astype(np.float32)
    sound[: round(0.5 * RATE)] = 0

    assert lags(Spoken(sound, [(0, 0.48, "pau"), (0.48, 0.9, "aa")], []))["sil-V"] == [
        pytest.approx(20, abs=3)
    ]


def test_a_seed_always_gives_the_same_sentence_and_pools_share_no_sentence() -> None:
    unseen = {english(str(seed), "unseen") for seed in range(200)}

    assert english("7", "train") == english("7", "train")
    assert not unseen & {english(str(seed), "train") for seed in range(200)} - {
        # Made of a pattern that takes names and phrases alone.
        text
        for text in unseen
        if len(text.split()) < 6
    }
    assert all(foreign(language, "1") == foreign(language, "1") for language in FOREIGN)


def test_the_published_voices_are_held_out_and_no_other_is_spoken() -> None:
    held_out = {voice.name for voice in VOICES.values() if voice.held_out}

    assert {voice.name for voice in NATURAL} & held_out == {
        "flite-slt",
        "flite-awb",
        "festival-slt-hts",
    }
    assert {voice.name for voice in NATURAL} - held_out == {
        "flite-rms",
        "flite-kal16",
        "festival-kal",
        "festival-ked",
        "festival-lp",
        "festival-lj",
        "festival-ona",
    }
    assert sum(voice.engine == "espeak" for voice in VOICES.values()) == 51
    assert sum(name.startswith("espeak") for name in held_out) == 6
