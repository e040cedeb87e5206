"""A worker's log: a line for people or an object for machines, and never a token in either."""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bounds import within

from agent_side.join import redact
from avatar_runtime import logs
from avatar_runtime.messages.commands import Assignment
from worker.__main__ import give_up
from worker.errors import InputError

HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
TOKEN = f"{HEADER}.eyJhcGlrZXkiOiJrIn0.c2lnbmF0dXJl-_x"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging is the process's own."""
    root = logging.getLogger()
    handlers, level, levels = list(root.handlers), root.level, {}
    for name in ("avatar", *logs.QUIET):
        levels[name] = logging.getLogger(name).level
    about = dict(logs._of_process)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    logs._of_process.clear()
    logs._of_process.update(about)
    logs._as_json = False


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line, as JSON."""
    line: dict[str, Any] = json.loads(capsys.readouterr().err.splitlines()[-1])
    return line


@pytest.mark.parametrize(
    "text",
    [
        f"refused {TOKEN}",
        f"wss://host/?secret={TOKEN}&mode=x",
        f"Authorization: {TOKEN}",
        f"token={TOKEN}",
        f"JoinInfo(room_name='r', token='{TOKEN}')",
        f'{{"token": "{TOKEN}"}}',
        "https://host/launch?a=1&token=opaque-secret&b=2",
        "secret=opaque-secret",
        "redis://user:opaque-secret@host:6379/0",
    ],
)
def test_nothing_that_looks_like_a_secret_is_left(text: str) -> None:
    clean = redact(text)
    assert "***" in clean
    for secret in (TOKEN, HEADER, "opaque-secret"):
        assert secret not in clean


@pytest.mark.parametrize(
    "text",
    ["joined room as face in 250 ms", "a token of 20 letters", "http://[::1]:8089/launch", "x@y.z"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["eyJ-", "eyJ.", "token=", "://", "secret='", "a:b@"])
def test_a_long_line_takes_no_longer_for_what_is_in_it(piece: str) -> None:
    with within(30):  # hours, where the time grows with the square of the length
        redact(piece * 100_000)


def test_what_surrounds_a_secret_stays() -> None:
    assert (
        redact("redis://u:pw@host/1 ?secret=abc&mode=x")
        == "redis://u:***@host/1 ?secret=***&mode=x"
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_in_a_message_its_arguments_or_an_error_is_not_logged(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("INFO", form)
    logger = logging.getLogger("avatar.worker")
    logger.info("plain %s", TOKEN)
    logger.info("an address wss://host/?secret=%s", "opaque-secret")
    try:
        raise ValueError(f"bad {TOKEN}")
    except ValueError:
        logger.exception("it failed")
    text = capsys.readouterr().err
    assert "plain ***" in text
    assert "ValueError: bad ***" in text
    assert TOKEN not in text
    assert "opaque-secret" not in text


def test_a_line_of_text_says_whose_session_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO")
    logs.about_process(Assignment("s1", 2, "here/1"), "room")
    logging.getLogger("avatar.worker.x").info("said %d", 5)
    date, _, rest = capsys.readouterr().err.partition(",")
    assert len(date) == len("2026-01-01 00:00:00")
    assert rest[4:] == "INFO avatar.worker.x [session_id=s1]: said 5\n"
    logs.last_words("worker", "It is over.", "avatar.worker")
    assert capsys.readouterr().err == "worker [session_id=s1]: It is over.\n"


def test_json_says_whose_line_it_is_in_every_thread(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", "json")
    assignment = Assignment("s1", 2, "here/1", f"00-{TRACE_ID}-b7ad6b7169203331-01")
    logs.about_process(assignment, "my room")
    logger = logging.getLogger("avatar.worker.x")
    thread = threading.Thread(target=logger.warning, args=("said %d", 5))
    thread.start()
    thread.join()
    line = said(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "said 5",
        "level": "warning",
        "logger": "avatar.worker.x",
        "session_id": "s1",
        "epoch": 2,
        "slot": "here/1",
        "room_hash": logs.hash_of("my room"),
        "trace_id": TRACE_ID,
    }
    assert len(logs.hash_of("my room")) == 12


def test_a_worker_without_a_dispatcher_says_what_it_knows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("INFO", "json")
    logs.about_process(Assignment(traceparent="nonsense"), "room")
    logging.getLogger("avatar.worker").info("hello")
    assert set(said(capsys)) == {"event", "level", "logger", "timestamp", "room_hash"}


def test_an_error_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", "json")
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("avatar.worker").exception("it failed")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "ValueError: no" in json.loads(text)["exception"]


def test_why_a_worker_gives_up_is_a_line_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    error = InputError(f"There is no\ncharacter {TOKEN}.")
    logs.set_up("INFO")
    assert give_up(error, 2) == 2
    assert capsys.readouterr().err == "worker: There is no character ***.\n"
    logs.set_up("INFO", "json")
    give_up(error, 2)
    line = said(capsys)
    assert (line["event"], line["level"]) == ("worker: There is no character ***.", "critical")


def test_others_stay_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("DEBUG", "json")
    for name in ("websockets.client", "httpx", "urllib3"):
        logging.getLogger(name).info("GET wss://host/?secret=x")
    logging.getLogger("videosdk").error("an address")
    assert capsys.readouterr().err == ""
