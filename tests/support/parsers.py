"""Every parser of what others send us, each with what it may raise and what has to hold of it.

A target takes any bytes. It raises AssertionError where an error repeats what it was given, and
lets through whatever the parser raises that it does not declare: both are findings. Used with
hypothesis by ``tests/worker/test_parsers_property.py`` and with coverage by ``tests/fuzz/fuzz.py``.
"""

import asyncio
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from recorded import CountingRenderer

from agent_side.join import LENGTHS, JoinInfo
from agent_side.wire import MAX_PAYLOAD, decode, encode
from avatar_runtime.messages.commands import JoinCommand, decode_command
from avatar_runtime.messages.encoding import MessageError
from avatar_runtime.messages.reports import decode_report
from avatar_runtime.messages.zygote import decode_order, decode_zygote_report
from dispatcher.errors import BadRequest, Forbidden, Unauthorized, Unreadable
from dispatcher.http.auth import Gate
from dispatcher.http.request import participant_of, read_launch
from dispatcher.ledger.command import EndCommand, HandoffDoneCommand, RenewCommand, ServeCommand
from dispatcher.ledger.encryption import Encryption, Recipient
from dispatcher.ledger.fields import read_record
from dispatcher.ledger.port import RESOLUTIONS
from dispatcher.ledger.record import key_of
from dispatcher.ledger.redis import expiry_of
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.ledger.replies import read_reply
from dispatcher.settings import DispatcherSettings
from localroom.faults import Chaos, Faults
from localroom.http.endpoint import Request
from localroom.media.ice import IceLite
from localroom.media.relay import Relay
from localroom.media.rtp import Exchange, begins_key_frame
from localroom.media.sdp import NothingInCommonError
from localroom.media.sdp import read as read_offer
from localroom.signalling.protoo import ProtooChannel
from worker.__main__ import read_join
from worker.characters.folder import Character
from worker.errors import InputError, WorkerSettingsError
from worker.process import control_channel as channel_module
from worker.process.control_channel import ControlChannel
from worker.recording.file import RecordingReader, pack
from worker.recording.timeline import timeline
from worker.tools.replay import Replay

HOSTS: Final = ("api.videosdk.live",)
SECRET: Final = "a-secret-of-thirty-two-characters"
ENOUGH: Final = 12
"""So many characters in a row are no chance: an error that has them repeats what it was given."""

OUR_WORDS: Final = re.compile(
    "|".join(
        [*(f"`{name}`" for name in LENGTHS), "`metadata`", "signaling_base_url", "participant"]
    )
)
MEMORY: Final = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
ADDRESS: Final = ("127.0.0.1", 4711)

GATE: Final = Gate(
    DispatcherSettings(
        auth=("jwt", "basic", "bearer"),
        jwt_keys=(("apikey", SECRET),),
        basic_keys=(("user", SECRET),),
        bearer_keys=(SECRET,),
    )
)
JWT_GATE: Final = Gate(DispatcherSettings(auth=("jwt",), jwt_keys=(("apikey", SECRET),)))
SEAL: Final = Encryption(["A" * 43 + "="])


class Target(NamedTuple):
    """`about` says which input it is; `run` takes one."""

    about: str
    run: Callable[[bytes], None]


@contextmanager
def quiet(given: bytes | str, *declared: type[Exception]) -> Iterator[None]:
    """Errors of the `declared` kinds are fine, if they repeat nothing of what was `given`."""
    try:
        yield
    except declared as error:
        repeats_nothing(str(error), as_text(given))


def repeats_nothing(reports: str, given: str) -> None:
    """The error's text is one line, with nothing in it of what was given."""
    reports = OUR_WORDS.sub("", reports)
    pieces = (reports[at : at + ENOUGH] for at in range(len(reports) - ENOUGH + 1))
    assert not any(piece in given for piece in pieces), f"{reports} repeats what was given"
    assert reports.isprintable(), "an error has more than one line"


def as_text(given: bytes | str) -> str:
    return given if isinstance(given, str) else given.decode(errors="replace")


def launch(data: bytes) -> None:
    with quiet(data, BadRequest):
        join = read_launch(data, HOSTS)
        assert join.signaling_base_url in HOSTS
        assert join.participant_id
        assert join.room_name.isprintable()
        assert JoinInfo.from_json(join.to_json()) == join


