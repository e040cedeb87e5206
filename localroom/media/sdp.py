"""The offer of one who wants to watch, and the answer to it: SDP in, SDP out.

What is offered has numbers of its own for Opus, VP8 and its retransmission; the answer takes
the first of each and keeps its number. What the room does not send is refused section by
section.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vsaiortc.rtcdtlstransport import (
    X509_DIGEST_ALGORITHMS,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
)
from vsaiortc.rtcicetransport import RTCIceParameters
from vsaiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpCodecParameters
from vsaiortc.sdp import (
    GroupDescription,
    MediaDescription,
    SessionDescription,
    SsrcDescription,
    candidate_from_sdp,
)

WANTED: Final = {"audio": ("audio/opus", 48_000), "video": ("video/VP8", 90_000)}
"""What the room sends of each kind: the codec and its clock (Hz)."""

UNREADABLE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    StopIteration,
    TypeError,
    ValueError,
)
"""What vsaiortc's parser raises at what it does not expect."""

ROLES: Final = {"auto": "client", "client": "client", "server": "server"}
"""The DTLS role of the one who offers, of those that it offers to have; the room has the other."""


class NothingInCommonError(Exception):
    """The offer can be read, and has nothing that the room could send."""


@dataclass(frozen=True, slots=True)
class Section:
    """One media section that will be sent: its name, and the payload types that the offer gave."""

    index: int
    kind: str
    mid: str
    media_type: int
    rtx_type: int | None

    @property
    def clock_hz(self) -> int:
        return WANTED[self.kind][1]


@dataclass(frozen=True, slots=True)
class Offer:
    """What someone wants to be sent. At most one section of each kind is taken."""

    media: tuple[tuple[str, str, tuple[object, ...]], ...]
    """(kind, mid, formats) of every section, the refused ones too."""
    sections: tuple[Section, ...]
    fingerprints: tuple[tuple[str, str], ...]
    role: str
    """Of the one who offers, in DTLS."""
    bundled: bool


@dataclass(frozen=True, slots=True)
class SsrcPair:
    """What the answer says of one section: who sends on it."""

    ssrc: int
    rtx_ssrc: int | None


def read(text: str) -> Offer:
    """Raises ValueError where that is no usable offer, NothingInCommonError."""
    try:
        session = SessionDescription.parse(text)
    except UNREADABLE as error:
        raise ValueError("The body is no SDP that can be read.") from error
    if not session.media:
        raise ValueError("The offer has no media section.")
    bundles = [group.items for group in session.group if group.semantic == "BUNDLE"]
    bundled = set(bundles[0]) if bundles else set()
    sections: dict[str, Section] = {}
    for index, media in enumerate(session.media):
        section = _section(index, media)
        if section is not None and section.kind not in sections:
            sections[section.kind] = section
    if not sections:
        raise NothingInCommonError(
            "The offer has to be ready to receive Opus or VP8, as that is what is sent."
        )
    taken = list(sections.values())
    if len(taken) > 1 and not bundled.issuperset(section.mid for section in taken):
        raise ValueError("The offer has to bundle its media sections (a=group:BUNDLE).")
    first = session.media[taken[0].index]
    dtls, ice = first.dtls, first.ice
    if dtls is None or ice is None or ice.usernameFragment is None:
        raise ValueError("The offer has to have a=ice-ufrag, a=fingerprint and a=setup.")
    fingerprints = tuple((each.algorithm, each.value) for each in dtls.fingerprints)
    if not any(algorithm.lower() in X509_DIGEST_ALGORITHMS for algorithm, _ in fingerprints):
        raise ValueError("The offer has to have a fingerprint in SHA-256, SHA-384 or SHA-512.")
    media_of = tuple((each.kind, each.rtp.muxId, tuple(each.fmt)) for each in session.media)
    return Offer(media_of, tuple(taken), fingerprints, ROLES[dtls.role], bool(bundled))


