"""Declarations of messages, and the bytes that follow from them.

A message is a class whose decorator says which channel carries it and in which form: `control`
for JSON and `text` for a fixed text on the reliable channel, `speech` and `framed_speech` for
binary messages on the unreliable one. The decorator makes the class a frozen dataclass. The
annotation of each field holds its check (`agent_side.protocol.checks`).
"""

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, TypeVar, dataclass_transform

from agent_side.protocol.checks import RefusedError

Message = TypeVar("Message")

REQUIRED: Final = object()

CHECKSUM: Final = struct.Struct("<I")
"""The CRC-32 behind the header of `framed_speech`."""


@dataclass(frozen=True, slots=True)
class Key:
    """A field's key in the JSON object where it is not the field's name, and its default."""

    name: str
    default: object = REQUIRED


@dataclass(frozen=True, slots=True)
class Inline:
    """A field whose value is a `group` of fields of the same JSON object, or None without them."""

    group: type


class Form(Protocol):
    """How a message of one kind stands in a packet."""

    def write(self, message: Any) -> bytes:
        """The packet's bytes. Raises ValueError where the message has none."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared of a message: its channel, its form, and the field that its ack names."""

    reliable: bool
    form: Form
    kind: str = ""
    ack_field: str = ""


_declared: Final[dict[type, Declared]] = {}
_json_forms: Final[dict[str, "JsonForm"]] = {}
_text_forms: Final[list["TextForm"]] = []
_speech_forms: Final[list["SpeechForm | FramedForm"]] = []


@dataclass_transform(frozen_default=True)
def control(
    kind: str, *, version: int = 2, inside: str = "", ack_field: str = ""
) -> Callable[[type[Message]], type[Message]]:
    """A JSON object on the reliable channel, whose "type" is `kind`.

    `inside` is the key of an object that holds all fields. A message with an `ack_field` is
    repeated until an ack for that field's value arrives.
    """

    def form_of(made: type) -> Form:
        form = _json_forms[kind] = JsonForm(made, kind, version, inside)
        return form

    return _declaration(form_of, reliable=True, kind=kind, ack_field=ack_field)


@dataclass_transform(frozen_default=True)
def text(payload: bytes) -> Callable[[type[Message]], type[Message]]:
    """Exactly `payload` on the reliable channel; the message has no fields."""

    def form_of(made: type) -> Form:
        _text_forms.append(form := TextForm(made, payload))
        return form

    return _declaration(form_of, reliable=True)


@dataclass_transform(frozen_default=True)
def speech(most: int) -> Callable[[type[Message]], type[Message]]:
    """Bare PCM on the unreliable channel, of at most so many bytes; one field holds it."""

    def form_of(made: type) -> Form:
        _speech_forms.append(form := SpeechForm(made, most))
        return form

    return _declaration(form_of, reliable=False)


@dataclass_transform(frozen_default=True)
def framed_speech(
    magic: bytes, header: struct.Struct, most: int
) -> Callable[[type[Message]], type[Message]]:
    """PCM behind a header on the unreliable channel; see `FramedForm`. Tried before bare PCM."""

    def form_of(made: type) -> Form:
        _speech_forms.insert(0, form := FramedForm(made, magic, header, most))
        return form

    return _declaration(form_of, reliable=False)


def _declaration(
    form_of: Callable[[type], Form], *, reliable: bool, kind: str = "", ack_field: str = ""
) -> Callable[[type[Message]], type[Message]]:
    """The decorator of a message, for which `form_of` makes and registers a form."""

    def declare(cls: type[Message]) -> type[Message]:
        made = dataclass(frozen=True, slots=True)(cls)
        _declared[made] = Declared(reliable, form_of(made), kind, ack_field)
        return made

    return declare


def declared(kind: type) -> Declared:
    """What is declared of a class of messages. Raises ValueError for any other class."""
    if kind not in _declared:
        raise ValueError(f"{kind.__name__} is not a message of the protocol.")
    return _declared[kind]


def messages() -> tuple[type, ...]:
    """The classes that are declared so far."""
    return tuple(_declared)


def acknowledged() -> tuple[str, ...]:
    """The kinds that are declared so far and are repeated until they are acknowledged."""
    return tuple(each.kind for each in _declared.values() if each.ack_field)


def as_bytes(payload: object) -> bytes:
    """A payload as the SDK delivers it; nothing where it is neither bytes nor text in UTF-8."""
    if isinstance(payload, str):
        try:
            return payload.encode()
        except UnicodeEncodeError:
            return b""
    return bytes(payload) if isinstance(payload, bytes | bytearray | memoryview) else b""


def read(data: bytes, *, reliable: bool) -> Any:
    """The message in a packet; None for anything else."""
    forms: Sequence[TextForm | SpeechForm | FramedForm] = _text_forms if reliable else _speech_forms
    for form in forms:
        message = form.read(data)
        if message is not None:
            return message
    return _read_json(data) if reliable else None


