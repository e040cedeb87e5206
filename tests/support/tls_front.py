"""TLS in front of a server that listens on a unix socket and has none by itself."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

BLOCK: Final = 65_536


@contextmanager
def tls_front(behind: Path, port: int, certificate: Path, key: Path) -> Iterator[None]:
    """What comes to `port` of this machine by TLS reaches the socket `behind`, until the block
    ends; its answers go back the same way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(behind)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_on(reader, inner_writer))
            both.create_task(_pass_on(inner_reader, writer))

    async def serve() -> None:
        end = asyncio.Event()
        try:
            server = await asyncio.start_server(joined, "127.0.0.1", port, ssl=context)
        except OSError as failure:
            ready.set_exception(failure)
            return
        ready.set_result((asyncio.get_running_loop(), end))
        await end.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="tls front")
    thread.start()
    try:
        loop, end = ready.result()
        yield
        loop.call_soon_threadsafe(end.set)
    finally:
        thread.join()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError, ssl.SSLError):
            while block := await reader.read(BLOCK):
                writer.write(block)
                await writer.drain()
    finally:
        writer.close()
