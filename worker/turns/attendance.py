"""Attendance: who else is in the room, and whether there is still a reason to stay."""

from dataclasses import dataclass
from typing import Final

from worker.settings import Settings
from worker.turns.reasons import Reason

RETURN_S: Final = 2.0
"""After the worker was away, those who were in the room before show up within this time."""


@dataclass(slots=True)
class _Present:
    is_agent: bool
    seen: bool = True


class Attendance:
    """Keeps the list of participants, and says when a worker has no reason to stay.

    The agent is the participant named `agent_id`; without a name it is anybody of the type
    agent, or whoever is obeyed. While the worker is away, no time passes here. Holds no clock.
    """

    def __init__(self, settings: Settings, agent_id: str | None) -> None:
        self._settings = settings
        self._agent_id = agent_id
        self._people: dict[str, _Present] = {}
        self._away = False
        self._look_round_at: float | None = None
        self._began = self._agent_since = self._company_since = 0.0
        self._agent_came = False
        self._company_came = False

    def begin(self, now: float) -> None:
        """The worker is in the room from now on."""
        self._began = self._agent_since = self._company_since = now

    def name(self, agent_id: str, now: float) -> None:
        """A renewed join request names the agent, which may take its time to come."""
        if agent_id != self._agent_id:
            self._agent_id = agent_id
            self._agent_since = now

    def joined(self, participant_id: str, is_agent: bool) -> None:
        """Somebody is in the room."""
        self._people[participant_id] = _Present(is_agent)

    def left(self, participant_id: str) -> None:
        """Somebody has left the room."""
        self._people.pop(participant_id, None)

    def away(self) -> None:
        """The worker does not see who comes and goes."""
        self._away = True
        self._look_round_at = None

    def back(self, now: float) -> None:
        """The worker is in the room again; everybody there is reported anew."""
        self._away = False
        self._look_round_at = now + RETURN_S
        self._agent_since = self._company_since = now
        for person in self._people.values():
            person.seen = False

    def missing(self, now: float) -> list[str]:
        """Who has left while the worker was away; returned once, `RETURN_S` after it came back."""
        if self._look_round_at is None or now < self._look_round_at:
            return []
        self._look_round_at = None
        return [who for who, person in self._people.items() if not person.seen]

    def over(self, obeyed: str | None, now: float) -> Reason | None:
        """Why the worker should leave, if it should; `obeyed` is the participant it listens to."""
        longest_s = self._settings.longest_s
        if now >= self._began + longest_s:
            return Reason(
                "longest", f"The session has lasted {longest_s:g} s, the longest that is allowed."
            )
        if self._away:
            return None
        if self._people:
            self._company_since, self._company_came = now, True
        if self._agent_is_here(obeyed):
            self._agent_since, self._agent_came = now, True
        if self._company_came and now >= self._company_since + self._settings.empty_room_s:
            return Reason(
                "room_empty",
                f"Everybody has left: the room was empty for {self._settings.empty_room_s:g} s.",
            )
        if now < self._agent_since + self._settings.agent_absent_s:
            return None
        absent_s = f"{self._settings.agent_absent_s:g} s"
        if self._agent_came:
            return Reason(
                "agent_left", f"The agent has left and did not come back within {absent_s}."
            )
        return Reason("agent_absent", f"The agent never came: there was none within {absent_s}.")

    def _agent_is_here(self, obeyed: str | None) -> bool:
        if self._agent_id is not None:
            return self._agent_id in self._people or obeyed == self._agent_id
        return obeyed is not None or any(person.is_agent for person in self._people.values())