def token(data: bytes) -> None:
    """What a token says of itself, and what it is worth at the gate."""
    text = as_text(data)
    name = participant_of(text)
    assert name is None or (name.isprintable() and 0 < len(name) <= LENGTHS["participant_id"])
    expiry = expiry_of(text)
    assert expiry is None or expiry > 0
    with quiet(text, Unauthorized, Forbidden):
        GATE.by_token(JoinInfo("room", text, "face"))
        raise AssertionError("a token that nobody has signed was let in")


def header(data: bytes) -> None:
    """The Authorization header, as a server reads it: latin-1."""
    text = data.decode("latin-1")
    caller = GATE.by_header(text, "peer:127.0.0.1")
    assert caller is None or SECRET in text or text.lower().startswith("basic ")
    for gate in (GATE, JWT_GATE):
        with quiet(text, Unauthorized, Forbidden):
            gate.operator(text, "peer:127.0.0.1")


def wire(data: bytes) -> None:
    """Packets of the data channel: bytes, or text where the SDK takes them for some."""
    payloads: list[object] = [data]
    with suppress(UnicodeDecodeError):
        payloads.append(data.decode())
    for payload in payloads:
        for reliable in (False, True):
            message = decode(payload, reliable=reliable)
            if message is None:
                continue
            assert len(data) <= MAX_PAYLOAD
            with suppress(ValueError):  # written by us it may be longer than a packet
                again = encode(message)
                assert decode(again.payload, reliable=again.reliable) == message


def join(data: bytes) -> None:
    """The first line of a worker's stdin."""
    with quiet(data, WorkerSettingsError):
        command = read_join(BytesIO(data))
        assert command.join.room_name
        assert command.assignment.epoch >= 0
        assert JoinCommand.decode(command.encode()) == command
    with quiet(data, ValueError):
        JoinInfo.from_json(data)


def manifest(data: bytes) -> None:
    """A character's manifest; its faults name entries and files, so they may repeat those."""

    class Only:
        name = "fuzzed"

        def read(self, file: str) -> bytes:
            if file == "manifest.json":
                return data
            raise InputError(f"{file}: is missing.")

    character, faults, _ = Character.parse(Only())
    assert (character is None) == bool(faults)


def archive(data: bytes) -> None:
    """A character's .zip."""
    with a_file(data, ".zip") as path, suppress(InputError):
        Character.read(path)


def recording(data: bytes) -> None:
    """A file for ``avatar replay``, as it is and as the lines of one."""
    for content in (data, pack(data)):
        with a_file(content, ".avatar") as path, suppress(InputError):
            for text in timeline(RecordingReader(path)):
                assert text.isprintable()
            stage = Replay(CountingRenderer())
            list(stage.shots(RecordingReader(path).lines()))
            assert stage.flaw.isprintable()


def sealed(data: bytes) -> None:
    """What a node finds in Redis in the place of a join request, and what it opens there."""
    recipient = Recipient(key_of("room", "face"), "0123456789abcdef", 1)
    assert SEAL.decrypt(as_redis(data)) is None
    assert SEAL.decrypt_join(as_redis(data), recipient) is None
    with quiet(data, Unreadable):
        found = SEAL.decrypt_join(SEAL.encrypt(as_text(data)), recipient)
        assert found is not None
        assert found.room_name


def as_redis(data: bytes) -> str:
    """As the connection to Redis hands it out."""
    return data.decode(errors="surrogateescape")


def record(data: bytes) -> None:
    """A session's record in Redis: what is read can be shown."""
    try:
        fields = json.loads(as_redis(data))
    except (ValueError, RecursionError):
        return
    if not isinstance(fields, dict):
        return
    if isinstance(fields.get("room"), str) and isinstance(fields.get("participant"), str):
        with suppress(UnicodeEncodeError):
            fields["key"] = key_of(fields["room"], fields["participant"])
    with quiet(data, Unreadable):
        shown = read_record(fields).to_dict()
        json.dumps(shown, ensure_ascii=False).encode()


def reply(data: bytes) -> None:
    """An answer to a claim."""
    with quiet(data, Unreadable):
        session_id, found = read_reply(as_redis(data))
        assert session_id.encode()
        assert found.resolution in RESOLUTIONS


def fate(data: bytes) -> None:
    """What a zygote and its dispatcher send to each other."""
    for decode_packet in (decode_zygote_report, decode_order):
        with quiet(data, MessageError):
            message = decode_packet(data)
            assert decode_packet(message.encode()) == message


def control_channel(data: bytes) -> None:
    """What a worker reads on its stdin after its join command."""
    with quiet(data, MessageError):
        command = decode_command(data)
        assert decode_command(command.encode()) == command
    asyncio.run(_commanded(data))


