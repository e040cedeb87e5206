"""What all messages share: the refusal, and dataclasses as JSON."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast


class MessageError(ValueError):
    """What arrived is no message of its kind."""


def all_fields(message: object) -> dict[str, Any]:
    return {each.name: getattr(message, each.name) for each in fields(cast(Any, message))}


def given_fields(message: object) -> dict[str, Any]:
    return {name: value for name, value in all_fields(message).items() if value is not None}


def to_line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
