"""The measures of the lip-sync table: floors, ceilings, and what each of them notices."""

import dataclasses
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lipsync import causality, film, metric, testset
from benchmarks.lipsync.baseline import amplitude
from benchmarks.lipsync.bench import GOALS
from benchmarks.lipsync.evaluate import Tallied, groups, report, total
from benchmarks.lipsync.metric import LipReading, Scores
from training import corpus
from training.labels import Interval, blended, labels, per_hop
from training.labels import seen as seen_as
from training.material import Material, MaterialError, read_folder
from worker.lipsync.shape import VISEMES, VisemeTrack
from worker.media import Pcm

SUBSET = Path(__file__).parents[1] / "data" / "lipsync"


@pytest.fixture(scope="module")
def material() -> list[Material]:
    return list(read_folder(SUBSET))


def itself(one: Material) -> LipReading:
    reference = one.reference
    return LipReading(reference.visemes, reference.opening, reference.rounding)


def scored(material: list[Material], answers: list[LipReading]) -> Scores:
    pairs = zip(material, answers, strict=True)
    sums = [metric.tally(one.said, one.reference, answer) for one, answer in pairs]
    return metric.scores(np.sum(sums, axis=0))


def shifted(answer: LipReading, hops: int) -> LipReading:
    """The same, `hops` later."""
    return LipReading(
        *(np.roll(row, hops) for row in (answer.visemes, answer.opening, answer.rounding))
    )


def test_the_reference_is_right_about_itself(material: list[Material]) -> None:
    scores = scored(material, [itself(one) for one in material])

    assert scores.gf1 == scores.f1 == 1.0
    assert scores.opening_r == pytest.approx(1.0)
    assert scores.rounding_r == pytest.approx(1.0)
    assert scores.closure_recall == pytest.approx(0.987, abs=0.013)
    assert scores.false_closure == pytest.approx(0.025, abs=0.012)
    assert scores.lag_ms == 0.0
    assert scores.changes_per_s == pytest.approx(8.8, abs=0.6)
    assert scores.false_open == 0.0


def test_a_mouth_that_never_opens_is_the_floor(material: list[Material]) -> None:
    scores = scored(
        material, [metric.always_closed(len(one.reference.visemes)) for one in material]
    )

    assert scores.gf1 == pytest.approx(0.06, abs=0.03)
    assert scores.closure_recall == 1.0
    assert scores.false_closure == 1.0
    assert scores.opening_r == 0.0


def test_loudness_alone_reads_what_the_specification_says_it_does(
    material: list[Material],
) -> None:
    scores = scored(material, [amplitude(one.pcm) for one in material])

    assert scores.gf1 == pytest.approx(0.30, abs=0.05)
    assert scores.opening_r == pytest.approx(0.52, abs=0.08)


@pytest.mark.parametrize("hops", [-3, 1, 5])
def test_a_late_answer_is_late(material: list[Material], hops: int) -> None:
    scores = scored(material, [shifted(itself(one), hops) for one in material])

    assert scores.lag_ms == 10 * hops


def test_a_boundary_may_be_20_ms_off_but_not_more(material: list[Material]) -> None:
    near = scored(material, [shifted(itself(one), 2) for one in material])
    far = scored(material, [shifted(itself(one), 5) for one in material])

    assert near.gf1 == pytest.approx(1.0, abs=0.01)
    assert far.gf1 < 0.93


def test_one_viseme_for_another_of_its_class_costs_f1_alone(material: list[Material]) -> None:
    answers = []
    for one in material:
        visemes = one.reference.visemes.copy()
        visemes[visemes == VISEMES.index("DD")] = VISEMES.index("nn")
        answers.append(dataclasses.replace(itself(one), visemes=visemes))
    scores = scored(material, answers)

    assert scores.gf1 == 1.0
    assert scores.f1 < 0.95


def utterance(opening: list[float], said: list[Interval]) -> tuple[list[Interval], LipReading]:
    row = np.array(opening, np.float32)
    return said, LipReading(per_hop(said, len(row)), row, np.zeros_like(row))


def measured(said: list[Interval], answer: LipReading) -> Scores:
    reference = labels(said, len(answer.visemes))
    return metric.scores(metric.tally(said, reference, answer))


BETWEEN_VOWELS: list[Interval] = [(0.0, 0.2, "aa"), (0.2, 0.26, "PP"), (0.26, 0.5, "aa")]


def test_lips_that_meet_for_one_hop_are_seen_in_one_of_four_phases() -> None:
    opening = [0.8] * 50
    opening[22] = 0.0

    assert measured(*utterance(opening, BETWEEN_VOWELS)).closure_recall == 0.25


def test_lips_that_meet_for_40_ms_are_always_seen() -> None:
    opening = [0.8] * 50
    opening[21:25] = [0.0] * 4

    assert measured(*utterance(opening, BETWEEN_VOWELS)).closure_recall == 1.0


def test_lips_that_meet_30_ms_after_a_closure_miss_it() -> None:
    opening = [0.8] * 50
    opening[28:32] = [0.0] * 4

    assert measured(*utterance(opening, BETWEEN_VOWELS)).closure_recall == 0.0


