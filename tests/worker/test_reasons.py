"""Why a session is over, in a sentence and in a word."""

import pytest

from worker.errors import (
    Dismissed,
    InputError,
    JoinError,
    JoinRefused,
    MeetingLost,
    RendererError,
    WorkerError,
)
from worker.turns.reasons import Reason


def test_a_reason_is_its_sentence() -> None:
    reason = Reason("told", "The worker was told to stop.")
    assert reason == "The worker was told to stop."
    assert f"{reason}" == "The worker was told to stop."
    assert reason.word == "told"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Dismissed("gone"), "dismissed"),
        (MeetingLost("gone"), "meeting_lost"),
        (JoinRefused("no"), "refused"),
        (JoinError("no"), "join_failed"),
        (RendererError("no"), "renderer_failed"),
        (InputError("no"), "failed"),
        (WorkerError("no"), "failed"),
        (ZeroDivisionError("no"), "failed"),
    ],
)
def test_every_error_has_a_word(error: Exception, word: str) -> None:
    assert Reason.of(error).word == word
