"""A launch for a session that lives changes what it can, and says what it cannot."""

from dataclasses import replace

import pytest

from agent_side.join import JoinInfo
from dispatcher.workers.renewal import renewed

JOIN = JoinInfo("room", "token", "face", "api.videosdk.live", "agent", "ada", {"lang": "en"})


def test_the_agent_the_token_and_the_host_are_what_the_newer_one_says() -> None:
    newer = replace(
        JOIN, token="fresh", signaling_base_url="other.example", agent_participant_id="reborn"
    )
    assert renewed(JOIN, newer) == (newer, (), True)


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"character": "leo"}, ("character",)),
        ({"metadata": {"lang": "de"}}, ("metadata",)),
        ({"character": "leo", "metadata": {}}, ("character", "metadata")),
    ],
)
def test_what_a_face_began_with_stays_and_that_is_said(
    changed: dict[str, object], names: tuple[str, ...]
) -> None:
    newer = replace(JOIN, token="fresh", **changed)  # type: ignore[arg-type]
    assert renewed(JOIN, newer) == (replace(JOIN, token="fresh"), names, False)


def test_what_is_left_out_stays_and_needs_no_word() -> None:
    newer = JoinInfo("room", "fresh", "face")
    assert renewed(JOIN, newer) == (replace(JOIN, token="fresh"), (), False)


def test_a_session_that_began_without_takes_neither() -> None:
    plain = JoinInfo("room", "token", "face")
    join, not_applied, _ = renewed(plain, JOIN)
    assert (join.agent_participant_id, join.character) == ("agent", None)
    assert not_applied == ("character", "metadata")
