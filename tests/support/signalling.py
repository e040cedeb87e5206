"""A miniature of VideoSDK's signalling: enough for the real SDK to join, without any media.

What it answers is what the SDK accepts. Its media transport leads to a socket that never
answers, so a test opens the way by hand with `open_media`, or sees what happens when nobody
does. It runs on the event loop of the test, which also shows that joining never blocks it.
"""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from videosdk.utils import IV, KEY
from websockets.asyncio.server import Server, ServerConnection, serve

CODECS = [
    {
        "kind": "audio",
        "mimeType": "audio/opus",
        "clockRate": 48000,
        "channels": 2,
        "preferredPayloadType": 100,
        "parameters": {},
        "rtcpFeedback": [],
    },
    {
        "kind": "video",
        "mimeType": "video/VP8",
        "clockRate": 90000,
        "preferredPayloadType": 101,
        "parameters": {},
        "rtcpFeedback": [{"type": "nack", "parameter": ""}],
    },
]


class Certificate:
    """A certificate for 127.0.0.1 in `folder`, made for one run of the tests."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.path = folder / "certificate.pem"
        key_path = folder / "key.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.path, key_path)


class Signalling:
    """One room's servers. The fields may be changed before a test joins.

    - `status`, `body`: the answer to the request for a configuration; no body is the right one.
    - `refuse_socket`: an HTTP status for the WebSocket, instead of opening it.
    - `refuse`: methods that are answered with an error.
    - `silent`: methods that are never answered.
    - `peers`: who is in the room already, in the answer to ``join``.
    """

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes | None = None
        self.refuse_socket: int | None = None
        self.refuse: set[str] = set()
        self.silent: set[str] = set()
        self.peers: list[dict[str, Any]] = []
        self.host = ""
        self.queries: list[dict[str, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.answers: dict[int, dict[str, Any]] = {}
        self.sockets: list[ServerConnection] = []
        self._serial = 0
        self._sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._web: Server | None = None

    @property
    def methods(self) -> list[str]:
        """What the SDK has asked for, in order."""
        return [request["method"] for request in self.requests]

    @contextlib.asynccontextmanager
    async def running(self, certificate: Certificate) -> AsyncIterator["Signalling"]:
        self._sink.bind(("127.0.0.1", 0))
        async with serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=["protoo"],  # type: ignore[list-item]
            process_request=self._before_socket,
        ) as self._web:
            server = await asyncio.start_server(
                self._configure, "127.0.0.1", 0, ssl=certificate.context
            )
            async with server:
                self.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
                yield self
        self._sink.close()

    async def notify(self, method: str, data: dict[str, Any]) -> None:
        """Tell every SDK, as the server does."""
        await self._send({"notification": True, "method": method, "data": data})

    async def request(self, method: str, data: dict[str, Any]) -> dict[str, Any]:
        """Ask every SDK, as the server does; returns the first answer."""
        self._serial += 1
        serial = self._serial
        await self._send({"request": True, "id": serial, "method": method, "data": data})
        while serial not in self.answers:
            await asyncio.sleep(0.005)
        return self.answers[serial]

    async def _send(self, message: dict[str, Any]) -> None:
        for connection in self.sockets:
            await connection.send(json.dumps(message))

    async def _configure(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        await reader.readexactly(int(fields["Content-Length"]))
        body = self._configuration() if self.body is None else self.body
        writer.write(
            b"HTTP/1.1 %d Because\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (self.status, len(body), body)
        )
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _configuration(self) -> bytes:
        assert self._web is not None
        port = next(iter(self._web.sockets)).getsockname()[1]
        ice = AES.new(KEY, AES.MODE_CBC, IV).encrypt(pad(b"[]", AES.block_size))
        data = {
            "baseUrl": f"127.0.0.1:{port}",
            "signalingUrl": f"ws://127.0.0.1:{port}",
            "iceServers": base64.b64encode(ice).decode(),
            "observability": {"jwt": "", "traces": {}, "logs": {}, "metaData": {}},
        }
        return json.dumps({"data": data}).encode()

    def _before_socket(self, connection: ServerConnection, request: Any) -> Any:
        query = parse_qs(urlsplit(request.path).query)
        self.queries.append({name: values[0] for name, values in query.items()})
        if self.refuse_socket is not None:
            return connection.respond(self.refuse_socket, "no")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        self.sockets.append(connection)
        async for text in connection:
            message = json.loads(text)
            if message.get("response"):
                self.answers[message["id"]] = message
                continue
            self.requests.append(message)
            method = message["method"]
            if method in self.silent:
                continue
            answer: dict[str, Any] = {"response": True, "id": message["id"], "ok": True}
            if method in self.refuse:
                answer |= {"ok": False, "errorCode": 403, "errorReason": "no"}
            else:
                answer["data"] = self._answer(method)
            await connection.send(json.dumps(answer))

    def _answer(self, method: str) -> dict[str, Any]:
        self._serial += 1
        match method:
            case "getRouterRtpCapabilities":
                return {"codecs": CODECS, "headerExtensions": []}
            case "createWebRtcTransport":
                return self._transport()
            case "join":
                return {"peers": self.peers, "messages": []}
            case "produce" | "produceData":
                return {"id": f"{method}-{self._serial}"}
        return {}

    def _transport(self) -> dict[str, Any]:
        fingerprint = ":".join(["AA"] * 32)
        candidate = {
            "foundation": "udpcandidate",
            "priority": 1076302079,
            "ip": "127.0.0.1",
            "protocol": "udp",
            "port": self._sink.getsockname()[1],
            "type": "host",
        }
        return {
            "id": f"transport-{self._serial}",
            "iceParameters": {"usernameFragment": "user", "password": "p" * 22, "iceLite": True},
            "iceCandidates": [candidate],
            "dtlsParameters": {
                "role": "auto",
                "fingerprints": [{"algorithm": "sha-256", "value": fingerprint}],
            },
            "sctpParameters": {"port": 5000, "OS": 1024, "MIS": 1024, "maxMessageSize": 262144},
        }


def open_media(client: Any) -> None:
    """Let the SDK's room client believe that its media server has answered."""
    client._RoomClient__send_transport.handler.emit("@connectionstatechange", "connected")
    for channel in (client._reliable_data_producer, client._unreliable_data_producer):
        channel._dataChannel._setReadyState("open")