def test_a_bilabial_beside_a_pause_does_not_count() -> None:
    said: list[Interval] = [(0.0, 0.2, "sil"), (0.2, 0.3, "PP"), (0.3, 0.6, "aa")]

    assert metric.bilabials(said) == []


def test_two_bilabials_in_a_row_are_one_closure() -> None:
    said: list[Interval] = [(0, 0.2, "nn"), (0.2, 0.3, "PP"), (0.3, 0.4, "PP"), (0.4, 0.6, "I")]

    assert metric.bilabials(said) == [(0.2, 0.4)]


def test_a_mouth_that_shuts_in_a_vowel_shuts_falsely() -> None:
    opening = [0.8] * 50
    opening[5:10] = [0.1] * 5

    # The cores are hops 5 to 14 and 32 to 43.
    assert measured(*utterance(opening, BETWEEN_VOWELS)).false_closure == pytest.approx(5 / 22)


def test_an_open_mouth_counts_only_where_it_is_truly_silent() -> None:
    said: list[Interval] = [(0.0, 0.3, "aa")]
    opening = [0.8] * 40 + [0.5] * 20 + [0.0] * 20

    # Silence begins at hop 30, true silence at hop 40.
    assert measured(*utterance(opening, said)).false_open == pytest.approx(20 / 40)


def test_a_mouth_that_flutters_changes_more_often() -> None:
    said, answer = utterance([0.5] * 100, [(0.0, 1.0, "aa")])
    flutter = np.tile([VISEMES.index("aa"), VISEMES.index("I")], 50)

    assert measured(said, answer).changes_per_s == 0
    assert measured(said, dataclasses.replace(answer, visemes=flutter)).changes_per_s == 99


def test_sums_of_parts_are_the_sums_of_the_whole_and_spread_is_repeatable(
    material: list[Material],
) -> None:
    rows = [
        Tallied(one.voice, one.language, metric.tally(one.said, one.reference, amplitude(one.pcm)))
        for one in material
    ]
    sums = [row.sums for row in rows]

    assert metric.spread(sums) == metric.spread(sums)
    assert 0.0 < metric.spread(sums).gf1 < 0.1
    assert len(groups(rows, "voice")) == 3
    assert report(rows).count("\n") >= 6
    assert total(rows) == metric.scores(np.sum(sums, axis=0))


# ---- The frozen test ---------------------------------------------------------------------------


def test_the_test_list_is_the_frozen_one() -> None:
    test = testset.read_list()

    assert len(test.utterances) == 9
    assert sum(len(said) for said in test.utterances.values()) == 162
    assert [condition.name for condition in test.conditions] == [
        condition.name for condition in testset.CONDITIONS
    ]


def test_another_test_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "list.json"
    changed.write_bytes(testset.LIST.read_bytes().replace(b"10.0", b"11.0", 1))
    monkeypatch.setattr(testset, "LIST", changed)

    with pytest.raises(testset.ListError, match="frozen"):
        testset.read_list()


def test_no_sentence_of_the_test_is_trained_on() -> None:
    tested = {one.line.text for said in testset.read_list().utterances.values() for one in said}
    learnt = {one.line.text for _, _, said in corpus.turns() for one in said}

    assert not tested & learnt


def test_no_held_out_voice_is_trained_on() -> None:
    learnt = {voice.name for _, voice, _ in corpus.turns()}

    assert not learnt & set(testset.read_list().utterances)


@pytest.mark.parametrize("condition", testset.CONDITIONS, ids=lambda one: one.name)
def test_a_condition_is_always_heard_the_same_and_as_loud_as_it_says(
    condition: testset.Condition, material: list[Material]
) -> None:
    one = material[0]
    others = [other for other in material if other.voice != one.voice]
    heard = testset.heard(condition, one, others)

    assert heard.dtype == np.int16
    assert len(heard) == len(one.pcm)
    assert np.array_equal(heard, testset.heard(condition, one, others))
    if condition.kind in ("noise", "babble", "music"):
        clean = one.pcm.astype(np.float64)
        speaks = np.repeat(one.reference.visemes > 0, 240)[: len(clean)]
        snr = np.square(clean[speaks]).mean() / np.square(heard - clean).mean()
        assert 10 * np.log10(snr) == pytest.approx(condition.db, abs=0.3)


def test_the_figures_are_those_that_the_specification_has_goals_for() -> None:
    keys = """gf1 f1 opening_r rounding_r closure_recall false_closure lag_ms changes_per_s
    worst_voice_gf1 noise10_gf1 music10_gf1 cpu_ms_per_s"""

    assert list(GOALS) == keys.split()


# ---- Any folder --------------------------------------------------------------------------------


def write_utterance(path: Path, reports: object, rate: int = 22_050) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.zeros(rate, np.int16).tobytes())
    path.with_suffix(".json").write_text(json.dumps(reports), "utf-8")