async def _commanded(data: bytes) -> None:
    def renew(command: JoinCommand) -> None:
        assert command.join.room_name

    ours, theirs = os.pipe()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    before = channel_module.STDIN, channel_module.STDOUT, channel_module._read_ahead
    try:
        channel_module.STDIN, channel_module.STDOUT = ours, nowhere  # type: ignore[misc]
        channel_module._read_ahead = lambda: data
        ControlChannel().attend(renew, lambda: None)
        asyncio.get_running_loop().remove_reader(ours)
    finally:
        channel_module.STDIN, channel_module.STDOUT, channel_module._read_ahead = before  # type: ignore[misc]
        for each in (ours, theirs, nowhere):
            os.close(each)


def command(data: bytes) -> None:
    """What a node finds in its mailbox in Redis, as its script hands it out: JSON."""
    try:
        parts = json.loads(as_redis(data))
    except (ValueError, RecursionError):
        return
    if isinstance(parts, list):
        asyncio.run(_posted(parts))


async def _posted(parts: list[Any]) -> None:
    class Nowhere:
        async def call(self, *arguments: object) -> None: ...

    ledger = RedisNodeLedger("redis://127.0.0.1:1", SEAL, name="node")
    ledger._store = Nowhere()  # type: ignore[assignment]
    command = await ledger._read(parts, 0.0)
    assert command is None or isinstance(
        command, ServeCommand | RenewCommand | EndCommand | HandoffDoneCommand
    )


def report(data: bytes) -> None:
    """A line that a worker, or a library in it, has printed."""
    with quiet(data, MessageError):
        received = decode_report(data)
        assert received is None or received.encode()


def offer(data: bytes) -> None:
    """SDP of one who wants to watch; errors name lines of the standard."""
    with suppress(ValueError, NothingInCommonError):
        read_offer(data.decode(errors="replace"))


def faults(data: bytes) -> None:
    """What a test asks of the local room; its errors name what it said."""
    with suppress(ValueError):
        Faults.parse(Request("PUT", "/faults", data).json())


def protoo(data: bytes) -> None:
    """A message of a peer's WebSocket."""
    asyncio.run(_signalled(data))


async def _signalled(data: bytes) -> None:
    class Socket:
        def __init__(self) -> None:
            self._texts = [as_text(data)]

        def __aiter__(self) -> "Socket":
            return self

        async def __anext__(self) -> str:
            if not self._texts:
                raise StopAsyncIteration
            return self._texts.pop()

    async def handle(method: str, asked: dict[str, object]) -> dict[str, object]:
        return {}

    await ProtooChannel(Socket())._read(handle)  # type: ignore[arg-type]


def datagrams(data: bytes) -> None:
    """What reaches the local room's sockets, before anybody has proven anything."""
    asyncio.run(_received(data))


async def _received(data: bytes) -> None:
    class Socket:
        def sendto(self, data: bytes, addr: object) -> None: ...
        def is_closing(self) -> bool:
            return False

    ice, relay, exchange = IceLite("peer", Chaos()), Relay("127.0.0.1"), Exchange()
    relay.connection_made(Socket())  # type: ignore[arg-type]
    ice.datagram_received(data, ADDRESS)
    relay.datagram_received(data, ADDRESS)
    exchange.on_rtp(data)
    exchange.on_rtcp(data)
    if len(data) >= 12:
        begins_key_frame(data)


@contextmanager
def a_file(content: bytes, suffix: str) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(suffix, "avatar-fuzz-", MEMORY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield Path(name)
    finally:
        Path(name).unlink()


TARGETS: Final[dict[str, Target]] = {
    "launch": Target("the body of POST /launch", launch),
    "token": Target("a token", token),
    "header": Target("the header Authorization", header),
    "wire": Target("a packet of the data channel", wire),
    "join": Target("the join request and assignment on a worker's stdin", join),
    "report": Target("a line on a worker's stdout", report),
    "fate": Target("a packet between a zygote and its dispatcher", fate),
    "control_channel": Target("what a worker reads after its join request", control_channel),
    "record": Target("a session's record in Redis", record),
    "reply": Target("an answer to a claim in Redis", reply),
    "command": Target("a command in a node's mailbox", command),
    "sealed": Target("a sealed join request in Redis", sealed),
    "manifest": Target("a character's manifest", manifest),
    "archive": Target("a character's .zip", archive),
    "recording": Target("a recording", recording),
    "offer": Target("a watcher's SDP", offer),
    "faults": Target("faults for the local room", faults),
    "protoo": Target("a message of the local room's signalling", protoo),
    "datagrams": Target("a datagram to the local room", datagrams),
}
