"""The weights that ship still read lips as well as they did, on voices they never met."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lipsync import causality, metric
from benchmarks.lipsync.evaluate import Tallied, shipped, tallied, total
from training import subset
from training.material import Material, read_folder
from worker.lipsync import lips, net

TOLERANCE = 2.0
"""Standard deviations (bootstrap over utterances)."""

WEIGHTS = [Path(lips.__file__).with_name(name) for name in (net.QUIET, net.NOISY)]


@pytest.fixture(scope="module")
def material() -> list[Material]:
    return list(read_folder(subset.FOLDER))


@pytest.fixture(scope="module")
def rows(material: list[Material]) -> list[Tallied]:
    return tallied(shipped, material)


def test_the_weights_are_small_enough_to_ship() -> None:
    for path in WEIGHTS:
        assert path.exists(), f"{path} is missing: python -m training.train makes it"
    assert sum(path.stat().st_size for path in WEIGHTS) < 2_000_000


def test_the_subset_is_that_of_the_frozen_test(material: list[Material]) -> None:
    assert sorted(one.name for one in material) == sorted(subset.names())


@pytest.mark.parametrize("measure", subset.CHECKED)
def test_held_out_voices_are_read_as_well_as_ever(rows: list[Tallied], measure: str) -> None:
    assert subset.EXPECTED.exists(), (
        f"{subset.EXPECTED} is missing: python -m training.subset --expect writes it"
    )
    expected = json.loads(subset.EXPECTED.read_text("utf-8"))[measure]
    reached = getattr(total(rows), measure)

    assert reached >= expected["reached"] - TOLERANCE * expected["sd"], (
        f"{measure} was {expected['reached']}; if the new weights are better on the whole table, "
        "write what they reach: python -m training.subset --expect"
    )


def test_lips_neither_lag_nor_shut_in_vowels_nor_open_in_silence(rows: list[Tallied]) -> None:
    scores = total(rows)

    assert abs(scores.lag_ms) <= 10
    assert (
        scores.false_closure
        <= 0.02 + TOLERANCE * metric.spread([row.sums for row in rows]).false_closure
    )
    assert scores.changes_per_s <= 12
    assert scores.false_open <= 0.05


def test_nothing_beyond_80_ms_ahead_is_looked_at(material: list[Material]) -> None:
    assert causality.furthest_ms(lips.read, material[0].pcm) <= causality.MOST_MS


def test_sound_in_pieces_of_any_size_gives_the_same_track(material: list[Material]) -> None:
    pcm = material[1].pcm
    whole = lips.read(pcm)
    rng = np.random.default_rng(3)
    cuts = np.unique(rng.integers(0, len(pcm), 90))
    reader = lips.VisemeReader()
    parts = [reader.push(part) for part in np.split(pcm, cuts)]
    parts.append(reader.finish())

    for field in ("visemes", "opening", "rounding", "closed"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        assert np.array_equal(joined, getattr(whole, field)), field
