"""Each line of a session names it, each launch its request; no token, no name of a room."""

import ast
import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from dispatching import TOKEN, dispatcher
from processes import until

from agent_side.join import JoinInfo
from avatar_runtime import logs
from dispatcher import tracing
from dispatcher.ledger.record import SessionRecord
from dispatcher.logs import about

ROOT = Path(__file__).parents[2]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
SESSION = SessionRecord.claimed("s1", JoinInfo("my room", TOKEN, "face"), time.time())


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
    logs._as_json = False


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


def test_a_line_of_text_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO")
    logger = logging.getLogger("avatar.dispatcher.x")
    logger.info("said %d", 4)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logger.info("said %d", 5)
        about(SESSION)
        logger.info("said %d", 6)
    assert [line[23:] for line in capsys.readouterr().err.splitlines()] == [
        " INFO avatar.dispatcher.x: said 4",
        " INFO avatar.dispatcher.x [request_id=r1]: said 5",
        " INFO avatar.dispatcher.x [session_id=s1 request_id=r1]: said 6",
    ]


def test_why_a_program_gives_up_is_a_line_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO")
    logs.last_words("avatar serve", f"No {TOKEN}.", "avatar.dispatcher")
    assert capsys.readouterr().err == "avatar serve: No ***.\n"
    logs.set_up("INFO", "json")
    logs.last_words("avatar serve", f"No {TOKEN}.", "avatar.dispatcher")
    assert said(capsys)[0]["event"] == "avatar serve: No ***."


def test_each_task_says_whose_session_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", "json")
    logger = logging.getLogger("avatar.dispatcher.x")

    async def serve(session: SessionRecord) -> None:
        about(session, TRACEPARENT)
        await asyncio.sleep(0)
        logger.info("served")

    async def main() -> None:
        other = SessionRecord.claimed("s2", JoinInfo("other", TOKEN), time.time())
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


def test_every_line_of_a_session_names_it_in_text_too(tmp_path: Path) -> None:
    """And a launch says who asked for it; the room is nowhere, also in what goes wrong."""
    with dispatcher(tmp_path / "log", AVATAR_LOG_LEVEL="DEBUG") as running:
        sessions = {}
        for room in ("goes-canary", "leaves-canary", "lost-canary", "closed-canary"):
            headers = {"x-request-id": f"request-{room.partition('-')[0]}"}
            body = {"room_name": room, "token": TOKEN}
            answer = running.http.post("/launch", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            sessions[answer.json()["session_id"]] = headers["x-request-id"]
        until(lambda: all(running.session(each)["state"] in OVER for each in sessions), 30)
        refused = running.launch("refused-canary", character="nobody")
        assert refused.status_code == 422
        assert running.stop() == 0
        log = running.log()
    assert "canary-" not in log
    assert "-canary" not in log
    lines = log.splitlines()
    for session_id, request_id in sessions.items():
        (launched,) = [line for line in lines if f"session {session_id} was launched" in line]
        assert f"[session_id={session_id} request_id={request_id}]" in launched
        assert re.search(rf"worker[.a-z]* \[session_id={session_id}\]: ", log)
    assert refused.json()["request_id"] in log
    of_workers = [line for line in lines if " avatar.worker." in line]
    assert all("[session_id=" in line for line in of_workers), of_workers


OVER = ("ended", "failed")


@pytest.mark.parametrize("package", ["worker", "dispatcher", "localroom"])
def test_no_line_of_the_log_is_given_the_name_of_a_room(package: str) -> None:
    """Nor an error, as errors are logged: a room is its hash there."""
    named = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _is_logged(node) and any(map(_is_room, _parts(node)))
    ]
    assert named == []


def _is_logged(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id="logger")):
            return True
        case ast.Name(id=name):
            return name.endswith("Error") or name in ("Dismissed", "MeetingLost", "Refused", "Full")
        case _:
            return False


def _parts(call: ast.Call) -> Iterator[ast.AST]:
    """What is in the call, but for what is hashed."""
    for each in ast.iter_child_nodes(call):
        hashed = isinstance(each, ast.Call) and "hash_of" in ast.dump(each.func)
        if not hashed:
            yield each
            yield from _parts(each)  # type: ignore[arg-type]


def _is_room(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("room_name", "room")
