"""What /openapi.json says: the bodies that the routes read and write by hand, and who may ask.

FastAPI reads no body here, as its errors would quote it, so it cannot know what is in one.
"""

from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, Field

from agent_side.join import ADDRESSABLE, LENGTHS
from dispatcher.http.auth import Gate
from dispatcher.ledger.record import State

PRINTABLE: Final = "printable"
SIGNALING_HOST: Final = "signaling-host"
"""Our names for formats that JSON Schema has none for: strings without control characters,
separators other than the space, and the like; and one of AVATAR_SIGNALING_HOSTS, or nothing."""


class Error(BaseModel):
    """Any refusal: one sentence, and the request's name in the logs."""

    error: str = Field(description="What failed and what to do next.")
    request_id: str = Field(description="As in the header X-Request-Id and in the logs.")


class LaunchAnswer(BaseModel):
    """A worker has taken the session."""

    status: str = Field(pattern="^success$")
    room: str
    session_id: str
    not_applied: list[str] | None = Field(
        default=None,
        description="Only where the session lived already: the fields of this request that it "
        "does not take. They stay as they were; end it and launch anew to change them.",
    )


class StateEntry(BaseModel):
    """A state that the session has entered, when, and why."""

    state: State
    since: datetime
    reason: str | None


class SessionAnswer(StateEntry):
    """A session: a face for one participant of one room."""

    session_id: str
    room: str
    participant_id: str
    attempts: int = Field(description="Workers that it has had.")
    epoch: int = Field(description="Machines that it was given to.")
    slot: str | None = Field(description="Where it is, or was last.")
    life: list[StateEntry] = Field(description="Its latest states, the oldest first.")
    counters: dict[str, int] = Field(description="What its workers have counted.")


class SessionsAnswer(BaseModel):
    """All sessions that live, and the latest that are over; the oldest first."""

    sessions: list[SessionAnswer]


class Health(BaseModel):
    """It is as was asked; what fails beside the faces is in `degraded`, a sentence each."""

    status: str
    degraded: list[str] | None = None


Described = dict[str, Any]

IN_ADDRESS: Final = f"^{ADDRESSABLE.pattern}$"


def launch_body() -> Described:
    """The body of POST /launch, as `requestBody`."""

    def text(name: str, **more: object) -> Described:
        return {"type": "string", "maxLength": LENGTHS[name], **more}

    def or_null(described: Described) -> Described:
        return {"anyOf": [described, {"type": "null"}]}

    schema: Described = {
        "title": "JoinRequest",
        "type": "object",
        "required": ["room_name", "token"],
        "properties": {
            "room_name": text("room_name", minLength=1, pattern=IN_ADDRESS),
            "token": text("token", minLength=1, pattern=IN_ADDRESS, writeOnly=True),
            "participant_id": or_null(text("participant_id", pattern=f"{IN_ADDRESS}|^$")),
            "signaling_base_url": or_null(text("signaling_base_url", format=SIGNALING_HOST)),
            "agent_participant_id": or_null(text("agent_participant_id", format=PRINTABLE)),
            "character": or_null(text("character", pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")),
            "metadata": or_null({"type": "object"}),
        },
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def refusals(*statuses: int) -> dict[int | str, Described]:
    """The `responses` of these statuses."""
    return {status: {"model": Error, **_WHY[status]} for status in statuses}


def _header(text: str, kind: str = "string") -> Described:
    return {"description": text, "required": True, "schema": {"type": kind}}


_LATER: Final = {"Retry-After": _header("When to ask again (s).", "integer")}

_WHY: Final[dict[int, Described]] = {
    400: {"description": "This is no JSON, or it did not come in time."},
    401: {
        "description": "The caller is not authenticated.",
        "headers": {"WWW-Authenticate": _header("What would be taken.")},
    },
    403: {"description": "The caller is authenticated, and not allowed to do that."},
    404: {"description": "There is no such session."},
    409: {"description": "Another face is in the room, and AVATAR_ROOM_POLICY is reject."},
    413: {"description": "The body is too long."},
    422: {"description": "A field cannot be used, or a worker has refused the request."},
    429: {"description": "Too many of this owner or address.", "headers": _LATER},
    503: {"description": "There is no room for a session now.", "headers": _LATER},
}

_SCHEMES: Final[Described] = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "jwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the operator's own that has the permission allow_mod.",
    },
}


def describe(app: FastAPI, gate: Gate) -> None:
    """Make `app` say who may ask for what at this `gate`."""
    made = app.openapi

    def openapi() -> Described:
        if app.openapi_schema is None:
            schema = made()
            kinds = gate.schemes
            schema.setdefault("components", {})["securitySchemes"] = {
                kind: _SCHEMES[kind] for kind in kinds
            }
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["security"] = _security(path, gate)
                    operation["responses"].pop("422", None) if path != "/launch" else None
        return made()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _security(path: str, gate: Gate) -> list[dict[str, list[str]]]:
    if path == "/launch":
        kinds = [kind for kind in gate.schemes if kind != "jwt"]
        return [] if gate.reads_tokens else [{kind: []} for kind in kinds]
    return [{kind: []} for kind in gate.schemes] if path.startswith("/v1/") else []
