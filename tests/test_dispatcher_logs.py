"""What a dispatcher logs: whose line it is, for machines, and never a token."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from dispatching import TOKEN, dispatcher
from processes import until

from agent_side.join import JoinInfo
from dispatcher import logs, tracing
from dispatcher.pool import Session

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
SESSION = Session.claimed("s1", JoinInfo("my room", TOKEN, "face"), datetime.now(UTC))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging is the process's own."""
    root, avatar = logging.getLogger(), logging.getLogger("avatar")
    handlers, levels = list(root.handlers), (root.level, avatar.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    avatar.setLevel(levels[1])
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)
    structlog.contextvars.clear_contextvars()
    logs._for_machines = False


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_in_a_message_or_an_error_is_not_logged(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("INFO", form)
    logger = logging.getLogger("avatar.dispatcher")
    logger.info("launched with %s", TOKEN)
    try:
        raise ValueError(f"redis://user:opaque-secret@host/0 and token={TOKEN}")
    except ValueError:
        logger.exception("it failed")
    text = capsys.readouterr().err
    assert "launched with ***" in text
    assert "redis://user:***@host/0" in text
    assert TOKEN not in text
    assert "opaque-secret" not in text


def test_text_is_what_it_always_was(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO")
    logs.about(SESSION)
    logging.getLogger("avatar.dispatcher.x").info("said %d", 5)
    assert capsys.readouterr().err[23:] == " INFO avatar.dispatcher.x: said 5\n"


def test_why_a_program_gives_up_is_a_line_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO")
    logs.last_words("avatar serve", f"No {TOKEN}.")
    assert capsys.readouterr().err == "avatar serve: No ***.\n"
    logs.set_up("INFO", "json")
    logs.last_words("avatar serve", f"No {TOKEN}.")
    assert said(capsys)[0]["event"] == "avatar serve: No ***."


def test_each_task_says_whose_session_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", "json")
    logger = logging.getLogger("avatar.dispatcher.x")

    async def serve(session: Session) -> None:
        logs.about(session, TRACEPARENT)
        await asyncio.sleep(0)
        logger.info("served")

    async def main() -> None:
        other = Session.claimed("s2", JoinInfo("other", TOKEN), datetime.now(UTC))
        await asyncio.gather(serve(SESSION), serve(other))
        logger.info("between them")

    asyncio.run(main())
    first, second, last = said(capsys)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "served",
        "level": "info",
        "logger": "avatar.dispatcher.x",
        "session_id": "s1",
        "epoch": 1,
        "room_hash": logs.hash_of("my room"),
        "trace_id": TRACE_ID,
    }
    assert (second["session_id"], second["room_hash"]) == ("s2", logs.hash_of("other"))
    assert set(last) == {"event", "level", "logger", "timestamp"}


def test_a_line_in_a_launch_says_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", "json")
    with tracing.dispatching(TRACEPARENT):
        logging.getLogger("avatar.dispatcher").info("hello")
    assert said(capsys)[0]["trace_id"] == TRACE_ID


def test_a_session_can_be_followed_through_dispatcher_and_worker(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", AVATAR_LOG_FORMAT="json") as running:
        answer = running.http.post(
            "/launch",
            json={"room_name": "goes-1", "token": TOKEN},
            headers={"x-request-id": "request-1"},
        )
        session_id = answer.json()["session_id"]
        running.reach(session_id, "ended")
        running.http.post("/launch", json={"room_name": 5}, headers={"x-request-id": "request-2"})
        until(lambda: "request-2" in running.log())
        assert running.stop() == 0
        assert TOKEN not in running.log()
        lines = [json.loads(line) for line in running.log().splitlines()]
    mine = [line for line in lines if line.get("session_id") == session_id]
    assert {line["room_hash"] for line in mine} == {logs.hash_of("goes-1")}
    assert {line["slot"] for line in mine} == {"local/1"}
    loggers = {line["logger"].split(".")[1] for line in mine}
    assert loggers == {"dispatcher", "worker"}
    taken = next(line for line in mine if "was taken by worker" in line["event"])
    assert taken["request_id"] == "request-1"
    (refused,) = [line for line in lines if line.get("request_id") == "request-2"]
    assert "refused" in refused["event"]
