"""Pauses are found in the moments at which a voice came."""

from talking import UNBROKEN_S, silences


def voice(began_s: float, ended_s: float) -> list[float]:
    """Every 20 ms."""
    return [began_s + number / 50 for number in range(round((ended_s - began_s) * 50) + 1)]


def pauses(*spoken: tuple[float, float], until_s: float) -> list[tuple[float, float]]:
    voiced = [at for each in spoken for at in voice(*each)]
    return [
        (round(each.began_s, 2), round(each.ended_s, 2)) for each in silences(voiced, 0.0, until_s)
    ]


def test_a_voice_without_a_pause_has_none() -> None:
    assert pauses((0, 3), until_s=3.1) == []
    assert pauses((0, 1), (1 + UNBROKEN_S / 2, 3), until_s=3.1) == []


def test_each_pause_is_found_and_the_last_may_not_have_ended() -> None:
    assert pauses((0, 1), (2, 3), (3.5, 4), until_s=6) == [(1, 2), (3, 3.5), (4, 6)]
    assert pauses(until_s=2) == [(0, 2)]


def test_what_a_decoder_had_kept_does_not_end_a_pause() -> None:
    assert pauses((0, 1), (4, 4.08), (4.6, 6), until_s=6) == [(1, 4.6)]
    assert pauses((0, 1), (4, 4.3), (4.7, 6), until_s=6) == [(1, 4), (4.3, 4.7)]
