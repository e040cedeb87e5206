"""A face that speaks while its dispatcher is flooded with requests: what was answered and seen."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher, environ
from processes import until
from tokens import KEYS, token

SECONDS: Final = 6.0
PER_S: Final = 400
"""Requests a second: 200 good ones, of which AVATAR_RATE lets one a second through."""

SECOND: Final = ("second", "another-secret-of-enough-length-for-it")


@dataclass(frozen=True, slots=True)
class Flooded:
    """Of the flood, how often each status was the answer; of another key's launch meanwhile, the
    answer and how long it took; of the face, when each picture left its track, between when it
    spoke, and how many seconds of it were heard."""

    answers: dict[int, int]
    other: httpx.Response
    answered_s: float
    pictures: list[float]
    speaking: tuple[float, float]
    heard_s: float
    alive: bool


def flooded(folder: Path) -> Flooded:
    """A character speaks in a meeting in memory for a second longer than the flood lasts."""
    diary = folder / "diary"
    with dispatcher(
        folder / "log",
        AVATAR_AUTH="jwt",
        AVATAR_JWT_KEYS=f"{KEYS},{SECOND[0]}:{SECOND[1]}",
        AVATAR_RATE="60/minute",
        AVATAR_SLOTS="2",
        AVATAR_WARM="1",
        AVATAR_SESSIONS_PER_KEY="1",
        AVATAR_RENDERER="character",
        AVATAR_SIZE="512x512",
        AVATAR_MEETING="talked_room:create",
    ) as running:
        running.warm(1)
        notes = {"seconds": SECONDS + 1, "diary": str(diary)}
        running.launched("room", token=token(), metadata=notes)
        with ThreadPoolExecutor(1) as thread:
            theirs = token(SECOND[1], apikey=SECOND[0])
            quiet = {"seconds": 0.1, "diary": str(folder / "other")}
            flooding = thread.submit(flood, running)
            time.sleep(SECONDS / 3)
            began = time.monotonic()
            other = running.launch("room-2", token=theirs, metadata=quiet)
            answered_s = time.monotonic() - began
            answers = flooding.result()
        seen = spoken(diary)
        alive = running.http.get("/livez").status_code == 200
    first, last = seen["speaking"]
    return Flooded(
        answers, other, answered_s, seen["pictures"], (first, last), seen["heard"], alive
    )


def post(body: bytes, **headers: str) -> str:
    """One request; the line stays open."""
    lines = {"Host": "localhost", "Content-Type": "application/json", **headers}
    lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /launch HTTP/1.1\r\n{head}\r\n" + body.decode("latin-1")


def requests() -> list[str]:
    """Every second one is good."""
    signed = token()
    good = post(json.dumps({"room_name": "other", "token": signed}).encode())
    bad = [
        post(b"canary" * 50),
        post(json.dumps({"room_name": "other", "token": token(secret="x" * 32)}).encode()),
        post(json.dumps({"room_name": "other", "token": "eyJ.x.y"}).encode()),
        post(json.dumps({"room_name": "other", "token": signed, "character": "../x"}).encode()),
        post(json.dumps({"room_name": "a", "token": signed, "participant_id": "\n"}).encode()),
        post(b"[" * 8000),
        post(json.dumps({"room_name": "other", "token": token(exp=1)}).encode()),
        "GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
    ]
    return [each for one in bad for each in (one, good)]


def flood(running: Dispatcher) -> dict[int, int]:
    """How often each status was the answer."""
    url = running.http.base_url
    done = subprocess.run(
        [sys.executable, "-m", "flooding", url.host, str(url.port), str(PER_S), str(SECONDS)],
        input=json.dumps(requests()),
        env=environ(),
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=True,
    )
    return {int(status): count for status, count in json.loads(done.stdout).items()}


def spoken(diary: Path) -> dict[str, Any]:
    """What was seen, once the face has spoken to the end."""
    until(diary.exists, WAIT_TIMEOUT_S)
    until(lambda: diary.read_text().endswith("}"))
    found: dict[str, Any] = json.loads(diary.read_text())
    return found