def test_a_folder_needs_no_more_than_phonemes(tmp_path: Path) -> None:
    write_utterance(tmp_path / "deep" / "one", {"phonemes": [[0.2, 0.5, "AA1"]]})
    write_utterance(tmp_path / "two", {"phonemes": [[0.2, 0.5, "ɑː"]], "voice": "me"})

    first, second = read_folder(tmp_path)

    assert (first.name, first.voice, first.language) == ("deep/one", "deep", "?")
    assert (second.name, second.voice) == ("two", "me")
    assert len(first.pcm) == pytest.approx(24_000, abs=2)
    assert first.said == second.said == [(0.2, 0.5, "aa")]


@pytest.mark.parametrize(
    "reports", [[], {}, {"phonemes": [[1, 2]]}, {"phonemes": [["a", 2, "m"]]}, {"phonemes": 3}]
)
def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path: Path, reports: object) -> None:
    write_utterance(tmp_path / "bad", reports)

    with pytest.raises(MaterialError, match=r"bad\.json"):
        list(read_folder(tmp_path))


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(MaterialError, match=r"has no NAME\.wav"):
        list(read_folder(tmp_path))


# ---- Causality ---------------------------------------------------------------------------------


def reader_that_looks_ahead(samples: int) -> causality.Read:
    """Hop i says how loud the sound is up to `samples` behind the hop's middle."""

    def read(pcm: Pcm) -> VisemeTrack:
        hops = len(pcm) // 240
        ends = np.arange(hops) * 240 + 120 + samples
        loud = np.concatenate([[0.0], np.cumsum(np.abs(pcm.astype(np.float64)))])
        row = loud[np.clip(ends, 0, len(pcm))].astype(np.float32)
        return VisemeTrack(np.zeros((hops, 15), np.float32), row, row, row)

    return read


@pytest.mark.parametrize("ahead_ms", [0, 50, 80, 90])
def test_how_far_a_reader_listens_ahead_is_found_out(ahead_ms: int) -> None:
    pcm = np.zeros(48_000, np.int16)

    found = causality.furthest_ms(reader_that_looks_ahead(24 * ahead_ms), pcm)

    assert ahead_ms - 10 < found <= ahead_ms


# ---- Films -------------------------------------------------------------------------------------

SPEECH: list[Interval] = [
    (0.4, 0.6, "aa"), (0.6, 0.68, "m"), (0.68, 0.9, "iy"), (0.9, 1.0, "s"), (1.0, 1.2, "ow"),
    (1.2, 1.3, "b"), (1.3, 1.5, "aa"), (2.2, 2.4, "aa"), (2.4, 2.5, "p"), (2.5, 2.8, "iy"),
]  # fmt: skip


def film_of(late_s: float, first_s: float = 0.0, pictures: int = 80) -> list[float]:
    visemes = per_hop([(a + 1, b + 1, name) for a, b, name in seen_as(SPEECH)], 600)
    opening, _ = blended(visemes)
    moments = first_s + (np.arange(pictures) + 0.5) * 0.04 - late_s
    return [float(v) for v in np.interp(moments, (np.arange(600) + 0.5) * 0.01 - 1, opening)]


def test_a_film_that_follows_the_reference_is_right() -> None:
    seen = film.judged(film_of(0.0), 0.0, SPEECH)

    assert seen.correlation == pytest.approx(1.0)
    assert seen.offset_ms == 0
    assert seen.pause_opening == 0
    assert seen.shut == seen.bilabials == 3


@pytest.mark.parametrize("late_ms", [-60, 25, 80])
def test_a_late_picture_is_told_by_how_much(late_ms: int) -> None:
    seen = film.judged(film_of(late_ms / 1000), 0.0, SPEECH)

    assert seen.offset_ms == pytest.approx(late_ms, abs=2)
    assert seen.correlation < 0.99


def test_a_film_may_begin_before_the_sound_or_within_it() -> None:
    early, later = (film.judged(film_of(0.0, at), at, SPEECH) for at in (-0.5, 0.33))

    assert (early.offset_ms, later.offset_ms) == (0, 0)
    assert early.correlation == pytest.approx(later.correlation) == pytest.approx(1.0)


def test_a_mouth_that_is_open_in_a_pause_is_found() -> None:
    openings = film_of(0.0)
    openings[46] = 0.7  # 1.84 to 1.88 s; it is silent from 1.5 to 2.2 s.

    assert film.judged(openings, 0.0, SPEECH).pause_opening == 0.7


def test_a_mouth_that_never_shuts_misses_its_bilabials() -> None:
    seen = film.judged([max(0.2, opening) for opening in film_of(0.0)], 0.0, SPEECH)

    assert (seen.shut, seen.bilabials) == (0, 3)


def test_a_still_mouth_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="does not move"):
        film.judged([0.2] * 50, 0.0, SPEECH)


def test_the_demos_speech_has_its_phonemes_beside_it() -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    reports = json.loads((folder / "speech.json").read_text("utf-8"))
    with wave.open(str(folder / "speech.wav")) as file:
        seconds = file.getnframes() / file.getframerate()

    assert reports["phonemes"][-1][1] < seconds
    assert len(metric.bilabials(seen_as(reports["phonemes"]))) > 20
