"""Life: human intervals, smooth movements, stress that is heard, and one film for each seed."""

import itertools
import statistics

import numpy as np
import pytest

from worker.characters.acting import EXPRESSIONS, GESTURES, STILL, GestureMotion, Move
from worker.characters.life import BLINK, GIVE_WAY_S, MOOD_S, POSTURES, Animator, Pose
from worker.media import FPS

MINUTE = 60 * FPS


def poses(life: Animator, ticks: int, level_db: float | None = None) -> list[Pose]:
    return [life.step(level_db) for _ in range(ticks)]


def syllables(ticks: int) -> list[float]:
    """Levels of speech with a stressed syllable every second."""
    return [-18.0 if tick % FPS in (5, 6, 7) else -30.0 for tick in range(ticks)]


def shut_at(life: Animator, ticks: int) -> list[int]:
    """When the lids fall shut."""
    lids = [pose.mood.lid for pose in poses(life, ticks)]
    return [tick for tick in range(1, ticks) if lids[tick] == 1.0 and lids[tick - 1] < 1.0]


# Blinks, gaze, breath


def test_blinks_come_at_human_intervals_and_are_short() -> None:
    gaps_s = np.diff(shut_at(Animator(seed=9), 5 * MINUTE)) / FPS
    double = gaps_s < 1
    assert 0.02 < double.mean() < 0.4
    assert gaps_s[~double].min() > 1.1
    assert gaps_s[~double].max() < 6.5
    assert gaps_s[~double].std() > 0.5
    assert 0.15 <= len(BLINK) / FPS <= 0.2


def test_blinking_goes_on_while_speaking_and_slows_down_in_thought() -> None:
    speaking = sum(pose.mood.lid == 1.0 for pose in poses(Animator(seed=4), MINUTE, -25.0))
    thinking = Animator(seed=4)
    thinking.pose("thinking")
    assert speaking > 10
    assert 0 < len(shut_at(thinking, MINUTE)) < len(shut_at(Animator(seed=4), MINUTE))


def test_a_large_shift_of_the_gaze_often_brings_a_blink() -> None:
    shown = poses(Animator(seed=5), 10 * MINUTE)
    jumps = [
        tick
        for tick in range(1, len(shown) - 1)
        if abs(shown[tick].mood.gaze_x - shown[tick - 1].mood.gaze_x) > 0.5
    ]
    blinking = [any(shown[tick + ahead].mood.lid > 0.6 for ahead in (0, 1)) for tick in jumps]
    assert 0.25 < statistics.mean(blinking) < 0.75


def test_the_eyes_mostly_look_at_you() -> None:
    for posture, least in (("resting", 0.6), ("listening", 0.8)):
        life = Animator(seed=2)
        life.pose(posture)
        at_you = [p.mood.gaze_x == p.mood.gaze_y == 0 for p in poses(life, 2 * MINUTE)]
        assert statistics.mean(at_you) > least
    life = Animator(seed=2)
    life.pose("thinking")
    assert all(pose.mood.gaze_y < 0 for pose in poses(life, MINUTE))


def test_breath_never_stops() -> None:
    for stillness in (0.0, 1.0):
        breaths = [pose.breath for pose in poses(Animator(1, stillness), 20 * FPS)]
        assert min(breaths) < 0.01
        assert max(breaths) > 0.99
        assert np.abs(np.diff(breaths)).max() < 0.08


# The head


@pytest.mark.parametrize("posture", POSTURES)
def test_the_head_moves_smoothly_within_bounds_and_rests_in_between(posture: str) -> None:
    life = Animator(seed=2, stillness=0.0)
    life.pose(posture)
    moves = [pose.move for pose in poses(life, 2 * MINUTE)]
    for name in ("x", "y", "tilt"):
        values = np.array([getattr(move, name) for move in moves])
        assert np.abs(values).max() < 3.0
        assert values.max() - values.min() > 0.15
        assert np.abs(np.diff(values)).max() < 0.35
    x_steps = np.abs(np.diff([move.x for move in moves]))
    assert np.mean(x_steps < 0.002) > 0.4


def test_a_calm_face_only_blinks_and_breathes() -> None:
    life = Animator(seed=6, stillness=1.0)
    shown = [life.step(level) for level in (*syllables(MINUTE), *[None] * MINUTE)]
    assert {pose.move for pose in shown} == {STILL}
    assert {(pose.mood.gaze_x, pose.mood.raised) for pose in shown} == {(0, 0)}
    assert any(pose.mood.lid == 1.0 for pose in shown)


def test_stillness_scales_how_far_the_head_goes() -> None:
    reach = [
        max(abs(pose.move.x) for pose in poses(Animator(3, stillness), MINUTE))
        for stillness in (0.0, 0.5, 1.0)
    ]
    assert reach[0] > reach[1] > reach[2] == 0


# Speech


def nods(levels: list[float], seed: int = 1) -> list[float]:
    """How far speech lets the head go down, beyond what it does without stress."""
    stressed, even = Animator(seed, 0.0), Animator(seed, 0.0)
    return [stressed.step(level).move.y - even.step(-30.0).move.y for level in levels]


def test_nods_and_brows_follow_the_stress_of_speech() -> None:
    levels = syllables(MINUTE)
    down = np.array(nods(levels))
    after = np.convolve([level > -20 for level in levels], np.ones(12))[: len(levels)] > 0
    assert down.max() > 0.15
    assert np.abs(down[after]).mean() > 3 * np.abs(down[~after]).mean()
    life = Animator(1, 0.0)
    raised = [life.step(level).mood.raised for level in levels]
    assert 0.1 < np.mean(np.array(raised) > 0.2) < 0.6


