"""Renewal: what a launch for a session that lives changes of its join request, and what not."""

from dataclasses import replace
from typing import Final, NamedTuple

from agent_side.join import JoinInfo

FIXED: Final = ("character", "metadata")
"""What stays as the session began: its worker was made ready with it, and so are those that may
follow, so that a face stays the same one."""


class Renewed(NamedTuple):
    """The join request that a session has from now on. `not_applied` are the fields in which
    the newer one asked for something else and does not get it; `renames`: it names another
    agent than before."""

    join: JoinInfo
    not_applied: tuple[str, ...]
    renames: bool


def renewed(join: JoinInfo, newer: JoinInfo) -> Renewed:
    """`join` with what `newer` may change of it, both for the same face in the same room.

    The agent's id counts at once; the token and the signalling host count when a worker joins
    anew. What `newer` leaves out stays as it is: a launch that names no agent keeps the one before.
    """
    asked = {name: getattr(newer, name) for name in FIXED}
    not_applied = [
        name for name, value in asked.items() if value is not None and value != getattr(join, name)
    ]
    merged = replace(
        join,
        token=newer.token,
        signaling_base_url=newer.signaling_base_url or join.signaling_base_url,
        agent_participant_id=newer.agent_participant_id or join.agent_participant_id,
    )
    renames = merged.agent_participant_id != join.agent_participant_id
    return Renewed(merged, tuple(not_applied), renames)
