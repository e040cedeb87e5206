"""One who watches a participant by WHEP: a consumer without signalling.

It is there before, between and after what the participant publishes: a track begins when the
participant begins, and goes on with the next producer when a worker has been replaced. It ends
when it is told to, when nothing has been heard of it for `SILENCE_S`, or when the participant
has been away for `ABSENCE_S`.
"""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any, Final

from vsaiortc.rtp import RtcpByePacket

from localroom.media import sdp
from localroom.media.rtp import ASK_ONCE_S, Consumer, Producer
from localroom.media.sdp import Offer, Section, SsrcPair
from localroom.media.splice import Splice
from localroom.media.transport import Transport
from localroom.signalling.peer import PeerContext

SILENCE_S: Final = 30.0
"""As long as a browser goes on without an answer (RFC 7675), so that both give up together."""

ABSENCE_S: Final = 30.0
"""How long a watcher waits for a participant to come back."""

GONE: Final = ("closed", "failed")


class Watcher:
    """Between `open` and `close`. To the faults it is the peer ``watcher:PARTICIPANT``."""

    def __init__(self, room_id: str, participant: str, offer: Offer, context: PeerContext) -> None:
        self.id = secrets.token_hex(8)
        self.room_id = room_id
        self.participant = participant
        self.offer = offer
        self._context = context
        self._transport = Transport(f"watcher:{participant}", context.certificate, context.chaos)
        self._tracks = {each.kind: WatchedTrack(each, self._transport) for each in offer.sections}
        self._since = asyncio.get_running_loop().time()
        self._seen_at = self._since

    async def open(self) -> str:
        """Returns the answer; from now on packets flow as soon as there is a way."""
        await self._transport.open(self._context.host)
        fingerprints = [
            {"algorithm": algorithm, "value": value} for algorithm, value in self.offer.fingerprints
        ]
        self._transport.connect(
            {"role": self.offer.role, "fingerprints": fingerprints}, self._begin
        )
        ssrc_pairs = {kind: track.ssrc_pair for kind, track in self._tracks.items()}
        return sdp.answer(self.offer, self.id, ssrc_pairs, self._transport.description())

    def on_published(self, producer: Producer) -> None:
        """The participant publishes something. Of two cameras, it is the first that is shown."""
        track = self._tracks.get(producer.kind)
        if track is not None and track.consumer is None:
            track.follow(producer)

    def on_withdrawn(self, producer: Producer, others: Iterable[Producer]) -> None:
        """It publishes that no more; `others` are what it still does."""
        track = self._tracks.get(producer.kind)
        if track is not None and track.consumer is not None:
            if track.consumer.producer is not producer:
                return
            track.leave()
            for other in others:
                self.on_published(other)

    def end_reason(self, now_s: float, *, present: bool) -> str | None:
        """Why it is to end, if it is; `present` says whether the participant is there."""
        if present:
            self._seen_at = now_s
        if self._transport.state in GONE:
            return "the watcher has gone"
        if now_s - max(self._transport.heard_at, self._since) >= SILENCE_S:
            return "nothing is heard of the watcher"
        if now_s - self._seen_at >= ABSENCE_S:
            return "the participant has not come back"
        return None

    async def close(self) -> None:
        """Say goodbye, and free everything."""
        for track in self._tracks.values():
            track.leave()
        ssrcs = [track.ssrc_pair.ssrc for track in self._tracks.values()]
        self._transport.send(bytes(RtcpByePacket(ssrcs)), rtcp=True)
        await self._transport.close()

    def state(self) -> dict[str, Any]:
        tracks = {kind: track.state() for kind, track in self._tracks.items()}
        return {
            "id": self.id,
            "room": self.room_id,
            "participant": self.participant,
            "state": self._transport.state,
            "tracks": tracks,
        }

    def _begin(self) -> None:
        for track in self._tracks.values():
            track.begin()


class WatchedTrack:
    """One section of the answer, and whoever fills it at the moment."""

    def __init__(self, section: Section, transport: Transport) -> None:
        self.consumer: Consumer | None = None
        self._section = section
        self._transport = transport
        self._splice = Splice(section.media_type, section.rtx_type, section.clock_hz)
        self._earlier = {"packets": 0, "bytes": 0, "retransmissions": 0, "nacks": 0, "plis": 0}

    @property
    def ssrc_pair(self) -> SsrcPair:
        repeats = self._section.rtx_type is not None
        return SsrcPair(self._splice.ssrc, self._splice.rtx_ssrc if repeats else None)

    def follow(self, producer: Producer) -> None:
        mid = self._section.mid
        self.consumer = Consumer(producer, self._transport, mid, self._splice, ASK_ONCE_S)
        self._splice.begin()
        self._transport.exchange.add_consumer(self.consumer)
        producer.consumers.append(self.consumer)
        if self._transport.connected:
            self.consumer.resume()

    def begin(self) -> None:
        """There is a way to the watcher."""
        if self.consumer is not None:
            self.consumer.resume()

    def leave(self) -> None:
        consumer, self.consumer = self.consumer, None
        if consumer is not None:
            consumer.close()
            consumer.producer.consumers.remove(consumer)
            self._transport.exchange.remove_consumer(consumer)
            self._earlier = self._counts(consumer)

    def state(self) -> dict[str, Any]:
        consumer = self.consumer
        counts = self._counts(consumer) if consumer is not None else self._earlier
        return {"flowing": consumer is not None and consumer.flowing, **counts}

    def _counts(self, consumer: Consumer) -> dict[str, int]:
        return {name: count + getattr(consumer, name) for name, count in self._earlier.items()}
