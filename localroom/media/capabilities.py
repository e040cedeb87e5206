"""What the room's router can forward: Opus, and VP8 with retransmission.

Consumers get these payload types; what a producer sends has the SDK's own and is mapped.
"""

from typing import Any, Final

OPUS: Final = 100
VP8: Final = 101
RTX: Final = 102

CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

EXTENSIONS: Final = {SEND_TIME: 3, CAPTURE_TIME: 7}
"""Of pictures, with vsaiortc's own ids, so that no packet has to be rewritten for them."""

FEEDBACK: Final = [
    {"type": "nack", "parameter": ""},
    {"type": "nack", "parameter": "pli"},
    {"type": "goog-remb", "parameter": ""},
]

CODECS: Final[list[dict[str, Any]]] = [
    {
        "kind": "audio",
        "mimeType": "audio/opus",
        "clockRate": 48000,
        "channels": 2,
        "preferredPayloadType": OPUS,
        "parameters": {},
        "rtcpFeedback": [],
    },
    {
        "kind": "video",
        "mimeType": "video/VP8",
        "clockRate": 90000,
        "preferredPayloadType": VP8,
        "parameters": {},
        "rtcpFeedback": FEEDBACK,
    },
    {
        "kind": "video",
        "mimeType": "video/rtx",
        "clockRate": 90000,
        "preferredPayloadType": RTX,
        "parameters": {"apt": VP8},
        "rtcpFeedback": [],
    },
]


def router() -> dict[str, Any]:
    """The answer to ``getRouterRtpCapabilities``."""
    extensions = [
        {
            "kind": "video",
            "uri": uri,
            "preferredId": number,
            "preferredEncrypt": False,
            "direction": "sendrecv",
        }
        for uri, number in EXTENSIONS.items()
    ]
    return {"codecs": CODECS, "headerExtensions": extensions}


def consumer_codecs(kind: str) -> list[dict[str, Any]]:
    """What a consumer of that kind is sent."""
    return [
        {
            "mimeType": codec["mimeType"],
            "clockRate": codec["clockRate"],
            "payloadType": codec["preferredPayloadType"],
            "parameters": codec["parameters"],
            "rtcpFeedback": codec["rtcpFeedback"],
        }
        | ({"channels": codec["channels"]} if "channels" in codec else {})
        for codec in CODECS
        if codec["kind"] == kind
    ]


def consumer_extensions(kind: str) -> list[dict[str, Any]]:
    if kind != "video":
        return []
    return [
        {"uri": uri, "id": number, "encrypt": False, "parameters": {}}
        for uri, number in EXTENSIONS.items()
    ]
