"""SCTP of one transport: vsaiortc's own, with messages in and out instead of channels.

Stream ids are negotiated over the signalling, so there is no channel to open (RFC 8832 is not
spoken), and a message is passed on with the payload protocol id with which it came.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from vsaiortc.rtcsctptransport import Chunk, RTCSctpCapabilities, RTCSctpTransport

from localroom.secure import Dtls

PORT: Final = 5000
STREAMS: Final = 1024
MAX_MESSAGE: Final = 262_144

RECEIVE_WINDOW: Final = 128 * 1024
CONGESTION_WINDOW: Final = 32 * 1024
"""Bytes in flight each way: more of them overflow the UDP buffers of this machine, and what is
lost there comes again after a second at the earliest."""

MAX_BUFFERED: Final = 4 * 1024 * 1024
"""Bytes that may wait for a receiver; then messages are lost, as on the platform."""

OnMessage = Callable[[int, int, bytes], None]


class Association(RTCSctpTransport):
    """Calls `on_message` with (stream id, payload protocol id, payload)."""

    def __init__(self, dtls: Dtls, on_message: OnMessage) -> None:
        super().__init__(dtls, PORT)
        self._advertised_rwnd = RECEIVE_WINDOW
        self._on_message = on_message
        self._early: deque[tuple[int, int, bytes, int | None, bool]] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Before DTLS is connected: the SDK repeats an INIT that is lost after 3 s only."""
        await self.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), PORT)

    @property
    def established(self) -> bool:
        return self._association_state is self.State.ESTABLISHED

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent or acknowledged."""
        queues = (self._outbound_queue, self._sent_queue)
        sent = sum(len(chunk.user_data) for queue in queues for chunk in queue)
        return sent + sum(len(message[2]) for message in self._early)

    def send(
        self, stream_id: int, protocol: int, data: bytes, max_retransmits: int | None, ordered: bool
    ) -> bool:
        """Send one message, as soon as there is an association. False where it is lost."""
        if self.state == "closed" or self.buffered + len(data) > MAX_BUFFERED:
            return False
        message = (stream_id, protocol, data, max_retransmits, ordered)
        if self.established:
            self._spawn(message)
        else:
            self._early.append(message)
        return True

    def reset(self, stream_id: int) -> None:
        """Free a stream; the other side closes its channel (RFC 6525)."""
        if self.established:
            self._reconfig_queue.append(stream_id)
            task = asyncio.get_running_loop().create_task(self._transmit_reconfig())
            self._keep(task)

    def _spawn(self, message: tuple[int, int, bytes, int | None, bool]) -> None:
        stream_id, protocol, data, max_retransmits, ordered = message
        sending = self._send(
            stream_id, protocol, data, max_retransmits=max_retransmits, ordered=ordered
        )
        self._keep(asyncio.get_running_loop().create_task(sending))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    # What vsaiortc calls ---------------------------------------------------------------------

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        self._on_message(stream_id, pp_id, data)

    async def _send_chunk(self, chunk: Chunk) -> None:
        with suppress(ConnectionError):  # the peer has gone; the signalling says so
            await super()._send_chunk(chunk)

    async def _transmit(self) -> None:
        self._cwnd = min(self._cwnd, CONGESTION_WINDOW)
        await super()._transmit()

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        while self._early and state is self.State.ESTABLISHED:
            self._spawn(self._early.popleft())

    def _data_channel_closed(self, stream_id: int) -> None:
        """A stream was reset; there are no channels that would have to know."""
