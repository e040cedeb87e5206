"""SCTP of one transport: vsaiortc's own, with messages in and out instead of channels.

Stream ids are negotiated over the signalling, so there is no channel to open (RFC 8832 is not
spoken), and a message is passed on with the payload protocol id with which it came.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from vsaiortc.rtcsctptransport import (
    Chunk,
    ForwardTsnChunk,
    RTCSctpCapabilities,
    RTCSctpTransport,
    SackChunk,
    StreamResetOutgoingParam,
)
from vsaiortc.utils import uint32_gt

from localroom.media.secure import Dtls

PORT: Final = 5000
STREAMS: Final = 1024
MAX_MESSAGE: Final = 262_144

RECEIVE_WINDOW: Final = 128 * 1024
WINDOW: Final = 32 * 1024
"""The congestion window (bytes): more in flight overflow the UDP buffers of this machine. It never
shrinks: loss is injected here or comes from a full buffer, never from a congested link."""

FIRST_WAIT_S: Final = 0.5
WAIT_S: Final = (0.1, 2.0)
"""The retransmission timeout: `FIRST_WAIT_S` before a round trip was measured, then at least and
at most these. It doubles from one retransmission to the next, so that the five of the SDK's
RELIABLE span over 5 s; vsaiortc's own minimum of a second would delay speech. The SDK
acknowledges at once."""

MAX_BUFFERED: Final = 4 * 1024 * 1024
"""Bytes that may wait for a receiver; then messages are lost, as on the platform."""

OnMessage = Callable[[int, int, bytes], None]


class Association(RTCSctpTransport):
    """Calls `on_message` with (stream id, payload protocol id, payload)."""

    def __init__(self, dtls: Dtls, on_message: OnMessage) -> None:
        super().__init__(dtls, PORT)
        self._advertised_rwnd = RECEIVE_WINDOW
        self._rto = FIRST_WAIT_S
        self._skipped: ForwardTsnChunk | None = None
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

    @property
    def round_trip_ms(self) -> float | None:
        """Smoothed; None before anything that was sent has been acknowledged."""
        return None if self._srtt is None else round(1000 * self._srtt, 3)

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
        with suppress(ConnectionError):  # the peer has left, which the signalling tells
            await super()._send_chunk(chunk)

    async def _transmit(self) -> None:
        self._cwnd = WINDOW
        if self._forward_tsn_chunk is not None:
            self._skipped = self._forward_tsn_chunk
        await super()._transmit()

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        if uint32_gt(chunk.cumulative_tsn, self._last_sacked_tsn):
            self._rto = self._retransmission_timeout_s()
        await super()._receive_sack_chunk(chunk)
        if not self._sent_queue:
            self._flight_size = 0
        if self._forward_tsn_due() and self._t3_handle is None:
            self._t3_start()

    async def _transmit_reconfig(self) -> None:
        before = self._reconfig_request
        await super()._transmit_reconfig()
        request = self._reconfig_request
        if request is not None and request is not before:
            insisting = self._repeat_reset(request)
            self._keep(asyncio.get_running_loop().create_task(insisting, name="sctp-reset"))

    async def _repeat_reset(self, request: StreamResetOutgoingParam) -> None:
        """Repeat a reset until it is answered; vsaiortc sends it once, and then no other."""
        while True:
            await asyncio.sleep(self._rto)
            if self._reconfig_request is not request or not self.established:
                return
            await self._send_reconfig_param(request)

    def _update_rto(self, R: float) -> None:  # noqa: N803 - vsaiortc's name of a round trip (s)
        super()._update_rto(R)
        self._rto = self._retransmission_timeout_s()

    def _t3_expired(self) -> None:
        """Retransmit what is overdue, and only that: vsaiortc repeats what has arrived, too."""
        self._t3_handle = None
        now_s = time.time()
        for chunk in list(self._sent_queue):
            if not chunk._acked and now_s - (chunk._sent_time or 0.0) >= WAIT_S[0] / 2:
                chunk._retransmit = not self._maybe_abandon(chunk)
        self._flight_size = sum(
            chunk._book_size
            for chunk in self._sent_queue
            if not (chunk._acked or chunk._retransmit or chunk._abandoned)
        )
        self._update_advanced_peer_ack_point()
        if self._forward_tsn_chunk is None and self._forward_tsn_due():
            self._forward_tsn_chunk = self._skipped
        self._fast_recovery_exit = None
        self._rto = min(2 * self._rto, WAIT_S[1])
        if self._sent_queue:
            self._t3_start()
        self._keep(asyncio.get_running_loop().create_task(self._transmit()))

    def _retransmission_timeout_s(self) -> float:
        if self._srtt is None or self._rttvar is None:
            return FIRST_WAIT_S
        return max(WAIT_S[0], min(self._srtt + 4 * self._rttvar, WAIT_S[1]))

    def _forward_tsn_due(self) -> bool:
        """Whether the receiver still waits for abandoned messages, as FORWARD-TSN was lost."""
        return uint32_gt(self._advanced_peer_ack_tsn, self._last_sacked_tsn)

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        while self._early and state is self.State.ESTABLISHED:
            self._spawn(self._early.popleft())

    def _data_channel_closed(self, stream_id: int) -> None:
        """A stream was reset; there are no channels that would have to know."""