def test_even_speech_and_silence_bring_no_nods() -> None:
    assert max(nods([-30.0] * MINUTE)) == 0
    life, silent = Animator(1, 0.0), Animator(1, 0.0)
    assert [life.step(-90.0) for _ in range(200)] == [silent.step(None) for _ in range(200)]


def test_stress_is_heard_at_once_and_never_before() -> None:
    """Causal: the same film until the first block that differs."""
    levels = syllables(200)
    changed = [*levels[:150], *[-12.0] * 50]
    first, second = Animator(8), Animator(8)
    a, b = [first.step(x) for x in levels], [second.step(x) for x in changed]
    assert a[:150] == b[:150]
    assert a != b


# Postures, expressions, gestures


def test_a_posture_comes_and_goes_smoothly_and_not_in_speech() -> None:
    life, plain = Animator(7, 0.0), Animator(7, 0.0)
    life.pose("listening")
    tilts = [
        a.move.tilt - b.move.tilt for a, b in zip(poses(life, 60), poses(plain, 60), strict=True)
    ]
    assert abs(tilts[-1]) > 1.0
    assert np.abs(np.diff(tilts)).max() < 0.3
    speech = [life.step(-25.0).move.tilt - plain.step(-25.0).move.tilt for _ in range(FPS)]
    assert abs(speech[-1]) < 0.01
    assert np.abs(np.diff(speech)).max() < 0.3


def test_an_expression_is_worn_within_a_quarter_of_a_second_and_smoothly() -> None:
    life = Animator(1, stillness=1.0)
    poses(life, 10)
    life.express("happy", 0.5)
    smiles = [pose.mood.smile for pose in poses(life, 20)]
    assert smiles[round(MOOD_S * FPS)] == pytest.approx(0.5)
    assert smiles == sorted(smiles)
    assert max(np.diff(smiles)) < 0.2
    life.express("sad", 1.0)
    poses(life, 3)
    life.express("neutral", 1.0)
    back = [pose.mood.smile for pose in poses(life, 20)]
    assert max(np.abs(np.diff(back))) < 0.5
    assert back[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("name", GESTURES)
def test_a_gesture_begins_and_ends_at_rest(name: str) -> None:
    gesture = GESTURES[name]
    times = np.arange(0, gesture.seconds + 0.2, 1 / FPS)
    moves = np.array([gesture.at(time_s) for time_s in times])
    assert np.abs(moves[0]).max() < 0.01
    assert np.abs(moves[-1]).max() == 0
    assert np.abs(moves).max() > 0.5


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(GESTURES, 2)))
def test_a_gesture_gives_way_smoothly(first: str, second: str) -> None:
    for tick in (1, 7, 12, 20):
        life = Animator(1, stillness=1.0)
        life.gesture(first)
        moves = [pose.move for pose in poses(life, tick)]
        life.gesture(second)
        moves += [pose.move for pose in poses(life, 60)]
        alone = max(
            _steps([GESTURES[name].at(t / FPS) for t in range(60)]) for name in (first, second)
        )
        assert _steps(moves) <= alone + 1.5 / (GIVE_WAY_S * FPS)
        assert moves[-1] == STILL


def _steps(moves: list[Move]) -> float:
    return max(float(np.abs(np.diff([move[i] for move in moves])).max()) for i in range(4))


def test_a_gesture_wears_its_expression_and_gives_it_back() -> None:
    life = Animator(1, stillness=1.0)
    life.express("sad", 1.0)
    poses(life, 20)
    life.gesture("laugh")
    assert max(pose.mood.smile for pose in poses(life, 30)) == EXPRESSIONS["happy"].smile
    assert poses(life, 40)[-1].mood.smile == EXPRESSIONS["sad"].smile


def test_an_overlay_is_shown_frame_by_frame_and_fades_when_it_is_broken_off() -> None:
    wave = GestureMotion(1.0, overlay="hand", frames=(0, 1, 2, 1, 0))
    life = Animator(1, gestures={**GESTURES, "wave": wave})
    life.gesture("wave")
    shown = [pose.overlay for pose in poses(life, 30)]
    assert [each[1] for each in shown if each][::5] == [0, 1, 2, 1, 0]
    assert shown[-1] is None
    life.gesture("wave")
    poses(life, 10)
    life.gesture("nod")
    seen = [0.0 if each is None else each[2] for each in (p.overlay for p in poses(life, 10))]
    assert seen == sorted(seen, reverse=True)
    assert 0.5 < seen[0] < 1.0
    assert seen[-1] == 0.0


# Seeds


def film(seed: int) -> list[Pose]:
    life = Animator(seed, 0.1)
    shown = poses(life, 50)
    life.gesture("nod")
    life.pose("listening")
    shown += [life.step(level) for level in syllables(100)]
    life.express("happy", 1.0)
    return shown + poses(life, 200)


def test_the_same_seed_and_calls_give_the_same_film_and_another_seed_another() -> None:
    assert film(3) == film(3)
    assert film(3) != film(4)


def test_what_a_face_is_told_does_not_move_its_blinks() -> None:
    reports, untold = Animator(5, 1.0), Animator(5, 1.0)
    reports.gesture("shake")
    reports.express("happy", 1.0)
    assert shut_at(reports, MINUTE) == shut_at(untold, MINUTE)
