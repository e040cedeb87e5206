"""The messages by which an agent and a worker find each other in version 2."""

from dataclasses import dataclass
from typing import Annotated

from agent_side.protocol import checks
from agent_side.protocol.codec import Inline, control
from agent_side.protocol.fields import (
    MAX_ID,
    Flag,
    Names,
    Number,
    Rate,
    Samples,
    Stream,
    stream_check,
)


@dataclass(frozen=True, slots=True)
class Face:
    """What a worker's face can do beside speaking: the names that each message of it takes."""

    gestures: Names = ()
    expressions: Names = ()
    postures: Names = ()


@control("avatar_ready")
class AvatarReady:
    """Worker to agent: the worker is here and speaks version 2.

    Sent when the worker has joined and when an agent appears, repeated for a while, and as the
    answer to every `AgentHello`, whose `stream` it then names. `worker` differs for each worker
    process, so the agent notices a replacement. `face` is None for workers that are older than
    gestures: they get no acts and no `Words`.
    """

    worker: Annotated[str, checks.text(MAX_ID, str.isascii)]
    stream: Annotated[str | None, checks.optional(stream_check)]
    face: Annotated[Face | None, Inline(Face)] = None


@control("agent_hello")
class AgentHello:
    """Agent to worker, repeated until an `AvatarReady` names the stream: obey this stream.

    `turn` is the first turn that has not ended and `sample` the first of its samples, at
    `sample_rate`, that has not been heard: where a worker that replaces another continues.
    """

    stream: Stream
    turn: Number
    sample: Samples
    sample_rate: Rate


@control("not_obeyed")
class NotObeyed:
    """Worker to agent: the answer to an `AgentHello` of a participant that is not obeyed.

    Sent in place of `AvatarReady`, once a second at most. `named` says that the join request
    names another participant as the agent; otherwise another one has the face until it leaves,
    or was in the room first. The agent may repeat its hello: it is answered once that changes.
    """

    stream: Stream
    named: Flag
