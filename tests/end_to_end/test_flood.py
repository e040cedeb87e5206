"""A flood of requests takes nothing from the face that speaks; `make bench` has its pictures."""

from pathlib import Path

import pytest
from flooded import SECONDS, flooded

LEAST = 0.5
"""The share of the answers that tell a sender that he asks too often."""


def test_a_flood_takes_no_word_from_a_speaking_face_and_locks_out_nobody_else(
    tmp_path: Path,
) -> None:
    seen = flooded(tmp_path)
    assert seen.heard_s == pytest.approx(SECONDS + 1, abs=0.05), "every word was heard"
    assert seen.other.status_code == 200, "who floods locks out nobody else"
    assert set(seen.answers) <= {400, 401, 422, 429}
    assert seen.answers[429] > LEAST * sum(seen.answers.values()), seen.answers
    assert seen.alive
