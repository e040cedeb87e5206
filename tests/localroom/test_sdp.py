"""Offers and answers: what a browser offers, and what is taken of it."""

from collections import Counter
from random import Random

import pytest
from vsaiortc.sdp import SessionDescription

from localroom.media import sdp
from localroom.media.sdp import Section, SsrcPair

AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 63 111 9
c=IN IP4 0.0.0.0
a=ice-ufrag:BYNa
a=ice-pwd:cAxsbjJlDIlyBP4IL/WK5A2/
a=fingerprint:sha-256 AA:BB
a=setup:actpass
a=mid:a
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=recvonly
a=rtcp-mux
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:9 G722/8000
"""
VIDEO = """m=video 0 UDP/TLS/RTP/SAVPF 98 99 96 97
c=IN IP4 0.0.0.0
a=bundle-only
a=ice-ufrag:BYNa
a=ice-pwd:cAxsbjJlDIlyBP4IL/WK5A2/
a=fingerprint:sha-256 AA:BB
a=setup:actpass
a=mid:v
a=recvonly
a=rtcp-mux
a=rtpmap:98 VP9/90000
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 ccm fir
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
"""
DATA = """m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=bundle-only
a=ice-ufrag:BYNa
a=ice-pwd:cAxsbjJlDIlyBP4IL/WK5A2/
a=fingerprint:sha-256 AA:BB
a=setup:actpass
a=mid:d
a=sctp-port:5000
"""
TRANSPORT = {
    "iceParameters": {"usernameFragment": "user", "password": "p" * 22},
    "iceCandidates": [
        {
            "foundation": "udpcandidate",
            "priority": 1,
            "ip": "127.0.0.1",
            "protocol": "udp",
            "port": 4000,
            "type": "host",
        }
    ],
    "dtlsParameters": {"fingerprints": [{"algorithm": "sha-256", "value": "CC:DD"}]},
}
VOICES = {"audio": SsrcPair(1, None), "video": SsrcPair(2, 3)}


def offer(*sections: str, bundle: str = "a v d") -> str:
    head = f"v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {bundle}\n"
    return "\r\n".join((head + "".join(sections)).split("\n"))


def answered(text: str) -> tuple[str, SessionDescription]:
    answer = sdp.answer(sdp.read(text), "ab" * 8, VOICES, TRANSPORT)
    return answer, SessionDescription.parse(answer)


def test_the_offers_own_numbers_are_taken() -> None:
    read = sdp.read(offer(AUDIO, VIDEO))
    assert read.sections == (
        Section(0, "audio", "a", 111, None),
        Section(1, "video", "v", 96, 97),
    )
    assert read.fingerprints == (("sha-256", "AA:BB"),)


def test_the_answer_says_who_sends_and_where_and_keeps_sound_and_picture_together() -> None:
    text, answer = answered(offer(AUDIO, VIDEO))
    assert text.startswith("v=0\r\n")
    assert "a=ice-lite\r\n" in text
    assert [str(group) for group in answer.group] == ["BUNDLE a v"]
    audio, video = answer.media
    for media in (audio, video):
        assert media.direction == "sendonly"
        assert media.rtcp_mux
        assert media.ice is not None
        assert media.ice.usernameFragment == "user"
        assert [each.port for each in media.ice_candidates] == [4000]
        assert media.dtls is not None
        assert media.dtls.role == "server"
    assert audio.fmt == [111]
    assert video.fmt == [96, 97]
    assert [str(group) for group in video.ssrc_group] == ["FID 2 3"]
    assert str(audio.msid).split()[0] == str(video.msid).split()[0]
    assert audio.ssrc[0].cname == video.ssrc[0].cname


def test_what_is_not_sent_is_refused_in_its_place() -> None:
    second = AUDIO.replace("mid:a", "mid:b")
    text, answer = answered(offer(DATA, AUDIO, second, bundle="d a b"))
    assert [(each.kind, each.port, each.rtp.muxId) for each in answer.media] == [
        ("application", 0, "d"),
        ("audio", 9, "a"),
        ("audio", 0, "b"),
    ]
    assert [str(group) for group in answer.group] == ["BUNDLE a"]
    assert text.count("a=candidate:") == 1


def test_without_retransmission_there_is_one_voice() -> None:
    alone = offer(VIDEO.replace("apt=96", "apt=98"), bundle="v")
    assert sdp.read(alone).sections == (Section(0, "video", "v", 96, None),)
    text = sdp.answer(sdp.read(alone), "ab", {"video": SsrcPair(2, None)}, TRANSPORT)
    assert "rtx" not in text
    assert "FID" not in text


def test_whoever_wants_to_be_the_server_of_dtls_may() -> None:
    _, answer = answered(offer(AUDIO.replace("actpass", "passive"), bundle="a"))
    assert answer.media[0].dtls is not None
    assert answer.media[0].dtls.role == "client"


def test_sections_that_are_not_bundled_would_need_a_second_way() -> None:
    with pytest.raises(ValueError, match="BUNDLE"):
        sdp.read(offer(AUDIO, VIDEO, bundle="a"))
    assert "BUNDLE" not in sdp.answer(
        sdp.read(offer(AUDIO).replace("a=group:BUNDLE a v d\r\n", "")), "ab", VOICES, TRANSPORT
    )


def test_an_offer_that_was_damaged_is_answered_or_refused() -> None:
    """Lines lost, doubled, cut short or with another's end; whatever vsaiortc's parser raises."""
    dice = Random(1)
    whole = offer(AUDIO, VIDEO, DATA).split("\r\n")
    outcomes: Counter[str] = Counter()
    for _ in range(2000):
        lines = list(whole)
        for _ in range(dice.randint(1, 4)):
            place, other = dice.randrange(len(lines)), dice.choice(lines)
            line = lines[place]
            cut, end = line[: dice.randint(0, len(line))], other[dice.randint(0, len(other)) :]
            lines[place : place + 1] = dice.choice(([], [line, line], [cut], [cut + end]))
        try:
            read = sdp.read("\r\n".join(lines))
        except (ValueError, sdp.NothingInCommonError) as error:
            outcomes[type(error).__name__] += 1
        else:
            voices = {each.kind: VOICES[each.kind] for each in read.sections}
            SessionDescription.parse(sdp.answer(read, "ab", voices, TRANSPORT))
            outcomes["answered"] += 1
    assert min(outcomes["answered"], outcomes["ValueError"]) > 100