def _section(index: int, media: MediaDescription) -> Section | None:
    if media.kind not in WANTED or media.direction not in (None, "recvonly", "sendrecv"):
        return None
    name, clock_hz = WANTED[media.kind]
    codecs = [(each, each.payloadType) for each in media.rtp.codecs if each.payloadType is not None]
    ours = [
        number
        for codec, number in codecs
        if codec.mimeType.lower() == name.lower() and codec.clockRate == clock_hz
    ]
    if not ours:
        return None
    repeats = [
        number
        for codec, number in codecs
        if codec.mimeType.lower() == "video/rtx" and codec.parameters.get("apt") == ours[0]
    ]
    return Section(index, media.kind, media.rtp.muxId, ours[0], repeats[0] if repeats else None)


def answer(
    offer: Offer, stream: str, ssrc_pairs: Mapping[str, SsrcPair], transport: Mapping[str, Any]
) -> str:
    """The answer; `ssrc_pairs` are by kind, `transport` is a `Transport`'s description.

    Sound and picture belong to one stream, so that a browser keeps them together.
    """
    session = SessionDescription()
    session.origin = f"- {int(stream, 16) >> 1} 1 IN IP4 127.0.0.1"
    session.msid_semantic = [GroupDescription("WMS", ["*"])]
    if offer.bundled:
        session.group = [GroupDescription("BUNDLE", [each.mid for each in offer.sections])]
    taken = {section.index: section for section in offer.sections}
    for index, (kind, mid, formats) in enumerate(offer.media):
        section = taken.get(index)
        if section is None:
            session.media.append(_refused(kind, mid, formats))
        else:
            media = _sent(section, stream, ssrc_pairs[kind])
            _connect(media, offer, transport)
            session.media.append(media)
    return str(session)


def _refused(kind: str, mid: str, formats: tuple[object, ...]) -> MediaDescription:
    profile = "UDP/DTLS/SCTP" if kind == "application" else "UDP/TLS/RTP/SAVPF"
    media = MediaDescription(kind, 0, profile, list(formats))
    media.host = "0.0.0.0"  # noqa: S104 - as SDP says nowhere
    media.direction = "inactive"
    media.rtp.muxId = mid
    media.ice = RTCIceParameters()
    return media


def _sent(section: Section, stream: str, pair: SsrcPair) -> MediaDescription:
    name, clock_hz = WANTED[section.kind]
    codec = RTCRtpCodecParameters(
        mimeType=name,
        clockRate=clock_hz,
        channels=2 if section.kind == "audio" else None,
        payloadType=section.media_type,
    )
    codecs = [codec]
    if section.kind == "video":
        codec.rtcpFeedback = [RTCRtcpFeedback("nack"), RTCRtcpFeedback("nack", "pli")]
    if section.rtx_type is not None:
        codecs.append(
            RTCRtpCodecParameters(
                mimeType="video/rtx",
                clockRate=clock_hz,
                payloadType=section.rtx_type,
                parameters={"apt": section.media_type},
            )
        )
    media = MediaDescription(
        section.kind, 9, "UDP/TLS/RTP/SAVPF", [each.payloadType for each in codecs]
    )
    media.host = media.rtcp_host = "0.0.0.0"  # noqa: S104 - ICE says where it really is
    media.rtcp_port = 9
    media.rtcp_mux = True
    media.direction = "sendonly"
    media.rtp.muxId = section.mid
    media.rtp.codecs = codecs
    media.msid = f"{stream} {section.kind}"
    ssrcs = [ssrc for ssrc in (pair.ssrc, pair.rtx_ssrc) if ssrc is not None]
    if len(ssrcs) > 1:
        media.ssrc_group = [GroupDescription("FID", list(ssrcs))]
    media.ssrc = [SsrcDescription(ssrc, cname=stream, msid=media.msid) for ssrc in ssrcs]
    return media


def _connect(media: MediaDescription, offer: Offer, transport: Mapping[str, Any]) -> None:
    ice = transport["iceParameters"]
    media.ice = RTCIceParameters(ice["usernameFragment"], ice["password"], iceLite=True)
    media.ice_candidates = [
        candidate_from_sdp(
            "{foundation} 1 {protocol} {priority} {ip} {port} typ {type}".format(**each)
        )
        for each in transport["iceCandidates"]
    ]
    media.ice_candidates_complete = True
    media.dtls = RTCDtlsParameters(
        [
            RTCDtlsFingerprint(each["algorithm"], each["value"])
            for each in transport["dtlsParameters"]["fingerprints"]
        ],
        role="server" if offer.role == "client" else "client",
    )
