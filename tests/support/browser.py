"""A real Chromium without a window, driven over its DevTools protocol."""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from localroom.media.relay import needed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIVER = "AVATAR_NO_BROWSER"
WAIT_TIMEOUT_S = 60.0
LOADED = "location.href !== 'about:blank' && document.readyState === 'complete'"
TRUSTED = ["audioCapture", "videoCapture"]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--remote-debugging-port=0",
    "--window-size=800,600",
)


def chromium() -> str:
    """Where it is. Fails with what to do, or skips where `AVATAR_NO_BROWSER` is 1."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    if os.environ.get(WAIVER) == "1":
        pytest.skip(f"there is no Chromium, and {WAIVER}=1 says that it is not wanted")
    pytest.fail(
        "There is no Chromium: apt-get install -y --no-install-recommends chromium, "
        f"or set {WAIVER}=1 to go without.",
        pytrace=False,
    )


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._serials = count(100)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. Raises AssertionError if it throws."""
        answer = await self.command(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def screenshot(self, path: Path) -> None:
        """As a PNG."""
        answer = await self.command("Page.captureScreenshot", {})
        path.write_bytes(base64.b64decode(answer["data"]))

    async def until(self, expression: str) -> Any:
        """Wait for it to be true; returns its value."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not (value := await self.evaluate(expression)):
                await asyncio.sleep(0.05)
        return value

    async def command(self, method: str, parameters: dict[str, Any]) -> Any:
        return await _ask(self._socket, next(self._serials), method, parameters, self._session)


@asynccontextmanager
async def page(url: str) -> AsyncIterator[Page]:
    """A browser of its own that shows `url`; it ends with the block."""
    path = chromium()
    with TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            path,
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            address = await _address(process.stderr)
            draining = asyncio.create_task(_drain(process.stderr))
            async with connect(address, max_size=2**24, ping_interval=None) as socket:
                if needed():  # with nothing but lo it sends nothing before it trusts the page
                    await _ask(socket, 4, "Browser.grantPermissions", {"permissions": TRUSTED})
                created = await _ask(socket, 1, "Target.createTarget", {"url": url})
                wanted = {"targetId": created["targetId"], "flatten": True}
                attached = await _ask(socket, 2, "Target.attachToTarget", wanted)
                tab = Page(socket, attached["sessionId"])
                await tab.until(LOADED)
                yield tab
                with suppress(TimeoutError):
                    await _ask(socket, 3, "Browser.close", {})
            await asyncio.wait_for(process.wait(), WAIT_TIMEOUT_S)
            await draining
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        async for line in stderr:
            if line.startswith(b"DevTools listening on "):
                return line.decode().removeprefix("DevTools listening on ").strip()
    raise AssertionError("Chromium did not start.")


async def _drain(stderr: asyncio.StreamReader) -> None:
    while await stderr.read(65_536):
        pass


async def _ask(
    socket: ClientConnection,
    serial: int,
    method: str,
    parameters: dict[str, Any],
    session: str | None = None,
) -> Any:
    request = {"id": serial, "method": method, "params": parameters}
    await socket.send(json.dumps(request | ({"sessionId": session} if session else {})))
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            answer = json.loads(await socket.recv())
            if answer.get("id") == serial:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
