"""Our peers and the stock ones of videosdk-agents, in one room on the real SDK: `make interop`.

Not collected by `make test`, as the stock package needs a Python and an environment of its own.
Each conversation has speech, silence within speech, segment ends, three turns that are handed
over at once, an interrupt, and the next turn 50 ms later; see `matrix_script`.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dispatching import Dispatcher, dispatcher
from matrix_bounds import broken
from matrix_cell import MatrixCell, MatrixRoom, matrix_stage
from matrix_figures import figures, identify, lost_voice
from matrix_script import INTERRUPTED, LONG, QUEUED
from tokens import APIKEY, KEYS, SECRET
from videosdk.agents.avatar.avatar_audio_io import AvatarAudioOut
from videosdk.agents.avatar.avatar_auth import generate_avatar_credentials

PASSWORD = "password-of-anna-who-is-an-agent"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixRoom]:
    with matrix_stage(tmp_path_factory.mktemp("interop"), Path(sys.executable)) as made:
        yield made


def test_the_stock_agent_drives_our_worker_through_our_dispatcher(stage: MatrixRoom) -> None:
    """Every sample is heard and every ack is right, though nothing on the wire is numbered."""
    cell = MatrixCell("stock", "ours", "none")
    its = figures(stage.play(cell))
    assert broken(cell, its) == [], its
    assert (its.version, its.spoken, its.acks) == (1, 6, 6)


def test_our_agent_drives_the_stock_worker(stage: MatrixRoom) -> None:
    """Each turn is heard whole but for its zeros, and acks that it swallows stop nothing.

    It swallows the acks of turns that follow one another, and counts them in the next position
    that it tells; such turns end unconfirmed, and nothing is claimed that was not heard.
    Of the interrupted turn the stock worker may skip 20 ms that it was about to play.
    """
    conversation = stage.play(MatrixCell("ours", "stock", "none"))
    its = figures(conversation)
    assert (its.version, its.hung, its.foreign) == (1, 0, 0)
    outcomes = conversation.diary.outcomes
    assert outcomes[LONG] == outcomes[QUEUED[0]] == "heard"
    assert outcomes[INTERRUPTED] != "heard"
    acks = [(turn, interrupted) for _, _, interrupted, turn in conversation.diary.acks]
    assert acks == [(turn, outcomes[turn] != "heard") for turn in conversation.speech]
    assert [wrong for wrong in its.wrong_acks if "+" in wrong] == []
    heard = identify(conversation.pieces, conversation.speech)
    whole = {turn: pcm for turn, pcm in conversation.speech.items() if turn != INTERRUPTED}
    assert {turn: lost_voice(heard, turn, pcm) for turn, pcm in whole.items()} == dict.fromkeys(
        whole, 0
    )


def test_our_agent_drives_our_worker_beside_the_stock_package(stage: MatrixRoom) -> None:
    """In the stock package's environment too, version 2 is spoken and exact."""
    cell = MatrixCell("ours", "ours", "none")
    its = figures(stage.play(cell))
    assert broken(cell, its) == [], its


def ask(running: Dispatcher, *, secret: str = SECRET, user: str | None = None) -> None:
    """As the stock agent asks for its face: with a token of the stock package's own."""
    url = httpx.URL(running.http.base_url).join("/launch")
    if user is not None:
        url = url.copy_with(username=user, password=PASSWORD)
    credentials = generate_avatar_credentials(APIKEY, secret)
    out = AvatarAudioOut(credentials=credentials, avatar_dispatcher_url=str(url), room_id="room")
    asyncio.run(out.connect())


def test_the_stock_agent_is_let_in_by_its_token(tmp_path: Path) -> None:
    keys = {"AVATAR_AUTH": "jwt", "AVATAR_JWT_KEYS": KEYS}
    with dispatcher(tmp_path / "log", **keys) as running:
        ask(running)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            ask(running, secret="a-secret-of-somebody-else-altogether")


def test_the_stock_agent_is_let_in_by_the_password_in_its_url(tmp_path: Path) -> None:
    keys = {"AVATAR_AUTH": "basic", "AVATAR_BASIC_KEYS": f"anna:{PASSWORD}"}
    with dispatcher(tmp_path / "log", **keys) as running:
        ask(running, user="anna")
        for user in (None, "bert"):
            with pytest.raises(httpx.HTTPStatusError, match="401"):
                ask(running, user=user)