def _read_json(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    form = _json_forms.get(kind) if isinstance(kind, str) else None
    return None if form is None else form.read_object(value)


class TextForm:
    """A fixed text."""

    def __init__(self, cls: type, payload: bytes) -> None:
        self._cls = cls
        self._payload = payload

    def write(self, message: Any) -> bytes:
        return self._payload

    def read(self, data: bytes) -> Any:
        return self._cls() if data == self._payload else None


class SpeechForm:
    """Bare PCM of at most `most` bytes."""

    def __init__(self, cls: type, most: int) -> None:
        [field] = fields(cls)
        self._cls = cls
        self._field = field.name
        self._most = most

    def write(self, message: Any) -> bytes:
        return _samples(getattr(message, self._field), self._most)

    def read(self, data: bytes) -> Any:
        return self._cls(data) if data and len(data) % 2 == 0 else None


class FramedForm:
    """A magic, the fields as `header` packs them, a CRC-32 of all that, then the PCM.

    The first field is a text of hexadecimal digits, packed as bytes; the last one is the PCM.
    """

    def __init__(self, cls: type, magic: bytes, header: struct.Struct, most: int) -> None:
        self._cls = cls
        self._magic = magic
        self._header = header
        self._most = most
        self._fields = [_field(field.name, field.type) for field in fields(cls)]

    def write(self, message: Any) -> bytes:
        first, *numbers, pcm = (getattr(message, field.name) for field in self._fields)
        try:
            packed = self._header.pack(self._magic, bytes.fromhex(first), *numbers)
        except (struct.error, TypeError, ValueError) as error:
            raise ValueError(f"A field of the speech's header is out of range: {error}.") from error
        payload = packed + CHECKSUM.pack(zlib.crc32(packed)) + _samples(pcm, self._most)
        if self.read(payload) != message:
            raise ValueError(f"The header of speech cannot say {first!r}, {numbers!r}.")
        return payload

    def read(self, data: bytes) -> Any:
        size = self._header.size
        start = size + CHECKSUM.size
        packed, check, pcm = data[:size], data[size:start], data[start:]
        if not data.startswith(self._magic) or not pcm or len(pcm) % 2:
            return None
        if check != CHECKSUM.pack(zlib.crc32(packed)):
            return None
        _, first, *numbers = self._header.unpack(packed)
        values = (first.hex(), *numbers, pcm)
        try:
            pairs = zip(self._fields, values, strict=True)
            return self._cls(*(field.check(value) for field, value in pairs))
        except RefusedError:
            return None


def _samples(data: bytes, most: int) -> bytes:
    if not data or len(data) % 2:
        raise ValueError(f"Speech of {len(data)} bytes is not a row of 16-bit samples.")
    if len(data) > most:
        raise ValueError(
            f"Speech of {len(data)} bytes does not fit one packet ({most} bytes); "
            "split it with split_pcm()."
        )
    return data


class JsonForm:
    """A JSON object: "type", from version 2 on "v", then the fields in their order."""

    def __init__(self, cls: type, kind: str, version: int, inside: str) -> None:
        self._cls = cls
        self._version = version
        self._head: dict[str, object] = {"type": kind, **({"v": version} if version > 1 else {})}
        self._inside = inside
        self._fields = [_field(field.name, field.type) for field in fields(cls)]

    def write(self, message: Any) -> bytes:
        body: dict[str, object] = {}
        for field in self._fields:
            body |= field.write(getattr(message, field.name))
        entries = {self._inside: body} if self._inside else body
        return json.dumps({**self._head, **entries}, separators=(",", ":")).encode()

    def read_object(self, value: dict[str, Any]) -> Any:
        """The message in a JSON object whose "type" is this one's."""
        if self._version > 1 and value.get("v") != self._version:
            return None
        body = value.get(self._inside, {}) if self._inside else value
        if not isinstance(body, dict):
            return None
        try:
            return self._cls(*(field.read(body) for field in self._fields))
        except RefusedError:
            return None


@dataclass(frozen=True, slots=True)
class _Field:
    """A field that is one entry of the JSON object."""

    name: str
    key: Key
    check: Callable[[object], Any]

    def write(self, value: object) -> dict[str, object]:
        return {self.key.name: value}

    def read(self, body: dict[str, Any]) -> Any:
        value = body.get(self.key.name, self.key.default)
        if value is REQUIRED:
            raise RefusedError
        return self.check(value)


@dataclass(frozen=True, slots=True)
class _InlineField:
    """A field that is several entries of the JSON object, all of them or none."""

    name: str
    group: type
    fields: list["_Field | _InlineField"]

    def write(self, value: object) -> dict[str, object]:
        entries: dict[str, object] = {}
        for field in self.fields if value is not None else ():
            entries |= field.write(getattr(value, field.name))
        return entries

    def read(self, body: dict[str, Any]) -> Any:
        if self.fields[0].name not in body:
            return None
        return self.group(*(field.read(body) for field in self.fields))

    def check(self, value: object) -> Any:
        raise RefusedError


def _field(name: str, annotation: Any) -> _Field | _InlineField:
    """What the metadata of a field's `Annotated` type says."""
    key, check = Key(name), _anything
    for each in getattr(annotation, "__metadata__", ()):
        match each:
            case Inline(group):
                parts = [_field(part.name, part.type) for part in fields(group)]
                return _InlineField(name, group, parts)
            case Key():
                key = each
            case _:
                check = each
    return _Field(name, key, check)


def _anything(value: object) -> Any:
    return value
